//! Lock files of git that outlived their process: killed in the middle of writing a ref, it leaves
//! one behind, and every later write of that ref fails until it is gone.

use std::fs;
use std::io;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use git2::ErrorCode;

use crate::adapters::clock;
use crate::adapters::git::GitError;
use crate::adapters::git::RigGit;
use crate::adapters::git::file;

/// Git holds the lock of a ref for milliseconds: one older than this has no owner any more.
const STALE: Duration = Duration::from_secs(10);
/// Locks of the whole repository, in its git directory.
const WHOLE: [&str; 3] = ["packed-refs.lock", "config.lock", "HEAD.lock"];
/// Locks of one worktree, in its own git directory.
const OF_WORKTREE: [&str; 2] = ["index.lock", "HEAD.lock"];

impl GitError {
    /// Whether a lock file was in the way.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Lib { source, .. } => source.code() == ErrorCode::Locked,
            Self::Cli { stderr, .. } => stderr.contains(".lock': File exists"),
            Self::Timeout { .. }
            | Self::Io { .. }
            | Self::Name(_)
            | Self::Unsupported(_)
            | Self::Refused(_) => false,
        }
    }
}

impl RigGit {
    /// Removes the locks of the town's own refs. Only the daemon's process writes those, so that
    /// at its start every one of them is a dead daemon's.
    ///
    /// # Errors
    /// A lock file cannot be removed.
    pub fn sweep_own_locks(&self) -> Result<(), GitError> {
        let own = self.dir().join(".git").join("refs").join("gt");
        remove(locks_below(&own).map_err(file("look for lock files"))?, Duration::ZERO)
    }

    /// Removes ref locks that are too old to have an owner. Whoever met one tries again.
    ///
    /// # Errors
    /// A lock file cannot be removed.
    pub fn sweep_stale_locks(&self) -> Result<(), GitError> {
        let git = self.dir().join(".git");
        let mut locks = locks_below(&git.join("refs")).map_err(file("look for lock files"))?;
        locks.extend(WHOLE.iter().map(|name| git.join(name)));
        remove(locks, STALE)
    }

    /// Removes the locks that an ended session left in its worktree. Nobody may be at work there.
    ///
    /// # Errors
    /// A lock file cannot be removed.
    pub fn unlock_worktree(&self, worktree: &Path) -> Result<(), GitError> {
        let link = match fs::read_to_string(worktree.join(".git")) {
            Ok(link) => link,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(file("the worktree's .git")(error)),
        };
        let Some(dir) = link.trim().strip_prefix("gitdir: ") else { return Ok(()) };
        let dir = worktree.join(dir);
        remove(OF_WORKTREE.iter().map(|name| dir.join(name)).collect(), Duration::ZERO)
    }
}

/// Every lock file below a directory.
fn locks_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "lock") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Removes those that are at least `age` old.
fn remove(locks: Vec<PathBuf>, age: Duration) -> Result<(), GitError> {
    for path in locks {
        let Ok(changed) = fs::metadata(&path).and_then(|meta| meta.modified()) else {
            // It is gone, as a lock should be.
            continue;
        };
        if clock::age(changed) < age {
            continue;
        }
        match fs::remove_file(&path) {
            Ok(()) => tracing::warn!(path = %path.display(), "removed a dead process's lock"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(file(format!("remove {}", path.display()))(error)),
        }
    }
    Ok(())
}
