//! Rescue: what a deletion would lose is put under `refs/gt/rescue/` first (I7).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use git2::Oid;
use git2::Repository;

use crate::adapters::clock;
use crate::adapters::files;
use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::cli::Git;
use crate::adapters::git::contains;
use crate::adapters::git::file;
use crate::adapters::git::lib;
use crate::adapters::git::oid;
use crate::adapters::git::ref_commit;
use crate::adapters::git::short;
use crate::model::effect::Place;
use crate::model::ids::Sha;

/// Where rescued commits are.
pub const RESCUE: &str = "refs/gt/rescue/";

/// What a worktree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// HEAD, or a commit on it that holds the uncommitted and untracked work.
    pub commit: Oid,
    /// There was uncommitted or untracked work.
    pub dirty: bool,
    /// A repository inside the worktree, whose content no commit of ours can hold.
    pub nested: bool,
}

impl RigGit {
    /// Puts a rescue ref on a commit and gives its name.
    ///
    /// # Errors
    /// The ref cannot be written.
    pub fn rescue_ref(
        &self,
        repo: &Repository,
        place: &Place,
        commit: Oid,
    ) -> Result<String, GitError> {
        let name = format!("{RESCUE}{}/{}-{}", place.name, place.incarnation, short(commit));
        repo.reference(&name, commit, true, "rescue").map_err(lib(name.clone()))?;
        Ok(name)
    }

    /// Removes the rescue refs that hold exactly one of `heads`, whose patches are in the target.
    ///
    /// # Errors
    /// The refs cannot be read or written.
    pub fn release_rescued(
        &self,
        repo: &Repository,
        heads: &BTreeSet<Oid>,
    ) -> Result<(), GitError> {
        let released = (|| {
            for found in repo.references_glob(&format!("{RESCUE}*"))? {
                let mut found = found?;
                if found.target().is_some_and(|at| heads.contains(&at)) {
                    found.delete()?;
                }
            }
            Ok(())
        })();
        released.map_err(lib("release rescue refs"))
    }

    /// Records a worktree's whole state, ignored files apart, as a commit. Neither its files nor
    /// its index change.
    ///
    /// # Errors
    /// The worktree is damaged, or a file in it cannot be read.
    pub fn snapshot(&self, place: &Place, worktree: &Path) -> Result<Snapshot, GitError> {
        let git = Git::new(worktree, self.timeout);
        let dir = PathBuf::from(git.run(&["rev-parse", "--absolute-git-dir"])?);
        let scratch = dir.join("gt-rescue-index");
        files::remove_all(&scratch).map_err(file("old scratch index"))?;
        // The copy keeps what git knows of each file, so that only changed ones are read.
        if fs::copy(dir.join("index"), &scratch).is_err() {
            let git = git.clone().with_env("GIT_INDEX_FILE", &scratch);
            git.run(&["read-tree", "HEAD"])?;
        }
        let taken = self.take(place, &git.with_env("GIT_INDEX_FILE", &scratch));
        files::remove_all(&scratch).map_err(file("scratch index"))?;
        taken
    }

    fn take(&self, place: &Place, git: &Git) -> Result<Snapshot, GitError> {
        let head = oid(&Sha(git.run(&["rev-parse", "--verify", "HEAD^{commit}"])?))?;
        git.run(&["add", "--all", "--", "."])?;
        let tree = git.run(&["write-tree"])?;
        if tree == git.run(&["rev-parse", "HEAD^{tree}"])? {
            return Ok(Snapshot { commit: head, dirty: false, nested: false });
        }
        let changes = git.run(&["diff-index", "--cached", "--raw", "HEAD"])?;
        let nested = changes.lines().any(|line| line.split(' ').nth(1) == Some("160000"));
        let actor = format!("{}/polecats/{}", place.rig, place.name);
        let mut by = git.clone();
        for who in ["AUTHOR", "COMMITTER"] {
            by = by
                .with_env(format!("GIT_{who}_NAME"), &actor)
                .with_env(format!("GIT_{who}_EMAIL"), &self.owner_email);
        }
        let message = format!("Rescued work of {actor}, incarnation {}", place.incarnation);
        let commit = by.run(&["commit-tree", &tree, "-p", &head.to_string(), "-m", &message])?;
        Ok(Snapshot { commit: oid(&Sha(commit))?, dirty: true, nested })
    }

    /// Saves a commit unless the target has it. Gives the ref if the commit was nowhere but here:
    /// neither in the target nor pushed as `branch`.
    ///
    /// # Errors
    /// The refs cannot be read or written.
    pub fn save(
        &self,
        repo: &Repository,
        place: &Place,
        branch: &str,
        commit: Oid,
    ) -> Result<Option<String>, GitError> {
        if let Some(target) = ref_commit(repo, &self.target_ref(&self.target))?
            && contains(repo, target, commit)?
        {
            return Ok(None);
        }
        let name = self.rescue_ref(repo, place, commit)?;
        let pushed = ref_commit(repo, &self.kept_branch(branch))?;
        Ok(match pushed {
            Some(pushed) if contains(repo, pushed, commit)? => None,
            _ => Some(name),
        })
    }

    /// Moves a directory that no commit can hold to `daemon/rescue/` and gives its new place.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_aside(&self, place: &Place, dir: &Path) -> Result<PathBuf, GitError> {
        let rescue = self.town.rescue();
        files::private_dir(&rescue).map_err(file("rescue directory"))?;
        let name =
            format!("{}-{}-{}-{}", place.rig, place.name, place.incarnation, clock::now_ms());
        let to = rescue.join(name);
        fs::rename(dir, &to).map_err(file(format!("move {} aside", dir.display())))?;
        tracing::warn!(from = %dir.display(), to = %to.display(), "set aside as it was");
        Ok(to)
    }
}
