//! Starting the daemon so that it outlives the command that starts it, and waiting for things
//! that have no event.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use crate::adapters::host::log::older;

/// Starts a program with its output appended to `log`, away from this terminal's signals.
///
/// A log larger than `log_max_bytes` is moved aside first, replacing the one moved before.
///
/// # Errors
/// The log cannot be opened, or the program not be started.
pub fn start(
    program: &Path,
    arguments: &[&str],
    cwd: &Path,
    log: &Path,
    log_max_bytes: u64,
) -> io::Result<Child> {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > log_max_bytes) {
        fs::rename(log, older(log))?;
    }
    let out = OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    let err = out.try_clone()?;
    Command::new(program)
        .args(arguments)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
}

/// Looks every `every` until `look` gives something or `within` is over.
pub fn wait_for<T>(
    within: Duration,
    every: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(every);
    }
}
