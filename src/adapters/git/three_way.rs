//! Three-way merging of trees in the object store, with the answers of the git command.
//!
//! Three ways, the cheapest that is exact. Entry by entry, where no two sides changed the same
//! entry. Line by line, where they changed one text file in places that are apart. By
//! `git merge-tree`, where a rename may matter, for all else that both sides changed, and always
//! before a conflict is declared. libgit2's own merge is not among them: it has no renames of
//! directories, other similarities, and no histogram to compare texts with, so that it gives other
//! trees and other conflicts than the command that a person would use.

use std::cell::Cell;
use std::path::Path;
use std::path::PathBuf;

use git2::AttrCheckFlags;
use git2::ErrorCode;
use git2::ObjectType;
use git2::Oid;
use git2::Repository;
use git2::Tree;
use git2::TreeWalkMode;
use git2::TreeWalkResult;

use crate::adapters::files;
use crate::adapters::git::GitError;
use crate::adapters::git::cli::Git;
use crate::adapters::git::file;
use crate::adapters::git::lib;
use crate::adapters::git::text::splice;

/// Most conflicting files that are named.
const FILES_MAX: usize = 100;
/// Git calls a file binary when a zero byte is among so many first ones.
const BINARY_LOOK: usize = 8000;
/// Modes of tree entries.
const DIRECTORY: i32 = 0o040_000;
const PLAIN: i32 = 0o100_644;
const EXECUTABLE: i32 = 0o100_755;
/// Where attributes of trees are laid out for the command, in the git directory.
const ATTRIBUTES: &str = "gt-attributes";

/// What merging gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// A tree.
    Clean(Oid),
    /// The files in conflict.
    Conflict(Vec<String>),
}

/// How many merges were done in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// By tree entries alone.
    pub entries: u64,
    /// With at least one text file merged here.
    pub files: u64,
    /// By the git command.
    pub command: u64,
}

/// One side of an entry.
type Entry = Option<(Oid, i32)>;

/// Merges in one repository.
pub struct Merger<'r> {
    repo: &'r Repository,
    git: Git,
    /// Settings of the repository or the person ask for more than a plain text merge.
    plain: bool,
    ways: Cell<Ways>,
}

impl std::fmt::Debug for Merger<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merger").field("ways", &self.ways.get()).finish_non_exhaustive()
    }
}

fn name_of(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn entry(tree: &Tree<'_>, name: &[u8]) -> Entry {
    tree.get_name_bytes(name).map(|found| (found.id(), found.filemode_raw()))
}

fn is_directory(entry: Entry) -> bool {
    matches!(entry, Some((_, DIRECTORY)))
}

fn text_mode(entry: Entry) -> Option<(Oid, i32)> {
    entry.filter(|(_, mode)| matches!(*mode, PLAIN | EXECUTABLE))
}

/// Names of entries that differ between two trees.
fn changed(base: &Tree<'_>, side: &Tree<'_>) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for found in side {
        if entry(base, found.name_bytes()) != Some((found.id(), found.filemode_raw())) {
            names.push(found.name_bytes().to_vec());
        }
    }
    let gone = base.iter().filter(|found| side.get_name_bytes(found.name_bytes()).is_none());
    names.extend(gone.map(|found| found.name_bytes().to_vec()));
    names
}

impl<'r> Merger<'r> {
    /// A merger. `git` is the git command in the same repository.
    ///
    /// # Errors
    /// Unreadable settings of the repository.
    pub fn new(repo: &'r Repository, git: Git) -> Result<Self, GitError> {
        let config = repo.config().map_err(lib("read git's settings"))?;
        let renormalize = config.get_bool("merge.renormalize").unwrap_or(false);
        let driver = config.get_entry("merge.default").is_ok();
        Ok(Self { repo, git, plain: !renormalize && !driver, ways: Cell::default() })
    }

    /// The repository.
    #[must_use]
    pub fn repo(&self) -> &'r Repository {
        self.repo
    }

    /// How many merges were done in which way.
    #[must_use]
    pub fn ways(&self) -> Ways {
        self.ways.get()
    }

    fn count(&self, one: impl FnOnce(&mut Ways)) {
        let mut ways = self.ways.get();
        one(&mut ways);
        self.ways.set(ways);
    }

    /// Merges two commits by their common history.
    ///
    /// # Errors
    /// A commit that is not here, a failing store, or a git command that cannot merge.
    pub fn commits(&self, ours: Oid, theirs: Oid) -> Result<Merged, GitError> {
        let what = || format!("merge {theirs} into {ours}");
        let bases = match self.repo.merge_bases(ours, theirs) {
            Ok(bases) => bases,
            Err(error) if error.code() == ErrorCode::NotFound => {
                return Ok(Merged::Conflict(vec!["(no history in common)".to_owned()]));
            }
            Err(error) => return Err(lib(what())(error)),
        };
        let tree = |id| self.repo.find_commit(id).map(|commit| commit.tree_id());
        let ours_tree = tree(ours).map_err(lib(what()))?;
        if let [base] = bases[..] {
            let base = tree(base).map_err(lib(what()))?;
            return self.trees(base, ours_tree, tree(theirs).map_err(lib(what()))?);
        }
        self.count(|ways| ways.command += 1);
        self.command(ours, theirs, ours_tree)
    }

    /// Merges what `theirs` changed against `base` into `ours`; all three are trees.
    ///
    /// # Errors
    /// A tree that is not here, a failing store, or a git command that cannot merge.
    pub fn trees(&self, base: Oid, ours: Oid, theirs: Oid) -> Result<Merged, GitError> {
        if ours == base || theirs == base {
            self.count(|ways| ways.entries += 1);
            return Ok(Merged::Clean(if ours == base { theirs } else { ours }));
        }
        let mut walk = Walk { merger: self, attributes: false, files: 0 };
        let found = walk.directory([Some(base), Some(ours), Some(theirs)], Vec::new());
        match found.map_err(lib("merge trees"))? {
            Some(tree) => {
                self.count(|ways| match walk.files {
                    0 => ways.entries += 1,
                    _ => ways.files += 1,
                });
                Ok(Merged::Clean(tree))
            }
            None => {
                self.count(|ways| ways.command += 1);
                let base_commit = self.stand_in(base, None)?;
                let ours_commit = self.stand_in(ours, Some(base_commit))?;
                let theirs_commit = self.stand_in(theirs, Some(base_commit))?;
                self.command(ours_commit, theirs_commit, ours)
            }
        }
    }

    /// A commit that gives a tree a place in a history of three, for a command that wants one.
    fn stand_in(&self, tree: Oid, parent: Option<Oid>) -> Result<Oid, GitError> {
        let parent = parent.map(|id| format!("parent {id}\n")).unwrap_or_default();
        let by = "gt <gt@localhost> 0 +0000";
        let text = format!("tree {tree}\n{parent}author {by}\ncommitter {by}\n\nmerge\n");
        let odb = self.repo.odb().map_err(lib("open the store"))?;
        odb.write(ObjectType::Commit, text.as_bytes()).map_err(lib("write a commit"))
    }

    /// Merges by the git command, with the attributes of our side as if it were checked out.
    fn command(&self, ours: Oid, theirs: Oid, ours_tree: Oid) -> Result<Merged, GitError> {
        let laid = self.attributes(ours_tree)?;
        let git = self.git.clone().at(&laid);
        let git = git.with_env("GIT_DIR", self.repo.commondir()).with_env("GIT_WORK_TREE", &laid);
        let (ours, theirs) = (ours.to_string(), theirs.to_string());
        let ask = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"];
        let answer = git.ask(&[&ask[..], &[&ours, &theirs]].concat())?;
        let mut said = answer.stdout.split('\0');
        let tree = said.next().map(Oid::from_str);
        match (answer.status.code(), tree) {
            (Some(0), Some(Ok(tree))) => Ok(Merged::Clean(tree)),
            (Some(1), Some(Ok(_))) => {
                let mut files: Vec<String> =
                    said.filter(|name| !name.is_empty()).map(str::to_owned).collect();
                files.sort();
                files.dedup();
                files.truncate(FILES_MAX);
                Ok(Merged::Conflict(files))
            }
            (code, _) => Err(GitError::Cli {
                command: ask.join(" "),
                code: code.map_or_else(|| "a signal".to_owned(), |code| format!("exit {code}")),
                stderr: format!("{} (git 2.38 or newer is needed)", answer.stderr.trim()),
            }),
        }
    }

    /// A directory with the `.gitattributes` files of a tree and nothing else. One for each set
    /// of such files there ever was; it is made once and stays.
    fn attributes(&self, tree: Oid) -> Result<PathBuf, GitError> {
        let mut found: Vec<(String, Oid)> = Vec::new();
        let tree = self.repo.find_tree(tree).map_err(lib("find the tree"))?;
        let walked = tree.walk(TreeWalkMode::PreOrder, |dir, entry| {
            if entry.name_bytes() == b".gitattributes" && entry.kind() == Some(ObjectType::Blob) {
                found.push((dir.to_owned(), entry.id()));
            }
            TreeWalkResult::Ok
        });
        walked.map_err(lib("look for attributes"))?;
        let list: String = found.iter().map(|(dir, id)| format!("{id} {dir}\n")).collect();
        let name = Oid::hash_object(ObjectType::Blob, list.as_bytes()).map_err(lib("hash"))?;
        let all = self.repo.commondir().join(ATTRIBUTES);
        let done = all.join(name.to_string());
        if done.is_dir() {
            return Ok(done);
        }
        let what = || format!("lay out attributes in {}", all.display());
        let half = all.join(format!("{name}.{}", std::process::id()));
        std::fs::create_dir_all(&half).map_err(file(what()))?;
        for (dir, id) in found {
            let blob = self.repo.find_blob(id).map_err(lib("read attributes"))?;
            let at = half.join(dir);
            std::fs::create_dir_all(&at).map_err(file(what()))?;
            std::fs::write(at.join(".gitattributes"), blob.content()).map_err(file(what()))?;
        }
        match std::fs::rename(&half, &done) {
            Ok(()) => {}
            // Another merge of the same tree was faster.
            Err(_) if done.is_dir() => files::remove_all(&half).map_err(file(what()))?,
            Err(error) => return Err(file(what())(error)),
        }
        Ok(done)
    }
}

/// One walk over three trees. `None` as an answer means that it is not decided here.
struct Walk<'m, 'r> {
    merger: &'m Merger<'r>,
    /// A directory on the way has attributes that may name a merge driver.
    attributes: bool,
    files: u64,
}

type Found<T> = Result<Option<T>, git2::Error>;

impl Walk<'_, '_> {
    /// Merges one directory that is on our and their side; the path ends in a slash or is empty.
    fn directory(&mut self, [base, ours, theirs]: [Option<Oid>; 3], path: Vec<u8>) -> Found<Oid> {
        let repo = self.merger.repo;
        let tree = |id: Option<Oid>| match id {
            Some(id) => repo.find_tree(id),
            None => repo.treebuilder(None)?.write().and_then(|empty| repo.find_tree(empty)),
        };
        let (base, ours, theirs) = (tree(base)?, tree(ours)?, tree(theirs)?);
        let outside = self.attributes;
        self.attributes |= names_drivers(repo, &ours)?;
        let mut made = repo.treebuilder(Some(&ours))?;
        for name in changed(&base, &theirs) {
            let sides = [entry(&base, &name), entry(&ours, &name), entry(&theirs, &name)];
            let Some(merged) = self.entry(sides, &path, &name)? else { return Ok(None) };
            match merged {
                Some((id, mode)) => drop(made.insert(&name[..], id, mode)?),
                None if sides[1].is_some() => made.remove(&name[..])?,
                None => {}
            }
        }
        self.attributes = outside;
        made.write().map(Some)
    }

    /// Merges one entry that they changed. A path that both sides lost, or that one lost and the
    /// other changed, may have been renamed: that is for git to find out.
    fn entry(&mut self, sides: [Entry; 3], path: &[u8], name: &[u8]) -> Found<Entry> {
        let [base, ours, theirs] = sides;
        if base == ours {
            return Ok(Some(theirs));
        }
        let lost = |side: Entry| side.is_none() || is_directory(base) != is_directory(side);
        if base.is_some() && (lost(ours) || lost(theirs)) {
            return Ok(None);
        }
        let id = |side: Entry| side.map(|(id, _)| id);
        if is_directory(ours) && is_directory(theirs) {
            let path = [path, name, b"/"].concat();
            let merged = self.directory([id(base), id(ours), id(theirs)], path)?;
            let Some(tree) = merged else { return Ok(None) };
            let empty = self.merger.repo.find_tree(tree)?.is_empty();
            return Ok(Some((!empty).then_some((tree, DIRECTORY))));
        }
        if ours == theirs {
            return Ok(Some(ours));
        }
        let (Some(base), Some(ours), Some(theirs)) =
            (text_mode(base), text_mode(ours), text_mode(theirs))
        else {
            return Ok(None);
        };
        let mode = if ours.1 == base.1 { theirs.1 } else { ours.1 };
        let id = if ours.0 == base.0 || ours.0 == theirs.0 {
            theirs.0
        } else if theirs.0 == base.0 {
            ours.0
        } else {
            let path = [path, name].concat();
            let Some(id) = self.file([base.0, ours.0, theirs.0], &path)? else { return Ok(None) };
            id
        };
        Ok(Some(Some((id, mode))))
    }

    /// Merges a text file that all three have, where the two changes are apart.
    fn file(&mut self, ids: [Oid; 3], path: &[u8]) -> Found<Oid> {
        let repo = self.merger.repo;
        let shown = name_of(path);
        let flags = AttrCheckFlags::FILE_THEN_INDEX;
        if !self.merger.plain
            || self.attributes
            || repo.get_attr_bytes(Path::new(&shown), "merge", flags)?.is_some()
        {
            return Ok(None);
        }
        let blobs = [repo.find_blob(ids[0])?, repo.find_blob(ids[1])?, repo.find_blob(ids[2])?];
        let binary =
            |blob: &git2::Blob<'_>| blob.content().iter().take(BINARY_LOOK).any(|b| *b == 0);
        if blobs.iter().any(binary) {
            return Ok(None);
        }
        let [base, ours, theirs] = blobs.each_ref().map(git2::Blob::content);
        let Some(text) = splice(base, ours, theirs) else { return Ok(None) };
        self.files += 1;
        repo.blob(&text).map(Some)
    }
}

/// Whether the attributes of a directory may name a merge driver.
fn names_drivers(repo: &Repository, tree: &Tree<'_>) -> Result<bool, git2::Error> {
    let Some(found) = tree.get_name(".gitattributes") else { return Ok(false) };
    if found.kind() != Some(ObjectType::Blob) {
        return Ok(false);
    }
    let blob = repo.find_blob(found.id())?;
    let has = |word: &[u8]| blob.content().windows(word.len()).any(|part| part == word);
    Ok([&b"merge"[..], b"binary", b"[attr]"].into_iter().any(has))
}
