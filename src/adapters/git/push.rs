//! Branches on the remote: brought there, and removed once their patches are in the target.

use git2::Oid;
use git2::Repository;

use crate::adapters::git::GitError;
use crate::adapters::git::Landing;
use crate::adapters::git::RigGit;
use crate::adapters::git::between;
use crate::adapters::git::contains;
use crate::adapters::git::land::patch_ids;
use crate::adapters::git::lib;
use crate::adapters::git::oid;
use crate::adapters::git::ref_commit;
use crate::adapters::git::three_way::Merged;
use crate::adapters::git::three_way::Merger;
use crate::adapters::git::tree_of;
use crate::model::effect::Outcome;
use crate::model::effect::Place;
use crate::model::ids::Sha;

impl RigGit {
    /// Brings `head` to the remote as `branch`. What the branch held there and `head` does not
    /// is rescued first (I7).
    ///
    /// # Errors
    /// The remote does not answer or refuses, or the commit is not here.
    pub fn push(&self, place: &Place, branch: &str, head: &Sha) -> Result<Outcome, GitError> {
        let head = oid(head)?;
        let repo = self.open()?;
        repo.find_commit(head).map_err(lib(format!("find {head}, which should be pushed")))?;
        let there = self.remote_branch(branch)?;
        if there == Some(head) {
            return Ok(Outcome::Pushed);
        }
        if self.landing == Landing::Canonical {
            if let Some(old) = there {
                self.keep(&repo, place, old, head)?;
            }
            repo.reference(&self.kept_branch(branch), head, true, "push")
                .map_err(lib("keep the branch"))?;
            return Ok(Outcome::Pushed);
        }
        if let Some(old) = there {
            if repo.find_commit(old).is_err() {
                self.fetch(&[&format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")])?;
            }
            self.keep(&self.open()?, place, old, head)?;
        }
        // An empty expectation says that the branch must not be there.
        let expected = there.map_or_else(String::new, |old| old.to_string());
        let lease = format!("--force-with-lease=refs/heads/{branch}:{expected}");
        let refspec = format!("{head}:refs/heads/{branch}");
        let pushed = self.cli().run(&["push", "--quiet", &lease, "origin", &refspec]);
        match (self.remote_branch(branch)?, pushed) {
            (Some(at), _) if at == head => Ok(Outcome::Pushed),
            (_, Err(error)) => Err(error),
            (at, Ok(_)) => Err(GitError::Refused(format!(
                "the remote took {branch} but has it at {}",
                at.map_or_else(|| "nothing".to_owned(), |at| at.to_string())
            ))),
        }
    }

    /// Puts a rescue ref on a commit that a push would leave behind.
    fn keep(&self, repo: &Repository, place: &Place, old: Oid, new: Oid) -> Result<(), GitError> {
        if contains(repo, new, old)? {
            return Ok(());
        }
        self.rescue_ref(repo, place, old).map(|_| ())
    }

    /// Removes a branch from the remote if its head's patches are in the target by `landed`.
    ///
    /// # Errors
    /// [`GitError::Refused`] when they are not, or the branch has moved on: it stays.
    pub fn remove_branch(
        &self,
        branch: &str,
        head: &Sha,
        landed: &Sha,
    ) -> Result<Outcome, GitError> {
        let (head, landed) = (oid(head)?, oid(landed)?);
        let Some(there) = self.remote_branch(branch)? else {
            return Ok(Outcome::BranchRemoved);
        };
        if there != head {
            return Err(GitError::Refused(format!(
                "{branch} is at {there}, not at the merged {head}; it stays for a person to judge"
            )));
        }
        let at = self.refresh_target(&self.target)?;
        let repo = self.open()?;
        if !contains(&repo, at, landed)? || !merged(self, &repo, landed, head)? {
            return Err(GitError::Refused(format!(
                "the patches of {branch} are not all in {}; it stays",
                self.target
            )));
        }
        let kept = self.kept_branch(branch);
        if self.landing == Landing::Remote {
            let lease = format!("--force-with-lease=refs/heads/{branch}:{head}");
            let refspec = format!(":refs/heads/{branch}");
            let removed = self.cli().run(&["push", "--quiet", &lease, "origin", &refspec]);
            if self.remote_branch(branch)?.is_some() {
                removed?;
            }
        }
        // The command line has removed its tracking ref already where it could.
        if let Some(at) = ref_commit(&repo, &kept)?
            && at == head
        {
            let gone = repo.find_reference(&kept).and_then(|mut found| found.delete());
            gone.map_err(lib("forget the branch"))?;
        }
        self.release_rescued(&repo, head)?;
        Ok(Outcome::BranchRemoved)
    }
}

/// Whether `landed` has all of `head`: by ancestry, by patch ids, or because merging it once more
/// would change nothing.
fn merged(rig: &RigGit, repo: &Repository, landed: Oid, head: Oid) -> Result<bool, GitError> {
    if contains(repo, landed, head)? {
        return Ok(true);
    }
    let Ok(fork) = repo.merge_base(landed, head) else { return Ok(false) };
    if patch_ids(repo, fork, head)?.is_subset(&patch_ids(repo, fork, landed)?) {
        let merges = between(repo, fork, head)?
            .into_iter()
            .any(|id| repo.find_commit(id).map_or(true, |commit| commit.parent_count() != 1));
        if !merges {
            return Ok(true);
        }
    }
    let tree = tree_of(repo, landed)?;
    Ok(Merger::new(repo, rig.cli())?.commits(landed, head)? == Merged::Clean(tree))
}
