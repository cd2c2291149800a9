//! Whether the disk was full while a gate ran: by what the system says, not by the gate's words.
//!
//! A program that found no room most often removes what it had written. So the room is looked at
//! all the while the gate runs; what was full for less than a moment may be missed, and is then
//! what the gate's exit code says.

use std::fs;
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Between two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Less room than this, in bytes, is none.
const FULL_BELOW: u64 = 8 << 20;
/// What programs print when a write found no room: then a write is tried, since a quota does not
/// show in the room of the disk.
const WORDS: [&str; 3] = ["No space left on device", "Disk quota exceeded", "ENOSPC"];
/// Bytes of that write.
const PROBE: usize = 1 << 20;

/// The least room that was seen, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(u64);

impl Room {
    pub(super) fn new() -> Self {
        Self(u64::MAX)
    }

    /// Looks at the disk of a path; what cannot be looked at says nothing.
    pub(super) fn look(&mut self, path: &Path) {
        match rustix::fs::statvfs(path) {
            Ok(disk) => {
                let names = disk.f_files == 0 || disk.f_favail > 0;
                let room = disk.f_bavail.saturating_mul(disk.f_frsize);
                self.0 = self.0.min(if names { room } else { 0 });
            }
            Err(error) => tracing::debug!(path = %path.display(), %error, "room not known"),
        }
    }

    /// Whether there was none. `tail` is what the gate printed last, `dir` where it may write.
    pub(super) fn was_none(self, tail: &str, dir: &Path) -> bool {
        let says = || WORDS.iter().any(|word| tail.contains(word));
        self.0 < FULL_BELOW || (says() && is_refused(&dir.join("probe")))
    }
}

/// Whether a write of our own finds no room.
fn is_refused(path: &Path) -> bool {
    let written = fs::File::create(path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE])?;
        file.sync_data()
    });
    if path.is_file()
        && let Err(error) = fs::remove_file(path)
    {
        tracing::debug!(%error, "the probe stays");
    }
    let kind = written.err().map(|error| error.kind());
    matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

#[cfg(test)]
mod tests {
    use super::FULL_BELOW;
    use super::Room;
    use super::is_refused;
    use std::path::Path;

    #[test]
    fn words_alone_do_not_make_a_disk_full() {
        let dir = tempfile::tempdir().unwrap();
        let mut room = Room::new();
        room.look(dir.path());
        assert!(room.0 > FULL_BELOW, "this machine's own disk is full");
        assert!(!room.was_none("cp: No space left on device", dir.path()));
        assert!(Room(FULL_BELOW - 1).was_none("", dir.path()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the probe is gone");
    }

    /// The kernel's own full disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_write_that_finds_no_room_is_known() {
        assert!(is_refused(Path::new("/dev/full")));
        assert!(!is_refused(Path::new("/nowhere/at/all")));
    }
}
