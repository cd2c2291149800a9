//! What a branch touches, for the risk that it is judged by (`model::learner::traits`).

use std::collections::BTreeMap;
use std::path::Component;
use std::path::Path;

use git2::DiffOptions;
use git2::Oid;
use git2::Repository;

use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::lib;
use crate::adapters::git::oid;
use crate::model::ids::Sha;
use crate::model::merge::Touches;

/// Levels of directories that make a place.
const DEPTH: usize = 2;
/// Files beyond which lines are not counted: it is large in any case.
const COUNTED_MAX: usize = 300;
/// Bytes of a file beyond which it counts as binary.
const FILE_MAX: i64 = 1 << 20;

impl RigGit {
    /// What `head` touches since it left the target; `None`, and a line in the log, where that
    /// cannot be told.
    #[must_use]
    pub fn touches(&self, repo: &Repository, head: &Sha) -> Option<Touches> {
        let told = self.known_target(repo, &self.target);
        told.and_then(|target| since(repo, target, oid(head)?))
            .inspect_err(|error| tracing::info!(rig = %self.rig, %head, %error, "what it touches"))
            .ok()
    }
}

/// What the branch `head` of the clone at `dir` touches; `None` where that cannot be told.
#[must_use]
pub fn in_clone(dir: &Path, target: &str, head: &Sha) -> Option<Touches> {
    let told = || -> Result<Touches, GitError> {
        let repo = Repository::discover(dir).map_err(lib("open the clone"))?;
        let name = format!("refs/remotes/origin/{target}");
        let at = repo.refname_to_id(&name).map_err(lib("find the target"))?;
        since(&repo, at, oid(head)?)
    };
    told().inspect_err(|error| tracing::info!(%head, %error, "what it touches")).ok()
}

/// What lies between `head` and where it left `target`.
fn since(repo: &Repository, target: Oid, head: Oid) -> Result<Touches, GitError> {
    let what = || lib("tell what a branch touches");
    let base = repo.merge_base(target, head).map_err(what())?;
    let tree = |at: Oid| repo.find_commit(at).and_then(|commit| commit.tree());
    let (old, new) = (tree(base).map_err(what())?, tree(head).map_err(what())?);
    let mut options = DiffOptions::new();
    options.context_lines(0).ignore_submodules(true).max_size(FILE_MAX);
    let diff = repo.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options)).map_err(what())?;
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for delta in diff.deltas() {
        let path = delta.new_file().path().or_else(|| delta.old_file().path());
        *places.entry(path.map_or_else(String::new, place)).or_default() += 1;
    }
    let files = diff.deltas().len();
    let lines = if files > COUNTED_MAX {
        files
    } else {
        let stats = diff.stats().map_err(what())?;
        stats.insertions() + stats.deletions()
    };
    // Of places with as many files the first by name: the same change is always the same.
    let most = places.into_iter().rev().max_by_key(|(_, files)| *files);
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    Ok(Touches {
        files: count(files),
        lines: count(lines),
        place: most.map_or_else(String::new, |(place, _)| place),
    })
}

/// The directory of a path, at most [`DEPTH`] levels deep.
fn place(path: &Path) -> String {
    let names = path.parent().into_iter().flat_map(Path::components);
    let names = names.filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    names.take(DEPTH).collect::<Vec<_>>().join("/")
}
