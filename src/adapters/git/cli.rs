//! The git command: quiet, without prompts, with a deadline, and with all it said in the error.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;

use crate::adapters::git::GitError;
use crate::adapters::git::file;

/// Most bytes kept of what a command prints, per stream.
const OUTPUT_MAX: u64 = 16 << 20;

/// Variables by which an outer git would lead ours to another repository.
const FOREIGN: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// Settings of every call: nothing may start background work of its own.
const SETTINGS: [&str; 4] =
    ["core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false", "advice.detachedHead=false"];

/// The git command in a directory.
#[derive(Clone, Debug)]
pub struct Git {
    dir: PathBuf,
    timeout: Duration,
    env: Vec<(OsString, OsString)>,
    settings: Vec<&'static str>,
}

/// What a command answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed, without the last line end.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Git {
    /// Git in `dir`, each command bounded by `timeout`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, timeout: Duration) -> Self {
        Self { dir: dir.into(), timeout, env: Vec::new(), settings: Vec::new() }
    }

    /// With one more variable.
    #[must_use]
    pub fn with_env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// With settings (`name=value`) that go before the person's and the repository's own.
    #[must_use]
    pub fn with_settings(mut self, settings: &[&'static str]) -> Self {
        self.settings.extend_from_slice(settings);
        self
    }

    /// The same in another directory.
    #[must_use]
    pub fn at(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Runs a command and gives what it printed.
    ///
    /// # Errors
    /// It cannot be started, takes too long, or ends with anything but 0.
    pub fn run(&self, arguments: &[&str]) -> Result<String, GitError> {
        let answer = self.ask(arguments)?;
        if answer.status.success() {
            return Ok(answer.stdout);
        }
        let code = match (answer.status.code(), answer.status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        let stderr = answer.stderr.trim().to_owned();
        Err(GitError::Cli { command: arguments.join(" "), code, stderr })
    }

    /// Runs a command whose failure is an answer too.
    ///
    /// # Errors
    /// It cannot be started, or takes too long.
    pub fn ask(&self, arguments: &[&str]) -> Result<Answer, GitError> {
        let mut command = Command::new("git");
        for setting in SETTINGS.iter().chain(&self.settings) {
            command.args(["-c", setting]);
        }
        for name in FOREIGN {
            command.env_remove(name);
        }
        // A damaged worktree must not lead to a repository around the town.
        let ceiling = self.dir.parent().unwrap_or(Path::new("/"));
        command
            .args(arguments)
            .current_dir(&self.dir)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CEILING_DIRECTORIES", ceiling)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command
            .spawn()
            .map_err(file(format!("start git in {} (is it installed?)", self.dir.display())))?;
        let read = self.read(&mut child);
        if read.is_none() {
            end_group(&child);
        }
        let status = child.wait().map_err(file("wait for git"))?;
        let Some((stdout, stderr)) = read else {
            let after_ms = self.timeout.as_millis();
            return Err(GitError::Timeout { command: arguments.join(" "), after_ms });
        };
        let stdout = String::from_utf8_lossy(&stdout).trim_end_matches('\n').to_owned();
        Ok(Answer { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }

    /// Both streams to their ends; `None` when the time is up first.
    fn read(&self, child: &mut Child) -> Option<(Vec<u8>, Vec<u8>)> {
        let deadline = Instant::now() + self.timeout;
        let out = reader(child.stdout.take()?);
        let err = reader(child.stderr.take()?);
        let until = |stream: mpsc::Receiver<Vec<u8>>| match stream
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(bytes) => Some(bytes),
            Err(RecvTimeoutError::Disconnected) => Some(Vec::new()),
            Err(RecvTimeoutError::Timeout) => None,
        };
        Some((until(out)?, until(err)?))
    }
}

/// Reads a stream on a thread of its own, keeping at most [`OUTPUT_MAX`] bytes.
fn reader(stream: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stream = stream;
        let mut kept = Vec::new();
        if let Err(error) = stream.by_ref().take(OUTPUT_MAX).read_to_end(&mut kept) {
            tracing::debug!(%error, "git's output ended early");
        }
        if let Err(error) = std::io::copy(&mut stream, &mut std::io::sink()) {
            tracing::debug!(%error, "git's output ended early");
        }
        // Nobody listens any more when the time was up.
        drop(send.send(kept));
    });
    receive
}

/// Kills git and its helpers. The child is not waited for yet, so its id is still its own.
fn end_group(child: &Child) {
    if let Err(error) = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL) {
        tracing::debug!(%error, "git had ended");
    }
}
