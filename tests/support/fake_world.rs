//! A world of made-up git, gates and sessions. A tree is the list of its heads; an `x` is red.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;

use gastown::adapters::world::World;
use gastown::model::agent::Exit;
use gastown::model::effect::Candidate;
use gastown::model::effect::Effect;
use gastown::model::effect::HostIdentity;
use gastown::model::effect::Outcome;
use gastown::model::effect::SessionSpec;
use gastown::model::ids::SessionId;
use gastown::model::ids::Sha;
use gastown::model::merge::GateResult;
use gastown::model::merge::GateSpec;
use gastown::model::merge::Stacked;
use gastown::model::merge::Verdict;
use tokio::sync::mpsc;
use tokio::sync::watch;

struct Inner {
    target: String,
    sessions: BTreeMap<SessionId, watch::Sender<Option<Exit>>>,
    done: Vec<&'static str>,
}

/// The world. Cheap to clone.
#[derive(Clone)]
pub struct FakeWorld {
    inner: Arc<Mutex<Inner>>,
    started: mpsc::UnboundedSender<SessionSpec>,
}

impl FakeWorld {
    /// A world, and where it tells of sessions that start.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<SessionSpec>) {
        let (started, sessions) = mpsc::unbounded_channel();
        let inner = Inner { target: "m".to_owned(), sessions: BTreeMap::new(), done: Vec::new() };
        (Self { inner: Arc::new(Mutex::new(inner)), started }, sessions)
    }

    /// The target's tree.
    pub fn target(&self) -> String {
        self.inner.lock().unwrap().target.clone()
    }

    /// How often a verb was done.
    pub fn count(&self, verb: &str) -> usize {
        self.inner.lock().unwrap().done.iter().filter(|done| **done == verb).count()
    }

    /// Ends a session.
    pub fn end(&self, session: &SessionId, exit: Exit) {
        let inner = self.inner.lock().unwrap();
        inner.sessions[session].send_if_modified(|now| now.replace(exit).is_none());
    }

    fn spawn(&self, inner: &mut Inner, spec: SessionSpec) -> Outcome {
        let fresh = !inner.sessions.contains_key(&spec.id);
        inner.sessions.entry(spec.id.clone()).or_insert_with(|| watch::channel(None).0);
        let token_hash = spec.id.to_string();
        if fresh {
            self.started.send(spec).unwrap();
        }
        let boot_id = "virtual".to_owned();
        Outcome::Started { host: HostIdentity { pid: 1, start_time: 1, boot_id, token_hash } }
    }

    fn at_once(&self, effect: Effect) -> Outcome {
        let mut inner = self.inner.lock().unwrap();
        match effect {
            Effect::Upkeep { .. } => Outcome::Failed { error: "no database here".to_owned() },
            Effect::MakeWorktree { .. } => Outcome::Worktree { head: Sha::from("c0") },
            Effect::Spawn(spec) => self.spawn(&mut inner, spec),
            Effect::Watch { .. } => Outcome::Exited { exit: Exit::Vanished },
            Effect::Stop { session, .. } => {
                if let Some(exit) = inner.sessions.get(&session) {
                    exit.send_if_modified(|now| now.replace(Exit::Stopped).is_none());
                }
                Outcome::Stopping
            }
            Effect::Push { .. } => Outcome::Pushed { touches: None },
            Effect::Teardown { .. } => Outcome::TornDown { rescued: None },
            Effect::BuildStack { candidates, .. } => stack(&inner.target, candidates),
            Effect::RunGates { commit, gates, .. } => run(&commit, &gates),
            Effect::Land { base, tip, .. } if base.as_str() == inner.target => {
                inner.target = tip.to_string();
                Outcome::Landed
            }
            Effect::Land { .. } => Outcome::Moved { at: Sha(inner.target.clone()) },
            Effect::RemoveBranch { .. } => Outcome::BranchRemoved,
        }
    }
}

fn stack(target: &str, candidates: Vec<Candidate>) -> Outcome {
    let mut at = target.to_owned();
    let items = candidates.into_iter().map(|Candidate { mr, head, .. }| {
        at = format!("{at}+{head}");
        Stacked { mr, head, commit: Sha(at.clone()), tree: Sha(at.clone()), empty: false }
    });
    let items = items.collect();
    let base = Sha::from(target);
    Outcome::Stack { base_tree: base.clone(), base, items, bounced: Vec::new() }
}

fn run(commit: &Sha, gates: &[GateSpec]) -> Outcome {
    let red = commit.as_str().contains('x');
    let verdict = if red { Verdict::Failed } else { Verdict::Passed };
    let results = gates.iter().map(|gate| GateResult {
        name: gate.name.clone(),
        verdict,
        reason: verdict.to_string(),
        log: String::new(),
        tail: String::new(),
    });
    Outcome::Gates { results: results.collect() }
}

impl World for FakeWorld {
    fn perform(&self, effect: Effect) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        self.inner.lock().unwrap().done.push(effect.name());
        let session = match &effect {
            Effect::Watch { session } => self.inner.lock().unwrap().sessions.get(session).cloned(),
            _ => None,
        };
        let Some(session) = session else {
            let outcome = self.at_once(effect);
            return Box::pin(async move { outcome });
        };
        let mut exits = session.subscribe();
        Box::pin(async move {
            match exits.wait_for(Option::is_some).await {
                Ok(exit) => Outcome::Exited { exit: exit.clone().unwrap() },
                Err(error) => Outcome::Failed { error: error.to_string() },
            }
        })
    }
}
