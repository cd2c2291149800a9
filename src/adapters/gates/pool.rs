//! Checkouts for gate runs, used again instead of made anew.
//!
//! A run has its checkout alone, at `refinery/runs/<run>`. Afterwards the checkout moves to
//! `refinery/pool/`, is cleaned there, and waits for another run. It is never handed out unclean:
//! git's index of before the run is put back, so that nothing a gate told git hides a change; what
//! is untracked or ignored is removed; the next commit is checked out by force over what is left;
//! then there must be nothing that git's index does not know. Whatever is not as it should be is
//! thrown away.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use git2::Index;

use crate::adapters::files;
use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::cli::Git;
use crate::adapters::git::file;
use crate::adapters::git::lib;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;

/// Git's index of a checkout as it was before the gates ran.
const KEPT_INDEX: &str = "gt-index";

/// The pools of a town's rigs. Its methods run while nobody else adds or removes worktrees of the
/// rig.
#[derive(Debug, Default)]
pub struct Pools {
    rigs: Mutex<HashMap<RigName, Pool>>,
}

/// The mode of a submodule in an index.
const SUBMODULE: u32 = 0o160_000;

#[derive(Debug, Default)]
struct Pool {
    clean: Vec<PathBuf>,
    /// Counts the names given.
    made: u64,
}

impl Pools {
    fn lock(&self) -> MutexGuard<'_, HashMap<RigName, Pool>> {
        self.rigs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a commit out at the run's directory and gives the tree that is there.
    ///
    /// # Errors
    /// Git fails, or the disk is full.
    pub fn check_out(&self, git: &RigGit, run: &RunId, commit: &Sha) -> Result<Sha, GitError> {
        if !self.lock().contains_key(&git.rig) {
            sweep(git)?;
            self.lock().entry(git.rig.clone()).or_default();
        }
        let path = git.town.run(&git.rig, run);
        if path.exists() {
            git.remove_worktree(&path)?;
        }
        let free = self.lock().get_mut(&git.rig).and_then(|pool| pool.clean.pop());
        if let Some(free) = free {
            match reuse(git, &free, &path, commit) {
                Ok(()) => return git.commit_tree(commit),
                Err(error) => {
                    tracing::info!(%run, %error, "a used checkout is thrown away");
                    git.remove_worktree(&free)?;
                    git.remove_worktree(&path)?;
                }
            }
        }
        git.cli().run(&["worktree", "prune"])?;
        let at = path.to_string_lossy();
        git.cli().run(&["worktree", "add", "--quiet", "--detach", &at, commit.as_str()])?;
        let tree = Git::new(&path, git.timeout).run(&["rev-parse", "HEAD^{tree}"])?;
        keep_index(&path)?;
        Ok(Sha(tree))
    }

    /// Takes the checkout away from its run. Gives its new place, where [`Pools::clean`] makes it
    /// fit for another run.
    ///
    /// # Errors
    /// It can neither be moved nor removed.
    pub fn give_back(&self, git: &RigGit, run: &RunId) -> Result<Option<PathBuf>, GitError> {
        let path = git.town.run(&git.rig, run);
        let name = {
            let mut rigs = self.lock();
            let pool = rigs.entry(git.rig.clone()).or_default();
            pool.made += 1;
            pool.made.to_string()
        };
        let to = git.town.pool(&git.rig).join(name);
        match relocate(&path, &to) {
            Ok(()) => Ok(Some(to)),
            Err(error) => {
                tracing::info!(%run, %error, "its checkout cannot be used again");
                git.remove_worktree(&path).map(|()| None)
            }
        }
    }

    /// Cleans a checkout that was given back. At most `most` wait at a time; one more is removed.
    ///
    /// # Errors
    /// It can neither be cleaned nor removed.
    pub fn clean(&self, git: &RigGit, path: PathBuf, most: usize) -> Result<(), GitError> {
        let waiting = self.lock().get(&git.rig).map_or(0, |pool| pool.clean.len());
        if waiting < most {
            match clean(git, &path) {
                Ok(()) => {
                    let mut rigs = self.lock();
                    rigs.entry(git.rig.clone()).or_default().clean.push(path);
                    return Ok(());
                }
                Err(error) => tracing::info!(%error, "a used checkout is thrown away"),
            }
        }
        git.remove_worktree(&path)
    }
}

/// Removes what an earlier process left: nobody knows in what state it is.
fn sweep(git: &RigGit) -> Result<(), GitError> {
    let runs = git.town.rig(&git.rig).join("refinery").join("runs");
    for dir in [git.town.pool(&git.rig), runs] {
        files::private_dir(&dir).map_err(file(dir.display().to_string()))?;
        for entry in fs::read_dir(&dir).map_err(file(dir.display().to_string()))? {
            let path = entry.map_err(file(dir.display().to_string()))?.path();
            // A gate of that process may be ending just now; its files go next time.
            if let Err(error) = git.remove_worktree(&path) {
                tracing::warn!(path = %path.display(), %error, "an old checkout stays");
            }
        }
    }
    Ok(())
}

/// The directory in which git keeps what belongs to one worktree.
fn admin(worktree: &Path) -> Result<PathBuf, GitError> {
    let link = fs::read_to_string(worktree.join(".git")).map_err(file("the checkout's .git"))?;
    let dir = link.trim().strip_prefix("gitdir: ").map(PathBuf::from);
    dir.ok_or_else(|| GitError::Refused(format!("{} is no worktree", worktree.display())))
}

/// Moves a worktree and tells git so.
fn relocate(from: &Path, to: &Path) -> Result<(), GitError> {
    let known = admin(from)?.join("gitdir");
    let what = || format!("move {} to {}", from.display(), to.display());
    fs::rename(from, to).map_err(file(what()))?;
    let link = format!("{}\n", to.join(".git").display());
    // After the machine's death nothing of the pool is used again.
    files::write_quick(&known, link.as_bytes(), 0o644).map_err(file(what()))
}

fn keep_index(worktree: &Path) -> Result<(), GitError> {
    let admin = admin(worktree)?;
    let copied = fs::copy(admin.join("index"), admin.join(KEPT_INDEX));
    copied.map(|_| ()).map_err(file("keep the index"))
}

/// Git in a checkout that strangers' code ran in: no hooks, nothing sparse, no watcher.
fn wary(git: &RigGit, path: &Path, arguments: &[&str]) -> Result<String, GitError> {
    let settings = ["core.hooksPath=/dev/null", "core.sparseCheckout=false"];
    Git::new(path, git.timeout).with_settings(&settings).run(arguments)
}

fn clean(git: &RigGit, path: &Path) -> Result<(), GitError> {
    let admin = admin(path)?;
    files::remove_all(&admin.join("index.lock")).map_err(file("old index.lock"))?;
    fs::rename(admin.join(KEPT_INDEX), admin.join("index")).map_err(file("put the index back"))?;
    let index = Index::open(&admin.join("index")).map_err(lib("open the kept index"))?;
    if index.iter().any(|entry| entry.mode == SUBMODULE) {
        // Git does not clean what a gate filled a submodule with.
        return Err(GitError::Refused("it has submodules".to_owned()));
    }
    wary(git, path, &["clean", "--quiet", "-ffdx"]).map(|_| ())
}

/// Brings a clean checkout to a commit at a run's directory, and looks whether it is that commit
/// and nothing else.
fn reuse(git: &RigGit, free: &Path, path: &Path, commit: &Sha) -> Result<(), GitError> {
    relocate(free, path)?;
    wary(git, path, &["checkout", "--quiet", "--force", "--detach", commit.as_str()])?;
    let admin = admin(path)?;
    let at = fs::read_to_string(admin.join("HEAD")).map_err(file("the checkout's HEAD"))?;
    let found = match at.trim() == commit.as_str() {
        true => stranger(path, &admin)?,
        false => Some(PathBuf::from(at.trim())),
    };
    if let Some(found) = found {
        let what = format!("{} is not clean: {}", path.display(), found.display());
        return Err(GitError::Refused(what));
    }
    keep_index(path)
}

/// The first thing in a checkout that its index does not know. What the index does know has just
/// been checked out by force.
fn stranger(path: &Path, admin: &Path) -> Result<Option<PathBuf>, GitError> {
    let index = Index::open(&admin.join("index")).map_err(lib("open the checkout's index"))?;
    // Paths, and whether they are directories in a checkout.
    let mut known = HashMap::new();
    for entry in index.iter() {
        // A directory is known by what is in it; the innermost one most often is already.
        let mut dir = &entry.path[..];
        while let Some(at) = dir.iter().rposition(|byte| *byte == b'/') {
            dir = &dir[..at];
            if known.contains_key(dir) {
                break;
            }
            known.insert(dir.to_vec(), true);
        }
        known.insert(entry.path, entry.mode == SUBMODULE);
    }
    let mut open = vec![(path.to_owned(), Vec::new())];
    while let Some((dir, name)) = open.pop() {
        let listed = fs::read_dir(&dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in listed.map_err(file(dir.display().to_string()))? {
            let of = entry.file_name();
            if name.is_empty() && of == ".git" {
                continue;
            }
            let name = [&name[..], of.as_bytes()].concat();
            let kind = entry.file_type().map_err(file("a file of a checkout"))?;
            match (known.get(&name), kind.is_dir()) {
                (Some(false), false) => {}
                // Of a submodule there is an empty directory, and nothing is known in it.
                (Some(true), true) => {
                    open.push((entry.path(), [&name[..], b"/"].concat()));
                }
                (None | Some(_), _) => return Ok(Some(entry.path())),
            }
        }
    }
    Ok(None)
}
