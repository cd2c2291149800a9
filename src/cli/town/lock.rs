//! The lock of the town's one daemon: whoever has it runs the machines, daemon or command.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::Write;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::cli::town::error::TownError;

/// Most bytes of a holder's own words that are read back.
const WORDS_MAX: u64 = 256;

/// The held lock; the kernel lets go when the process ends, however it does.
#[derive(Debug)]
pub struct TownLock {
    _file: File,
}

impl TownLock {
    /// Takes `daemon/daemon.lock` at once or not at all, and leaves word of who has it.
    ///
    /// # Errors
    /// [`TownError::Locked`] with the holder's own words, [`TownError::Io`].
    pub fn take(town: &Town, what: &str) -> Result<Self, TownError> {
        let dir = town.daemon();
        files::private_dir(&dir).map_err(TownError::io(&dir))?;
        let path = town.daemon_lock();
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(TownError::io(&path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(TownError::Locked { holder: words(&mut file) }),
            Err(error) => return Err(TownError::io(&path)(error.into())),
        }
        let mine = format!("process {} ({what})", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(mine.as_bytes()))
            .map_err(TownError::io(&path))?;
        Ok(Self { _file: file })
    }

    /// Whether somebody has the lock now, and who.
    ///
    /// # Errors
    /// [`TownError::Io`].
    pub fn holder(town: &Town) -> Result<Option<String>, TownError> {
        let path = town.daemon_lock();
        let mut file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TownError::io(&path)(error)),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => Ok(Some(words(&mut file))),
            Err(error) => Err(TownError::io(&path)(error.into())),
        }
    }
}

fn words(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(WORDS_MAX).read_to_end(&mut text));
    match read {
        Ok(_) if !text.is_empty() => String::from_utf8_lossy(&text).trim().to_owned(),
        Ok(_) => "a process that has just started".to_owned(),
        Err(error) => format!("an unknown process (its lock file cannot be read: {error})"),
    }
}
