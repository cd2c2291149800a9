//! Sessions, from the daemon's side: start a host, hear how it ends, ask it to stop.
//!
//! The truth about a session is its host's directory: this side only reads it and talks to the
//! host's socket, so that a restarted daemon knows as much as the one before.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
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

/// What a session's directory says.
enum Look {
    Ended(Exit),
    Live,
    Gone,
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

    /// Runs what reads or writes files on a blocking thread.
    async fn off<T: Send + 'static>(
        &self,
        id: &SessionId,
        work: impl FnOnce(&Self) -> Result<T, SessionError> + Send + 'static,
    ) -> Result<T, SessionError> {
        let sessions = self.clone();
        match tokio::task::spawn_blocking(move || work(&sessions)).await {
            Ok(answer) => answer,
            Err(error) => Err(at(id, "file work")(io::Error::other(error))),
        }
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
        let of = id.clone();
        let log = self.off(id, move |sessions| match sessions.identity(&of)? {
            Some(identity) => Ok(Err(identity)),
            None => sessions.write_spec(&of, launch).map(Ok),
        });
        let log = match log.await? {
            Ok(log) => log,
            Err(identity) => return Ok(identity),
        };
        let dir = self.dir(id)?;
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
        self.settled(id).await
    }

    /// Writes what the host is told and opens the host's own log.
    fn write_spec(&self, id: &SessionId, launch: Launch) -> Result<File, SessionError> {
        let dir = self.dir(id)?;
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
        files::write_json(&dir.spec(), &spec).map_err(at(id, "spec.json"))?;
        let mut log = OpenOptions::new();
        log.create(true).append(true).mode(0o600);
        log.open(dir.host_log()).map_err(at(id, "host.log"))
    }

    /// Waits, within a bound, until the host of a directory is known: another starter's host may
    /// hold the lock and not have written who it is.
    async fn settled(&self, id: &SessionId) -> Result<HostIdentity, SessionError> {
        let mut pause = LOOK_FIRST;
        for _ in 0..10 {
            let of = id.clone();
            let known = self.off(id, move |sessions| {
                let identity = sessions.identity(&of)?;
                Ok((identity, sessions.look(&of)?))
            });
            match known.await? {
                (Some(identity), _) => return Ok(identity),
                (None, Look::Live) => {}
                (None, Look::Ended(_) | Look::Gone) => break,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_LONGEST);
        }
        // Between the two looks the host may have come and gone.
        let of = id.clone();
        self.off(id, move |sessions| {
            if let Some(identity) = sessions.identity(&of)? {
                return Ok(identity);
            }
            let log = sessions.dir(&of)?.host_log();
            let said = files::tail(&log, 5, 2048).map_err(at(&of, "host.log"))?;
            Err(SessionError::NoHost { session: of, said })
        })
        .await
    }

    /// What the directory of a session says now.
    fn look(&self, id: &SessionId) -> Result<Look, SessionError> {
        let dir = self.dir(id)?;
        let live = dir.is_live().map_err(at(id, "lock"))?;
        // Read after the look at the host: a record that it left last is not missed.
        match dir.end_record().map_err(at(id, "exit"))? {
            Some(record) => Ok(Look::Ended(record.exit)),
            None if live => Ok(Look::Live),
            None => Ok(Look::Gone),
        }
    }

    /// Answers when the session has ended, however long that takes.
    ///
    /// A session that nobody ever heard of, and one whose host died without a record, is
    /// [`Exit::Vanished`]; what such a host left running is ended first.
    ///
    /// # Errors
    /// Unreadable records.
    pub async fn watch(&self, id: &SessionId) -> Result<Exit, SessionError> {
        let mut pause = LOOK_FIRST;
        loop {
            let of = id.clone();
            let seen = self.off(id, move |sessions| {
                let seen = sessions.look(&of)?;
                if matches!(seen, Look::Gone) {
                    sessions.sweep(&of)?;
                }
                Ok(seen)
            });
            match seen.await? {
                Look::Ended(exit) => return Ok(exit),
                Look::Gone => return Ok(Exit::Vanished),
                Look::Live => {}
            }
            if let Some(line) = self.ask(id, "watch\n", None).await? {
                match serde_json::from_str::<EndRecord>(&line) {
                    Ok(record) => return Ok(record.exit),
                    Err(error) => tracing::warn!(session = %id, %error, "odd answer of the host"),
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_LONGEST);
        }
    }

    /// Ends what a dead host left running.
    fn sweep(&self, id: &SessionId) -> Result<(), SessionError> {
        if let Some(spec) = self.dir(id)?.read_spec().map_err(at(id, "spec.json"))? {
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
        let mut pause = LOOK_FIRST;
        for _ in 0..8 {
            let asked = self.ask(id, &format!("stop {grace_ms}\n"), Some(ANSWER_WITHIN)).await?;
            if asked.is_some_and(|answer| answer == "stopping") {
                return Ok(());
            }
            let of = id.clone();
            if !matches!(self.off(id, move |sessions| sessions.look(&of)).await?, Look::Live) {
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
        let of = id.clone();
        let spec = self
            .off(id, move |sessions| sessions.dir(&of)?.read_spec().map_err(at(&of, "spec.json")));
        let spec = spec.await?;
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
