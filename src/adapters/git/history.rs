//! What of a branch is not in a tip yet, asked for many branches of one tip.
//!
//! Each such question costs git a walk over all that happened since the branch forked off. Here the
//! walk is done once for the oldest fork: a commit is in the base exactly if it is in that fork's
//! history or among the commits since, and so the branches are followed only up to what is known.

use std::collections::HashSet;

use git2::ErrorCode;
use git2::Oid;
use git2::Repository;

use crate::adapters::git::GitError;
use crate::adapters::git::between;
use crate::adapters::git::lib;

/// Longest branch that is followed commit by commit; a longer one is left to git's walks.
const CHAIN_MAX: usize = 1000;

/// Where a branch leaves a tip's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The newest commit that both have; `None` when they have no history in common.
    pub base: Option<Oid>,
    /// What the branch has and the tip lacks, oldest first.
    pub own: Vec<Oid>,
    /// None of these is a merge, and each is the parent of the next.
    pub plain: bool,
}

/// The history of a base and of what was put on it since.
pub struct History<'r> {
    repo: &'r Repository,
    base: Oid,
    /// Commits of the base's history, each with all that the base has since.
    roots: Vec<(Oid, HashSet<Oid>)>,
    /// Commits that are in the tip and not in the base.
    added: HashSet<Oid>,
    tip: Oid,
}

impl<'r> History<'r> {
    /// The history of a commit.
    #[must_use]
    pub fn new(repo: &'r Repository, base: Oid) -> Self {
        Self { repo, base, roots: Vec::new(), added: HashSet::new(), tip: base }
    }

    /// The newest commit.
    #[must_use]
    pub fn tip(&self) -> Oid {
        self.tip
    }

    /// Goes on to a tip that descends from the one so far by the commits named.
    pub fn advance(&mut self, tip: Oid, commits: impl IntoIterator<Item = Oid>) {
        self.added.extend(commits);
        self.added.insert(tip);
        self.tip = tip;
    }

    /// Where a branch leaves the tip's history.
    ///
    /// # Errors
    /// A commit that is not in the repository.
    pub fn fork(&mut self, head: Oid) -> Result<Fork, GitError> {
        let found = self.follow(head).map_err(lib(format!("follow {head}")))?;
        if let Some(fork) = found {
            return Ok(fork);
        }
        let root = match self.repo.merge_base(self.base, head) {
            Ok(root) => root,
            Err(error) if error.code() == ErrorCode::NotFound => {
                return Ok(Fork { base: None, own: Vec::new(), plain: false });
            }
            Err(error) => return Err(lib(format!("merge base of {head}"))(error)),
        };
        if !self.roots.iter().any(|(known, _)| *known == root) {
            let since = between(self.repo, root, self.base)?.into_iter().collect();
            self.roots.push((root, since));
        }
        if let Some(fork) = self.follow(head).map_err(lib(format!("follow {head}")))? {
            return Ok(fork);
        }
        let base = self.repo.merge_base(self.tip, head);
        let base = base.map_err(lib(format!("merge base of {head}")))?;
        Ok(Fork { base: Some(base), own: between(self.repo, self.tip, head)?, plain: false })
    }

    /// Follows a branch of plain commits down to what is known; `None` where that leads nowhere.
    fn follow(&self, head: Oid) -> Result<Option<Fork>, git2::Error> {
        let (mut own, mut at) = (Vec::new(), head);
        loop {
            let based = |(root, since): &(Oid, HashSet<Oid>)| *root == at || since.contains(&at);
            if self.added.contains(&at) || self.roots.iter().any(based) {
                // What is newer was asked for as well: the tip has none of it.
                own.reverse();
                return Ok(Some(Fork { base: Some(at), own, plain: true }));
            }
            let commit = self.repo.find_commit(at)?;
            if commit.parent_count() != 1 || own.len() > CHAIN_MAX {
                return Ok(None);
            }
            own.push(at);
            at = commit.parent_id(0)?;
        }
    }
}

impl std::fmt::Debug for History<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { base, tip, added, .. } = self;
        f.debug_struct("History")
            .field("base", base)
            .field("tip", tip)
            .field("added", added)
            .finish()
    }
}
