//! Stacking: each candidate's commits put on the one before, in the object store.
//!
//! No working tree is touched. Stacking twice gives the same ids, because a commit made here keeps
//! the author and all times of the original: the same stack after a crash is the same commits.

use git2::Oid;
use git2::Repository;

use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::history::Fork;
use crate::adapters::git::history::History;
use crate::adapters::git::lib;
use crate::adapters::git::oid;
use crate::adapters::git::recommit::Committer;
use crate::adapters::git::recommit::Draft;
use crate::adapters::git::sha;
use crate::adapters::git::three_way::Merged;
use crate::adapters::git::three_way::Merger;
use crate::adapters::git::tree_of;
use crate::model::effect::Bounced;
use crate::model::effect::Candidate;
use crate::model::effect::Outcome;
use crate::model::merge::LandingStyle;
use crate::model::merge::Stacked;

/// What replaying gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The last commit; the tip itself when nothing was left to apply.
    Applied(Oid),
    /// The files that both sides changed.
    Conflict(Vec<String>),
}

/// Puts heads on tips, in one repository.
pub struct Stacker<'r> {
    repo: &'r Repository,
    /// What merges the trees.
    pub merger: Merger<'r>,
    committer: Committer,
}

impl std::fmt::Debug for Stacker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { merger, committer, .. } = self;
        f.debug_struct("Stacker").field("merger", merger).field("committer", committer).finish()
    }
}

impl<'r> Stacker<'r> {
    /// In the rig's repository.
    ///
    /// # Errors
    /// Unreadable settings of the repository.
    pub fn new(repo: &'r Repository, rig: &RigGit) -> Result<Self, GitError> {
        let merger = Merger::new(repo, rig.cli())?;
        Ok(Self { repo, merger, committer: rig.committer() })
    }

    /// Puts what `head` has and the tip lacks on the tip, and goes on to the new tip. `branch` is
    /// what a merge commit calls it.
    ///
    /// A head that has nothing to give leaves the tip. Except for a merge commit, a head that sits
    /// on the tip is kept as it is, if it has the form that the style wants.
    ///
    /// # Errors
    /// A commit that is not in the repository, or a failing store.
    pub fn apply(
        &self,
        history: &mut History<'_>,
        style: LandingStyle,
        head: Oid,
        branch: &str,
    ) -> Result<Replayed, GitError> {
        let tip = history.tip();
        let fork = history.fork(head)?;
        let Some(base) = fork.base else {
            return Ok(Replayed::Conflict(vec!["(no history in common)".to_owned()]));
        };
        let same = || Ok::<_, GitError>(tree_of(self.repo, tip)? == tree_of(self.repo, head)?);
        if base == head || (base == tip && same()?) {
            return Ok(Replayed::Applied(tip));
        }
        let sits = base == tip;
        let mut made = Vec::new();
        let done = match style {
            LandingStyle::Rebase if sits && fork.plain => Replayed::Applied(head),
            LandingStyle::Squash if sits && fork.plain && fork.own.len() == 1 => {
                Replayed::Applied(head)
            }
            LandingStyle::Rebase if fork.plain => self.replay(tip, &fork.own, &mut made)?,
            LandingStyle::Rebase | LandingStyle::Squash => self.squash(tip, head, &fork)?,
            LandingStyle::Merge => self.join(tip, head, &fork, branch)?,
        };
        if let Replayed::Applied(commit) = done
            && commit != tip
        {
            if commit == head || style == LandingStyle::Merge {
                made.extend(fork.own);
            }
            history.advance(commit, made);
        }
        Ok(done)
    }

    fn find(&self, id: Oid) -> Result<git2::Commit<'r>, GitError> {
        self.repo.find_commit(id).map_err(lib(format!("find {id}")))
    }

    /// Each commit by itself. Those that change nothing are left out.
    fn replay(&self, tip: Oid, commits: &[Oid], made: &mut Vec<Oid>) -> Result<Replayed, GitError> {
        let mut at = tip;
        for id in commits {
            let commit = self.find(*id)?;
            let parent = commit.parent(0).map_err(lib(format!("parent of {id}")))?;
            if parent.id() == at {
                at = *id;
                made.push(at);
                continue;
            }
            let ours = tree_of(self.repo, at)?;
            match self.merger.trees(parent.tree_id(), ours, commit.tree_id())? {
                Merged::Conflict(files) => return Ok(Replayed::Conflict(files)),
                Merged::Clean(tree) if tree == ours => {}
                Merged::Clean(tree) => {
                    let draft = Draft::like(&commit);
                    at = draft.write(self.repo, tree, &[at], &self.committer)?;
                    made.push(at);
                }
            }
        }
        Ok(Replayed::Applied(at))
    }

    /// Merges all that a branch has; one without merges has a single base, its fork.
    pub(super) fn merge(&self, ours: Oid, head: Oid, fork: &Fork) -> Result<Merged, GitError> {
        match fork.base {
            Some(base) if fork.plain => {
                let tree = |id| tree_of(self.repo, id);
                self.merger.trees(tree(base)?, tree(ours)?, tree(head)?)
            }
            Some(_) | None => self.merger.commits(ours, head),
        }
    }

    /// All their changes as one commit.
    fn squash(&self, tip: Oid, head: Oid, fork: &Fork) -> Result<Replayed, GitError> {
        match self.merge(tip, head, fork)? {
            Merged::Conflict(files) => Ok(Replayed::Conflict(files)),
            Merged::Clean(tree) if tree == tree_of(self.repo, tip)? => Ok(Replayed::Applied(tip)),
            Merged::Clean(tree) => {
                let mut all = Vec::new();
                for id in &fork.own {
                    all.push(self.find(*id)?);
                }
                let draft = Draft::of_many(&all, &self.find(head)?);
                Ok(Replayed::Applied(draft.write(self.repo, tree, &[tip], &self.committer)?))
            }
        }
    }

    /// A merge commit on the tip; the commits stay as they are.
    fn join(&self, tip: Oid, head: Oid, fork: &Fork, branch: &str) -> Result<Replayed, GitError> {
        match self.merge(tip, head, fork)? {
            Merged::Conflict(files) => Ok(Replayed::Conflict(files)),
            Merged::Clean(tree) if tree == tree_of(self.repo, tip)? => Ok(Replayed::Applied(tip)),
            Merged::Clean(tree) => {
                let draft = Draft::merge(&self.find(tip)?, &self.find(head)?, branch);
                Ok(Replayed::Applied(draft.write(
                    self.repo,
                    tree,
                    &[tip, head],
                    &self.committer,
                )?))
            }
        }
    }
}

impl RigGit {
    /// Who the town is in this rig's commits.
    #[must_use]
    pub fn committer(&self) -> Committer {
        Committer { name: format!("{}/refinery", self.rig), email: self.owner_email.clone() }
    }

    /// Fetches the target and stacks the candidates on it, in order.
    ///
    /// # Errors
    /// The remote does not answer, or the store fails. A candidate that does not apply or is not
    /// there is no error: it bounces.
    pub fn build_stack(
        &self,
        target: &str,
        style: LandingStyle,
        candidates: &[Candidate],
    ) -> Result<Outcome, GitError> {
        let built = self.stack(target, style, candidates)?;
        if let Outcome::Stack { base, items, .. } = &built {
            // A ref keeps the stack from being collected as garbage before it lands.
            let tip = oid(items.last().map_or(base, |item| &item.commit))?;
            let kept = self.open()?.reference("refs/gt/stack", tip, true, "stack").map(|_| ());
            kept.map_err(lib("keep the stack by a ref"))?;
        }
        Ok(built)
    }

    /// The same, and no ref keeps it: for a look at what would land. Git collects no garbage that
    /// is so young.
    ///
    /// # Errors
    /// As [`RigGit::build_stack`].
    pub fn stack(
        &self,
        target: &str,
        style: LandingStyle,
        candidates: &[Candidate],
    ) -> Result<Outcome, GitError> {
        let base = self.refresh_target(target)?;
        self.fetch_heads(candidates)?;
        let repo = self.open()?;
        let stacker = Stacker::new(&repo, self)?;
        let mut history = History::new(&repo, base);
        let mut items = Vec::new();
        let mut bounced = Vec::new();
        for candidate in candidates {
            let tip = history.tip();
            let bounce = |files| Bounced { mr: candidate.mr.clone(), files, onto: sha(tip) };
            let head = oid(&candidate.head).ok().filter(|head| repo.find_commit(*head).is_ok());
            let Some(head) = head else {
                bounced.push(bounce(Vec::new()));
                continue;
            };
            let style = if candidate.whole { LandingStyle::Merge } else { style };
            match stacker.apply(&mut history, style, head, &candidate.branch)? {
                Replayed::Conflict(files) => bounced.push(bounce(files)),
                Replayed::Applied(commit) => {
                    let tree = tree_of(&repo, commit)?;
                    let empty = tree == tree_of(&repo, tip)?;
                    items.push(Stacked {
                        mr: candidate.mr.clone(),
                        head: candidate.head.clone(),
                        commit: sha(commit),
                        tree: sha(tree),
                        empty,
                    });
                }
            }
        }
        tracing::debug!(rig = %self.rig, items = items.len(), ways = ?stacker.merger.ways(), "stacked");
        let base_tree = sha(tree_of(&repo, base)?);
        Ok(Outcome::Stack { base: sha(base), base_tree, items, bounced })
    }

    /// Fetches the branches of candidates whose commits are not here, all by one command. A
    /// branch that the remote does not have is left out: its candidate bounces.
    fn fetch_heads(&self, candidates: &[Candidate]) -> Result<(), GitError> {
        let repo = self.open()?;
        let here = |candidate: &&Candidate| {
            oid(&candidate.head).is_ok_and(|head| repo.find_commit(head).is_err())
        };
        let refspecs: Vec<String> = candidates
            .iter()
            .filter(here)
            .map(|c| format!("+refs/heads/{0}:refs/remotes/origin/{0}", c.branch))
            .collect();
        let all: Vec<&str> = refspecs.iter().map(String::as_str).collect();
        if all.is_empty() || self.fetch_found(&all)? {
            return Ok(());
        }
        for one in all {
            self.fetch_found(&[one])?;
        }
        Ok(())
    }

    /// Whether the remote had them all.
    fn fetch_found(&self, refspecs: &[&str]) -> Result<bool, GitError> {
        match self.fetch(refspecs) {
            Ok(()) => Ok(true),
            Err(GitError::Cli { stderr, .. }) if stderr.contains("couldn't find remote ref") => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
