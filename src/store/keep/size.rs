//! Bytes on disk.

use std::fs;
use std::path::Path;

/// What a database takes, tried on a copy; 0 where it cannot be tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Bytes of the rows without a history.
    pub alone: i64,
    /// Bytes with it. What a server has on the disk before a collection is mostly neither.
    pub whole: i64,
}

/// Bytes of a file, or of all files below a directory; 0 for what cannot be seen.
#[must_use]
pub fn bytes(path: &Path) -> i64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return i64::try_from(meta.len()).unwrap_or(i64::MAX);
    }
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries.flatten().map(|entry| bytes(&entry.path())).fold(0, i64::saturating_add)
}
