//! Where everything of a town is on disk: the seed's tree, as methods.
//!
//! Paths only, with one exception: the directory for sockets whose own place has a path too long
//! for the system. Nothing here reads or writes what the paths hold.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use crate::adapters::files;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::SessionId;

/// The longest socket path that is used in place, in bytes: macOS allows 103, with room to spare.
pub const SOCKET_PATH_MAX: usize = 80;

/// A name that cannot be one component of a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' cannot be a file name: use letters, digits, '.', '-', '_', at most 200, no leading '.'"
)]
pub struct BadName(pub String);

/// Checks that a name is safe as one path component.
///
/// # Errors
/// [`BadName`] for anything but letters, digits, `.`, `-`, `_`, at most 200 bytes.
pub fn component(name: &str) -> Result<&str, BadName> {
    let fits = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if fits { Ok(name) } else { Err(BadName(name.to_owned())) }
}

/// A town's root and the paths under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Town {
    root: PathBuf,
    runtime: PathBuf,
}

impl Town {
    /// The town at `root`; sockets with long paths go under `/tmp`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), runtime: PathBuf::from("/tmp") }
    }

    /// The same town with another place for sockets with long paths: `$XDG_RUNTIME_DIR`, if set.
    #[must_use]
    pub fn with_runtime_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.runtime = dir.into();
        self
    }

    /// The town that `cwd` is in: the nearest directory upwards with `mayor/town.json`.
    #[must_use]
    pub fn discover(cwd: &Path) -> Option<Self> {
        cwd.ancestors().map(Self::new).find(|town| town.town_json().is_file())
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, parts: &[&str]) -> PathBuf {
        parts.iter().fold(self.root.clone(), |path, part| path.join(part))
    }

    /// `.beads/`, the town's own beads.
    #[must_use]
    pub fn beads(&self) -> PathBuf {
        self.at(&[".beads"])
    }

    /// `.beads/metadata.json`.
    #[must_use]
    pub fn metadata_json(&self) -> PathBuf {
        self.at(&[".beads", "metadata.json"])
    }

    /// `.beads/routes.jsonl`.
    #[must_use]
    pub fn routes_jsonl(&self) -> PathBuf {
        self.at(&[".beads", "routes.jsonl"])
    }

    /// `.dolt-data/`, the databases.
    #[must_use]
    pub fn dolt_data(&self) -> PathBuf {
        self.at(&[".dolt-data"])
    }

    /// `daemon/dolt/`: what the town's own Dolt server needs beside its data.
    #[must_use]
    pub fn dolt(&self) -> PathBuf {
        self.at(&["daemon", "dolt"])
    }

    /// `daemon/dolt-server.log`.
    #[must_use]
    pub fn dolt_log(&self) -> PathBuf {
        self.at(&["daemon", "dolt-server.log"])
    }

    /// `daemon/dolt.pid`.
    #[must_use]
    pub fn dolt_pid(&self) -> PathBuf {
        self.at(&["daemon", "dolt.pid"])
    }

    /// `daemon/dolt-state.json`: what the server is, for people and tools.
    #[must_use]
    pub fn dolt_state(&self) -> PathBuf {
        self.at(&["daemon", "dolt-state.json"])
    }

    /// `CLAUDE.md`, the only one in the town.
    #[must_use]
    pub fn claude_md(&self) -> PathBuf {
        self.at(&["CLAUDE.md"])
    }

    /// `mayor/`.
    #[must_use]
    pub fn mayor(&self) -> PathBuf {
        self.at(&["mayor"])
    }

    /// `mayor/town.json`, by which a town is known.
    #[must_use]
    pub fn town_json(&self) -> PathBuf {
        self.at(&["mayor", "town.json"])
    }

    /// `mayor/rigs.json`, the registry.
    #[must_use]
    pub fn rigs_json(&self) -> PathBuf {
        self.at(&["mayor", "rigs.json"])
    }

    /// `mayor/daemon.json`, patrol settings.
    #[must_use]
    pub fn daemon_json(&self) -> PathBuf {
        self.at(&["mayor", "daemon.json"])
    }

    /// `mayor/accounts.json`.
    #[must_use]
    pub fn accounts_json(&self) -> PathBuf {
        self.at(&["mayor", "accounts.json"])
    }

    /// `settings/`.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.at(&["settings"])
    }

    /// `settings/config.json`.
    #[must_use]
    pub fn config_json(&self) -> PathBuf {
        self.at(&["settings", "config.json"])
    }

    /// `settings/escalation.json`.
    #[must_use]
    pub fn escalation_json(&self) -> PathBuf {
        self.at(&["settings", "escalation.json"])
    }

    /// `config/`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.at(&["config"])
    }

    /// `config/messaging.json`.
    #[must_use]
    pub fn messaging_json(&self) -> PathBuf {
        self.at(&["config", "messaging.json"])
    }

    /// `deacon/`.
    #[must_use]
    pub fn deacon(&self) -> PathBuf {
        self.at(&["deacon"])
    }

    /// `deacon/dogs/<name>/`.
    #[must_use]
    pub fn dog(&self, name: &str) -> PathBuf {
        self.at(&["deacon", "dogs", name])
    }

    /// `logs/`.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.at(&["logs"])
    }

    /// `logs/gates/<run>/`: one log per gate and `result.json`.
    #[must_use]
    pub fn gate_logs(&self, run: &RunId) -> PathBuf {
        self.at(&["logs", "gates", run.as_str()])
    }

    /// `daemon/`.
    #[must_use]
    pub fn daemon(&self) -> PathBuf {
        self.at(&["daemon"])
    }

    /// `daemon/bin/`: `gt` and `bd` as the agents find them.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.at(&["daemon", "bin"])
    }

    /// `daemon/daemon.pid`.
    #[must_use]
    pub fn daemon_pid(&self) -> PathBuf {
        self.at(&["daemon", "daemon.pid"])
    }

    /// `daemon/daemon.lock`.
    #[must_use]
    pub fn daemon_lock(&self) -> PathBuf {
        self.at(&["daemon", "daemon.lock"])
    }

    /// `daemon/key`: the key of the session secrets, mode 0600.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.at(&["daemon", "key"])
    }

    /// `daemon/sessions/`.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.at(&["daemon", "sessions"])
    }

    /// `daemon/sessions/<id>/`: one session host's directory.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> PathBuf {
        self.sessions().join(id.as_str())
    }

    /// `daemon/gates/<run>/`: the directories of a run's gate hosts, while it runs.
    #[must_use]
    pub fn gate_hosts(&self, run: &RunId) -> PathBuf {
        self.at(&["daemon", "gates", run.as_str()])
    }

    /// `daemon/places/<rig>/<name>.json`: whose worktree is at a place.
    #[must_use]
    pub fn place_marker(&self, rig: &RigName, name: &str) -> PathBuf {
        self.at(&["daemon", "places", rig.as_str(), &format!("{name}.json")])
    }

    /// `daemon/rescue/`: what could not be saved as a commit, moved aside as it was.
    #[must_use]
    pub fn rescue(&self) -> PathBuf {
        self.at(&["daemon", "rescue"])
    }

    /// `<rig>/`: the project's container, not a clone.
    #[must_use]
    pub fn rig(&self, rig: &RigName) -> PathBuf {
        self.at(&[rig.as_str()])
    }

    /// `<rig>/config.json`.
    #[must_use]
    pub fn rig_config(&self, rig: &RigName) -> PathBuf {
        self.rig(rig).join("config.json")
    }

    /// `<rig>/mayor/rig/`: the canonical clone.
    #[must_use]
    pub fn canonical(&self, rig: &RigName) -> PathBuf {
        self.rig(rig).join("mayor").join("rig")
    }

    /// `<rig>/mayor/rig/.beads/`.
    #[must_use]
    pub fn rig_beads(&self, rig: &RigName) -> PathBuf {
        self.canonical(rig).join(".beads")
    }

    /// `<rig>/refinery/rig/`: a worktree detached at the target.
    #[must_use]
    pub fn refinery_rig(&self, rig: &RigName) -> PathBuf {
        self.rig(rig).join("refinery").join("rig")
    }

    /// `<rig>/refinery/pool/`: checkouts that wait for the next gate run.
    #[must_use]
    pub fn pool(&self, rig: &RigName) -> PathBuf {
        self.rig(rig).join("refinery").join("pool")
    }

    /// `<rig>/refinery/runs/<run>/`: a candidate while its gates run.
    #[must_use]
    pub fn run(&self, rig: &RigName, run: &RunId) -> PathBuf {
        self.rig(rig).join("refinery").join("runs").join(run.as_str())
    }

    /// `<rig>/witness/`.
    #[must_use]
    pub fn witness(&self, rig: &RigName) -> PathBuf {
        self.rig(rig).join("witness")
    }

    /// `<rig>/crew/<name>/`: a person's full clone.
    #[must_use]
    pub fn crew(&self, rig: &RigName, name: &str) -> PathBuf {
        self.rig(rig).join("crew").join(name)
    }

    /// `<rig>/polecats/<name>/`.
    #[must_use]
    pub fn polecat(&self, rig: &RigName, name: &str) -> PathBuf {
        self.rig(rig).join("polecats").join(name)
    }

    /// `<rig>/polecats/<name>/<rig>/`: the worker's worktree.
    #[must_use]
    pub fn polecat_worktree(&self, rig: &RigName, name: &str) -> PathBuf {
        self.polecat(rig, name).join(rig.as_str())
    }

    fn socket_file(&self) -> PathBuf {
        self.at(&["daemon", "gt.sock"])
    }

    /// `daemon/gt.sock.path`: where the socket is when it is not at `daemon/gt.sock`.
    #[must_use]
    pub fn socket_path_file(&self) -> PathBuf {
        self.at(&["daemon", "gt.sock.path"])
    }

    /// The door's socket, for clients: what the daemon wrote down, else where it would be.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        match fs::read_to_string(self.socket_path_file()) {
            Ok(text) if !text.trim().is_empty() => PathBuf::from(text.trim()),
            _ => self.short(&self.socket_file()),
        }
    }

    /// The door's socket, for the daemon: makes its directory and writes its place down.
    ///
    /// # Errors
    /// The directory cannot be made, or somebody else owns it.
    pub fn prepare_socket(&self) -> io::Result<PathBuf> {
        files::private_dir(&self.daemon())?;
        let wanted = self.socket_file();
        let real = self.prepare_short(&wanted)?;
        if real == wanted {
            files::remove_all(&self.socket_path_file())?;
        } else {
            let text = format!("{}\n", real.display());
            files::write_atomic(&self.socket_path_file(), text.as_bytes(), 0o600)?;
        }
        Ok(real)
    }

    /// The socket of a session's host; makes the directory that a long path needs.
    ///
    /// # Errors
    /// As [`Town::prepare_socket`].
    pub fn prepare_session_socket(&self, id: &SessionId) -> io::Result<PathBuf> {
        self.prepare_short(&self.session(id).join("sock"))
    }

    fn short_dir(&self) -> PathBuf {
        let uid = rustix::process::getuid().as_raw();
        let hash = crate::adapters::token::short_hash(self.root.as_os_str().as_encoded_bytes());
        self.runtime.join(format!("gt-{uid}-{hash}"))
    }

    /// `path` itself if it is short enough for a socket, else a short one that belongs to it.
    fn short(&self, path: &Path) -> PathBuf {
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.len() <= SOCKET_PATH_MAX {
            return path.to_owned();
        }
        self.short_dir().join(format!("{}.sock", crate::adapters::token::short_hash(bytes)))
    }

    fn prepare_short(&self, path: &Path) -> io::Result<PathBuf> {
        let short = self.short(path);
        if short != path {
            let dir = self.short_dir();
            files::private_dir(&dir)?;
            let meta = fs::symlink_metadata(&dir)?;
            let ours = meta.uid() == rustix::process::getuid().as_raw();
            if !meta.is_dir() || !ours || meta.mode() & 0o077 != 0 {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("{} is not a private directory of yours; remove it", dir.display()),
                ));
            }
        }
        Ok(short)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::SOCKET_PATH_MAX;
    use super::Town;
    use super::component;

    #[test]
    fn a_long_socket_path_is_replaced_and_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let short = Town::new(dir.path()).with_runtime_dir(dir.path());
        assert_eq!(short.prepare_socket().unwrap(), dir.path().join("daemon/gt.sock"));
        assert!(!short.socket_path_file().exists());

        let root = dir.path().join("x".repeat(90));
        let long = Town::new(&root).with_runtime_dir(dir.path());
        let real = long.prepare_socket().unwrap();
        assert!(real.as_os_str().len() <= SOCKET_PATH_MAX, "{real:?}");
        assert_eq!(Town::new(&root).socket_path(), real, "clients need no runtime dir");
    }

    #[test]
    fn a_town_is_found_from_below() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("gastown/polecats/alpha/gastown");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir_all(dir.path().join("mayor")).unwrap();
        assert_eq!(Town::discover(&deep), None);
        std::fs::write(dir.path().join("mayor/town.json"), "{}").unwrap();
        assert_eq!(Town::discover(&deep).unwrap().root(), dir.path());
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        for bad in ["", "..", ".git", "a/b", "a b", "é"] {
            assert!(component(bad).is_err(), "{bad}");
        }
        assert_eq!(component("rig-polecats-alpha-3"), Ok("rig-polecats-alpha-3"));
        assert_eq!(Town::new("/t").canonical(&"r".into()), PathBuf::from("/t/r/mayor/rig"));
    }
}
