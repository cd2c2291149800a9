//! Open repositories that wait for the next job: what one job has read, the next need not read
//! again.
//!
//! An open repository sees refs, objects and packs that come after it was opened; what it may miss
//! is other settings, and what it may hold is the room of packs that are gone. So it is closed after
//! a while, after each fetch, packing or failure, and never used again by a job that panicked.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use git2::Repository;

use crate::adapters::clock;

/// Most that wait, of all repositories together; for one more the oldest is closed.
const WAITING_MAX: usize = 8;
/// One that was opened longer ago is not lent any more.
const AGE_MAX: Duration = Duration::from_secs(60);

/// The open repositories of a town. Clones are the same.
#[derive(Clone, Default)]
pub struct Handles(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    open: Vec<Open>,
    /// Counts how often some were forgotten: what was lent before does not come back.
    forgotten: u64,
}

struct Open {
    repo: Repository,
    dir: PathBuf,
    since: Instant,
}

impl Handles {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of that directory that waits, or one that is opened now.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn take(&self, dir: &Path) -> Result<Handle, git2::Error> {
        let (found, forgotten) = {
            let mut waiting = self.waiting();
            waiting.open.retain(|open| open.since.elapsed() < AGE_MAX);
            let at = waiting.open.iter().rposition(|open| open.dir == dir);
            (at.map(|at| waiting.open.remove(at)), waiting.forgotten)
        };
        let open = match found {
            Some(open) => open,
            None => {
                Open { repo: Repository::open(dir)?, dir: dir.to_owned(), since: clock::instant() }
            }
        };
        Ok(Handle { open: Some(open), home: self.clone(), forgotten })
    }

    /// Closes those of a directory that wait, and all that are lent as they come back: something
    /// may have changed under them.
    pub fn forget(&self, dir: &Path) {
        let mut waiting = self.waiting();
        waiting.open.retain(|open| open.dir != dir);
        waiting.forgotten += 1;
    }

    /// How many wait.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting().open.len()
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").field("waiting", &self.waiting_count()).finish()
    }
}

/// An open repository for one job.
pub struct Handle {
    open: Option<Open>,
    home: Handles,
    forgotten: u64,
}

impl Deref for Handle {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.open.as_ref().expect("it is there until it is dropped").repo
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut waiting = self.home.waiting();
        if waiting.forgotten == self.forgotten {
            if waiting.open.len() == WAITING_MAX {
                waiting.open.remove(0);
            }
            waiting.open.extend(self.open.take());
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("path", &self.path()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::panic::catch_unwind;
    use std::path::Path;

    use git2::Repository;

    use super::Handles;
    use super::WAITING_MAX;

    fn made() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        Repository::init(dir.path()).unwrap();
        dir
    }

    fn git_dir(handles: &Handles, dir: &Path) -> std::path::PathBuf {
        handles.take(dir).unwrap().path().canonicalize().unwrap()
    }

    #[test]
    fn each_is_of_its_directory_and_few_wait() {
        let (one, handles) = (made(), Handles::default());
        let others: Vec<_> = (0..WAITING_MAX).map(|_| made()).collect();
        for _ in 0..2 {
            for dir in others.iter().chain([&one]) {
                let wanted = dir.path().join(".git").canonicalize().unwrap();
                assert_eq!(git_dir(&handles, dir.path()), wanted);
            }
        }
        assert_eq!(handles.waiting_count(), WAITING_MAX);
        let lent = [handles.take(one.path()).unwrap(), handles.take(one.path()).unwrap()];
        assert_eq!(handles.waiting_count(), WAITING_MAX - 1);
        drop(lent);
        assert_eq!(handles.waiting_count(), WAITING_MAX);
    }

    #[test]
    fn one_that_was_lent_when_all_were_forgotten_or_to_a_job_that_panicked_is_closed() {
        let (dir, handles) = (made(), Handles::default());
        let lent = handles.take(dir.path()).unwrap();
        drop(handles.take(dir.path()).unwrap());
        handles.forget(dir.path());
        assert_eq!(handles.waiting_count(), 0);
        drop(lent);
        assert_eq!(handles.waiting_count(), 0);
        let lent = handles.take(dir.path()).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            assert!(lent.is_bare(), "it is not, and so the job panics");
        }));
        assert!(panicked.is_err());
        assert_eq!(handles.waiting_count(), 0);
    }
}
