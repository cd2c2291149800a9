//! Branches removed from the remote once their patches are in the target (I7).
//!
//! Each costs the remote two answers and a push, whether it is alone or one of a hundred: so those
//! of one rig that wait are removed together.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use git2::Oid;
use git2::Repository;

use crate::adapters::git::GitError;
use crate::adapters::git::Landing;
use crate::adapters::git::RigGit;
use crate::adapters::git::history::History;
use crate::adapters::git::land::patch_ids;
use crate::adapters::git::lib;
use crate::adapters::git::oid;
use crate::adapters::git::reachable;
use crate::adapters::git::ref_commit;
use crate::adapters::git::stack::Stacker;
use crate::adapters::git::three_way::Merged;
use crate::adapters::git::tree_of;
use crate::model::effect::Outcome;
use crate::model::ids::Sha;

/// Most branches in one command.
const AT_ONCE: usize = 100;

/// A branch that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The branch that it landed on.
    pub target: String,
    /// The branch.
    pub branch: String,
    /// The submitted head.
    pub head: Sha,
    /// The landed commit that holds its patches.
    pub landed: Sha,
}

impl RigGit {
    /// Removes branches from the remote, each if its head's patches are in the target by what
    /// landed. One answer for each, in order: [`GitError::Refused`] when they are not, or the
    /// branch has moved on: it stays.
    ///
    /// # Errors
    /// The remote does not answer; nothing is known of any of them then.
    pub fn remove_branches(
        &self,
        removals: &[Removal],
    ) -> Result<Vec<Result<Outcome, GitError>>, GitError> {
        let mut found: Vec<(usize, Result<Outcome, GitError>)> = Vec::new();
        let targets: BTreeSet<&str> = removals.iter().map(|one| one.target.as_str()).collect();
        for target in targets {
            let of_target = removals.iter().enumerate().filter(|(_, one)| one.target == target);
            let (places, own): (Vec<usize>, Vec<Removal>) =
                of_target.map(|(place, one)| (place, one.clone())).unzip();
            for (places, some) in places.chunks(AT_ONCE).zip(own.chunks(AT_ONCE)) {
                found.extend(places.iter().copied().zip(self.remove_some(target, some)?));
            }
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(found.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Where a target is that branches landed on. An integration branch that is gone has landed on
    /// the rig's own.
    fn landed_on(&self, target: &str) -> Result<Oid, GitError> {
        let ended = target != self.target && self.remote_branch(target)?.is_none();
        self.refresh_target(if ended { &self.target } else { target })
    }

    /// Removes branches that landed on one target.
    fn remove_some(
        &self,
        target: &str,
        removals: &[Removal],
    ) -> Result<Vec<Result<Outcome, GitError>>, GitError> {
        let there = self.remote_branches(removals)?;
        let mut answers: Vec<Option<Result<Outcome, GitError>>> = Vec::new();
        if there.is_empty() {
            return Ok(removals.iter().map(|_| Ok(Outcome::BranchRemoved)).collect());
        }
        let at = self.landed_on(target)?;
        let repo = self.open()?;
        let stacker = Stacker::new(&repo, self)?;
        let mut history = History::new(&repo, at);
        let landed = removals.iter().filter_map(|removal| oid(&removal.landed).ok()).collect();
        let landed = reachable(&repo, at, &landed)?;
        for removal in removals {
            answers.push(match there.get(&removal.branch) {
                None => Some(Ok(Outcome::BranchRemoved)),
                Some(found) => {
                    let may = self.may_go(&stacker, &mut history, removal, *found, &landed);
                    may.err().map(Err)
                }
            });
        }
        let going: Vec<&Removal> =
            removals.iter().zip(&answers).filter(|(_, said)| said.is_none()).map(|r| r.0).collect();
        let pushed = self.delete(&going);
        let left = match &pushed {
            Ok(()) => BTreeMap::new(),
            Err(_) => self.remote_branches(removals)?,
        };
        let heads: BTreeSet<Oid> = going
            .iter()
            .filter(|removal| !left.contains_key(&removal.branch))
            .filter_map(|removal| oid(&removal.head).ok())
            .collect();
        for removal in &going {
            self.forget(&repo, removal, &heads)?;
        }
        self.release_rescued(&repo, &heads)?;
        let why = pushed.err().map(|error| error.to_string()).unwrap_or_default();
        let conclude = |(removal, answer): (&Removal, Option<_>)| match answer {
            Some(answer) => answer,
            None if left.contains_key(&removal.branch) => {
                Err(GitError::Refused(format!("{} stays: {why}", removal.branch)))
            }
            None => Ok(Outcome::BranchRemoved),
        };
        Ok(removals.iter().zip(answers).map(conclude).collect())
    }

    /// Where the remote has the branches that it has.
    fn remote_branches(&self, removals: &[Removal]) -> Result<BTreeMap<String, Oid>, GitError> {
        let mut found = BTreeMap::new();
        if self.landing == Landing::Canonical {
            let repo = self.open()?;
            for removal in removals {
                let at = ref_commit(&repo, &self.kept_branch(&removal.branch))?;
                found.extend(at.map(|at| (removal.branch.clone(), at)));
            }
            return Ok(found);
        }
        let names: Vec<String> =
            removals.iter().map(|removal| format!("refs/heads/{}", removal.branch)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (name, at) in self.ask_remote(&names)? {
            found.insert(name.trim_start_matches("refs/heads/").to_owned(), at);
        }
        Ok(found)
    }

    fn may_go(
        &self,
        stacker: &Stacker<'_>,
        history: &mut History<'_>,
        removal: &Removal,
        there: Oid,
        on_target: &BTreeSet<Oid>,
    ) -> Result<(), GitError> {
        let (head, landed) = (oid(&removal.head)?, oid(&removal.landed)?);
        let branch = &removal.branch;
        if there != head {
            return Err(GitError::Refused(format!(
                "{branch} is at {there}, not at the merged {head}; it stays for a person to judge"
            )));
        }
        if !on_target.contains(&landed) || !merged(stacker, history, landed, head)? {
            return Err(GitError::Refused(format!(
                "the patches of {branch} are not all in {}; it stays",
                removal.target
            )));
        }
        Ok(())
    }

    fn delete(&self, removals: &[&Removal]) -> Result<(), GitError> {
        if self.landing == Landing::Canonical || removals.is_empty() {
            return Ok(());
        }
        let mut arguments = Vec::new();
        for Removal { branch, head, .. } in removals {
            arguments.push(format!("--force-with-lease=refs/heads/{branch}:{head}"));
        }
        arguments.push("origin".to_owned());
        arguments.extend(removals.iter().map(|removal| format!(":refs/heads/{}", removal.branch)));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let push = |how: &[&str]| self.cli().run(&[how, &arguments[..]].concat()).map(|_| ());
        // In one transaction it is much faster; one that cannot go, or a remote that knows no
        // transactions, must not hold up the others.
        push(&["push", "--quiet", "--atomic"]).or_else(|_| push(&["push", "--quiet"]))
    }

    /// Forgets where a branch that is gone was. The command line has done so where it could.
    fn forget(
        &self,
        repo: &Repository,
        removal: &Removal,
        gone: &BTreeSet<Oid>,
    ) -> Result<(), GitError> {
        let kept = self.kept_branch(&removal.branch);
        if let Some(at) = ref_commit(repo, &kept)?
            && gone.contains(&at)
        {
            let gone = repo.find_reference(&kept).and_then(|mut found| found.delete());
            gone.map_err(lib("forget the branch"))?;
        }
        Ok(())
    }
}

/// Whether the target has all of `head` by `landed`: by ancestry, because merging it once more
/// would change nothing, or, where later commits changed the same lines, by patch ids.
fn merged(
    stacker: &Stacker<'_>,
    history: &mut History<'_>,
    landed: Oid,
    head: Oid,
) -> Result<bool, GitError> {
    let repo = stacker.merger.repo();
    let fork = history.fork(head)?;
    let Some(base) = fork.base else { return Ok(false) };
    if base == head || stacker.merge(landed, head, &fork)? == Merged::Clean(tree_of(repo, landed)?)
    {
        return Ok(true);
    }
    Ok(fork.plain && patch_ids(repo, base, head)?.is_subset(&patch_ids(repo, base, landed)?))
}
