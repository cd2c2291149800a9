//! What goes wrong around a queue: effects that fail for good, somebody who does not answer, gates
//! that cannot run, gates that change while a landing waits.

use super::RUN_GATES;
use super::Refinery;
use super::Search;
use super::View;
use crate::machines::Decision;
use crate::model::merge::Cycle;
use crate::model::merge::Stack;
use crate::model::merge::Verdict;
use crate::model::ops::Op;

/// The verb of a stack's effect.
const BUILD_STACK: &str = "build_stack";
/// The verb of a landing's effect.
const LAND: &str = "land";

impl Refinery {
    /// An effect has failed. What the queue waits for and cannot have parks it, after so many
    /// times; says whether it did.
    pub(super) fn failed(
        &mut self,
        d: &mut Decision,
        view: &View,
        (key, error): (&str, &str),
        now: i64,
    ) -> bool {
        let failures = self.driver.failed(key, now, &self.limits);
        let parks = failures >= self.limits.effect_failures_max && wanted(view, key);
        if parks {
            self.driver.done(key);
            self.park(d, format!("{error} ({failures} times). {}", self.retry()));
        }
        parks
    }

    /// Somebody did not answer: it is tried on, and a person is told once, after so many times.
    pub(super) fn unanswered(
        &mut self,
        d: &mut Decision,
        view: &View,
        (key, error): (&str, &str),
        now: i64,
    ) {
        let times = self.driver.unreachable(key, now, &self.limits);
        if times >= self.limits.effect_failures_max && !view.away && wanted(view, key) {
            let reason = Some(format!("{error}. It is tried on, and nothing is lost"));
            d.ops.push(Op::QueueAway { rig: self.rig.clone(), reason });
        }
    }

    /// Whether the word of earlier gates is what a landing goes by that is not on its way. One that
    /// is may have moved the target already: its answer is waited for.
    pub(super) fn outdated(&self, view: &View, stack: &Stack, green: usize, now: i64) -> bool {
        let key = format!("{} {}", self.rig, stack.commit(green));
        let judge = self.settings.judge();
        let other = view.certified_by.as_ref().is_some_and(|run| !judge.ran(run));
        other && !self.driver.flying(LAND, now).any(|flying| flying == key)
    }

    /// What a person may do.
    pub(super) fn retry(&self) -> String {
        format!("Mend it, then 'gt mq retry {}'", self.rig)
    }

    pub(super) fn cannot_run(&self, view: &View, search: &Search<'_>) -> String {
        let (rig, target, times) = (&self.rig, &self.settings.target, search.stuck);
        let why = if self.settings.gates.is_empty() {
            format!("none is configured: gt config set rigs.{rig}.gates.test.cmd 'COMMAND'")
        } else {
            view.reason(|run| run.verdict == Some(Verdict::CouldNotRun))
        };
        let retry = self.retry();
        format!("the gates could not run {times} times, nor on {target} itself: {why}. {retry}")
    }
}

/// Whether the queue waits for this effect.
fn wanted(view: &View, key: &str) -> bool {
    let Some(queue) = view.queue.as_ref().filter(|queue| queue.parked.is_none()) else {
        return false;
    };
    let verb = key.split(' ').next().unwrap_or_default();
    match &queue.cycle {
        Cycle::Idle => verb == BUILD_STACK,
        Cycle::Testing { runs, .. } => {
            let of = key.strip_prefix(RUN_GATES).map(str::trim_start);
            runs.iter().any(|going| Some(going.run.as_str()) == of)
        }
        Cycle::Landing { .. } => verb == LAND,
    }
}
