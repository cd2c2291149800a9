//! One rig's repository: the canonical clone, its worktrees and the remote.
//!
//! The command line does what touches the network, working trees or hooks; libgit2 does objects,
//! merges and refs, those of a plain remote on this machine too. Everything here blocks and belongs
//! on a blocking thread. Merge policy, retries and the ledger are none of its business: it acts,
//! looks, and says what it found.

pub mod away;
pub mod cli;
pub mod follow;
pub mod handle;
pub mod head;
pub mod history;
pub mod integration;
pub mod land;
pub mod locks;
pub mod neighbour;
pub mod place;
pub mod push;
pub mod reap;
pub mod recommit;
pub mod rescue;
pub mod stack;
pub mod text;
pub mod three_way;
pub mod touches;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use git2::ErrorCode;
use git2::Oid;
use git2::Repository;
use git2::Sort;
use serde::Deserialize;
use serde::Serialize;

use crate::adapters::git::cli::Git;
use crate::adapters::git::handle::Handle;
use crate::adapters::git::handle::Handles;
use crate::adapters::layout::BadName;
use crate::adapters::layout::Town;
use crate::model::ids::RigName;
use crate::model::ids::Sha;

/// Which branch is the target, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Landing {
    /// The remote's branch, moved by a push with lease.
    Remote,
    /// The canonical clone's own branch, moved by compare-and-swap, because the remote cannot be
    /// pushed to; people pull from the canonical clone.
    Canonical,
}

/// Why a git operation could not be done.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The git command failed.
    #[error("`git {command}` failed ({code}): {stderr}")]
    Cli {
        /// Its arguments.
        command: String,
        /// Its exit code, or the signal.
        code: String,
        /// All that it said.
        stderr: String,
    },
    /// The git command took too long and was ended.
    #[error("`git {command}` took longer than {after_ms} ms and was ended")]
    Timeout {
        /// Its arguments.
        command: String,
        /// The limit in milliseconds.
        after_ms: u128,
    },
    /// libgit2 failed.
    #[error("{what}: {source}")]
    Lib {
        /// What was tried.
        what: String,
        /// What it says.
        source: git2::Error,
    },
    /// A file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A name that cannot be part of a path.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A repository of a kind that is not supported.
    #[error("this repository {0}, which is not supported")]
    Unsupported(String),
    /// The world is not as the operation needs it.
    #[error("{0}")]
    Refused(String),
}

/// Makes an adapter from a libgit2 error.
pub(crate) fn lib(what: impl Into<String>) -> impl FnOnce(git2::Error) -> GitError {
    let what = what.into();
    move |source| GitError::Lib { what, source }
}

/// Makes an adapter from a file error.
pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> GitError {
    let what = what.into();
    move |source| GitError::Io { what, source }
}

/// The libgit2 form of a commit name.
///
/// # Errors
/// Text that is no full object id.
pub fn oid(sha: &Sha) -> Result<Oid, GitError> {
    Oid::from_str(sha.as_str()).map_err(lib(format!("'{sha}' is no commit id")))
}

/// The model's form of a commit name.
#[must_use]
pub fn sha(oid: Oid) -> Sha {
    Sha(oid.to_string())
}

/// The first ten digits of an id.
#[must_use]
pub fn short(oid: Oid) -> String {
    let mut text = oid.to_string();
    text.truncate(10);
    text
}

/// Whether `a` is `b` or an ancestor of it.
///
/// # Errors
/// Either is not in the repository.
pub fn contains(repo: &Repository, b: Oid, a: Oid) -> Result<bool, GitError> {
    Ok(a == b || repo.graph_descendant_of(b, a).map_err(lib("look for an ancestor"))?)
}

/// Commits looked at before many questions become cheaper than one walk.
const WALK_MAX: usize = 10_000;

/// Those of `wanted` that are `tip` or reachable from it, most often by one walk.
///
/// # Errors
/// One of them is not in the repository.
pub fn reachable(
    repo: &Repository,
    tip: Oid,
    wanted: &BTreeSet<Oid>,
) -> Result<BTreeSet<Oid>, GitError> {
    let mut found = BTreeSet::new();
    let walked = (|| {
        let mut walk = repo.revwalk()?;
        walk.push(tip)?;
        for id in walk.take(WALK_MAX) {
            let id = id?;
            if wanted.contains(&id) {
                found.insert(id);
            }
            if found.len() == wanted.len() {
                break;
            }
        }
        Ok(())
    })();
    walked.map_err(lib(format!("walk {tip}")))?;
    for id in wanted {
        if !found.contains(id) && contains(repo, tip, *id)? {
            found.insert(*id);
        }
    }
    Ok(found)
}

/// The commits reachable from `to` and not from `from`, oldest first.
///
/// # Errors
/// Either is not in the repository.
pub fn between(repo: &Repository, from: Oid, to: Oid) -> Result<Vec<Oid>, GitError> {
    let walked = (|| {
        let mut walk = repo.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        walk.push(to)?;
        walk.hide(from)?;
        walk.collect::<Result<Vec<_>, _>>()
    })();
    walked.map_err(lib(format!("walk {from}..{to}")))
}

/// The tree of a commit.
///
/// # Errors
/// The commit is not in the repository.
pub fn tree_of(repo: &Repository, commit: Oid) -> Result<Oid, GitError> {
    Ok(repo.find_commit(commit).map_err(lib(format!("find {commit}")))?.tree_id())
}

/// The commit that a ref names; `None` when there is no such ref.
///
/// # Errors
/// An unreadable ref, or one that names no commit.
pub fn ref_commit(repo: &Repository, name: &str) -> Result<Option<Oid>, GitError> {
    match repo.find_reference(name).and_then(|found| found.peel_to_commit()) {
        Ok(commit) => Ok(Some(commit.id())),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(lib(name)(error)),
    }
}

/// A rig's repository and what is known of it.
#[derive(Clone, Debug)]
pub struct RigGit {
    /// The town.
    pub town: Town,
    /// The rig.
    pub rig: RigName,
    /// How the target moves.
    pub landing: Landing,
    /// The target branch where an effect does not name one.
    pub target: String,
    /// E-mail of the commits that the town makes.
    pub owner_email: String,
    /// Bound of one git command.
    pub timeout: Duration,
    /// The open repositories.
    pub handles: Handles,
}

impl RigGit {
    /// The canonical clone.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.town.canonical(&self.rig)
    }

    /// The git command in the canonical clone.
    #[must_use]
    pub fn cli(&self) -> Git {
        Git::new(self.dir(), self.timeout)
    }

    /// The repository for one job; it is not shared between threads.
    ///
    /// # Errors
    /// The canonical clone is not there, or of a kind that libgit2 cannot read.
    pub fn open(&self) -> Result<Handle, GitError> {
        let dir = self.dir();
        let opened = self.handles.take(&dir);
        opened.map_err(lib(format!("open {}; `gt rig add` makes it", dir.display())))
    }

    /// The ref that stands for the target in the canonical clone.
    #[must_use]
    pub fn target_ref(&self, target: &str) -> String {
        match self.landing {
            Landing::Remote => format!("refs/remotes/origin/{target}"),
            Landing::Canonical if target == self.target => format!("refs/heads/{target}"),
            // An integration branch is kept as pushed branches are.
            Landing::Canonical => self.kept_branch(target),
        }
    }

    /// Where the target was when last looked at; no network.
    ///
    /// # Errors
    /// It was never seen.
    pub fn known_target(&self, repo: &Repository, target: &str) -> Result<Oid, GitError> {
        let name = self.target_ref(target);
        ref_commit(repo, &name)?.ok_or_else(|| {
            GitError::Refused(format!("rig {} has no branch '{target}' ({name})", self.rig))
        })
    }

    /// Asks the remote where the target is. A canonical target follows the remote as long as it
    /// has nothing that the remote lacks; an integration branch is only here then.
    ///
    /// # Errors
    /// The remote does not answer, or has no such branch.
    pub fn refresh_target(&self, target: &str) -> Result<Oid, GitError> {
        let tracking = format!("refs/remotes/origin/{target}");
        let mut repo = self.open()?;
        if self.landing == Landing::Canonical && target != self.target {
            return self.known_target(&repo, target);
        }
        // Asking is cheaper than fetching, and most often there is nothing to fetch.
        let there = self.ask_remote(&[&format!("refs/heads/{target}")])?;
        let there = there.first().map(|(_, at)| *at);
        if there.is_none() || ref_commit(&repo, &tracking)? != there {
            self.fetch(&[&format!("+refs/heads/{target}:{tracking}")])?;
            repo = self.open()?;
        }
        if self.landing == Landing::Remote {
            return self.known_target(&repo, target);
        }
        let theirs = ref_commit(&repo, &tracking)?;
        let ours = self.known_target(&repo, target)?;
        match theirs {
            Some(theirs) if theirs != ours && contains(&repo, theirs, ours)? => {
                let name = self.target_ref(target);
                repo.reference_matching(&name, theirs, true, ours, "follow the remote")
                    .map_err(lib("follow the remote"))?;
                Ok(theirs)
            }
            _ => Ok(ours),
        }
    }

    /// Fetches refspecs. Two fetches of one ref at once meet at its lock: the loser tries
    /// again, three times in all.
    ///
    /// # Errors
    /// The remote does not answer, or does not have it.
    pub fn fetch(&self, refspecs: &[&str]) -> Result<(), GitError> {
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "origin"];
        let arguments = [&fetch[..], refspecs].concat();
        let mut tried = 1;
        loop {
            match self.cli().run(&arguments) {
                Err(GitError::Cli { stderr, .. })
                    if tried < 3 && stderr.contains("cannot lock ref") =>
                {
                    tried += 1;
                }
                answer => {
                    // An open one may not see packs that came meanwhile.
                    self.handles.forget(&self.dir());
                    return answer.map(|_| ());
                }
            }
        }
    }

    /// Where a branch of the remote is now; `None` when the remote has no such branch. Where the
    /// remote is not written to, the canonical clone keeps its own `refs/gt/branches/`.
    ///
    /// # Errors
    /// The remote does not answer.
    pub fn remote_branch(&self, branch: &str) -> Result<Option<Oid>, GitError> {
        if self.landing == Landing::Canonical {
            return ref_commit(&*self.open()?, &self.kept_branch(branch));
        }
        let name = format!("refs/heads/{branch}");
        Ok(self.ask_remote(&[&name])?.first().map(|(_, at)| *at))
    }

    /// Those of some refs, by their whole names, that the remote has, with their commits.
    ///
    /// # Errors
    /// The remote does not answer.
    pub fn ask_remote(&self, names: &[&str]) -> Result<Vec<(String, Oid)>, GitError> {
        let mut found = Vec::new();
        if let Some(there) = self.neighbour()? {
            for name in names {
                let at = ref_commit(&there, name)?;
                found.extend(at.map(|at| ((*name).to_owned(), at)));
            }
            return Ok(found);
        }
        let listed = self.cli().run(&[&["ls-remote", "origin"][..], names].concat())?;
        for (id, name) in listed.lines().filter_map(|line| line.split_once('\t')) {
            // The remote matches the ends of names.
            if names.contains(&name) {
                found.push((name.to_owned(), oid(&Sha::from(id))?));
            }
        }
        Ok(found)
    }

    /// The ref that stands for a pushed branch in the canonical clone.
    #[must_use]
    pub fn kept_branch(&self, branch: &str) -> String {
        match self.landing {
            Landing::Remote => format!("refs/remotes/origin/{branch}"),
            Landing::Canonical => format!("refs/gt/branches/{branch}"),
        }
    }

    /// The tree of a commit, for readers that check the ledger against git.
    ///
    /// # Errors
    /// The commit is not in the repository.
    pub fn commit_tree(&self, commit: &Sha) -> Result<Sha, GitError> {
        Ok(sha(tree_of(&*self.open()?, oid(commit)?)?))
    }

    /// Whether `ancestor` is `commit` or reachable from it.
    ///
    /// # Errors
    /// Either is not in the repository.
    pub fn is_ancestor(&self, ancestor: &Sha, commit: &Sha) -> Result<bool, GitError> {
        contains(&*self.open()?, oid(commit)?, oid(ancestor)?)
    }

    /// Every commit reachable from `tip`, itself among them: one walk for many questions.
    ///
    /// # Errors
    /// It is not in the repository.
    pub fn history(&self, tip: &Sha) -> Result<BTreeSet<Sha>, GitError> {
        let repo = self.open()?;
        let walked = (|| {
            let mut walk = repo.revwalk()?;
            walk.push(git2::Oid::from_str(tip.as_str())?)?;
            walk.map(|id| id.map(sha)).collect::<Result<BTreeSet<_>, _>>()
        })();
        walked.map_err(lib(format!("walk {tip}")))
    }

    /// The commits reachable from `to` and not from `from`, oldest first.
    ///
    /// # Errors
    /// Either is not in the repository.
    pub fn commits_between(&self, from: &Sha, to: &Sha) -> Result<Vec<Sha>, GitError> {
        let commits = between(&*self.open()?, oid(from)?, oid(to)?)?;
        Ok(commits.into_iter().map(sha).collect())
    }

    /// Where the target was when last looked at, for readers.
    ///
    /// # Errors
    /// It was never seen.
    pub fn target_tip(&self) -> Result<Sha, GitError> {
        Ok(sha(self.known_target(&*self.open()?, &self.target)?))
    }
}
