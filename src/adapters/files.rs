//! Whole files, written so that a crash leaves the old one or the new one.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Distinguishes the temporary files of one process.
static NEXT: AtomicU64 = AtomicU64::new(0);

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}.{number}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Replaces a file by `bytes` with the given mode: temporary file, fsync, rename, fsync of the
/// directory.
///
/// # Errors
/// Any failing step; the old file is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, bytes, mode, true)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn replace(path: &Path, bytes: &[u8], mode: u32, synced: bool) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        if synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    })();
    if let Err(error) = written {
        if let Err(left) = fs::remove_file(&temporary)
            && left.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %temporary.display(), %left, "temporary file stays");
        }
        return Err(error);
    }
    Ok(())
}

/// As [`write_atomic`] without waiting for the disk: whole after any kill of processes, but for what
/// means nothing any more after the machine's own death.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_quick(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, bytes, mode, false)
}

/// Writes a value as JSON with [`write_quick`], mode 0600.
///
/// # Errors
/// As [`write_json`].
pub fn write_json_quick<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_quick(path, &json(value)?, 0o600)
}

/// Writes a value as JSON with [`write_atomic`], mode 0600.
///
/// # Errors
/// As [`write_atomic`]; a value that has no JSON form is `InvalidData`.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_atomic(path, &json(value)?, 0o600)
}

fn json<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a JSON file; `None` when there is no such file.
///
/// # Errors
/// Unreadable, or not of that shape (`InvalidData`, with the path in the text).
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    })
}

/// Makes a directory and its parents, each new one with mode 0700.
///
/// # Errors
/// Any that is not "it is there already".
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a file or a whole directory; absence is success.
///
/// # Errors
/// What the system says about the first entry that stays.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The last `lines` lines of a file, at most `bytes` bytes; empty when there is no file.
///
/// # Errors
/// An existing file that cannot be read.
pub fn tail(path: &Path, lines: usize, bytes: u64) -> io::Result<String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let start = file.metadata()?.len().saturating_sub(bytes);
    file.seek(SeekFrom::Start(start))?;
    let mut read = Vec::new();
    file.take(bytes).read_to_end(&mut read)?;
    let text = String::from_utf8_lossy(&read);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::tail;
    use super::write_atomic;

    #[test]
    fn the_tail_is_bounded_by_lines_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        write_atomic(&path, b"one\ntwo\nthree\n", 0o600).unwrap();
        assert_eq!(tail(&path, 2, 1024).unwrap(), "two\nthree");
        assert_eq!(tail(&path, 9, 6).unwrap(), "three");
        assert_eq!(tail(&dir.path().join("none"), 9, 6).unwrap(), "");
    }
}
