//! The lock of a database's one writer: an advisory lock on a file that says who holds it.

use std::fs::File;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::model::ids::Db;
use crate::store::error::StoreError;
use crate::store::pause;

/// Milliseconds between two tries.
const TRY_EVERY_MS: u64 = 20;
/// Most bytes of a holder's own words that are read back.
const WORDS_MAX: u64 = 256;

/// A held lock; dropping it lets go. The kernel lets go when the process ends, however it does.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting at most about `wait_ms`, and leaves "who" for those who wait.
    ///
    /// # Errors
    /// [`StoreError::Held`] with the holder's own words, [`StoreError::Io`].
    pub(crate) fn take(path: &Path, db: &Db, what: &str, wait_ms: u64) -> Result<Self, StoreError> {
        let mut file = open(path)?;
        let mut tries = wait_ms / TRY_EVERY_MS;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // A store that was moved away meanwhile took the file with it.
                Ok(()) if is_at(&file, path)? => break,
                Ok(()) => file = open(path)?,
                Err(Errno::WOULDBLOCK) if tries > 0 => {
                    tries -= 1;
                    pause::millis(TRY_EVERY_MS);
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(StoreError::Held { db: db.clone(), holder: holder(&mut file) });
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(StoreError::io(path)(error.into())),
            }
        }
        let words = format!("process {} ({what})", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(words.as_bytes()))
            .map_err(StoreError::io(path))?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(StoreError::io(path))
}

/// Whether the open file is the one that the path names now.
fn is_at(file: &File, path: &Path) -> Result<bool, StoreError> {
    let open = file.metadata().map_err(StoreError::io(path))?;
    match std::fs::metadata(path) {
        Ok(named) => Ok(named.dev() == open.dev() && named.ino() == open.ino()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// What the holder wrote of itself.
fn holder(file: &mut File) -> String {
    let mut words = Vec::new();
    let read = file.rewind().and_then(|()| file.take(WORDS_MAX).read_to_end(&mut words));
    match read {
        Ok(_) if !words.is_empty() => String::from_utf8_lossy(&words).trim().to_owned(),
        Ok(_) => "a process that has just started".to_owned(),
        Err(error) => format!("an unknown process (its lock file cannot be read: {error})"),
    }
}
