//! The town's own `dolt sql-server`: one process on one data directory, started, found again and
//! ended.
//!
//! The server's standard input is `server.lock`, an open file with an exclusive lock. So the lock
//! lives exactly as long as the server, whatever becomes of who started it, and a second server on
//! the same data cannot be started. The file says who has it; a process that is not exactly that
//! one gets no signal (I11). Whether the server answers, and as whom, is asked by others: nothing
//! here speaks SQL.

pub mod apart;
mod lock;
mod place;
pub mod repair;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::detach;
use crate::adapters::dolt::lock::Record;
use crate::adapters::dolt::lock::ServerLock;
use crate::adapters::files;
use crate::adapters::host::log::older;
use crate::adapters::host::tree::ProcessId;
use crate::adapters::layout::Town;

/// The server's user.
pub const USER: &str = "gt";
/// The user that a server makes at its first start.
pub const FIRST_USER: &str = "root";
/// Time between two looks at a lock that is about to become free.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a killed process may take until its lock is free.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// Why the server cannot be started, found or ended.
#[derive(Debug, thiserror::Error)]
pub enum DoltError {
    /// The program is not there.
    #[error(
        "the program '{0}' is not there: install Dolt (https://docs.dolthub.com/introduction/installation, \
         or build it with tools/dolt/build.sh) and name it: gt config set store.dolt /path/to/dolt"
    )]
    NoProgram(String),
    /// Somebody else listens.
    #[error(
        "port {0} of 127.0.0.1 is taken by another program: stop that program, or choose \
         another port: gt config set store.port PORT"
    )]
    PortTaken(u16),
    /// A server runs on the data directory.
    #[error("a server runs on {data} already ({holder})")]
    Running {
        /// The data directory.
        data: PathBuf,
        /// Who, as far as it is known.
        holder: String,
    },
    /// It runs with another port than the settings have now.
    #[error("the server runs at port {runs}, store.port is {wanted}: 'gt dolt restart'")]
    OtherPort {
        /// Its port.
        runs: u16,
        /// What the settings say.
        wanted: u16,
    },
    /// It does not end.
    #[error("the Dolt server (process {0}) was asked to end and still runs")]
    StillThere(i32),
    /// The lock is held by something that is not a server of this town.
    #[error("{0} is held by a process that is not known: find it with 'fuser' and end it")]
    Unknown(PathBuf),
    /// A backup was not made.
    #[error("the program made no backup: {0}")]
    BackUp(String),
    /// A file or directory.
    #[error("{path}: {source}; check that it exists and may be read and written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DoltError {
    fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Who has a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// This server; its port where it was written down.
    Server {
        /// Its process.
        process: ProcessId,
        /// Its port.
        port: Option<u16>,
    },
    /// Somebody who is about to start one, or a process that the system does not show.
    Unknown,
}

/// Where a server is and how it is started.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its own files: configuration, user, secret, lock.
    pub dir: PathBuf,
    /// The databases.
    pub data: PathBuf,
    /// Its output.
    pub log: PathBuf,
    /// Its process id, for people.
    pub pid_file: PathBuf,
    /// What it is, for people and tools.
    pub state_file: PathBuf,
    /// Its port on loopback.
    pub port: u16,
    /// The program; a name is looked up in PATH.
    pub program: String,
    /// Its environment beside what it is given here.
    pub env: BTreeMap<String, String>,
    /// A log larger than this is moved aside at a start, in bytes.
    pub log_max_bytes: u64,
}

/// A server that was started here.
#[derive(Debug)]
pub struct Started {
    /// Its process, to be waited for by who started it.
    pub child: Child,
    /// The same, for everybody else.
    pub process: ProcessId,
}

/// `dolt-state.json`.
#[derive(Clone, Debug, Serialize)]
struct State<'a> {
    pid: i32,
    start_time: u64,
    boot_id: &'a str,
    port: u16,
    data_dir: &'a Path,
    databases: &'a [String],
    started_at: i64,
}

/// A port of loopback that nobody has now.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Site {
    /// The site of a town's server.
    #[must_use]
    pub fn of(town: &Town, program: &str, port: u16, env: BTreeMap<String, String>) -> Self {
        Self {
            dir: town.dolt(),
            data: town.dolt_data(),
            log: town.dolt_log(),
            pid_file: town.dolt_pid(),
            state_file: town.dolt_state(),
            port,
            program: program.to_owned(),
            env,
            log_max_bytes: 8 << 20,
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.dir.join("server.lock")
    }

    /// Who has the data directory now.
    ///
    /// # Errors
    /// The lock file cannot be read.
    pub fn holder(&self) -> Result<Holder, DoltError> {
        let path = self.lock_path();
        lock::holder(&path).map_err(DoltError::io(&path))
    }

    /// Starts a server; it listens a little later.
    ///
    /// # Errors
    /// [`DoltError`]; nothing runs then.
    pub fn start(&self) -> Result<Started, DoltError> {
        place::prepare(self)?;
        let secret = self.secret()?;
        let path = self.lock_path();
        let Some(lock) = ServerLock::take(&path).map_err(DoltError::io(&path))? else {
            let holder = match self.holder()? {
                Holder::Server { process, .. } => format!("process {}", process.pid),
                Holder::Nobody | Holder::Unknown => "it is just being started".to_owned(),
            };
            return Err(DoltError::Running { data: self.data.clone(), holder });
        };
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)) {
            return Err(match error.kind() {
                io::ErrorKind::AddrInUse => DoltError::PortTaken(self.port),
                _ => DoltError::io("127.0.0.1")(error),
            });
        }
        let out = self.open_log()?;
        let err = out.try_clone().map_err(DoltError::io(&self.log))?;
        let child = Command::new(&self.program)
            .args(["sql-server", "--config"])
            .arg(self.config_path())
            .current_dir(&self.dir)
            .env_clear()
            .envs(&self.env)
            .envs(self.own_env())
            .env("DOLT_ROOT_PASSWORD", secret)
            .stdin(lock.input().map_err(DoltError::io(&path))?)
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn();
        let child = child.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DoltError::NoProgram(self.program.clone()),
            _ => DoltError::io(&self.program)(source),
        })?;
        let process = ProcessId::of(i32::try_from(child.id()).unwrap_or(0));
        let record = Record { process: process.clone(), port: self.port };
        // A record that is missing is made up for by looking who has the file open.
        if let Err(error) = lock.write(&record) {
            tracing::warn!(path = %path.display(), %error, "the server's lock has no record");
        }
        Ok(Started { child, process })
    }

    /// Writes down what a server is. People and tools read it, the town itself does not.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn note(&self, process: &ProcessId, databases: &[String]) -> Result<(), DoltError> {
        let state = State {
            pid: process.pid,
            start_time: process.start_time,
            boot_id: &process.boot_id,
            port: self.port,
            data_dir: &self.data,
            databases,
            started_at: clock::now_ms(),
        };
        files::write_json(&self.state_file, &state).map_err(DoltError::io(&self.state_file))?;
        let pid = format!("{}\n", process.pid);
        files::write_atomic(&self.pid_file, pid.as_bytes(), 0o644)
            .map_err(DoltError::io(&self.pid_file))
    }

    /// Ends the server: asks, waits at most `grace` until its lock is free, then kills it.
    /// Answers the process that ended; `None` when none ran. Its record goes first: whoever
    /// watches the process knows by that that it was asked to end.
    ///
    /// # Errors
    /// [`DoltError::Unknown`], [`DoltError::StillThere`].
    pub fn stop(&self, grace: Duration) -> Result<Option<ProcessId>, DoltError> {
        let process = match self.holder()? {
            Holder::Nobody => return Ok(None),
            Holder::Unknown => return Err(DoltError::Unknown(self.lock_path())),
            Holder::Server { process, .. } => process,
        };
        for path in [&self.pid_file, &self.state_file] {
            files::remove_all(path).map_err(DoltError::io(path))?;
        }
        process.signal(Signal::TERM);
        if !self.is_free_within(grace) {
            tracing::warn!(pid = process.pid, "the Dolt server does not end: it is killed");
            process.signal(Signal::KILL);
            if !self.is_free_within(KILLED_WITHIN) {
                return Err(DoltError::StillThere(process.pid));
            }
        }
        Ok(Some(process))
    }

    /// Whether the server that was this process was asked to end, by [`Site::stop`] of anybody.
    #[must_use]
    pub fn was_asked_to_end(&self, process: &ProcessId) -> bool {
        match std::fs::read_to_string(&self.pid_file) {
            Ok(pid) => pid.trim() != process.pid.to_string(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    fn is_free_within(&self, within: Duration) -> bool {
        let free = || matches!(self.holder(), Ok(Holder::Nobody)).then_some(());
        detach::wait_for(within, LOOK_EVERY, free).is_some()
    }

    fn open_log(&self) -> Result<std::fs::File, DoltError> {
        let log = &self.log;
        if std::fs::metadata(log).is_ok_and(|meta| meta.len() > self.log_max_bytes) {
            std::fs::rename(log, older(log)).map_err(DoltError::io(log))?;
        }
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(log)
            .map_err(DoltError::io(log))
    }

    /// Bytes free on the disk that has the databases.
    ///
    /// # Errors
    /// The directory is not there.
    pub fn free_bytes(&self) -> Result<u64, DoltError> {
        let said = rustix::fs::statvfs(&self.data)
            .map_err(|error| DoltError::io(&self.data)(error.into()))?;
        Ok(said.f_bavail.saturating_mul(said.f_frsize))
    }
}
