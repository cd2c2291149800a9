//! Bytes on disk.

use std::fs;
use std::path::Path;

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
