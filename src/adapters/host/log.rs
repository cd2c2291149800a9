//! A log that cannot grow beyond its bound.
//!
//! Two halves: the current file, and `<name>.1`, which the current one replaces when it is full.
//! Together they never hold more than the bound; the newest half of it is always there.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// The smallest bound, in bytes.
pub const LOG_MIN_BYTES: u64 = 4096;

/// The older half of a log.
#[must_use]
pub fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".1");
    PathBuf::from(name)
}

/// Writes to a pair of files within a bound.
#[derive(Debug)]
pub struct BoundedLog {
    path: PathBuf,
    file: File,
    written: u64,
    half: u64,
}

impl BoundedLog {
    /// Opens the log, emptying what is there; `max_bytes` bounds both files together.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let half = max_bytes.max(LOG_MIN_BYTES) / 2;
        Ok(Self { path: path.to_owned(), file: Self::open(path)?, written: 0, half })
    }

    fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
    }

    /// Appends, turning the halves over as often as needed.
    ///
    /// # Errors
    /// A full disk, a missing directory.
    pub fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.written >= self.half {
                fs::rename(&self.path, older(&self.path))?;
                self.file = Self::open(&self.path)?;
                self.written = 0;
            }
            let room = usize::try_from(self.half - self.written).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.file.write_all(now)?;
            self.written += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::BoundedLog;
    use super::LOG_MIN_BYTES;
    use super::older;

    #[test]
    fn both_halves_stay_within_the_bound_and_the_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = BoundedLog::create(&path, LOG_MIN_BYTES).unwrap();
        for number in 0..5000 {
            log.append(format!("line {number}\n").as_bytes()).unwrap();
        }
        let new = std::fs::read_to_string(&path).unwrap();
        let old = std::fs::read_to_string(older(&path)).unwrap();
        assert!((new.len() + old.len()) as u64 <= LOG_MIN_BYTES);
        assert!(new.ends_with("line 4999\n"));
    }
}
