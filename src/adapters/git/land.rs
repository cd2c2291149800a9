//! Landing: the target moves from the tested base to the tested tip, or not at all (I4, I6).

use std::collections::BTreeSet;
use std::collections::HashSet;

use git2::ErrorCode;
use git2::Oid;
use git2::Repository;

use crate::adapters::git::GitError;
use crate::adapters::git::Landing;
use crate::adapters::git::RigGit;
use crate::adapters::git::between;
use crate::adapters::git::contains;
use crate::adapters::git::history::History;
use crate::adapters::git::lib;
use crate::adapters::git::oid;
use crate::adapters::git::sha;
use crate::adapters::git::stack::Replayed;
use crate::adapters::git::stack::Stacker;
use crate::adapters::git::three_way::Merged;
use crate::adapters::git::tree_of;
use crate::model::effect::Outcome;
use crate::model::ids::Sha;
use crate::model::merge::LandingStyle;
use crate::model::merge::Stacked;

/// Patch ids of the plain commits reachable from `to` and not from `from`; empty commits have
/// none.
///
/// # Errors
/// Either is not in the repository.
pub fn patch_ids(repo: &Repository, from: Oid, to: Oid) -> Result<BTreeSet<Oid>, GitError> {
    patches(repo, &between(repo, from, to)?)
}

fn patches(repo: &Repository, commits: &[Oid]) -> Result<BTreeSet<Oid>, GitError> {
    let mut ids = BTreeSet::new();
    for id in commits {
        let found = (|| {
            let commit = repo.find_commit(*id)?;
            if commit.parent_count() != 1 {
                return Ok(None);
            }
            let diff = repo.diff_tree_to_tree(
                Some(&commit.parent(0)?.tree()?),
                Some(&commit.tree()?),
                None,
            )?;
            if diff.deltas().len() == 0 { Ok(None) } else { diff.patchid(None).map(Some) }
        })();
        ids.extend(found.map_err(lib(format!("patch id of {id}")))?);
    }
    Ok(ids)
}

/// The commits from `to` back to `from` by first parents, oldest first, as long as they are among
/// `known`; `None` where that does not lead to `from`.
fn chain(
    repo: &Repository,
    from: Oid,
    to: Oid,
    known: &HashSet<Oid>,
) -> Result<Option<Vec<Oid>>, GitError> {
    let (mut commits, mut at) = (Vec::new(), to);
    while at != from {
        if !known.contains(&at) {
            return Ok(None);
        }
        commits.push(at);
        let parent = repo.find_commit(at).and_then(|commit| commit.parent_id(0));
        at = parent.map_err(lib(format!("parent of {at}")))?;
    }
    commits.reverse();
    Ok(Some(commits))
}

impl RigGit {
    /// Whether the changes of `head` are what lies between `before` and `commit`, whatever the
    /// style they landed in: patch ids differ where context moved, or several commits became one,
    /// although the change is the same; then stacking or merging must give the very tree.
    fn holds_changes(
        stacker: &Stacker<'_>,
        before: Oid,
        commit: Oid,
        head: Oid,
    ) -> Result<bool, GitError> {
        let repo = stacker.merger.repo();
        let tree = tree_of(repo, commit)?;
        let mut history = History::new(repo, before);
        let again = stacker.apply(&mut history, LandingStyle::Rebase, head, "")?;
        if let Replayed::Applied(again) = again
            && tree_of(repo, again)? == tree
        {
            return Ok(true);
        }
        Ok(stacker.merger.commits(before, head)? == Merged::Clean(tree))
    }

    /// Checks that every item is in `tip`, by ancestry, tree and patches.
    ///
    /// # Errors
    /// [`GitError::Refused`] names the first item that is not.
    pub fn check_items(
        &self,
        repo: &Repository,
        base: Oid,
        tip: Oid,
        items: &[Stacked],
    ) -> Result<(), GitError> {
        let stacker = Stacker::new(repo, self)?;
        if !contains(repo, tip, base)? {
            return Err(GitError::Refused(format!("{tip} does not descend from {base}")));
        }
        let new: HashSet<Oid> = between(repo, base, tip)?.into_iter().collect();
        let mut history = History::new(repo, base);
        let mut before = base;
        for item in items {
            let (commit, head) = (oid(&item.commit)?, oid(&item.head)?);
            let lacks = |what: &str| Err(GitError::Refused(format!("{}: {what}", item.mr)));
            let made = chain(repo, before, commit, &new)?;
            let on = commit == base || new.contains(&commit);
            if !on || (made.is_none() && !contains(repo, commit, before)?) {
                return lacks("its commit is not in the tip");
            }
            if tree_of(repo, commit)? != oid(&item.tree)? {
                return lacks("its tree is not the tested one");
            }
            let fork = history.fork(head)?;
            let wanted = patches(repo, &fork.own)?;
            let made = made.unwrap_or_default();
            let same = !wanted.is_empty() && wanted.is_subset(&patches(repo, &made)?);
            if !same && !Self::holds_changes(&stacker, before, commit, head)? {
                return lacks("its patches are not in the tip");
            }
            let own = fork.own.into_iter().filter(|id| new.contains(id));
            history.advance(commit, made.into_iter().chain(own));
            before = commit;
        }
        Ok(())
    }

    /// Moves the target from `base` to `tip` if it is still at `base`, then looks.
    ///
    /// # Errors
    /// The remote does not answer or refuses, or an item is not in the tip: then nothing moved.
    pub fn land(
        &self,
        target: &str,
        base: &Sha,
        tip: &Sha,
        items: &[Stacked],
    ) -> Result<Outcome, GitError> {
        let (base, tip) = (oid(base)?, oid(tip)?);
        let repo = self.open()?;
        self.check_items(&repo, base, tip, items)?;
        // The lease is the look before the push: where the remote last was need not be asked.
        let mut at = match self.landing {
            Landing::Remote => self.known_target(&repo, target)?,
            Landing::Canonical => self.refresh_target(target)?,
        };
        if self.landing == Landing::Remote && (at != base || tip == base) {
            at = self.refresh_target(target)?;
        }
        let mut said = None;
        if at == base && tip != base {
            said = self.move_target(target, base, tip).err();
            at = self.refresh_target(target)?;
        }
        let repo = self.open()?;
        if contains(&repo, at, tip)? {
            return Ok(Outcome::Landed);
        }
        match said {
            Some(error) if at == base => Err(error),
            _ => Ok(Outcome::Moved { at: sha(at) }),
        }
    }

    fn move_target(&self, target: &str, base: Oid, tip: Oid) -> Result<(), GitError> {
        match self.landing {
            Landing::Remote => {
                if self.hand_over(target, base, tip)? {
                    return Ok(());
                }
                let name = format!("refs/heads/{target}");
                let lease = format!("--force-with-lease={name}:{base}");
                let refspec = format!("{tip}:{name}");
                self.cli().run(&["push", "--quiet", &lease, "origin", &refspec]).map(|_| ())
            }
            Landing::Canonical => {
                let name = self.target_ref(target);
                match self.open()?.reference_matching(&name, tip, true, base, "land") {
                    Ok(_) => Ok(()),
                    Err(error) if error.code() == ErrorCode::Modified => Ok(()),
                    Err(error) => Err(lib("move the target")(error)),
                }
            }
        }
    }
}
