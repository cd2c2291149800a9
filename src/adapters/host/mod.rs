//! The session host: the one owner of agent and gate processes (`gt session-host DIR`).
//!
//! Small and synchronous. It takes the lock of its directory, starts one program, copies its
//! output to a bounded log, ends the whole tree when the program ends or when asked, and leaves
//! a record of the end. It knows nothing of towns, beads or git: only its directory.

pub mod log;
mod run;
pub mod tree;

use std::collections::BTreeMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::Deserialize;
use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::files;
use crate::adapters::host::tree::ProcessId;
use crate::model::agent::Exit;

/// What kind of program it is, and so what the end of the daemon means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostKind {
    /// Outlives the daemon.
    Session,
    /// Ends with the daemon: the host's standard input is a pipe from it, and its end of file
    /// ends the tree without a record.
    Gate,
}

impl HostKind {
    /// Writes a record of the host. A session's survives the death of the machine; a run of gates
    /// that was not over by then never happened.
    ///
    /// # Errors
    /// As [`files::write_json`].
    fn write<T: Serialize>(self, path: &Path, record: &T) -> io::Result<()> {
        match self {
            Self::Session => files::write_json(path, record),
            Self::Gate => files::write_json_quick(path, record),
        }
    }
}

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostCommand {
    /// A program and its arguments.
    Argv(Vec<String>),
    /// A command line for `sh -c`.
    Shell(String),
}

/// `spec.json`: all that a host is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// The kind.
    pub kind: HostKind,
    /// The program.
    pub command: HostCommand,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Its complete environment.
    pub env: BTreeMap<String, String>,
    /// An entry of `env`, as `KEY=value`, that no process outside this tree has: by it the tree
    /// is found if the host is killed.
    pub mark: String,
    /// Where the output goes.
    pub log: PathBuf,
    /// Most bytes that the log and its older half take together.
    pub log_max_bytes: u64,
    /// Milliseconds until the tree is ended.
    pub timeout_ms: Option<u64>,
    /// Milliseconds between asking a tree to end and forcing it.
    pub grace_ms: u64,
    /// The socket to listen on; gates have none.
    pub socket: Option<PathBuf>,
}

/// `host.json`: who the host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its process.
    pub host: ProcessId,
    /// Milliseconds since the epoch.
    pub started_at: i64,
}

/// `exit`: how the program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndRecord {
    /// The end.
    pub exit: Exit,
    /// Milliseconds since the epoch.
    pub ended_at: i64,
    /// The spec's time was up; `exit` then says what that did to the program.
    pub timed_out: bool,
    /// Why output could not be written to the log, if that happened: a full disk, most often.
    #[serde(default)]
    pub log_lost: Option<String>,
}

/// The answer to `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The program's process id, while it runs.
    pub child: Option<i32>,
    /// When it last printed, in milliseconds since the epoch.
    pub last_output_at: Option<i64>,
}

/// What a host did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostEnd {
    /// It ran the program to its end and recorded it.
    Recorded,
    /// It ran a gate whose daemon went away; nothing is recorded.
    Abandoned,
    /// Another host has the directory; nothing was done.
    Held,
    /// The directory's program ran before; nothing was done.
    Spent,
}

/// Why a host could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The directory or a file in it.
    #[error("session host: {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is no spec.
    #[error("session host: no spec.json in {0}; hosts are started by `gt up`, not by hand")]
    NoSpec(PathBuf),
}

impl HostError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The files of a host's directory.
#[derive(Clone, Debug)]
pub struct HostDir(pub PathBuf);

impl HostDir {
    /// `spec.json`.
    #[must_use]
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    /// `host.json`.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.0.join("host.json")
    }

    /// `exit`.
    #[must_use]
    pub fn exit(&self) -> PathBuf {
        self.0.join("exit")
    }

    /// `log`.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// `host.log`: what the host itself has to say.
    #[must_use]
    pub fn host_log(&self) -> PathBuf {
        self.0.join("host.log")
    }

    /// The host's identity, if one ever ran here.
    ///
    /// # Errors
    /// An unreadable record.
    pub fn host_record(&self) -> io::Result<Option<HostRecord>> {
        files::read_json(&self.host())
    }

    /// The end, if it is recorded.
    ///
    /// # Errors
    /// An unreadable record.
    pub fn end_record(&self) -> io::Result<Option<EndRecord>> {
        files::read_json(&self.exit())
    }

    /// The spec, if one was written.
    ///
    /// # Errors
    /// An unreadable spec.
    pub fn read_spec(&self) -> io::Result<Option<HostSpec>> {
        files::read_json(&self.spec())
    }

    /// Takes the lock, if it is free.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn try_lock(&self) -> io::Result<Option<File>> {
        let path = self.0.join("lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a host lives here now: by its recorded identity, or by the lock before there is
    /// one.
    ///
    /// # Errors
    /// Unreadable records.
    pub fn is_live(&self) -> io::Result<bool> {
        match self.host_record()? {
            Some(record) => Ok(record.host.is_alive()),
            None if !self.0.is_dir() => Ok(false),
            None => Ok(self.try_lock()?.is_none()),
        }
    }
}

/// Times that a busy lock is tried again: somebody who only looks holds it for microseconds.
const LOCK_TRIES: u32 = 3;

/// Runs the host of a directory to its end.
///
/// # Errors
/// [`HostError`] when the directory, its files or its socket cannot be used. A program that
/// cannot be started is no error: it is recorded as [`Exit::NotStarted`].
pub fn run(dir: &Path) -> Result<HostEnd, HostError> {
    let dir = HostDir(dir.to_owned());
    let mut lock = dir.try_lock().map_err(HostError::io("lock"))?;
    for _ in 1..LOCK_TRIES {
        if lock.is_none() {
            std::thread::sleep(Duration::from_millis(20));
            lock = dir.try_lock().map_err(HostError::io("lock"))?;
        }
    }
    // Held until the process ends, so that the record of the end is there before it is free.
    let Some(_lock) = lock else { return Ok(HostEnd::Held) };
    if dir.host_record().map_err(HostError::io("host.json"))?.is_some() {
        return Ok(HostEnd::Spent);
    }
    let spec = dir.read_spec().map_err(HostError::io("spec.json"))?;
    let spec = spec.ok_or_else(|| HostError::NoSpec(dir.0.clone()))?;
    // A host that is started by hand may lead a group already, which is as good.
    match rustix::process::setsid() {
        Ok(_) | Err(Errno::PERM) => {}
        Err(error) => return Err(HostError::io("setsid")(error.into())),
    }
    tree::become_subreaper().map_err(HostError::io("become subreaper"))?;
    let kind = spec.kind;
    let mut host = run::Host::prepare(dir.clone(), spec)?;
    let record = HostRecord { host: ProcessId::own(), started_at: clock::now_ms() };
    kind.write(&dir.host(), &record).map_err(HostError::io("host.json"))?;
    announce();
    host.run()
}

/// Tells the starter that `host.json` is there. A starter that is gone does not need to know.
fn announce() {
    let mut out = io::stdout();
    if let Err(error) = out.write_all(b"ready\n").and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody waits for the host");
    }
}
