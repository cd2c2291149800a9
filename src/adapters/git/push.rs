//! Branches brought to the remote.

use git2::Oid;
use git2::Repository;

use crate::adapters::git::GitError;
use crate::adapters::git::Landing;
use crate::adapters::git::RigGit;
use crate::adapters::git::contains;
use crate::adapters::git::lib;
use crate::adapters::git::oid;
use crate::model::effect::Outcome;
use crate::model::effect::Place;
use crate::model::ids::Sha;

impl RigGit {
    /// Brings the commit `name` to the remote as `branch`. What the branch held there and
    /// the commit does not is rescued first (I7).
    ///
    /// # Errors
    /// The remote does not answer or refuses, or the commit is not here.
    pub fn push(&self, place: &Place, branch: &str, name: &Sha) -> Result<Outcome, GitError> {
        let head = oid(name)?;
        let repo = self.open()?;
        repo.find_commit(head).map_err(lib(format!("find {head}, which should be pushed")))?;
        let there = self.remote_branch(branch)?;
        let pushed = || Outcome::Pushed { touches: self.touches(&repo, name) };
        if there == Some(head) {
            return Ok(pushed());
        }
        if self.landing == Landing::Canonical {
            if let Some(old) = there {
                self.keep(&repo, place, old, head)?;
            }
            repo.reference(&self.kept_branch(branch), head, true, "push")
                .map_err(lib("keep the branch"))?;
            return Ok(pushed());
        }
        if let Some(old) = there {
            if repo.find_commit(old).is_err() {
                self.fetch(&[&format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")])?;
            }
            self.keep(&*self.open()?, place, old, head)?;
        }
        // An empty expectation says that the branch must not be there.
        let expected = there.map_or_else(String::new, |old| old.to_string());
        let lease = format!("--force-with-lease=refs/heads/{branch}:{expected}");
        let refspec = format!("{head}:refs/heads/{branch}");
        let sent = self.cli().run(&["push", "--quiet", &lease, "origin", &refspec]);
        match (self.remote_branch(branch)?, sent) {
            (Some(at), _) if at == head => Ok(pushed()),
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
}
