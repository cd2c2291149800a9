//! Sessions, from the daemon's side: start a host, hear how it ends, ask it to stop.
//!
//! The truth about a session is its host's directory: this side only reads it and talks to the
//! host's socket, so that a restarted daemon knows as much as the one before.

use std::collections::BTreeMap;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::adapters::files;
use crate::adapters::host::EndRecord;
use crate::adapters::host::HostCommand;
use crate::adapters::host::HostDir;
use crate::adapters::host::HostKind;
use crate::adapters::host::HostSpec;
use crate::adapters::host::HostStatus;
use crate::adapters::host::log::older;
use crate::adapters::host::tree;
use crate::adapters::layout::BadName;
use crate::adapters::layout::Town;
use crate::adapters::layout::component;
use crate::adapters::token;
use crate::model::agent::Exit;
use crate::model::effect::HostIdentity;
use crate::model::ids::SessionId;

/// How long a fresh host may take until it says that it is there.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long a host may take to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// First and longest pause between looks at a host that can not be reached yet.
const LOOK_FIRST: Duration = Duration::from_millis(10);
const LOOK_LONGEST: Duration = Duration::from_millis(500);

/// Why a session could not be started, heard or stopped.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The id is no file name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A file or process.
    #[error("session {session}: {what}: {source}")]
    Io {
        /// The session.
        session: SessionId,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The host did not start.
    #[error("session {session}: the host did not start: {said}")]
    NoHost {
        /// The session.
        session: SessionId,
        /// The end of the host's own log.
        said: String,
    },
    /// It still runs.
    #[error("session {0} still runs; stop it first")]
    Live(SessionId),
}

/// What to start, beyond its id.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Its environment, without the secret.
    pub env: BTreeMap<String, String>,
    /// Bound of its log, in bytes.
    pub log_max_bytes: u64,
    /// Milliseconds that its tree is given when the program has ended.
    pub grace_ms: u64,
}

/// The sessions of a town.
#[derive(Clone, Debug)]
pub struct Sessions {
    town: Town,
}

fn at(session: &SessionId, what: &'static str) -> impl FnOnce(io::Error) -> SessionError {
    let session = session.clone();
    move |source| SessionError::Io { session, what, source }
}

impl Sessions {
    /// The sessions of `town`.
    #[must_use]
    pub fn new(town: Town) -> Self {
        Self { town }
    }

    fn dir(&self, id: &SessionId) -> Result<HostDir, SessionError> {
        component(id.as_str())?;
        Ok(HostDir(self.town.session(id)))
    }

    /// The secret of a session, as its `GT_TOKEN`.
    ///
    /// # Errors
    /// The town's key cannot be read or made.
    pub fn token(&self, id: &SessionId) -> Result<String, SessionError> {
        let key = token::town_key(&self.town.key()).map_err(at(id, "town key"))?;
        Ok(token::session_token(&key, id))
    }

    fn identity(&self, id: &SessionId) -> Result<Option<HostIdentity>, SessionError> {
        let record = self.dir(id)?.host_record().map_err(at(id, "host.json"))?;
        let Some(record) = record else { return Ok(None) };
        let token_hash = token::token_hash(&self.token(id)?);
        Ok(Some(HostIdentity {
            pid: record.host.pid,
            start_time: record.host.start_time,
            boot_id: record.host.boot_id,
            token_hash,
        }))
    }

    /// Starts a session's host with `exe session-host`, unless this id was started before: then
    /// the answer is who that host is, or was.
    ///
    /// # Errors
    /// The directory cannot be written, or the host does not say that it is there.
    pub async fn spawn(
        &self,
        id: &SessionId,
        exe: &Path,
        launch: Launch,
    ) -> Result<HostIdentity, SessionError> {
        if let Some(identity) = self.identity(id)? {
            return Ok(identity);
        }
        let dir = self.dir(id)?;
        self.write_spec(id, &dir, launch)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(dir.host_log())
            .map_err(at(id, "host.log"))?;
        // The host makes a session of its own; a group made here would forbid it that.
        let mut child = Command::new(exe)
            .arg("session-host")
            .arg(&dir.0)
            .env_clear()
            .current_dir(&dir.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(at(id, "start the host"))?;
        let ready = child.stdout.take().map(BufReader::new);
        let waiting = id.clone();
        tokio::spawn(async move {
            match child.wait().await {
                Ok(status) => tracing::debug!(session = %waiting, %status, "host ended"),
                Err(error) => tracing::warn!(session = %waiting, %error, "host not waited for"),
            }
        });
        if let Some(mut ready) = ready {
            let mut line = String::new();
            match tokio::time::timeout(READY_WITHIN, ready.read_line(&mut line)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(at(id, "hear the host")(error)),
                Err(_) => tracing::warn!(session = %id, "the host is late"),
            }
        }
        self.settled(id, &dir).await
    }

    fn write_spec(
        &self,
        id: &SessionId,
        dir: &HostDir,
        launch: Launch,
    ) -> Result<(), SessionError> {
        files::private_dir(&dir.0).map_err(at(id, "directory"))?;
        let token = self.token(id)?;
        let mut env = launch.env;
        env.insert("GT_TOKEN".to_owned(), token.clone());
        let spec = HostSpec {
            kind: HostKind::Session,
            command: HostCommand::Argv(launch.argv),
            cwd: launch.cwd,
            env,
            mark: format!("GT_TOKEN={token}"),
            log: dir.log(),
            log_max_bytes: launch.log_max_bytes,
            timeout_ms: None,
            grace_ms: launch.grace_ms,
            socket: Some(self.town.prepare_session_socket(id).map_err(at(id, "socket"))?),
        };
        files::write_json(&dir.spec(), &spec).map_err(at(id, "spec.json"))
    }

    /// Waits, within a bound, until the host of a directory is known: another starter's host may
    /// hold the lock and not have written who it is.
    async fn settled(&self, id: &SessionId, dir: &HostDir) -> Result<HostIdentity, SessionError> {
        let mut pause = LOOK_FIRST;
        for _ in 0..10 {
            if let Some(identity) = self.identity(id)? {
                return Ok(identity);
            }
            if !dir.is_live().map_err(at(id, "lock"))? {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_LONGEST);
        }
        // Between the two looks the host may have come and gone.
        if let Some(identity) = self.identity(id)? {
            return Ok(identity);
        }
        let said = files::tail(&dir.host_log(), 5, 2048).map_err(at(id, "host.log"))?;
        Err(SessionError::NoHost { session: id.clone(), said })
    }

    /// Answers when the session has ended, however long that takes.
    ///
    /// A session that nobody ever heard of, and one whose host died without a record, is
    /// [`Exit::Vanished`]; what such a host left running is ended first.
    ///
    /// # Errors
    /// Unreadable records.
    pub async fn watch(&self, id: &SessionId) -> Result<Exit, SessionError> {
        let dir = self.dir(id)?;
        let mut pause = LOOK_FIRST;
        loop {
            if let Some(record) = dir.end_record().map_err(at(id, "exit"))? {
                return Ok(record.exit);
            }
            if let Some(line) = self.ask(id, "watch\n", None).await? {
                match serde_json::from_str::<EndRecord>(&line) {
                    Ok(record) => return Ok(record.exit),
                    Err(error) => tracing::warn!(session = %id, %error, "odd answer of the host"),
                }
            }
            if !dir.is_live().map_err(at(id, "lock"))? {
                // It may have ended properly between the first look and this one.
                if let Some(record) = dir.end_record().map_err(at(id, "exit"))? {
                    return Ok(record.exit);
                }
                self.sweep(id, &dir)?;
                return Ok(Exit::Vanished);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_LONGEST);
        }
    }

    fn sweep(&self, id: &SessionId, dir: &HostDir) -> Result<(), SessionError> {
        if let Some(spec) = dir.read_spec().map_err(at(id, "spec.json"))? {
            let left = tree::kill_marked(&spec.mark);
            tracing::warn!(session = %id, left, "the host vanished");
        }
        Ok(())
    }

    /// Asks the host to end its tree; `Ok` also when there is nothing to end.
    ///
    /// # Errors
    /// The host lives and does not answer: trying again may help.
    pub async fn stop(&self, id: &SessionId, grace_ms: u64) -> Result<(), SessionError> {
        let dir = self.dir(id)?;
        let mut pause = LOOK_FIRST;
        for _ in 0..8 {
            let asked = self.ask(id, &format!("stop {grace_ms}\n"), Some(ANSWER_WITHIN)).await?;
            if asked.is_some_and(|answer| answer == "stopping") {
                return Ok(());
            }
            let ended = dir.end_record().map_err(at(id, "exit"))?.is_some();
            if ended || !dir.is_live().map_err(at(id, "lock"))? {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_LONGEST);
        }
        let source = io::Error::new(io::ErrorKind::TimedOut, "the host does not answer");
        Err(at(id, "stop")(source))
    }

    /// What the host says of its program; `None` when there is no host.
    ///
    /// # Errors
    /// An unreadable spec.
    pub async fn status(&self, id: &SessionId) -> Result<Option<HostStatus>, SessionError> {
        let line = self.ask(id, "status\n", Some(ANSWER_WITHIN)).await?;
        Ok(line.and_then(|line| serde_json::from_str(&line).ok()))
    }

    /// One line to the host and one back; `None` when it cannot be reached or leaves.
    async fn ask(
        &self,
        id: &SessionId,
        line: &str,
        within: Option<Duration>,
    ) -> Result<Option<String>, SessionError> {
        let spec = self.dir(id)?.read_spec().map_err(at(id, "spec.json"))?;
        let Some(socket) = spec.and_then(|spec| spec.socket) else { return Ok(None) };
        let asked = async {
            let mut stream = UnixStream::connect(socket).await?;
            stream.write_all(line.as_bytes()).await?;
            let mut answer = String::new();
            let read = BufReader::new(stream).read_line(&mut answer).await?;
            Ok::<_, io::Error>((read > 0).then(|| answer.trim_end().to_owned()))
        };
        let answer = match within {
            None => asked.await,
            Some(within) => tokio::time::timeout(within, asked)
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut))),
        };
        Ok(answer.unwrap_or_else(|error| {
            tracing::debug!(session = %id, %error, "the host is not reached");
            None
        }))
    }

    /// The last lines of what the session printed, at most `bytes` bytes.
    ///
    /// # Errors
    /// An existing log that cannot be read.
    pub fn tail(&self, id: &SessionId, lines: usize, bytes: u64) -> Result<String, SessionError> {
        let path = self.dir(id)?.log();
        let new = files::tail(&path, lines, bytes).map_err(at(id, "log"))?;
        let have = new.lines().count();
        let room = bytes.saturating_sub(new.len() as u64);
        if have >= lines || room == 0 {
            return Ok(new);
        }
        let old = files::tail(&older(&path), lines - have, room).map_err(at(id, "log"))?;
        Ok(if old.is_empty() { new } else { format!("{old}\n{new}") })
    }

    /// Every session that has a directory, by name.
    ///
    /// # Errors
    /// The directory of sessions cannot be read.
    pub fn list(&self) -> io::Result<Vec<SessionId>> {
        let entries = match fs::read_dir(self.town.sessions()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            if let Some(name) = entry?.file_name().to_str() {
                found.push(SessionId::from(name));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes an ended session's directory, once what it says is in the ledger.
    ///
    /// # Errors
    /// [`SessionError::Live`] while its host lives.
    pub fn forget(&self, id: &SessionId) -> Result<(), SessionError> {
        let dir = self.dir(id)?;
        if dir.is_live().map_err(at(id, "lock"))? {
            return Err(SessionError::Live(id.clone()));
        }
        files::remove_all(&dir.0).map_err(at(id, "remove"))
    }

    /// Makes `daemon/bin/gt` and `daemon/bin/bd` links to `exe`, as agents find them in PATH.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn link_commands(&self, exe: &Path) -> io::Result<()> {
        files::private_dir(&self.town.bin())?;
        for name in ["gt", "bd"] {
            let link = self.town.bin().join(name);
            if fs::read_link(&link).is_ok_and(|target| target == exe) {
                continue;
            }
            let fresh = self.town.bin().join(format!("{name}.{}.tmp", std::process::id()));
            files::remove_all(&fresh)?;
            std::os::unix::fs::symlink(exe, &fresh)?;
            fs::rename(&fresh, &link)?;
        }
        Ok(())
    }
}
