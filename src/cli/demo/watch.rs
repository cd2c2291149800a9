//! Watches the town's events until all work has landed, and tells what happens in plain words.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use crate::adapters::clock;
use crate::cli::demo::DemoError;
use crate::cli::demo::chaos::Chaos;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::server::ServerChaos;
use crate::cli::demo::stage::RIG;
use crate::cli::demo::stage::Stage;
use crate::gateway::client;
use crate::messages::door::Call;
use crate::messages::door::PROTOCOL;
use crate::messages::door::Query;
use crate::messages::door::Request;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::query::BeadFilter;

/// Milliseconds for one question.
const ASK: Duration = Duration::from_secs(10);
/// The daemon may be gone this often before the demo gives up.
const RESTARTS_MAX: u64 = 400;

/// What comes from the event stream.
enum News {
    Event(Value),
    Gone,
}

/// The watcher.
pub(super) struct Watch<'a> {
    stage: &'a Stage,
    beads: &'a [String],
    deadline: Instant,
    restart: bool,
    restarts: u64,
    last: String,
    closed: usize,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        stage: &'a Stage,
        beads: &'a [String],
        deadline: Instant,
        restart: bool,
    ) -> Self {
        Self { stage, beads, deadline, restart, restarts: 0, last: String::new(), closed: 0 }
    }

    /// Times that the daemon was found gone without having been killed here.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Watches until all is closed, the queue is parked, or time is up.
    pub(super) fn run(
        &mut self,
        chaos: &mut Chaos,
        server: &mut ServerChaos,
        out: &mut Screen,
    ) -> Result<(), DemoError> {
        loop {
            let news = self.listen();
            chaos.arm(clock::instant());
            if self.settled(out)? {
                return Ok(());
            }
            match self.follow(&news, chaos, server, out)? {
                Followed::Done => return Ok(()),
                Followed::Killed => self.revive(out)?,
                Followed::Gone => {
                    self.restarts += 1;
                    self.revive(out)?;
                }
            }
        }
    }

    fn listen(&self) -> Receiver<News> {
        let (send, news) = mpsc::channel();
        let socket = self.stage.layout.socket_path();
        std::thread::spawn(move || {
            if let Ok(events) = client::events(&socket) {
                for line in events {
                    let Ok(line) = line else { break };
                    let Ok(value) = serde_json::from_str(&line) else { continue };
                    if send.send(News::Event(value)).is_err() {
                        return;
                    }
                }
            }
            // Nobody listens any more when the watch is over.
            drop(send.send(News::Gone));
        });
        news
    }

    fn follow(
        &mut self,
        news: &Receiver<News>,
        chaos: &mut Chaos,
        server: &mut ServerChaos,
        out: &mut Screen,
    ) -> Result<Followed, DemoError> {
        loop {
            server.arm();
            let now = clock::instant();
            if server.due().is_some_and(|due| due <= now) {
                let waited = server.strike(self.stage, self.deadline)?;
                let (number, last) = (server.done(), &self.last);
                out.line(&format!(
                    "-- server killed (kill {number}) after: {last}; \
                     a write was acknowledged {waited} ms later"
                ));
                continue;
            }
            let dues = [chaos.due(), server.due()].into_iter().flatten();
            let until = dues.fold(self.deadline, Instant::min);
            match news.recv_timeout(until.saturating_duration_since(now)) {
                Ok(News::Event(event)) => {
                    let parked = self.tell(&event, out);
                    let closed = event["fact"]["fact"] == "closed";
                    if parked || (closed && self.settled(out)?) {
                        return Ok(Followed::Done);
                    }
                }
                Ok(News::Gone) | Err(RecvTimeoutError::Disconnected) => return Ok(Followed::Gone),
                Err(RecvTimeoutError::Timeout) if clock::instant() >= self.deadline => {
                    out.line("time is up");
                    return Ok(Followed::Done);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if chaos.due().is_some_and(|due| due <= clock::instant()) {
                        self.kill(chaos, out)?;
                        return Ok(Followed::Killed);
                    }
                }
            }
        }
    }

    /// Kills the daemon that this demo started.
    fn kill(&mut self, chaos: &mut Chaos, out: &mut Screen) -> Result<(), DemoError> {
        let path = self.stage.layout.daemon_pid();
        let text = fs::read_to_string(&path).map_err(DemoError::io(&path))?;
        let pid: i32 = text
            .trim()
            .parse()
            .map_err(|_| DemoError::Odd(format!("{} has no pid: {text}", path.display())))?;
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)
                .map_err(|error| DemoError::Odd(format!("daemon {text}: {error}")))?;
        }
        chaos.struck();
        out.line(&format!("-- daemon killed (kill {}) after: {}", chaos.done(), self.last));
        Ok(())
    }

    fn revive(&mut self, out: &mut Screen) -> Result<(), DemoError> {
        if !self.restart {
            return Err(DemoError::Odd(format!(
                "the daemon is gone; see {}/daemon/daemon.log",
                self.stage.town.display()
            )));
        }
        if self.restarts > RESTARTS_MAX {
            return Err(DemoError::Odd("the daemon does not stay up".to_owned()));
        }
        self.stage.revive()?;
        out.note("the daemon is up again");
        Ok(())
    }

    /// Whether every bead is closed; a daemon that has just gone has not answered yet.
    fn settled(&mut self, out: &mut Screen) -> Result<bool, DemoError> {
        let filter = BeadFilter {
            ids: self.beads.iter().map(|id| BeadId(id.clone())).collect(),
            include_closed: true,
            limit: None,
            ..BeadFilter::list()
        };
        let query = Query::Beads { dbs: vec![Db::from(RIG)], filter };
        let call = Call {
            protocol: PROTOCOL,
            town: None,
            token: None,
            actor: None,
            request: Request::Read(query),
        };
        let Ok(answer) = client::call(&self.stage.layout.socket_path(), &call, ASK) else {
            return Ok(false);
        };
        let beads = answer.result.as_array().cloned().unwrap_or_default();
        let closed = beads.iter().filter(|bead| bead["status"] == Status::Closed.as_str()).count();
        self.closed = closed;
        out.progress(&format!("{closed} of {} closed", self.beads.len()));
        Ok(closed == self.beads.len())
    }

    /// Tells one event; `true` when nothing more can land.
    fn tell(&mut self, event: &Value, out: &mut Screen) -> bool {
        let fact = &event["fact"];
        let word = |key: &str| fact[key].as_str().unwrap_or_default();
        let kind = fact["fact"].as_str().unwrap_or_default();
        let text = match kind {
            "agent" => phase(word("actor"), word("phase")),
            "queued" => Some(format!("{} is in the merge queue as {}", word("bead"), word("mr"))),
            "merged" => Some(format!("{} landed", word("bead"))),
            "returned" => Some(format!("{} came back from the queue with a verdict", word("bead"))),
            "convoy_landed" => Some(format!("convoy {} landed", word("id"))),
            "alarm" => Some(format!("needs a person: {}: {}", word("subject"), word("condition"))),
            _ => None,
        };
        // Mail is only what is written here to see whether writes are acknowledged.
        if kind != "mail" {
            self.last = format!("{kind} {}", summary(fact));
        }
        if let Some(text) = text {
            out.note(&text);
        }
        out.progress(&format!("{} of {} closed", self.closed, self.beads.len()));
        let subject = word("subject");
        let stuck = subject.ends_with("/refinery") || self.beads.iter().any(|id| id == subject);
        kind == "alarm" && fact["raised"] == true && stuck
    }
}

enum Followed {
    Done,
    Gone,
    Killed,
}

fn phase(actor: &str, phase: &str) -> Option<String> {
    let name = actor.rsplit('/').next().unwrap_or(actor);
    let words = match phase {
        "preparing" => "gets a worktree",
        "working" => "works",
        "backoff" => "lost its session and will start another",
        "submitted" => "says it is done",
        "idle" => "is idle",
        _ => return None,
    };
    Some(format!("{name} {words}"))
}

fn summary(fact: &Value) -> String {
    let fields: BTreeMap<String, Value> = serde_json::from_value(fact.clone()).unwrap_or_default();
    let parts: Vec<String> = fields
        .iter()
        .filter(|(key, _)| key.as_str() != "fact")
        .filter_map(|(key, value)| value.as_str().map(|text| format!("{key}={text}")))
        .collect();
    parts.join(" ")
}
