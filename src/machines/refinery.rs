//! A rig's refinery: stack, test, bisect, land, return (I4, I5, I10).
//!
//! The cycle is a row; what is known of a stack are the recorded runs of its trees; the policy is
//! one pure function of both. Each decision looks at the rows and either commits the next step or
//! wants the effects of the present one.

mod lineup;
mod target;
mod trouble;
mod view;

use super::After;
use super::Decision;
use super::Input;
use super::Machine;
use super::driver::Driver;
use super::limits::Limits;
use super::policy;
use super::policy::Known;
use super::policy::Move;
use super::policy::batch;
use crate::messages::Address;
use crate::messages::Message;
pub use crate::messages::QueueSettings;
use crate::messages::RefineryMessage;
use crate::model::effect::Candidate;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::merge::Cycle;
use crate::model::merge::CycleEnd;
use crate::model::merge::GateResult;
use crate::model::merge::Going;
use crate::model::merge::Stack;
use crate::model::merge::Verdict;
use crate::model::mutant;
use crate::model::mutant::Mutant;
use crate::model::ops::Op;
use crate::model::ops::UNABLE_MIN;
use crate::model::rows::Queue;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
pub use view::View;
use view::Waiting;

/// The chance that a target is red of which no recent green run is known.
const BASE_RISK: f64 = 0.02;
/// The verb of a stack's effect.
const BUILD_STACK: &str = "build_stack";
/// The verb of a run's effect.
const RUN_GATES: &str = "run_gates";

/// A stack that is being searched.
struct Search<'a> {
    queue: &'a Queue,
    stack: &'a Stack,
    risks: &'a [i64],
    runs: &'a [Going],
    stuck: i64,
}

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

impl Refinery {
    /// The refinery of a rig.
    #[must_use]
    pub fn new(rig: RigName, settings: QueueSettings, limits: Limits) -> Self {
        Self { rig, settings, limits, driver: Driver::default(), swept: false }
    }

    /// The branch that a cycle moves.
    fn target(&self, onto: Option<&String>) -> String {
        onto.unwrap_or(&self.settings.target).clone()
    }

    fn pursue(&mut self, d: &mut Decision, view: &View, now: i64) {
        let Some(queue) = &view.queue else { return };
        if queue.parked.is_some() {
            return;
        }
        match &queue.cycle {
            Cycle::Idle => self.stack(d, view, queue, now),
            Cycle::Testing { runs, .. } if runs.iter().any(|one| !self.judges(view, one)) => {
                self.start_over(d, runs);
            }
            Cycle::Testing { stack, risks, runs, stuck } => {
                for going in runs {
                    self.run(d, stack, going, now);
                }
                if d.ops.is_empty() {
                    self.advance(
                        d,
                        view,
                        &Search { queue, stack, risks, runs, stuck: *stuck },
                        now,
                    );
                }
            }
            Cycle::Landing { stack, green, .. } if self.outdated(view, stack, *green, now) => {
                let reason = "the gates were changed while it waited to land".to_owned();
                d.ops.push(Op::AbandonCycle { rig: self.rig.clone(), reason });
            }
            Cycle::Landing { stack, green, .. } => {
                let effect = Effect::Land {
                    rig: self.rig.clone(),
                    target: self.target(stack.onto.as_ref()),
                    base: stack.base.clone(),
                    tip: stack.commit(*green).clone(),
                    items: stack.items[..*green].to_vec(),
                };
                self.driver.want(d, now, &self.limits, effect);
            }
        }
    }

    /// Whether a run is one of the present gates in the present environment.
    fn judges(&self, view: &View, going: &Going) -> bool {
        view.judged(&going.run, &self.settings.judge())
    }

    /// The gates, or their environment, were changed while others ran: what those say, and what the
    /// present ones would say, must not be recorded as the other's.
    fn start_over(&self, d: &mut Decision, runs: &[Going]) {
        let rig = self.rig.clone();
        let reason = "the gates were changed while it ran".to_owned();
        for going in runs {
            let results = vec![GateResult {
                name: "gates".to_owned(),
                verdict: Verdict::CouldNotRun,
                reason: reason.clone(),
                log: String::new(),
                tail: String::new(),
            }];
            d.ops.push(Op::FinishRun { rig: rig.clone(), run: going.run.clone(), results });
        }
        d.ops.push(Op::AbandonCycle { rig, reason });
    }

    fn stack(&mut self, d: &mut Decision, view: &View, queue: &Queue, now: i64) {
        let learner = queue.learner.clone().unwrap_or_default();
        let waiting = &view.waiting;
        let risks: Vec<f64> = waiting.iter().map(|one| learner.risk(&one.traits)).collect();
        let count = batch::batch(&risks, self.settings.slots, self.settings.batch_max);
        let Some(first) = waiting.first().filter(|_| count > 0) else { return };
        let more = first.mr.created_at + self.settings.batch_wait_ms;
        if count == waiting.len() && now < more && !first.mr.hotfix {
            // More would be stacked if they were here.
            d.wake(more);
            return;
        }
        let candidates = lineup::order(&waiting[..count], &risks[..count]).into_iter().map(|at| {
            let Waiting { mr, whole, .. } = &waiting[at];
            let (branch, head) = (mr.branch.clone(), mr.head.clone());
            Candidate { mr: mr.id.clone(), branch, head, whole: *whole }
        });
        let effect = Effect::BuildStack {
            rig: self.rig.clone(),
            number: queue.cycles + 1,
            target: self.target(view.onto.as_ref()),
            style: self.settings.style,
            candidates: candidates.collect(),
        };
        self.driver.want(d, now, &self.limits, effect);
    }

    fn run(&mut self, d: &mut Decision, stack: &Stack, going: &Going, now: i64) {
        let (rig, run) = (self.rig.clone(), going.run.clone());
        if self.settings.gates_none {
            let none = GateResult {
                name: "none".to_owned(),
                verdict: Verdict::Passed,
                reason: "the rig says gates: none".to_owned(),
                log: String::new(),
                tail: String::new(),
            };
            d.ops.push(Op::FinishRun { rig, run, results: vec![none] });
            return;
        }
        let effect = Effect::RunGates {
            rig,
            run,
            commit: stack.commit(going.len).clone(),
            tree: stack.tree(going.len).clone(),
            gates: self.settings.gates.clone(),
        };
        self.driver.want(d, now, &self.limits, effect);
    }

    /// The next move with a stack.
    fn advance(&mut self, d: &mut Decision, view: &View, search: &Search<'_>, now: i64) {
        if search.stuck > 0 && search.stuck + 1 >= self.settings.stuck_max {
            let unable = view.target_unable(&self.settings.judge(), search.queue.retry_after);
            if unable && search.stuck >= self.settings.stuck_max {
                self.park(d, self.cannot_run(view, search));
                return;
            }
            if !unable {
                // Whether they can at all is what the target says.
                if search.runs.iter().all(|going| going.len > 0) && self.free(search, now) > 0 {
                    self.start(d, view, search, 0);
                }
                return;
            }
        }
        match self.next(view, search, now) {
            // A hotfix waits: this round is the last one that it waits for.
            Move::Test(_) if view.hotfix && !search.runs.is_empty() => {}
            Move::Test(lens) => lens.into_iter().for_each(|len| self.start(d, view, search, len)),
            Move::Land(len) if view.may_land < len => self.withhold(d, view, search),
            Move::Land(len) => self.land(d, view, len, None),
            Move::Blame { item: 1, doubt_ppm } => {
                d.ops.push(self.finish(CycleEnd::Returned(doubt_ppm)));
            }
            Move::Blame { item, .. } if view.may_land < item - 1 => self.withhold(d, view, search),
            Move::Blame { item, doubt_ppm } => self.land(d, view, item - 1, Some(doubt_ppm)),
            Move::TargetRed => {
                let target = self.target(search.stack.onto.as_ref());
                let why = view.reason(|run| run.tree == search.stack.base_tree);
                let retry = self.retry();
                self.park(d, format!("{target} itself is red: {why}. {retry}"));
            }
            Move::Wait if search.runs.is_empty() => {
                // A run of an earlier cycle has the slot; it answers, or its time is up.
                d.wake(now + self.limits.effect_deadline_ms);
            }
            Move::Wait => {}
        }
    }

    fn start(&self, d: &mut Decision, view: &View, search: &Search<'_>, len: usize) {
        let rig = self.rig.clone();
        let run = format!("{rig}-{}-{len}-{}", search.stack.number, view.tries(len));
        d.ops.push(Op::StartRun { rig, run: RunId(run), len, judge: self.settings.judge() });
    }

    /// Slots that no run has; those of cycles that are over still hold theirs.
    fn free(&self, search: &Search<'_>, now: i64) -> usize {
        self.slots(search, now).saturating_sub(search.runs.len())
    }

    /// Slots that this cycle may have.
    fn slots(&self, search: &Search<'_>, now: i64) -> usize {
        let own = |run: &str| search.runs.iter().any(|going| going.run.as_str() == run);
        let others = self.driver.flying(RUN_GATES, now).filter(|run| !own(run)).count();
        self.settings.slots.saturating_sub(others)
    }

    /// Asks the policy.
    fn next(&self, view: &View, search: &Search<'_>, now: i64) -> Move {
        let learner = search.queue.learner.clone().unwrap_or_default();
        // Gates that call everything red are found out by the target, before a second one goes.
        let fresh = learner.alone_at.max(now - self.settings.base_age_ms);
        let (judge, after) = (self.settings.judge(), search.queue.retry_after);
        let seen = view.seen(&judge, after, fresh);
        let unable = view.able_since(&judge, after).map_or(1, |_| UNABLE_MIN);
        let risks: Vec<f64> = search.risks.iter().map(|ppm| *ppm as f64 / 1e6).collect();
        let running: Vec<usize> = search.runs.iter().map(|going| going.len).collect();
        policy::next(&Known {
            risks: &risks,
            base: if seen.iter().any(|seen| seen.len == 0 && seen.greens > 0) {
                0.0
            } else {
                BASE_RISK
            },
            seen: &seen,
            running: &running,
            slots: self.slots(search, now),
            flake: learner.flake(),
            doubt_max: learner.doubt_max(self.settings.evict_error_ppm as f64 / 1e6),
            reds_min: learner.reds_wanted().max(unable),
        })
    }

    /// Lands a prefix on the strength of a green run with the present gates.
    fn land(&self, d: &mut Decision, view: &View, len: usize, culprit: Option<i64>) {
        let rig = self.rig.clone();
        let unproven = || mutant::planted(Mutant::LandWithoutProof).then(|| RunId::from("none"));
        let Some(proof) = view.proof(len, &self.settings.judge()).or_else(unproven) else { return };
        d.ops.push(Op::BeginLanding { rig, len, culprit, proof });
    }

    /// A freeze keeps a green prefix from landing: what it lets pass lands, the rest waits outside
    /// until it is over. Its runs are recorded, and none is made again.
    fn withhold(&self, d: &mut Decision, view: &View, search: &Search<'_>) {
        if !search.runs.is_empty() {
            return;
        }
        let passes = view.may_land;
        if passes > 0 && view.proof(passes, &self.settings.judge()).is_some() {
            self.land(d, view, passes, None);
            return;
        }
        let reason = search.queue.frozen.as_ref().map(|freeze| {
            format!("frozen by {}: {} ({})", freeze.by, freeze.reason, freeze.words())
        });
        let (rig, reason) = (self.rig.clone(), reason.unwrap_or_default());
        d.ops.push(Op::AbandonCycle { rig, reason });
    }

    fn park(&self, d: &mut Decision, reason: String) {
        let rig = self.rig.clone();
        d.ops.push(Op::AbandonCycle { rig: rig.clone(), reason: reason.clone() });
        d.ops.push(Op::ParkQueue { rig, reason: Some(reason) });
    }

    /// Asks once, after a start, that branches of the last landings go: the wish for that is made
    /// with the landing's last commit and is forgotten in a crash.
    fn sweep(&mut self, d: &mut Decision, view: &View) {
        if std::mem::replace(&mut self.swept, true) {
            return;
        }
        for (mr, target) in &view.landed {
            let Some(landed) = mr.merge_commit.clone() else { continue };
            d.after.push(After::Do(Effect::RemoveBranch {
                rig: self.rig.clone(),
                target: target.clone(),
                branch: mr.branch.clone(),
                head: mr.head.clone(),
                landed,
            }));
        }
    }

    fn finish(&self, end: CycleEnd) -> Op {
        Op::FinishCycle {
            rig: self.rig.clone(),
            end,
            rework_max: self.settings.rework_max,
            target: self.settings.target.clone(),
            judge: self.settings.judge(),
        }
    }

    /// A stack is built: its cycle begins, unless what it holds is no longer what waits.
    fn begin(&self, d: &mut Decision, view: &View, queue: &Queue, (key, built): (&str, &Outcome)) {
        let Outcome::Stack { base, base_tree, items, bounced } = built else { return };
        let rig = self.rig.clone();
        let number = queue.cycles + 1;
        let target = self.target(view.onto.as_ref());
        if key != format!("{BUILD_STACK} {rig} {target} {number}") {
            return;
        }
        // One that was held, rejected or overtaken meanwhile: stack again.
        let waits = |mr: &BeadId| view.waiting.iter().any(|one| one.mr.id == *mr);
        let named = items.iter().map(|item| &item.mr);
        if !named.chain(bounced.iter().map(|one| &one.mr)).all(waits) {
            return;
        }
        let items = &items[..lineup::whole(&view.waiting, items, bounced)];
        if items.is_empty() && bounced.is_empty() {
            return;
        }
        let stack = Stack {
            number,
            base: base.clone(),
            base_tree: base_tree.clone(),
            items: items.to_vec(),
            onto: view.onto.clone(),
        };
        let learner = queue.learner.clone().unwrap_or_default();
        let traits = |mr: &BeadId| view.waiting.iter().find(|one| one.mr.id == *mr);
        let risk = |mr| learner.risk(&traits(mr).map_or_else(Vec::new, |o| o.traits.clone()));
        let risks = items.iter().map(|item| (risk(&item.mr) * 1e6) as i64).collect();
        let (bounced, rework_max) = (bounced.clone(), self.settings.rework_max);
        d.ops.push(Op::BeginCycle { rig, stack, risks, bounced, rework_max });
    }

    /// What an answer means. `asked`: this machine remembers having asked.
    fn conclude(
        &self,
        d: &mut Decision,
        view: &View,
        (key, asked): (&str, bool),
        outcome: &Outcome,
    ) {
        let Some(queue) = &view.queue else { return };
        let rig = self.rig.clone();
        match (&queue.cycle, outcome) {
            (Cycle::Idle, Outcome::Stack { .. }) => self.begin(d, view, queue, (key, outcome)),
            (cycle, Outcome::Gates { results }) => {
                let Some(run) = key.strip_prefix(RUN_GATES).map(str::trim_start) else { return };
                let own = match cycle {
                    Cycle::Testing { runs, .. } => {
                        runs.iter().any(|going| going.run.as_str() == run)
                    }
                    Cycle::Idle | Cycle::Landing { .. } => false,
                };
                if own || asked {
                    let results = results.clone();
                    d.ops.push(Op::FinishRun { rig, run: RunId::from(run), results });
                }
            }
            (Cycle::Landing { stack, green, .. }, Outcome::Landed) => {
                d.ops.push(self.finish(CycleEnd::Landed));
                for (item, mr) in stack.items[..*green].iter().zip(&view.branches) {
                    d.after.push(After::Do(Effect::RemoveBranch {
                        rig: self.rig.clone(),
                        target: self.target(stack.onto.as_ref()),
                        branch: mr.branch.clone(),
                        head: item.head.clone(),
                        landed: item.commit.clone(),
                    }));
                }
            }
            (Cycle::Landing { stack, .. }, Outcome::Moved { at }) => {
                let target = self.target(stack.onto.as_ref());
                let reason = format!("{target} moved to {at}");
                d.ops.push(Op::AbandonCycle { rig, reason });
            }
            _ => {}
        }
    }
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
        view::read(tx, &self.rig, self.settings.batch_max, !self.swept)
    }

    fn decide(&mut self, view: &View, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        match input {
            Input::Report { key, outcome: Outcome::Failed { error } } => {
                if self.failed(&mut d, view, (key, error), now) {
                    return d;
                }
            }
            Input::Report { key, outcome: Outcome::Unreachable { error } } => {
                self.unanswered(&mut d, view, (key, error), now);
            }
            Input::Report { key, outcome } => {
                let asked = self.driver.done(key);
                if view.away && !matches!(outcome, Outcome::Gates { .. }) {
                    d.ops.push(Op::QueueAway { rig: self.rig.clone(), reason: None });
                }
                self.conclude(&mut d, view, (key, asked), outcome);
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
