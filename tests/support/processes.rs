//! Processes that belong to a directory, as the system tells it.

use std::fs;
use std::path::Path;

/// Every process but our own that works in a directory or names it in its command line.
pub fn under(dir: &Path) -> Vec<String> {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A process that ends while it is looked at is gone, which is what is asked.
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if cwd.starts_with(&dir) || words.contains(&*dir.to_string_lossy()) {
            found.push(format!("{name}: {words}"));
        }
    }
    found
}
