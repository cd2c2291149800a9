//! The lock of the town's one daemon: whoever has it runs the machines, daemon or command.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::adapters::detach;
use crate::adapters::files;
use crate::adapters::host::tree::ProcessId;
use crate::adapters::layout::Town;
use crate::cli::town::error::TownError;

/// Most bytes of a holder's own words that are read back.
const WORDS_MAX: u64 = 256;

/// How the word of a holder begins.
const PROCESS: &str = "process ";
/// How long a lock may outlive its holder: until a child that was about to start has started.
const LEFT_WITHIN: Duration = Duration::from_secs(5);
/// Time between two looks at such a lock.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
        let mut answer = try_lock(&file);
        if answer == Err(Errno::WOULDBLOCK) && holder_is_gone(&mut file) {
            // What it was starting when it died has the lock until it runs.
            let again = || Some(try_lock(&file)).filter(|answer| *answer != Err(Errno::WOULDBLOCK));
            answer = detach::wait_for(LEFT_WITHIN, LOOK_EVERY, again).unwrap_or(answer);
        }
        match answer {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(TownError::Locked { holder: words(&mut file) }),
            Err(error) => return Err(TownError::io(&path)(error.into())),
        }
        let mine = format!("{PROCESS}{} ({what})", std::process::id());
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

fn try_lock(file: &File) -> Result<(), Errno> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Whether the process that wrote its word into the file lives no more.
fn holder_is_gone(file: &mut File) -> bool {
    let words = words(file);
    let pid = words.strip_prefix(PROCESS).and_then(|rest| rest.split(' ').next());
    pid.and_then(|pid| pid.parse().ok()).is_some_and(|pid| !ProcessId::of(pid).is_alive())
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::thread;

    use super::TownLock;
    use super::try_lock;
    use crate::adapters::layout::Town;
    use crate::cli::town::error::TownError;

    #[test]
    fn a_lock_that_outlives_its_holder_is_waited_for_and_one_of_a_living_holder_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let town = Town::new(dir.path());
        fs::create_dir_all(town.daemon()).unwrap();
        let mut file = fs::File::create(town.daemon_lock()).unwrap();
        try_lock(&file).unwrap();
        write!(file, "process {} (daemon)", std::process::id()).unwrap();
        let refused = TownLock::take(&town, "test");
        assert!(matches!(refused, Err(TownError::Locked { .. })), "{refused:?}");

        // No process has the greatest number that there is.
        fs::write(town.daemon_lock(), format!("process {} (daemon)", i32::MAX)).unwrap();
        thread::scope(|scope| {
            let taken = scope.spawn(|| TownLock::take(&town, "test"));
            drop(file);
            taken.join().unwrap().unwrap();
        });
    }
}
