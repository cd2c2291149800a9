//! The git command and plain files, as the soak's authors and its checker use them.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use super::Fallible;

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "gc.auto=0"])
        .args(arguments)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// What it printed, without the last line's end.
pub(crate) fn git(dir: &Path, arguments: &[&str]) -> Fallible<String> {
    git_with(dir, arguments, b"")
}

/// The same with something on its standard input.
pub(crate) fn git_with(dir: &Path, arguments: &[&str], input: &[u8]) -> Fallible<String> {
    let mut child = command(dir, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    let input = input.to_vec();
    // It may answer before it has read everything.
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    let fed = feeder.join().map_err(|_| "the feeder of git died")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {arguments:?} in {}: {said}", dir.display()).into());
    }
    fed?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// A file's text; a file that is not there is empty.
pub(crate) fn read(path: &Path) -> Fallible<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => Ok(other?),
    }
}
