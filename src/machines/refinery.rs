//! A rig's refinery: stack, test, bisect, land, return (I4, I5, I10).
//!
//! The cycle is a row; the policy is one pure value. Each decision looks at the row and either
//! commits the next step or wants the effect of the present one.

use super::After;
use super::Decision;
use super::Input;
use super::Machine;
use super::driver::Driver;
use super::limits::Limits;
use super::policy::Bisect;
use super::policy::Known;
use super::policy::Step;
use crate::messages::Address;
use crate::messages::Message;
pub use crate::messages::QueueSettings;
use crate::messages::RefineryMessage;
use crate::model::effect::Candidate;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::merge::Cycle;
use crate::model::merge::GateResult;
use crate::model::merge::MrState;
use crate::model::merge::Stack;
use crate::model::merge::Verdict;
use crate::model::merge::gates_digest;
use crate::model::mutant;
use crate::model::mutant::Mutant;
use crate::model::ops::Op;
use crate::model::rows::Bead;
use crate::model::rows::GateRun;
use crate::model::rows::Landing;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// One rig's refinery.
#[derive(Clone, Debug)]
pub struct Refinery {
    rig: RigName,
    settings: QueueSettings,
    limits: Limits,
    driver: Driver,
    /// The branches of what landed last were asked to be removed.
    swept: bool,
}

/// The queue, who waits, and what is known of the trees in question.
#[derive(Clone, Debug)]
pub struct View {
    queue: Option<Queue>,
    waiting: Vec<MergeRequest>,
    /// Conclusive runs with the present gates: prefix length to run and verdict.
    known: Vec<(usize, RunId, Verdict)>,
    /// Runs of any verdict: prefix length to how many.
    tried: Vec<(usize, usize)>,
    /// What the last run that said no, or could not say, gave as its reason.
    reason: String,
    /// Branches of the merge requests in the cycle.
    branches: Vec<MergeRequest>,
    /// What landed last, right after a start: a death may have kept their branches.
    landed: Vec<MergeRequest>,
}

/// Landings whose branches are looked at again after a start.
const SWEPT_LANDINGS: usize = 3;

impl Refinery {
    /// The refinery of a rig.
    #[must_use]
    pub fn new(rig: RigName, settings: QueueSettings, limits: Limits) -> Self {
        Self { rig, settings, limits, driver: Driver::default(), swept: false }
    }

    fn digest(&self) -> Name {
        gates_digest(&self.settings.gates, self.settings.gates_none)
    }

    fn policy(&self) -> Bisect {
        Bisect { batch_max: self.settings.batch_max }
    }

    fn pursue(&mut self, d: &mut Decision, view: &View, now: i64) {
        let Some(queue) = &view.queue else { return };
        if queue.parked.is_some() {
            return;
        }
        match &queue.cycle {
            Cycle::Idle => self.stack(d, view, queue.cycles + 1, now),
            Cycle::Testing { stack, run: Some((run, len)), .. } => {
                self.run(d, stack, run, *len, now);
            }
            Cycle::Testing { stack, green, red, run: None, stuck } => {
                self.advance(d, view, stack, (*green, *red), *stuck);
            }
            Cycle::Landing { stack, green, .. } => {
                let effect = Effect::Land {
                    rig: self.rig.clone(),
                    target: self.settings.target.clone(),
                    base: stack.base.clone(),
                    tip: stack.commit(*green).clone(),
                    items: stack.items[..*green].to_vec(),
                };
                self.driver.want(d, now, &self.limits, effect);
            }
        }
    }

    fn stack(&mut self, d: &mut Decision, view: &View, number: i64, now: i64) {
        let count = self.policy().batch(view.waiting.len());
        if count == 0 {
            return;
        }
        let candidates = view.waiting[..count].iter().map(|mr| Candidate {
            mr: mr.id.clone(),
            branch: mr.branch.clone(),
            head: mr.head.clone(),
        });
        let effect = Effect::BuildStack {
            rig: self.rig.clone(),
            number,
            target: self.settings.target.clone(),
            style: self.settings.style,
            candidates: candidates.collect(),
        };
        self.driver.want(d, now, &self.limits, effect);
    }

    fn run(&mut self, d: &mut Decision, stack: &Stack, run: &RunId, len: usize, now: i64) {
        if self.settings.gates_none {
            let none = GateResult {
                name: "none".to_owned(),
                verdict: Verdict::Passed,
                reason: "the rig says gates: none".to_owned(),
                log: String::new(),
                tail: String::new(),
            };
            let (rig, run) = (self.rig.clone(), run.clone());
            d.ops.push(Op::FinishRun { rig, run, results: vec![none] });
            return;
        }
        let effect = Effect::RunGates {
            rig: self.rig.clone(),
            run: run.clone(),
            commit: stack.commit(len).clone(),
            tree: stack.tree(len).clone(),
            gates: self.settings.gates.clone(),
        };
        self.driver.want(d, now, &self.limits, effect);
    }

    /// The next step of a stack that is not being tested.
    fn advance(
        &mut self,
        d: &mut Decision,
        view: &View,
        stack: &Stack,
        (green, red): (usize, usize),
        stuck: i64,
    ) {
        let rig = self.rig.clone();
        if stuck >= self.settings.stuck_max {
            let why = if self.settings.gates.is_empty() {
                format!("none is configured: gt config set rigs.{rig}.gates.test.cmd 'COMMAND'")
            } else {
                view.reason.clone()
            };
            let reason = format!(
                "the gates could not run {stuck} times: {why}. Mend it, then 'gt mq retry {rig}'"
            );
            d.ops.push(Op::AbandonCycle { rig: rig.clone(), reason: reason.clone() });
            d.ops.push(Op::ParkQueue { rig, reason: Some(reason) });
            return;
        }
        let earlier = |len: usize| view.known.iter().find(|(at, ..)| *at == len);
        let base = earlier(0).map(|(_, _, verdict)| *verdict);
        let known = Known { len: stack.items.len(), green, red, base };
        match self.policy().next(known) {
            Step::Test(len) => match earlier(len) {
                Some((_, run, _)) => d.ops.push(Op::ReuseRun { rig, run: run.clone(), len }),
                None => {
                    let tries = view.tried.iter().find(|(at, _)| *at == len).map_or(0, |(_, n)| *n);
                    let run = RunId(format!("{rig}-{}-{len}-{tries}", stack.number));
                    d.ops.push(Op::StartRun { rig, run, len, gates: self.digest() });
                }
            },
            Step::Land => {
                let proof = earlier(green).filter(|(_, _, v)| *v == Verdict::Passed);
                let run = proof.map(|(_, run, _)| run.clone());
                let unproven =
                    || mutant::planted(Mutant::LandWithoutProof).then(|| RunId::from("none"));
                match run.or_else(unproven) {
                    Some(proof) => d.ops.push(Op::BeginLanding { rig, proof }),
                    None => {
                        let reason = "the gates changed while it was tested".to_owned();
                        d.ops.push(Op::AbandonCycle { rig, reason });
                    }
                }
            }
            Step::Return => d.ops.push(self.finish(false)),
            Step::TargetRed => {
                let target = &self.settings.target;
                let why = &view.reason;
                let reason =
                    format!("{target} itself is red: {why}. Mend it, then 'gt mq retry {rig}'");
                d.ops.push(Op::AbandonCycle { rig: rig.clone(), reason: reason.clone() });
                d.ops.push(Op::ParkQueue { rig, reason: Some(reason) });
            }
        }
    }

    /// Asks once, after a start, that branches of the last landings go: the wish for that is made
    /// with the landing's last commit and is forgotten in a crash.
    fn sweep(&mut self, d: &mut Decision, view: &View) {
        if std::mem::replace(&mut self.swept, true) {
            return;
        }
        for mr in &view.landed {
            let Some(landed) = mr.merge_commit.clone() else { continue };
            d.after.push(After::Do(Effect::RemoveBranch {
                rig: self.rig.clone(),
                branch: mr.branch.clone(),
                head: mr.head.clone(),
                landed,
            }));
        }
    }

    fn finish(&self, landed: bool) -> Op {
        Op::FinishCycle {
            rig: self.rig.clone(),
            landed,
            rework_max: self.settings.rework_max,
            target: self.settings.target.clone(),
        }
    }

    fn conclude(&self, d: &mut Decision, view: &View, key: &str, outcome: &Outcome) {
        let Some(queue) = &view.queue else { return };
        let rig = self.rig.clone();
        match (&queue.cycle, outcome) {
            (Cycle::Idle, Outcome::Stack { base, base_tree, items, bounced }) => {
                let number = queue.cycles + 1;
                if !key.ends_with(&format!(" {number}")) {
                    return;
                }
                let stack = Stack {
                    number,
                    base: base.clone(),
                    base_tree: base_tree.clone(),
                    items: items.clone(),
                };
                let (bounced, rework_max) = (bounced.clone(), self.settings.rework_max);
                d.ops.push(Op::BeginCycle { rig, stack, bounced, rework_max });
            }
            (Cycle::Testing { run: Some((run, _)), .. }, Outcome::Gates { results })
                if key.ends_with(&format!(" {run}")) =>
            {
                let results = results.clone();
                d.ops.push(Op::FinishRun { rig, run: run.clone(), results });
            }
            (Cycle::Landing { stack, green, .. }, Outcome::Landed) => {
                d.ops.push(self.finish(true));
                for (item, mr) in stack.items[..*green].iter().zip(&view.branches) {
                    d.after.push(After::Do(Effect::RemoveBranch {
                        rig: self.rig.clone(),
                        branch: mr.branch.clone(),
                        head: item.head.clone(),
                        landed: item.commit.clone(),
                    }));
                }
            }
            (Cycle::Landing { .. }, Outcome::Moved { at }) => {
                let reason = format!("{} moved to {at}", self.settings.target);
                d.ops.push(Op::AbandonCycle { rig, reason });
            }
            _ => {}
        }
    }
}

/// Who waits, most urgent first, then oldest: no merge request is overtaken by one of its class.
fn waiting(tx: &mut dyn Tx, max: usize) -> Result<Vec<MergeRequest>, TxError> {
    let scan = Scan {
        index: Some("by_state"),
        prefix: vec![MrState::Queued.to_value()],
        ..Scan::default()
    };
    let mut all = tx.rows::<MergeRequest>(&scan)?;
    all.sort_by_key(|mr| (mr.priority, mr.seq));
    all.truncate(max);
    Ok(all)
}

/// What the newest of these runs that did not pass gives as its reason.
fn why(runs: &[GateRun]) -> Option<String> {
    let run = runs.iter().rev().find(|run| run.verdict.is_some_and(|v| v != Verdict::Passed))?;
    let bad = run.results.0.iter().filter(|gate| gate.verdict != Verdict::Passed);
    let words: Vec<String> = bad.map(|gate| format!("{}: {}", gate.name, gate.reason)).collect();
    Some(words.join("; "))
}

/// The merge requests of the last landings.
fn last_landed(tx: &mut dyn Tx) -> Result<Vec<MergeRequest>, TxError> {
    let last = Scan { limit: Some(SWEPT_LANDINGS), reverse: true, ..Scan::default() };
    let mut landed = Vec::new();
    for landing in tx.rows::<Landing>(&last)? {
        for id in &landing.mrs.0 {
            if let Some(bead) = tx.find::<Bead>("by_id", id)? {
                landed.extend(tx.row::<MergeRequest>(&bead.seq)?);
            }
        }
    }
    Ok(landed)
}

/// What the recorded runs of one tree say of it with the present gates. A green run stands; a red
/// one stands until a person says "try again". The target is called red only by two runs, since
/// that stops the whole queue.
fn conclusion(
    len: usize,
    runs: Vec<GateRun>,
    digest: &Name,
    after: i64,
) -> Option<(usize, RunId, Verdict)> {
    let mut red: Vec<GateRun> = Vec::new();
    for run in runs {
        match run.verdict {
            Some(Verdict::Passed) if run.gates == *digest => {
                return Some((len, run.id, Verdict::Passed));
            }
            Some(Verdict::Failed) if run.gates == *digest && run.started_at >= after => {
                red.push(run);
            }
            Some(Verdict::Passed | Verdict::Failed | Verdict::CouldNotRun) | None => {}
        }
    }
    let wanted = if len == 0 { 2 } else { 1 };
    let last = red.pop()?;
    (red.len() + 1 >= wanted).then_some((len, last.id, Verdict::Failed))
}

impl Machine for Refinery {
    type View = View;

    fn address(&self) -> Address {
        Address::Refinery(self.rig.clone())
    }

    fn db(&self) -> Db {
        Db::from(&self.rig)
    }

    fn actor(&self) -> String {
        Identity::Refinery(self.rig.clone()).actor()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<View, TxError> {
        let queue = tx.row::<Queue>(&self.rig)?;
        let mut view = View {
            queue,
            waiting: Vec::new(),
            known: Vec::new(),
            tried: Vec::new(),
            reason: String::new(),
            branches: Vec::new(),
            landed: Vec::new(),
        };
        if !self.swept {
            view.landed = last_landed(tx)?;
        }
        let cycle = view.queue.as_ref().map(|queue| queue.cycle.clone());
        match cycle {
            None => {}
            Some(Cycle::Idle) => view.waiting = waiting(tx, self.settings.batch_max)?,
            Some(Cycle::Testing { stack, green, red, run: None, .. }) => {
                let digest = self.digest();
                let tip = stack.items.len();
                let middle = usize::midpoint(green, red.min(tip + 1));
                let after = view.queue.as_ref().map_or(0, |queue| queue.retry_after);
                for len in [0, green, middle.min(tip), tip] {
                    let tree = stack.tree(len).to_value();
                    let runs = tx.with::<GateRun>(Some("by_tree"), vec![tree])?;
                    view.tried.push((len, runs.len()));
                    view.reason = why(&runs).unwrap_or(view.reason);
                    view.known.extend(conclusion(len, runs, &digest, after));
                }
            }
            Some(Cycle::Testing { run: Some(_), .. }) => {}
            Some(Cycle::Landing { stack, green, .. }) => {
                for item in &stack.items[..green] {
                    if let Some(bead) = tx.find::<Bead>("by_id", &item.mr)? {
                        view.branches.extend(tx.row::<MergeRequest>(&bead.seq)?);
                    }
                }
            }
        }
        Ok(view)
    }

    fn decide(&mut self, view: &View, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        match input {
            Input::Report { key, outcome: Outcome::Failed { .. } } => {
                self.driver.failed(key, now, &self.limits);
            }
            Input::Report { key, outcome } => {
                self.driver.done(key);
                self.conclude(&mut d, view, key, outcome);
                if !d.ops.is_empty() {
                    return d;
                }
            }
            Input::Told(Message::Refinery(RefineryMessage::Configure(settings))) => {
                self.settings = settings.clone();
                // The view was read under the earlier gates: no proof of theirs may land now.
                d.wake(now);
                return d;
            }
            Input::Wake | Input::Told(_) => {}
        }
        self.sweep(&mut d, view);
        self.pursue(&mut d, view, now);
        d
    }
}
