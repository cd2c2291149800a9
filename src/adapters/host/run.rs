//! The host's one loop: output, commands, deadlines, and the end of the tree.
//!
//! A thread waits for children and wakes the loop through a pipe; all else happens here. The tree
//! is over exactly when there is no child left to wait for, because orphans become ours.

use std::io;
use std::io::ErrorKind;
use std::io::PipeReader;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::WaitOptions;
use rustix::process::WaitStatus;

use super::EndRecord;
use super::HostCommand;
use super::HostDir;
use super::HostEnd;
use super::HostError;
use super::HostKind;
use super::HostSpec;
use super::HostStatus;
use super::log::BoundedLog;
use super::tree;
use crate::adapters::clock;
use crate::adapters::files;
use crate::model::agent::Exit;

/// Most connections at a time; one more is closed at once.
const CLIENTS_MAX: usize = 32;
/// Longest command line on the socket, in bytes.
const COMMAND_MAX: usize = 64;
/// How often a tree that is being killed is killed again: what was born meanwhile.
const KILL_EVERY: Duration = Duration::from_millis(50);
/// How long a killed tree is waited for; what the kernel holds longer is left to it.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What the waiting thread saw.
enum Reaped {
    One(Pid, WaitStatus),
    NoneLeft,
}

/// Why the tree is being ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    MainEnded,
    Asked,
    TimeUp,
    DaemonGone,
}

/// The ending of the tree.
struct Ending {
    why: Why,
    kill_at: Instant,
    give_up_at: Instant,
}

/// One connection.
struct Client {
    stream: UnixStream,
    line: Vec<u8>,
    watches: bool,
}

/// A host at work.
pub(super) struct Host {
    dir: HostDir,
    spec: HostSpec,
    log: BoundedLog,
    listener: Option<UnixListener>,
    clients: Vec<Client>,
    output: Option<PipeReader>,
    child: Option<i32>,
    main_exit: Option<Exit>,
    tree_over: bool,
    ending: Option<Ending>,
    last_output_at: Option<i64>,
    log_lost: Option<String>,
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Signal(0),
    }
}

/// Waits for every child there ever is and says when none is left.
fn wait_for_children(seen: &mpsc::Sender<Reaped>, mut wake: &UnixStream) {
    loop {
        let news = match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => Reaped::One(pid, status),
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(_) => Reaped::NoneLeft,
        };
        let last = matches!(news, Reaped::NoneLeft);
        // The other ends live as long as the process; a full pipe has woken the loop already.
        if seen.send(news).is_err() || last {
            drop(wake.write(b"."));
            return;
        }
        drop(wake.write(b"."));
    }
}

impl Host {
    /// Opens the log and the socket.
    pub(super) fn prepare(dir: HostDir, spec: HostSpec) -> Result<Self, HostError> {
        let log = BoundedLog::create(&spec.log, spec.log_max_bytes)
            .map_err(HostError::io(spec.log.display().to_string()))?;
        let listener = match &spec.socket {
            None => None,
            Some(path) => {
                // Only the holder of the lock comes here, so a socket there is a dead one's.
                files::remove_all(path).map_err(HostError::io("old socket"))?;
                let listener = UnixListener::bind(path)
                    .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                    .map_err(HostError::io(path.display().to_string()))?;
                Some(listener)
            }
        };
        Ok(Self {
            dir,
            spec,
            log,
            listener,
            clients: Vec::new(),
            output: None,
            child: None,
            main_exit: None,
            tree_over: false,
            ending: None,
            last_output_at: None,
            log_lost: None,
        })
    }

    /// Starts the program and serves until its tree is over.
    pub(super) fn run(&mut self) -> Result<HostEnd, HostError> {
        match self.start() {
            Ok(()) => {}
            Err(reason) => {
                self.main_exit = Some(Exit::NotStarted(reason));
                return self.record();
            }
        }
        let (seen, reaped) = mpsc::channel();
        let (wake, woken) = UnixStream::pair().map_err(HostError::io("wake pipe"))?;
        for end in [&wake, &woken] {
            end.set_nonblocking(true).map_err(HostError::io("wake pipe"))?;
        }
        std::thread::Builder::new()
            .name("wait".to_owned())
            .spawn(move || wait_for_children(&seen, &wake))
            .map_err(HostError::io("waiting thread"))?;
        let timeout = self.spec.timeout_ms.map(Duration::from_millis);
        let time_up = timeout.map(|after| Instant::now() + after);
        while !self.tree_over {
            self.turn(&woken, time_up).map_err(HostError::io("poll"))?;
            while let Ok(news) = reaped.try_recv() {
                self.note(news);
            }
            self.deadlines(time_up);
        }
        if cfg!(not(target_os = "linux")) {
            // Without subreapers orphans are not waited for; the group is all that can be reached.
            tree::signal_descendants(self.child, Signal::KILL);
        }
        self.drain();
        if self.ending.as_ref().is_some_and(|ending| ending.why == Why::DaemonGone) {
            return Ok(HostEnd::Abandoned);
        }
        self.record()
    }

    /// Starts the program; the error says why it could not.
    fn start(&mut self) -> Result<(), String> {
        if !self.spec.cwd.is_dir() {
            return Err(format!("{} is not a directory", self.spec.cwd.display()));
        }
        let shell;
        let argv = match &self.spec.command {
            HostCommand::Argv(argv) => argv,
            HostCommand::Shell(line) => {
                shell = ["sh", "-c", line].map(str::to_owned).to_vec();
                &shell
            }
        };
        let [program, arguments @ ..] = argv.as_slice() else {
            return Err("the command is empty".to_owned());
        };
        let (output, input) = io::pipe().map_err(|error| error.to_string())?;
        rustix::io::ioctl_fionbio(&output, true).map_err(|error| error.to_string())?;
        let second = input.try_clone().map_err(|error| error.to_string())?;
        // The handle is dropped, not waited for: the waiting thread reaps every child.
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(&self.spec.env)
            .current_dir(&self.spec.cwd)
            .stdin(Stdio::null())
            .stdout(input)
            .stderr(second)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        self.child = i32::try_from(child.id()).ok();
        self.output = Some(output);
        Ok(())
    }

    /// Waits for the next event and handles what is ready.
    fn turn(&mut self, woken: &UnixStream, time_up: Option<Instant>) -> io::Result<()> {
        let stdin = io::stdin();
        let gate = self.spec.kind == HostKind::Gate && self.ending.is_none();
        let mut wanted: Vec<(Source, BorrowedFd<'_>)> = vec![(Source::Wake, woken.as_fd())];
        if gate {
            wanted.push((Source::Daemon, stdin.as_fd()));
        }
        wanted.extend(self.output.as_ref().map(|fd| (Source::Output, fd.as_fd())));
        wanted.extend(self.listener.as_ref().map(|fd| (Source::Door, fd.as_fd())));
        for (at, client) in self.clients.iter().enumerate() {
            wanted.push((Source::Client(at), client.stream.as_fd()));
        }
        let mut fds: Vec<PollFd<'_>> =
            wanted.iter().map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let timeout = self.next_deadline(time_up).map(|at| {
            // One millisecond more, so that the deadline has passed when the wait returns.
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<Source> = wanted
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|((source, _), _)| *source)
            .collect();
        // From the back, so that a closed connection does not move those still to be served.
        for source in ready.into_iter().rev() {
            match source {
                Source::Wake => empty(woken),
                Source::Daemon => self.hear_daemon(),
                Source::Output => self.copy_output(),
                Source::Door => self.accept(),
                Source::Client(at) => self.serve(at),
            }
        }
        Ok(())
    }

    fn next_deadline(&self, time_up: Option<Instant>) -> Option<Instant> {
        match &self.ending {
            None => time_up,
            Some(ending) if Instant::now() < ending.kill_at => Some(ending.kill_at),
            Some(_) => Some(Instant::now() + KILL_EVERY),
        }
    }

    fn deadlines(&mut self, time_up: Option<Instant>) {
        let now = Instant::now();
        if self.ending.is_none() && time_up.is_some_and(|at| now >= at) {
            self.end(Why::TimeUp, self.spec.grace_ms);
        }
        let Some(ending) = &self.ending else { return };
        if now >= ending.give_up_at {
            tracing::error!("the tree did not die; leaving it to the kernel");
            self.tree_over = true;
        } else if now >= ending.kill_at {
            tree::signal_descendants(self.child, Signal::KILL);
        }
    }

    /// Begins to end the tree. A second reason changes nothing but may shorten the grace.
    fn end(&mut self, why: Why, grace_ms: u64) {
        let kill_at = Instant::now() + Duration::from_millis(grace_ms);
        match &mut self.ending {
            Some(ending) => ending.kill_at = ending.kill_at.min(kill_at),
            None => {
                self.ending = Some(Ending { why, kill_at, give_up_at: kill_at + KILL_PATIENCE });
                let signal = if grace_ms == 0 { Signal::KILL } else { Signal::TERM };
                tree::signal_descendants(self.child, signal);
            }
        }
    }

    fn note(&mut self, news: Reaped) {
        match news {
            Reaped::NoneLeft => self.tree_over = true,
            Reaped::One(pid, status) if Some(pid.as_raw_nonzero().get()) == self.child => {
                self.main_exit = Some(exit_of(status));
                self.end(Why::MainEnded, self.spec.grace_ms);
            }
            Reaped::One(..) => {}
        }
    }

    /// Reads the daemon's pipe; its end of file means that nobody will read the answer.
    fn hear_daemon(&mut self) {
        let mut ignored = [0_u8; 64];
        match io::stdin().read(&mut ignored) {
            Ok(read) if read > 0 => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => self.end(Why::DaemonGone, 0),
        }
    }

    /// Copies what the program printed, at most one buffer, so that commands are heard between.
    fn copy_output(&mut self) {
        let mut buffer = [0_u8; 65536];
        let Some(output) = &mut self.output else { return };
        match output.read(&mut buffer) {
            Ok(0) => self.output = None,
            Ok(read) => {
                self.last_output_at = Some(clock::now_ms());
                if let Err(error) = self.log.append(&buffer[..read]) {
                    // The program must not block on a full disk: its output is dropped instead.
                    tracing::warn!(%error, "output not logged");
                    self.log_lost = Some(error.to_string());
                }
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => {
                tracing::warn!(%error, "output closed");
                self.output = None;
            }
        }
    }

    /// Copies what is left in the pipe after the end, bounded by what a pipe can hold.
    fn drain(&mut self) {
        for _ in 0..64 {
            if self.output.is_none() {
                break;
            }
            self.copy_output();
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        match listener.accept() {
            Ok((stream, _)) if self.clients.len() < CLIENTS_MAX => {
                match stream.set_nonblocking(true) {
                    Ok(()) => {
                        self.clients.push(Client { stream, line: Vec::new(), watches: false });
                    }
                    Err(error) => tracing::warn!(%error, "connection refused"),
                }
            }
            Ok(_) => tracing::warn!("too many connections; one refused"),
            Err(error) => tracing::debug!(%error, "no connection after all"),
        }
    }

    /// Reads from a client and answers a whole line.
    fn serve(&mut self, at: usize) {
        let mut buffer = [0_u8; COMMAND_MAX];
        let Some(client) = self.clients.get_mut(at) else { return };
        match client.stream.read(&mut buffer) {
            Ok(read) if read > 0 && client.line.len() + read <= COMMAND_MAX => {
                client.line.extend_from_slice(&buffer[..read]);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return;
            }
            Ok(_) | Err(_) => {
                self.clients.swap_remove(at);
                return;
            }
        }
        let Some(end) = client.line.iter().position(|b| *b == b'\n') else { return };
        let line = String::from_utf8_lossy(&client.line[..end]).into_owned();
        client.line.drain(..=end);
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let answer = match words.as_slice() {
            ["watch"] => {
                client.watches = true;
                return;
            }
            ["status"] => {
                let status = HostStatus {
                    child: self.main_exit.is_none().then_some(self.child).flatten(),
                    last_output_at: self.last_output_at,
                };
                serde_json::to_string(&status).unwrap_or_else(|error| error.to_string())
            }
            ["stop", grace] => match grace.parse() {
                Ok(grace_ms) => {
                    self.end(Why::Asked, grace_ms);
                    "stopping".to_owned()
                }
                Err(_) => "error: stop wants milliseconds".to_owned(),
            },
            _ => "error: known are watch, status and stop GRACE_MS".to_owned(),
        };
        self.answer(at, &answer);
    }

    fn answer(&mut self, at: usize, line: &str) {
        let Some(client) = self.clients.get_mut(at) else { return };
        if let Err(error) = client.stream.write_all(format!("{line}\n").as_bytes()) {
            tracing::debug!(%error, "a client left before its answer");
            self.clients.swap_remove(at);
        }
    }

    /// Writes the record of the end, then tells those who watch.
    fn record(&mut self) -> Result<HostEnd, HostError> {
        let why = self.ending.as_ref().map(|ending| ending.why);
        let exit = match (why, self.main_exit.take()) {
            (Some(Why::Asked), _) => Exit::Stopped,
            (_, Some(exit)) => exit,
            (_, None) => Exit::Signal(Signal::KILL.as_raw()),
        };
        let record = EndRecord {
            exit,
            ended_at: clock::now_ms(),
            timed_out: why == Some(Why::TimeUp),
            log_lost: self.log_lost.take(),
        };
        self.spec.kind.write(&self.dir.exit(), &record).map_err(HostError::io("exit"))?;
        let line = serde_json::to_string(&record).expect("plain data always serializes");
        self.accept();
        for at in (0..self.clients.len()).rev() {
            if self.clients[at].watches {
                self.answer(at, &line);
            }
        }
        if let Some(path) = &self.spec.socket
            && let Err(error) = files::remove_all(path)
        {
            tracing::debug!(%error, "the socket stays");
        }
        Ok(HostEnd::Recorded)
    }
}

/// What can wake the loop.
#[derive(Clone, Copy)]
enum Source {
    Wake,
    Daemon,
    Output,
    Door,
    Client(usize),
}

fn empty(mut pipe: &UnixStream) {
    let mut bytes = [0_u8; 64];
    while matches!(pipe.read(&mut bytes), Ok(read) if read > 0) {}
}
