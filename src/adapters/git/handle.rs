//! Open repositories that wait for the next job: what one job has read, the next need not read
//! again.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use git2::Repository;

/// Most that wait; one more is closed.
const WAITING_MAX: usize = 4;

/// The open repositories of one rig. Clones are the same.
#[derive(Clone, Default)]
pub struct Handles(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    open: Vec<Repository>,
    /// Counts how often all were forgotten: what was lent before does not come back.
    age: u64,
}

impl Handles {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that waits, or one that is opened now.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn take(&self, dir: &Path) -> Result<Handle, git2::Error> {
        let (found, age) = {
            let mut waiting = self.waiting();
            (waiting.open.pop(), waiting.age)
        };
        let repo = found.map_or_else(|| Repository::open(dir), Ok)?;
        Ok(Handle { repo: Some(repo), home: self.clone(), age })
    }

    /// Closes those that wait, and those that are lent as they come back: something may have
    /// changed under them.
    pub fn forget(&self) {
        let mut waiting = self.waiting();
        waiting.open.clear();
        waiting.age += 1;
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").field("waiting", &self.waiting().open.len()).finish()
    }
}

/// An open repository for one job.
pub struct Handle {
    repo: Option<Repository>,
    home: Handles,
    age: u64,
}

impl Deref for Handle {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        self.repo.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut waiting = self.home.waiting();
        if waiting.age == self.age && waiting.open.len() < WAITING_MAX {
            waiting.open.extend(self.repo.take());
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("path", &self.path()).finish()
    }
}
