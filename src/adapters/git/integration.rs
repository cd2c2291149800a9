//! Integration branches at the remote: made, compared with their target, removed.

use git2::Oid;
use git2::Reference;

use crate::adapters::git::GitError;
use crate::adapters::git::Landing;
use crate::adapters::git::RigGit;
use crate::adapters::git::contains;
use crate::adapters::git::lib;
use crate::adapters::git::reap::Removal;
use crate::adapters::git::sha;
use crate::model::effect::Outcome;
use crate::model::ids::Sha;

/// How a branch stands to another: commits that only it has, and that it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apart {
    /// Commits that only it has.
    pub ahead: usize,
    /// Commits that it lacks.
    pub behind: usize,
}

impl RigGit {
    /// Makes a branch at the remote, at the target's present tip, and gives that commit. One that
    /// is there already is taken as it is, if it has nothing that the target lacks.
    ///
    /// # Errors
    /// [`GitError::Refused`] for a name that no branch can have, or a branch with work in it; the
    /// remote does not answer.
    pub fn make_branch(&self, branch: &str, target: &str) -> Result<Sha, GitError> {
        let name = format!("refs/heads/{branch}");
        if branch.starts_with('-') || !Reference::is_valid_name(&name) {
            return Err(GitError::Refused(format!("'{branch}' is no name of a branch")));
        }
        let at = self.refresh_target(target)?;
        if self.remote_branch(branch)?.is_none() {
            if self.landing == Landing::Canonical {
                let repo = self.open()?;
                let made = repo.reference(&self.kept_branch(branch), at, false, "integration");
                made.map_err(lib(format!("make {branch}")))?;
            } else {
                // An empty expectation says that the branch must not be there.
                let lease = format!("--force-with-lease={name}:");
                let refspec = format!("{at}:{name}");
                self.cli().run(&["push", "--quiet", &lease, "origin", &refspec])?;
            }
        }
        let there = self.refresh_target(branch)?;
        if !contains(&*self.open()?, at, there)? {
            return Err(GitError::Refused(format!(
                "there is a branch {branch} at {there}, with commits that {target} lacks"
            )));
        }
        Ok(sha(there))
    }

    /// Where a branch is at the remote; `None` when it is not there.
    ///
    /// # Errors
    /// The remote does not answer.
    pub fn branch_tip(&self, branch: &str) -> Result<Option<Sha>, GitError> {
        match self.remote_branch(branch)? {
            None => Ok(None),
            Some(_) => Ok(Some(sha(self.refresh_target(branch)?))),
        }
    }

    /// How a branch stands to its target, by what was seen of both last.
    ///
    /// # Errors
    /// One of them was never seen.
    pub fn apart(&self, branch: &str, target: &str) -> Result<Apart, GitError> {
        let repo = self.open()?;
        let at = |name| self.known_target(&repo, name);
        let (ours, theirs): (Oid, Oid) = (at(branch)?, at(target)?);
        let (ahead, behind) =
            repo.graph_ahead_behind(ours, theirs).map_err(lib("compare branches"))?;
        Ok(Apart { ahead, behind })
    }

    /// Removes a branch whose commits are all in the target (I7). One that is gone is fine.
    ///
    /// # Errors
    /// [`GitError::Refused`] when they are not, or it moves meanwhile: it stays.
    pub fn drop_branch(&self, branch: &str, target: &str) -> Result<Outcome, GitError> {
        let Some(head) = self.branch_tip(branch)? else { return Ok(Outcome::BranchRemoved) };
        let landed = sha(self.refresh_target(target)?);
        let (target, branch) = (target.to_owned(), branch.to_owned());
        let removal = Removal { target, branch, head, landed };
        match self.remove_branches(&[removal])?.pop() {
            Some(answer) => answer,
            None => Ok(Outcome::BranchRemoved),
        }
    }
}
