//! The town of a queue's soak: its making, its door, its daemon and the one that kills it.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use gastown::adapters::layout::Town;
use gastown::gateway::client;
use gastown::gateway::client::ClientError;
use gastown::messages::door::Call;
use gastown::messages::door::PROTOCOL;
use gastown::messages::door::Query;
use gastown::messages::door::Request;
use gastown::model::ids::BeadId;
use gastown::model::ids::Db;
use gastown::model::ids::RigName;
use gastown::model::ids::Sha;
use gastown::model::merge::MrState;
use gastown::model::ops::NewBead;
use gastown::model::ops::NewBranch;
use gastown::model::ops::Op;
use serde_json::Value;

use super::Fallible;
use super::Seeded;
use super::gate;
use super::git::read;
use super::site::branch;
use super::world::Mr;
use crate::tools::gt;
use crate::tools::run;
use crate::towns;
use crate::towns::Daemon;

/// The rig's name.
pub(crate) const RIG: &str = "app";
/// Between two tries at a door that is closed.
const AGAIN: Duration = Duration::from_millis(20);
/// Within it a daemon that was killed answers again.
const BACK_WITHIN: Duration = Duration::from_secs(120);

/// The id of a merge request's bead.
pub(crate) fn bead(number: usize) -> BeadId {
    BeadId(format!("ap-m{number}"))
}

/// A merge request as the town tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) id: BeadId,
    pub(crate) number: usize,
    pub(crate) head: String,
    pub(crate) state: String,
    pub(crate) in_cycle: bool,
    /// Why it came back, in a word: `conflict`, `red`, `missing`.
    pub(crate) verdict: String,
}

impl Told {
    fn of(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Self {
            id: BeadId(text("id")?),
            number: text("bead")?.strip_prefix("ap-m")?.parse().ok()?,
            head: text("head")?,
            state: text("state")?,
            in_cycle: value["in_cycle"].as_bool()?,
            verdict: value["verdict"]["kind"].as_str().unwrap_or_default().to_owned(),
        })
    }

    pub(crate) fn waits(&self) -> bool {
        self.state == "queued" || self.state == "held"
    }
}

/// Merge requests in a town's own JSON.
pub(crate) fn told(value: &Value) -> Fallible<Vec<Told>> {
    let all = value.as_array().ok_or("no list of merge requests")?;
    let read = |one| Told::of(one).ok_or_else(|| format!("no merge request: {one}").into());
    all.iter().map(read).collect()
}

/// Makes a town with the rig, its gate and nobody who works in it; unless it is there.
pub(crate) fn make(dir: &Path, seed: u64) -> Fallible<PathBuf> {
    let (root, made) = (dir.join("town"), dir.join("made"));
    if made.is_file() {
        // Whoever was left running by a soak that was cut off.
        run(&root, &["down"])?;
        return Ok(root);
    }
    if root.exists() {
        std::fs::remove_dir_all(&root)?;
    }
    run(dir, &["install", &root.display().to_string()])?;
    let remote = dir.join("remote.git").display().to_string();
    run(&root, &["rig", "add", RIG, &remote, "--prefix", "ap"])?;
    let exe = std::env::current_exe()?;
    let command = format!("'{}' gate '{}' {seed}", exe.display(), dir.display());
    let of_rig = [
        ("gates.test.cmd", command),
        ("gates.test.min_tests", gate::MIN_TESTS.to_string()),
        // What comes back is for the authors of this soak.
        ("rework_max", "0".to_owned()),
    ];
    for (key, value) in of_rig {
        run(&root, &["config", "set", &format!("rigs.{RIG}.{key}"), &value])?;
    }
    towns::replace(&made, "")?;
    Ok(root)
}

/// The door, for someone who knows that the daemon may be dead at any moment.
pub(crate) struct Door {
    root: PathBuf,
    hand: Hand,
}

impl Door {
    pub(crate) fn of(root: &Path, hand: Hand) -> Self {
        Self { root: root.to_owned(), hand }
    }

    fn call(&self, request: Request) -> Result<Value, ClientError> {
        let call = Call { protocol: PROTOCOL, town: None, token: None, actor: None, request };
        let socket = Town::new(&self.root).socket_path();
        Ok(client::call(&socket, &call, Duration::from_secs(60))?.result)
    }

    /// Asks until there is an answer.
    fn ask(&self, query: &Query) -> Fallible<Value> {
        let deadline = Instant::now() + BACK_WITHIN;
        loop {
            match self.call(Request::Read(query.clone())) {
                Ok(value) => return Ok(value),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => std::thread::sleep(AGAIN),
            }
            self.hand.check()?;
        }
    }

    /// Merge requests: those that wait, or all.
    pub(crate) fn queue(&self, all: bool) -> Fallible<Vec<Told>> {
        told(&self.ask(&Query::Queue { rig: Some(RigName::from(RIG)), all })?)
    }

    /// Why the queue waits for a person.
    pub(crate) fn parked(&self) -> Fallible<Option<String>> {
        let status = self.ask(&Query::Status)?;
        Ok(status["rigs"][0]["queue"]["parked"].as_str().map(str::to_owned))
    }

    /// Writes, until it stands or is refused. After a lost answer `stands` tells whether it does.
    fn write(&self, ops: &[Op], stands: impl Fn() -> Fallible<bool>) -> Fallible<Option<String>> {
        let deadline = Instant::now() + BACK_WITHIN;
        loop {
            let request = Request::Write { db: Db::from(RIG), ops: ops.to_vec() };
            let refused = match self.call(request) {
                Ok(_) => return Ok(None),
                Err(ClientError::Door(said))
                    if !matches!(&*said.code, "busy" | "unavailable" | "unknown_outcome") =>
                {
                    Some(format!("{}: {}", said.code, said.error))
                }
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => None,
            };
            if stands()? {
                return Ok(None);
            }
            if refused.is_some() {
                return Ok(refused);
            }
            std::thread::sleep(AGAIN);
            self.hand.check()?;
        }
    }

    fn has(&self, number: usize, head: &str) -> Fallible<bool> {
        Ok(self.queue(true)?.iter().any(|mr| mr.number == number && mr.head == head))
    }

    /// Beads and their branches in one call: what `gt mq submit` asks for, many times.
    pub(crate) fn submit(&self, mrs: &[(&Mr, &String)]) -> Fallible<()> {
        let ops = mrs.iter().flat_map(|(mr, head)| {
            let create = Op::Create(NewBead {
                id: Some(bead(mr.number)),
                title: format!("change {}", mr.number),
                priority: Some(if mr.urgent { 0 } else { 2 }),
                ..NewBead::default()
            });
            [create, submit(mr.number, head)]
        });
        let Some((first, head)) = mrs.first() else { return Ok(()) };
        let stands = || self.has(first.number, head);
        match self.write(&ops.collect::<Vec<_>>(), stands)? {
            None => Ok(()),
            Some(refused) => Err(format!("a batch was refused: {refused}").into()),
        }
    }

    /// A new head for a bead that came back; says what was refused.
    pub(crate) fn submit_again(&self, number: usize, head: &str) -> Fallible<Option<String>> {
        self.write(&[submit(number, head)], || self.has(number, head))
    }

    /// The command itself, in a clone that has the branch, until it stands.
    pub(crate) fn submit_by_command(&self, authors: &Path, mr: &Mr, head: &str) -> Fallible<()> {
        let town = self.root.display().to_string();
        let (branch, bead) = (branch(mr.number), bead(mr.number));
        let words = ["--town", &town, "mq", "submit", "--bead", bead.as_str(), "--branch", &branch];
        let deadline = Instant::now() + BACK_WITHIN;
        loop {
            let output = std::process::Command::new(gt())
                .args(words)
                .current_dir(authors)
                .stdin(std::process::Stdio::null())
                .output()?;
            if output.status.success() || self.has(mr.number, head)? {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// A bead alone.
    pub(crate) fn create(&self, mr: &Mr) -> Fallible<()> {
        let new = NewBead {
            id: Some(bead(mr.number)),
            title: format!("change {}", mr.number),
            ..NewBead::default()
        };
        match self.write(&[Op::Create(new)], || Ok(false))? {
            Some(refused) if !refused.starts_with("exists") => Err(refused.into()),
            _ => Ok(()),
        }
    }

    /// Takes one back, half of them by closing the bead; whether it was possible.
    pub(crate) fn cancel(&self, mr: &Told) -> Fallible<bool> {
        let reason = "its author took it back".to_owned();
        let op = match mr.number % 2 {
            0 => Op::SetMr { mr: mr.id.clone(), state: MrState::Rejected, reason },
            _ => Op::Close { id: bead(mr.number), reason },
        };
        Ok(self.write(&[op], || Ok(false))?.is_none())
    }

    /// Lets the queue go on.
    pub(crate) fn go_on(&self) -> Fallible<()> {
        let op = Op::ParkQueue { rig: RigName::from(RIG), reason: None };
        self.write(&[op], || Ok(false))?;
        Ok(())
    }
}

fn submit(number: usize, head: &str) -> Op {
    Op::SubmitBranch(NewBranch {
        bead: bead(number),
        branch: branch(number),
        head: Sha(head.to_owned()),
        target: "main".to_owned(),
        touches: None,
    })
}

/// What the killer and the others tell each other.
#[derive(Clone, Default)]
pub(crate) struct Hand {
    /// Merge requests that are decided.
    pub(crate) decided: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    failed: Arc<Mutex<Option<String>>>,
}

impl Hand {
    /// Whether the daemon can still be started.
    pub(crate) fn check(&self) -> Fallible<()> {
        let failed = self.failed.lock().map_err(|_| "the killer died")?;
        failed.clone().map_or(Ok(()), |why| Err(why.into()))
    }
}

/// Keeps the daemon running, but for the moments when it kills it.
pub(crate) struct Killer {
    hand: Hand,
    thread: Option<JoinHandle<()>>,
}

/// How often it is killed, and when.
#[derive(Clone, Copy)]
pub(crate) struct Kills {
    pub(crate) seed: u64,
    pub(crate) mrs: usize,
    pub(crate) kills: usize,
}

/// Longest time between the moment when a kill is due and the kill, in milliseconds.
const JITTER_MS: u64 = 1_500;

impl Killer {
    /// Starts the daemon. Kills are spread over the merge requests, each at a seeded moment.
    pub(crate) fn start(dir: &Path, root: &Path, hand: &Hand, plan: Kills) -> Fallible<Self> {
        let mut daemon = Daemon::start(root)?;
        let (dir, root, shared) = (dir.to_owned(), root.to_owned(), hand.clone());
        let mut done = done(&dir)?;
        let mut seeded = Seeded(plan.seed ^ 0xDEAD ^ done as u64);
        let watch = move || -> Fallible<()> {
            while !shared.stop.load(Ordering::SeqCst) {
                if let Some(status) = daemon.ended()? {
                    return Err(format!("the daemon ended by itself: {status}").into());
                }
                let due = (done + 1) * plan.mrs / (plan.kills + 1);
                if done >= plan.kills || shared.decided.load(Ordering::SeqCst) < due {
                    std::thread::sleep(AGAIN);
                    continue;
                }
                std::thread::sleep(Duration::from_millis(seeded.below(JITTER_MS)));
                daemon.kill9()?;
                done += 1;
                towns::replace(&dir.join("kills"), &done.to_string())?;
                daemon = Daemon::start(&root)?;
            }
            daemon.kill9()
        };
        let shared = hand.clone();
        let thread = std::thread::spawn(move || {
            if let Err(error) = watch()
                && let Ok(mut failed) = shared.failed.lock()
            {
                *failed = Some(error.to_string());
            }
        });
        Ok(Self { hand: hand.clone(), thread: Some(thread) })
    }

    /// Kills the daemon for the last time.
    pub(crate) fn stop(mut self) -> Fallible<()> {
        self.end();
        self.hand.check()
    }

    fn end(&mut self) {
        self.hand.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Kills so far.
pub(crate) fn done(dir: &Path) -> Fallible<usize> {
    let text = read(&dir.join("kills"))?;
    Ok(if text.is_empty() { 0 } else { text.trim().parse()? })
}
