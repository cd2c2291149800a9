//! The lock that a server has as its standard input, and the record in it of who that is.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::Deserialize;
use serde::Serialize;

use crate::adapters::dolt::Holder;
use crate::adapters::host::tree;
use crate::adapters::host::tree::ProcessId;

/// Tries of a lock that is busy: somebody who only looks holds it for microseconds.
const TRIES: u32 = 3;
/// Time between two tries.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// Most bytes of a record that are read back.
const RECORD_MAX: u64 = 4096;

/// Who has the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) process: ProcessId,
    pub(super) port: u16,
}

/// The lock while a server is being started. It is not let go of by dropping this once a process
/// has it as its input.
pub(super) struct ServerLock {
    file: File,
}

impl ServerLock {
    /// Takes the lock if it is free.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        for tried in 0..TRIES {
            if tried > 0 {
                std::thread::sleep(TRY_EVERY);
            }
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    // What an earlier server left says nothing of the next one.
                    file.set_len(0)?;
                    return Ok(Some(Self { file }));
                }
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The locked file as a standard input: the same open file, so the same lock.
    pub(super) fn input(&self) -> io::Result<Stdio> {
        Ok(Stdio::from(self.file.try_clone()?))
    }

    /// Writes down who has it.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        let mut file = &self.file;
        file.rewind()?;
        file.write_all(&text)
    }
}

/// Who has the lock at a path.
pub(super) fn holder(path: &Path) -> io::Result<Holder> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Nobody),
        Err(error) => return Err(error),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => return Ok(Holder::Nobody),
        Err(Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    let mut text = Vec::new();
    (&mut file).take(RECORD_MAX).read_to_end(&mut text)?;
    let record: Option<Record> = serde_json::from_slice(&text).ok();
    if let Some(Record { process, port }) = record
        && process.is_alive()
    {
        return Ok(Holder::Server { process, port: Some(port) });
    }
    // Whoever started it was killed before it wrote the record.
    let meta = file.metadata()?;
    Ok(match tree::reader_of(meta.dev(), meta.ino()) {
        Some(process) => Holder::Server { process, port: None },
        None => Holder::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Record;
    use super::ServerLock;
    use super::holder;
    use crate::adapters::dolt::Holder;
    use crate::adapters::host::tree::ProcessId;

    #[test]
    fn the_lock_is_the_childs_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.lock");
        assert_eq!(holder(&path).unwrap(), Holder::Nobody);
        let lock = ServerLock::take(&path).unwrap().unwrap();
        let mut child = Command::new("tail")
            .args(["-f", "/dev/null"])
            .stdin(lock.input().unwrap())
            .spawn()
            .unwrap();
        let process = ProcessId::of(i32::try_from(child.id()).unwrap());
        drop(lock);
        let found = Holder::Server { process: process.clone(), port: None };
        assert_eq!(holder(&path).unwrap(), found, "found by its input");
        assert!(ServerLock::take(&path).unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(holder(&path).unwrap(), Holder::Nobody);
        let lock = ServerLock::take(&path).unwrap().unwrap();
        let record = Record { process: ProcessId::own(), port: 7 };
        lock.write(&record).unwrap();
        let found = Holder::Server { process: ProcessId::own(), port: Some(7) };
        assert_eq!(holder(&path).unwrap(), found, "known by the record");
    }
}
