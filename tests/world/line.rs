//! A whole queue: the machine, its rows in memory, and a real rig with real processes.

use gastown::machines::After;
use gastown::machines::Input;
use gastown::machines::limits::Limits;
use gastown::machines::refinery::QueueSettings;
use gastown::machines::refinery::Refinery;
use gastown::model::effect::Candidate;
use gastown::model::ids::BeadId;
use gastown::model::ids::Identity;
use gastown::model::ids::Sha;
use gastown::model::merge::GateSpec;
use gastown::model::merge::Returned;
use gastown::model::ops::NewBranch;
use gastown::model::ops::Op;
use gastown::model::parcel::Parcel;
use gastown::model::rows::Bead;
use gastown::model::rows::GateRun;
use gastown::model::rows::Landing;
use gastown::model::rows::MergeRequest;
use gastown::model::rows::Outbox;
use gastown::model::rows::Queue;
use gastown::model::tx::Scan;
use gastown::model::tx::TxExt;

use super::TestTown;
use crate::machines::bench::Bench;
use crate::machines::bench::bead;

/// Decisions that anything here may take.
const TURNS: usize = 300;

/// A queue on a real rig.
pub struct Line {
    pub town: TestTown,
    pub bench: Bench<Refinery>,
    inputs: Vec<Input>,
    /// Names of the effects done, in order.
    pub done: Vec<&'static str>,
}

impl Line {
    /// With these gates.
    pub fn new(gates: Vec<GateSpec>) -> Self {
        let town = TestTown::new();
        let settings = QueueSettings { gates, ..crate::machines::refinery::settings() };
        let machine = Refinery::new(town.rig.clone(), settings, Limits::default());
        let mut bench = Bench::new(machine);
        let who = Identity::Refinery(town.rig.clone());
        bench.commit("overseer", &Op::RegisterAgent { who }).unwrap();
        Self { town, bench, inputs: Vec::new(), done: Vec::new() }
    }

    /// Queues a branch for a bead of its own.
    pub fn queue(&mut self, candidate: &Candidate) -> BeadId {
        let id = BeadId(format!("sh-{}", self.requests().len() + 1));
        self.bench.commit("overseer", &bead(id.as_str())).unwrap();
        let (branch, head) = (candidate.branch.clone(), candidate.head.clone());
        let op = Op::SubmitBranch(NewBranch {
            bead: id.clone(),
            branch,
            head,
            target: "main".to_owned(),
            touches: None,
        });
        self.bench.commit("overseer", &op).unwrap();
        self.bench.now += 1;
        id
    }

    /// Makes a worker's branch and queues it.
    pub async fn submit(&mut self, name: &str, files: &[(&str, &str)]) -> BeadId {
        let candidate = self.town.branch(name, files).await;
        self.queue(&candidate)
    }

    /// The machine loses its memory, and answers on their way are lost.
    pub fn forget(&mut self) {
        self.inputs.clear();
        self.bench.run(&[crate::machines::bench::Step::Forget]);
    }

    /// One decision and what it does; says whether that was anything.
    pub async fn turn(&mut self) -> bool {
        let input = self.inputs.pop().unwrap_or(Input::Wake);
        let (decision, refused) = self.bench.take(&input);
        assert!(refused.is_none(), "{refused:?}");
        let idle = decision.ops.is_empty() && decision.after.is_empty();
        for after in decision.after {
            let After::Do(effect) = after else { panic!("a refinery only acts") };
            let key = effect.key();
            self.done.push(effect.name());
            let outcome = self.town.perform(effect).await;
            self.inputs.push(Input::Report { key, outcome });
        }
        self.bench.now = match decision.wake_at {
            Some(at) if idle => at.max(self.bench.now),
            _ => self.bench.now + 1,
        };
        !idle || decision.wake_at.is_some()
    }

    /// Turns until nothing is left to do or to wait for; waits are over at once.
    pub async fn settle(&mut self) {
        self.settle_until(|_| false).await;
    }

    /// The same, or until this holds.
    pub async fn settle_until(&mut self, mut holds: impl FnMut(&mut Self) -> bool) {
        let mut quiet = 0;
        for _ in 0..TURNS {
            quiet = if self.turn().await { 0 } else { quiet + 1 };
            if quiet > 1 || holds(self) {
                self.town.world.settled().await;
                return;
            }
        }
        panic!("no end: {:?}", self.done);
    }

    pub fn requests(&mut self) -> Vec<MergeRequest> {
        self.bench.memory.rows::<MergeRequest>(&Scan::default()).unwrap()
    }

    /// How the merge request of a bead stands.
    pub fn state(&mut self, bead: &BeadId) -> String {
        let all = self.requests();
        all.iter().rfind(|mr| mr.bead == *bead).unwrap().state.to_string()
    }

    pub fn verdict(&mut self, bead: &BeadId) -> Option<Returned> {
        self.requests().into_iter().find(|mr| mr.bead == *bead).and_then(|mr| mr.verdict)
    }

    pub fn bead(&mut self, bead: &BeadId) -> Bead {
        self.bench.memory.find::<Bead>("by_id", bead).unwrap().unwrap()
    }

    pub fn parked(&mut self) -> Option<String> {
        self.bench.memory.rows::<Queue>(&Scan::default()).unwrap().remove(0).parked
    }

    pub fn retry(&mut self) {
        let op = Op::ParkQueue { rig: self.town.rig.clone(), reason: None };
        self.bench.commit("overseer", &op).unwrap();
    }

    pub fn landings(&mut self) -> usize {
        self.bench.memory.rows::<Landing>(&Scan::default()).unwrap().len()
    }

    pub fn runs(&mut self) -> Vec<GateRun> {
        self.bench.memory.rows::<GateRun>(&Scan::default()).unwrap()
    }

    /// Alarms on their way to a person, in order: what is wrong, and whether it is raised.
    pub fn alarms(&mut self) -> Vec<(String, bool)> {
        let all = self.bench.memory.rows::<Outbox>(&Scan::default()).unwrap();
        let alarm = |row: Outbox| match row.parcel {
            Parcel::Alarm { condition, raise, .. } => Some((condition, raise.is_some())),
            _ => None,
        };
        all.into_iter().filter_map(alarm).collect()
    }

    /// The target as the remote has it.
    pub fn target(&self) -> Sha {
        self.town.target()
    }
}
