//! A remote that is a directory of this machine.
//!
//! Its refs are looked at without a process. A few commits are brought there without one too, as
//! long as the git command would do nothing that is not done here: no hook of either side, no
//! settings about pushing or receiving, nobody's worktree. As there, the branch moves by
//! compare-and-swap under its lock, after every object that it needs is in the other store.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::ErrorCode;
use git2::ObjectType;
use git2::Oid;
use git2::ReferenceType;
use git2::Repository;
use git2::Tree;

use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::between;
use crate::adapters::git::file;
use crate::adapters::git::lib;

/// So many objects go as one pack, as git itself has it (`receive.unpackLimit`): by the command.
const OBJECTS_MAX: usize = 100;
/// Settings, by the beginnings of their names, with which a push may do more than is done here.
const TELLING: [&str; 13] = [
    "core.fsync",
    "core.hookspath",
    "core.sharedrepository",
    "extensions.",
    "push.gpgsign",
    "push.pushoption",
    "push.recursesubmodules",
    "receive.",
    "remote.origin.pushurl",
    "remote.origin.receivepack",
    "submodule.recurse",
    "transfer.",
    "url.",
];

/// Objects to be brought, what names others after what it names.
type Bundle = Vec<(Oid, ObjectType)>;

impl RigGit {
    /// The remote itself, where it is a directory of this machine that libgit2 can read.
    pub(super) fn neighbour(&self) -> Result<Option<Repository>, GitError> {
        let repo = self.open()?;
        let Ok(remote) = repo.find_remote("origin") else { return Ok(None) };
        let url = remote.url_bytes();
        let path = url.strip_prefix(b"file://").unwrap_or(url);
        let path = Path::new(OsStr::from_bytes(path));
        Ok(path.is_absolute().then(|| Repository::open(path).ok()).flatten())
    }

    /// Moves a branch of a plain neighbour from `base` to `tip` if it is still at `base`. Gives
    /// `false` where nothing was tried: then the git command has to push.
    ///
    /// # Errors
    /// A store or a ref cannot be read or written: the branch is where it was.
    pub fn hand_over(&self, target: &str, base: Oid, tip: Oid) -> Result<bool, GitError> {
        let name = format!("refs/heads/{target}");
        let repo = self.open()?;
        let Some(there) = self.neighbour()? else { return Ok(false) };
        if !there.is_bare() || !is_plain(&there)? || !is_plain(&repo)? {
            return Ok(false);
        }
        // Only what a branch there has is known to be there whole.
        let found = there.find_reference(&name);
        if !found
            .is_ok_and(|it| it.kind() == Some(ReferenceType::Direct) && it.target() == Some(base))
        {
            return Ok(false);
        }
        let Some(bundle) = bundle(&repo, base, tip)? else { return Ok(false) };
        bring(&repo, &there, &bundle).map_err(lib(format!("bring {tip} to the remote")))?;
        match there.reference_matching(&name, tip, true, base, "push") {
            Ok(_) => {}
            // Somebody was faster; the caller looks.
            Err(error) if error.code() == ErrorCode::Modified => return Ok(true),
            // The command waits for a lock.
            Err(error) if error.code() == ErrorCode::Locked => return Ok(false),
            Err(error) => return Err(lib(format!("move {name} of the remote"))(error)),
        }
        let tracking = self.target_ref(target);
        if let Err(error) = repo.reference_matching(&tracking, tip, true, base, "push") {
            // A fetch has been there meanwhile, or will be.
            tracing::debug!(%error, "the remote has moved, its ref here has not");
        }
        Ok(true)
    }
}

/// Whether a push from or to a repository is a matter of objects and refs alone.
fn is_plain(repo: &Repository) -> Result<bool, GitError> {
    let of = |name: &str| repo.commondir().join(name);
    if repo.is_shallow() || (repo.is_bare() && (of("worktrees").exists() || of("logs").exists())) {
        return Ok(false);
    }
    match fs::read_dir(of("hooks")) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(file("hooks"))?.file_name();
                if !name.as_bytes().ends_with(b".sample") {
                    return Ok(false);
                }
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(file("hooks")(error)),
    }
    let mut plain = true;
    let looked = repo.config().and_then(|config| {
        config.entries(None)?.for_each(|entry| {
            let name = entry.name_bytes();
            plain &= !TELLING.iter().any(|begin| name.starts_with(begin.as_bytes()));
        })
    });
    looked.map_err(lib("read git's settings"))?;
    Ok(plain)
}

/// What `tip` has and `base` has not; `None` when it is much.
fn bundle(repo: &Repository, base: Oid, tip: Oid) -> Result<Option<Bundle>, GitError> {
    let mut all = Bundle::new();
    for id in between(repo, base, tip)? {
        let gathered = (|| {
            let commit = repo.find_commit(id)?;
            // The parents are in `base` or were here before.
            let before = commit.parent(0).ok().map(|parent| parent.tree()).transpose()?;
            gather(repo, before.as_ref(), &commit.tree()?, &mut all)?;
            all.push((id, ObjectType::Commit));
            Ok(())
        })();
        gathered.map_err(lib(format!("gather what {id} needs")))?;
        if all.len() >= OBJECTS_MAX {
            return Ok(None);
        }
    }
    Ok(Some(all))
}

/// The trees and files of `tree` that are not at the same place in `before`.
fn gather(
    repo: &Repository,
    before: Option<&Tree<'_>>,
    tree: &Tree<'_>,
    all: &mut Bundle,
) -> Result<(), git2::Error> {
    if before.is_some_and(|before| before.id() == tree.id()) || all.len() >= OBJECTS_MAX {
        return Ok(());
    }
    for entry in tree {
        let old = before.and_then(|before| before.get_name_bytes(entry.name_bytes()));
        if old.as_ref().is_some_and(|old| old.id() == entry.id()) {
            continue;
        }
        match entry.kind() {
            Some(ObjectType::Tree) => {
                let old = old.filter(|old| old.kind() == Some(ObjectType::Tree));
                let old = old.map(|old| repo.find_tree(old.id())).transpose()?;
                gather(repo, old.as_ref(), &repo.find_tree(entry.id())?, all)?;
            }
            Some(ObjectType::Blob) => all.push((entry.id(), ObjectType::Blob)),
            // A submodule's commit is in another repository.
            Some(_) | None => {}
        }
    }
    all.push((tree.id(), ObjectType::Tree));
    Ok(())
}

fn bring(from: &Repository, to: &Repository, bundle: &Bundle) -> Result<(), git2::Error> {
    let (from, to) = (from.odb()?, to.odb()?);
    for (id, kind) in bundle {
        // One that is there already is not written again, but is young again.
        to.write(*kind, from.read(*id)?.data())?;
    }
    Ok(())
}
