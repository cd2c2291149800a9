//! Setting a rig up and removing it: the clone, its target, its directories.
//!
//! Every step looks before it acts, so that a set-up that was cut short is continued by the next
//! one. The registry of rigs is not written here; that is the caller's last step.

use std::fs;
use std::path::Path;
use std::time::Duration;

use git2::Repository;
use serde::Deserialize;
use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::files;
use crate::adapters::git::GitError;
use crate::adapters::git::Landing;
use crate::adapters::git::RigGit;
use crate::adapters::git::cli::Git;
use crate::adapters::git::contains;
use crate::adapters::git::file;
use crate::adapters::git::handle::Handles;
use crate::adapters::git::lib;
use crate::adapters::git::place::redirect;
use crate::adapters::git::ref_commit;
use crate::adapters::git::rescue::RESCUE;
use crate::adapters::layout::Town;
use crate::adapters::layout::component;
use crate::model::ids::RigName;

/// Directories of the town itself, which no rig can be named like.
pub const RESERVED: [&str; 8] =
    ["mayor", "deacon", "daemon", "settings", "config", "logs", "plugins", "hq"];

/// Why a rig could not be set up or removed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Git or files.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The name is taken by the town.
    #[error("a rig cannot be named '{0}': the town uses that directory; choose another name")]
    Reserved(RigName),
    /// The rig's directory has another repository.
    #[error("rig {rig} is a clone of {found}; remove it first, or choose another name")]
    OtherSource {
        /// The rig.
        rig: RigName,
        /// Its source.
        found: String,
    },
    /// Nothing to branch from.
    #[error("{0} has no commits; make a first commit there")]
    Empty(String),
    /// No target.
    #[error("{source_repo} has no branch '{target}'; name the target branch")]
    NoTarget {
        /// The repository.
        source_repo: String,
        /// The branch that was looked for.
        target: String,
    },
    /// Work would be in the way.
    #[error("rig {rig} still has {what}; {remedy}")]
    InUse {
        /// The rig.
        rig: RigName,
        /// What is there.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// Something that the person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    /// The repository has files of its own under `.beads/`: they stay as they are, and the town's
    /// redirect lies beside them, untracked.
    TracksBeads,
    /// The remote's target cannot be pushed to; the target is the canonical clone's branch.
    LandsHere {
        /// Why.
        reason: String,
        /// How to get what lands.
        pull: String,
    },
}

/// A rig that is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RigMade {
    /// The target branch.
    pub target: String,
    /// How it moves.
    pub landing: Landing,
    /// What the person should know.
    pub notices: Vec<Notice>,
}

/// What became of a removed rig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Everything in it was in the remote's target; it is gone.
    Deleted,
    /// It had commits that are nowhere else, and was moved there.
    Aside(std::path::PathBuf),
    /// There was none.
    Absent,
}

/// Sets a rig up.
#[derive(Clone, Debug)]
pub struct RigSetup {
    /// The town.
    pub town: Town,
    /// The rig's name.
    pub rig: RigName,
    /// The repository: a URL or a path.
    pub source: String,
    /// The target branch; `None` is the remote's default.
    pub target: Option<String>,
    /// E-mail of the commits made in the town.
    pub owner_email: String,
    /// Bound of one git command; a clone may take all of it.
    pub timeout: Duration,
}

impl RigSetup {
    /// Sets the rig up, or continues. Blocks.
    ///
    /// # Errors
    /// [`SetupError`]; what is made so far stays and is used by the next try.
    pub fn make(&self) -> Result<RigMade, SetupError> {
        component(self.rig.as_str()).map_err(GitError::from)?;
        if RESERVED.contains(&self.rig.as_str()) {
            return Err(SetupError::Reserved(self.rig.clone()));
        }
        let source = self.absolute_source();
        self.clone_canonical(&source)?;
        let canonical = self.town.canonical(&self.rig);
        supported(&Git::new(&canonical, self.timeout))?;
        let mut git = self.git(Landing::Remote, String::new());
        git.target = self.find_target(&git, &source)?;
        let mut notices = Vec::new();
        if !git.cli().run(&["ls-files", "--", ".beads"])?.is_empty() {
            notices.push(Notice::TracksBeads);
        }
        exclude_beads(&canonical)?;
        if let Some(reason) = unpushable(&git, &source, &git.target)? {
            git.landing = Landing::Canonical;
            let pull = format!("git pull {} {}", canonical.display(), git.target);
            notices.push(Notice::LandsHere { reason, pull });
        }
        self.detach(&git)?;
        self.directories(&git)?;
        Ok(RigMade { target: git.target, landing: git.landing, notices })
    }

    fn git(&self, landing: Landing, target: String) -> RigGit {
        RigGit {
            town: self.town.clone(),
            rig: self.rig.clone(),
            landing,
            target,
            owner_email: self.owner_email.clone(),
            timeout: self.timeout,
            handles: Handles::default(),
        }
    }

    /// A path is made absolute, because the clone remembers it; a URL stays as it is.
    fn absolute_source(&self) -> String {
        match fs::canonicalize(&self.source) {
            Ok(path) => path.display().to_string(),
            Err(_) => self.source.clone(),
        }
    }

    /// The clone that all worktrees share; one that is there already must be of the same source.
    fn clone_canonical(&self, source: &str) -> Result<(), SetupError> {
        let canonical = self.town.canonical(&self.rig);
        if canonical.join(".git").exists() {
            let git = Git::new(&canonical, self.timeout);
            let found = git.run(&["config", "--get", "remote.origin.url"])?;
            if found != source {
                return Err(SetupError::OtherSource { rig: self.rig.clone(), found });
            }
            return Ok(());
        }
        let parent = self.town.rig(&self.rig).join("mayor");
        fs::create_dir_all(&parent).map_err(file("rig directory"))?;
        clone_into(&parent, source, &canonical, self.timeout)?;
        Ok(())
    }

    fn find_target(&self, git: &RigGit, source: &str) -> Result<String, SetupError> {
        let all = git.cli().run(&["for-each-ref", "--count=1", "refs/remotes/origin"])?;
        if all.is_empty() {
            // A clone without a single ref holds nothing; it must not stand in the next try's way.
            let canonical = self.town.canonical(&self.rig);
            fs::remove_dir_all(&canonical).map_err(file("empty clone"))?;
            return Err(SetupError::Empty(source.to_owned()));
        }
        let target = match &self.target {
            Some(target) => target.clone(),
            None => {
                let ask = ["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"];
                let head = git.cli().ask(&ask)?.stdout;
                head.strip_prefix("origin/").unwrap_or("main").to_owned()
            }
        };
        let name = format!("refs/remotes/origin/{target}");
        if ref_commit(&*git.open()?, &name)?.is_none() {
            return Err(SetupError::NoTarget { source_repo: source.to_owned(), target });
        }
        Ok(target)
    }

    /// Leaves the canonical clone on no branch. Its own target branch stays only where it is the
    /// truth; elsewhere it would be a stale cache.
    fn detach(&self, git: &RigGit) -> Result<(), SetupError> {
        let local = format!("refs/heads/{}", git.target);
        let tracking = format!("refs/remotes/origin/{}", git.target);
        let repo = git.open()?;
        let ours = ref_commit(&repo, &local)?;
        let theirs = git.known_target(&repo, &git.target).ok().or(ref_commit(&repo, &tracking)?);
        let at = match (git.landing, ours, theirs) {
            (Landing::Canonical, Some(ours), _) => ours,
            (_, _, Some(theirs)) => theirs,
            (_, _, None) => return Err(SetupError::Empty(self.source.clone())),
        };
        git.cli().run(&["checkout", "--quiet", "--detach", &at.to_string()])?;
        match (git.landing, ours) {
            (Landing::Canonical, None) => {
                repo.reference(&local, at, false, "rig add").map_err(lib("target branch"))?;
            }
            (Landing::Remote, Some(ours)) if contains(&repo, at, ours)? => {
                git.cli().run(&["update-ref", "-d", &local, &ours.to_string()])?;
            }
            _ => {}
        }
        Ok(())
    }

    fn directories(&self, git: &RigGit) -> Result<(), SetupError> {
        let rig = self.town.rig(&self.rig);
        for name in ["witness", "crew", "polecats", "refinery/runs", "mayor/rig/.beads"] {
            fs::create_dir_all(rig.join(name)).map_err(file(name))?;
        }
        git.cli().run(&["worktree", "prune"])?;
        let refinery = self.town.refinery_rig(&self.rig);
        if !refinery.join(".git").exists() {
            files::remove_all(&refinery).map_err(file("old refinery worktree"))?;
            let at = refinery.to_string_lossy();
            git.cli().run(&["worktree", "add", "--quiet", "--detach", &at, "HEAD"])?;
        }
        redirect(&rig, "mayor/rig/.beads")?;
        redirect(&refinery, "../../mayor/rig/.beads")?;
        Ok(())
    }

    /// Makes a person's full clone at `crew/<name>`, or continues. Blocks.
    ///
    /// Where work lands on the town's own clone, that is its origin: there a person finds what
    /// landed, and there the queue finds what they push. The repository itself is `upstream` then.
    ///
    /// # Errors
    /// Git or files.
    pub fn crew(&self, name: &str, landing: Landing, target: &str) -> Result<(), SetupError> {
        component(name).map_err(GitError::from)?;
        let dir = self.town.crew(&self.rig, name);
        if !dir.join(".git").exists() {
            let parent = self.town.rig(&self.rig).join("crew");
            fs::create_dir_all(&parent).map_err(file("crew directory"))?;
            let source = self.absolute_source();
            match landing {
                Landing::Remote => clone_into(&parent, &source, &dir, self.timeout)?,
                Landing::Canonical => {
                    let town = self.town.canonical(&self.rig).display().to_string();
                    clone_into(&parent, &town, &dir, self.timeout)?;
                }
            }
        }
        if landing == Landing::Canonical {
            self.follow_the_town(&dir, target)?;
        }
        exclude_beads(&dir)?;
        redirect(&dir, "../../mayor/rig/.beads")?;
        Ok(())
    }

    /// A clone of a clone that is on no branch: puts it on the target, and names the repository.
    fn follow_the_town(&self, dir: &Path, target: &str) -> Result<(), SetupError> {
        let git = Git::new(dir, self.timeout);
        if git.run(&["remote"])?.lines().all(|remote| remote != "upstream") {
            git.run(&["checkout", "--quiet", "-B", target, &format!("origin/{target}")])?;
            // What is pushed waits beside the workers' branches; the target moves by the queue.
            let push = "refs/heads/*:refs/gt/branches/*";
            git.run(&["config", "remote.origin.push", push])?;
            git.run(&["remote", "add", "upstream", &self.absolute_source()])?;
        }
        Ok(())
    }

    /// Removes a person's clone if all of it is on the remote. Blocks.
    ///
    /// # Errors
    /// [`SetupError::InUse`] names what would be lost.
    pub fn remove_crew(&self, name: &str) -> Result<(), SetupError> {
        component(name).map_err(GitError::from)?;
        let dir = self.town.crew(&self.rig, name);
        if !dir.exists() {
            return Ok(());
        }
        let git = Git::new(&dir, self.timeout);
        let questions: [(&str, &[&str]); 3] = [
            ("uncommitted work", &["status", "--porcelain"]),
            ("unpushed commits", &["log", "--oneline", "HEAD", "--branches", "--not", "--remotes"]),
            ("stashed work", &["stash", "list"]),
        ];
        for (what, question) in questions {
            if !git.run(question)?.is_empty() {
                return Err(SetupError::InUse {
                    rig: self.rig.clone(),
                    what: format!("{what} in crew/{name}"),
                    remedy: "commit and push it, or remove the directory by hand",
                });
            }
        }
        files::remove_all(&dir).map_err(file("remove the clone"))?;
        Ok(())
    }

    /// Removes the rig's directory; one with commits that are nowhere else is moved to
    /// `daemon/rescue/` instead (I7). Blocks.
    ///
    /// # Errors
    /// [`SetupError::InUse`] while a worker's worktree or a person's clone is there.
    pub fn remove(&self) -> Result<Removed, SetupError> {
        component(self.rig.as_str()).map_err(GitError::from)?;
        if RESERVED.contains(&self.rig.as_str()) {
            return Err(SetupError::Reserved(self.rig.clone()));
        }
        let rig = self.town.rig(&self.rig);
        if !rig.exists() {
            return Ok(Removed::Absent);
        }
        for (dir, below, remedy) in [
            ("polecats", self.rig.as_str(), "release its workers with `gt polecat nuke`"),
            ("crew", ".git", "remove it with `gt crew remove`"),
        ] {
            for name in names(&rig.join(dir))? {
                if rig.join(dir).join(&name).join(below).exists() {
                    let what = format!("{dir}/{name}");
                    return Err(SetupError::InUse { rig: self.rig.clone(), what, remedy });
                }
            }
        }
        if self.town.canonical(&self.rig).join(".git").exists() && self.has_own_commits()? {
            let rescue = self.town.rescue();
            files::private_dir(&rescue).map_err(file("rescue directory"))?;
            let to = rescue.join(format!("{}-{}", self.rig, clock::now_ms()));
            fs::rename(&rig, &to).map_err(file("move the rig aside"))?;
            return Ok(Removed::Aside(to));
        }
        files::remove_all(&rig).map_err(file("remove the rig"))?;
        Ok(Removed::Deleted)
    }

    /// Whether a ref of the canonical clone has commits that no branch of the remote has.
    fn has_own_commits(&self) -> Result<bool, SetupError> {
        let git = Git::new(self.town.canonical(&self.rig), self.timeout);
        let rescued = git.run(&["for-each-ref", "--count=1", RESCUE])?;
        let own = git.run(&[
            "rev-list",
            "--max-count=1",
            "HEAD",
            "--branches",
            "--glob=refs/gt/branches",
            "--not",
            "--remotes",
        ])?;
        let stashed = git.run(&["for-each-ref", "refs/stash"])?;
        Ok(!rescued.is_empty() || !own.is_empty() || !stashed.is_empty())
    }
}

/// Clones beside the final place and renames, so that a clone is whole or not there. Each try has
/// a place of its own: git of a try that was cut short may go on for a while, and must not be met
/// in its own directory.
fn clone_into(dir: &Path, source: &str, to: &Path, within: Duration) -> Result<(), SetupError> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let stem = format!(".{name}.partial-");
    for old in names(dir)?.into_iter().filter(|old| old.starts_with(&stem)) {
        // One that is still being filled cannot be removed yet; the next try sees to it.
        if let Err(error) = files::remove_all(&dir.join(&old)) {
            tracing::warn!(dir = %dir.display(), old, %error, "an old partial clone stays");
        }
    }
    let own = format!("{stem}{}-{}", std::process::id(), clock::now_ms());
    let git = Git::new(dir, within);
    let cloned = git.run(&["clone", "--quiet", "--origin", "origin", source, &own]);
    let placed = cloned.map_err(SetupError::from).and_then(|_| {
        files::remove_all(to).map_err(file("what was at the clone's place"))?;
        fs::rename(dir.join(&own), to).map_err(file("place the clone"))?;
        Ok(())
    });
    if placed.is_err()
        && let Err(error) = files::remove_all(&dir.join(&own))
    {
        tracing::warn!(dir = %dir.display(), own, %error, "a partial clone stays");
    }
    placed
}

fn names(dir: &Path) -> Result<Vec<String>, SetupError> {
    let mut found = Vec::new();
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(file(dir.display().to_string()))?;
                found.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(file(dir.display().to_string())(error).into()),
    }
    Ok(found)
}

/// Refuses the kinds of repository that libgit2 cannot read, by name.
///
/// # Errors
/// [`GitError::Unsupported`] with the reason.
pub fn supported(git: &Git) -> Result<(), GitError> {
    let get = |key: &str| git.ask(&["config", "--get", key]).map(|answer| answer.stdout);
    let reasons: [(&str, &str, &str); 3] = [
        ("extensions.objectformat", "sha256", "uses SHA-256 object names"),
        ("extensions.refstorage", "reftable", "keeps its refs in a reftable"),
        ("index.sparse", "true", "has a sparse index"),
    ];
    for (key, bad, reason) in reasons {
        if get(key)?.eq_ignore_ascii_case(bad) {
            return Err(GitError::Unsupported(reason.to_owned()));
        }
    }
    if !get("extensions.partialclone")?.is_empty() || get("remote.origin.promisor")? == "true" {
        return Err(GitError::Unsupported("is a partial clone".to_owned()));
    }
    Ok(())
}

/// Why the target of the remote cannot be pushed to; `None` when it can.
fn unpushable(git: &RigGit, source: &str, target: &str) -> Result<Option<String>, GitError> {
    let path = source.strip_prefix("file://").unwrap_or(source);
    if Path::new(path).is_dir() {
        let repo = Repository::open(path).map_err(lib(format!("open {path}")))?;
        if repo.is_bare() {
            return Ok(None);
        }
        let allowed = Git::new(path, git.timeout)
            .ask(&["config", "--get", "receive.denyCurrentBranch"])?
            .stdout;
        let checked_out = Git::new(path, git.timeout).run(&["worktree", "list", "--porcelain"])?;
        let line = format!("branch refs/heads/{target}");
        let busy = checked_out.lines().any(|found| found == line);
        let takes = ["updateinstead", "ignore", "warn", "false"]
            .contains(&allowed.to_ascii_lowercase().as_str());
        return Ok((busy && !takes).then(|| format!("{path} has '{target}' checked out")));
    }
    let tip = git.known_target(&*git.open()?, target)?;
    let refspec = format!("{tip}:refs/heads/{target}");
    match git.cli().run(&["push", "--quiet", "--dry-run", "origin", &refspec]) {
        Ok(_) => Ok(None),
        Err(GitError::Cli { stderr, .. }) => {
            Ok(Some(format!("a trial push was refused: {stderr}")))
        }
        Err(error) => Err(error),
    }
}

/// Puts `.beads/` into the exclude file that all worktrees of a clone share.
fn exclude_beads(clone: &Path) -> Result<(), GitError> {
    let path = clone.join(".git").join("info").join("exclude");
    let old = match fs::read_to_string(&path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(file(path.display().to_string())(error)),
    };
    if old.lines().any(|line| line.trim() == ".beads/") {
        return Ok(());
    }
    let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    fs::create_dir_all(clone.join(".git").join("info"))
        .and_then(|()| files::write_atomic(&path, format!("{old}{gap}.beads/\n").as_bytes(), 0o644))
        .map_err(file(path.display().to_string()))
}
