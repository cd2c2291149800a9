//! Stacking: each candidate's commits replayed on the one before, in the object store.
//!
//! No working tree is touched. Replaying twice gives the same ids, because a replayed commit keeps
//! the author and all times of the original: the same stack after a crash is the same commits.

use git2::Commit;
use git2::ErrorCode;
use git2::Index;
use git2::MergeOptions;
use git2::Oid;
use git2::Repository;
use git2::Signature;

use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::between;
use crate::adapters::git::lib;
use crate::adapters::git::oid;
use crate::adapters::git::sha;
use crate::adapters::git::tree_of;
use crate::model::effect::Bounced;
use crate::model::effect::Candidate;
use crate::model::effect::Outcome;
use crate::model::merge::Stacked;

/// Most conflicting files that are named.
const FILES_MAX: usize = 100;

/// What replaying gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The last commit; the tip itself when nothing was left to apply.
    Applied(Oid),
    /// The files that both sides changed.
    Conflict(Vec<String>),
}

/// Who the town is, in commits.
#[derive(Clone, Debug)]
pub struct Committer {
    /// The name.
    pub name: String,
    /// The e-mail.
    pub email: String,
}

/// Replays what `head` has and `tip` lacks onto `tip`.
///
/// A head that already sits on the tip is kept as it is. A branch with merges in it becomes one
/// commit. Commits that change nothing are left out.
///
/// # Errors
/// A commit that is not in the repository, or a failing store.
pub fn replay(
    repo: &Repository,
    tip: Oid,
    head: Oid,
    committer: &Committer,
) -> Result<Replayed, GitError> {
    let base = match repo.merge_base(tip, head) {
        Ok(base) => base,
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Ok(Replayed::Conflict(vec!["(no history in common)".to_owned()]));
        }
        Err(error) => return Err(lib(format!("merge base of {tip} and {head}"))(error)),
    };
    if base == head || (base == tip && tree_of(repo, tip)? == tree_of(repo, head)?) {
        return Ok(Replayed::Applied(tip));
    }
    if base == tip {
        return Ok(Replayed::Applied(head));
    }
    let commits = between(repo, tip, head)?;
    let find = |id| repo.find_commit(id).map_err(lib(format!("find {id}")));
    for id in &commits {
        if find(*id)?.parent_count() != 1 {
            return squash(repo, tip, head, &commits, committer);
        }
    }
    let mut at = tip;
    for id in commits {
        let commit = find(id)?;
        if commit.parent_id(0).ok() == Some(at) {
            at = id;
            continue;
        }
        let onto = find(at)?;
        let index = repo
            .cherrypick_commit(&commit, &onto, 0, Some(&MergeOptions::new()))
            .map_err(lib(format!("apply {id} on {at}")))?;
        match write(repo, index, &onto, &commit, committer)? {
            Replayed::Applied(next) => at = next,
            conflict @ Replayed::Conflict(_) => return Ok(conflict),
        }
    }
    Ok(Replayed::Applied(at))
}

/// Applies a branch with merges in it as one commit, in the name of its last plain commit.
fn squash(
    repo: &Repository,
    tip: Oid,
    head: Oid,
    commits: &[Oid],
    committer: &Committer,
) -> Result<Replayed, GitError> {
    let find = |id| repo.find_commit(id).map_err(lib(format!("find {id}")));
    let onto = find(tip)?;
    let theirs = find(head)?;
    let mut like = theirs.clone();
    for id in commits.iter().rev() {
        let commit = find(*id)?;
        if commit.parent_count() == 1 {
            like = commit;
            break;
        }
    }
    let index = repo
        .merge_commits(&onto, &theirs, Some(&MergeOptions::new()))
        .map_err(lib(format!("merge {head} into {tip}")))?;
    write(repo, index, &onto, &like, committer)
}

/// Writes a merged index as a commit on `onto` that is like `like`.
fn write(
    repo: &Repository,
    mut index: Index,
    onto: &Commit<'_>,
    like: &Commit<'_>,
    committer: &Committer,
) -> Result<Replayed, GitError> {
    if index.has_conflicts() {
        return Ok(Replayed::Conflict(conflicting(&index)?));
    }
    let tree = index.write_tree_to(repo).map_err(lib("write a tree"))?;
    if tree == onto.tree_id() {
        return Ok(Replayed::Applied(onto.id()));
    }
    let tree = repo.find_tree(tree).map_err(lib("find the tree"))?;
    let message = String::from_utf8_lossy(like.message_raw_bytes());
    let made = Signature::new(&committer.name, &committer.email, &like.committer().when())
        .and_then(|by| repo.commit(None, &like.author(), &by, &message, &tree, &[onto]));
    Ok(Replayed::Applied(made.map_err(lib("write a commit"))?))
}

fn conflicting(index: &Index) -> Result<Vec<String>, GitError> {
    let mut files = Vec::new();
    for conflict in index.conflicts().map_err(lib("list conflicts"))? {
        let conflict = conflict.map_err(lib("list conflicts"))?;
        let entry = conflict.our.or(conflict.their).or(conflict.ancestor);
        files.extend(entry.map(|entry| String::from_utf8_lossy(&entry.path).into_owned()));
    }
    files.sort();
    files.dedup();
    files.truncate(FILES_MAX);
    Ok(files)
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
    pub fn build_stack(&self, target: &str, candidates: &[Candidate]) -> Result<Outcome, GitError> {
        let base = self.refresh_target(target)?;
        let repo = self.open()?;
        let mut tip = base;
        let mut items = Vec::new();
        let mut bounced = Vec::new();
        for candidate in candidates {
            let bounce = |files| Bounced { mr: candidate.mr.clone(), files, onto: sha(tip) };
            let Some(head) = self.find_head(&repo, candidate)? else {
                bounced.push(bounce(Vec::new()));
                continue;
            };
            match replay(&repo, tip, head, &self.committer())? {
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
                    tip = commit;
                }
            }
        }
        // A ref keeps the stack from being collected as garbage before it lands.
        repo.reference("refs/gt/stack", tip, true, "stack")
            .map_err(lib("keep the stack by a ref"))?;
        let base_tree = sha(tree_of(&repo, base)?);
        Ok(Outcome::Stack { base: sha(base), base_tree, items, bounced })
    }

    /// The candidate's commit, fetched by its branch if it is not here; `None` when it is nowhere.
    fn find_head(&self, repo: &Repository, candidate: &Candidate) -> Result<Option<Oid>, GitError> {
        let Ok(head) = oid(&candidate.head) else { return Ok(None) };
        if repo.find_commit(head).is_ok() {
            return Ok(Some(head));
        }
        let branch = &candidate.branch;
        let refspec = format!("+refs/heads/{branch}:refs/remotes/origin/{branch}");
        match self.fetch(&refspec) {
            Ok(()) => {}
            Err(GitError::Cli { stderr, .. }) if stderr.contains("couldn't find remote ref") => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        // A fresh handle: an open one may not see packs that came meanwhile.
        Ok(self.open()?.find_commit(head).is_ok().then_some(head))
    }
}
