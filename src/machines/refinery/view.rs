//! What a refinery reads: the queue, who waits, and every run of the trees in question.

use std::ops::RangeBounds;

use super::lineup;
use crate::machines::policy::Seen;
use crate::model::ids::BeadId;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::learner::Traits;
use crate::model::line;
use crate::model::merge::Cycle;
use crate::model::merge::Judge;
use crate::model::merge::Verdict;
use crate::model::mutant;
use crate::model::mutant::Mutant;
use crate::model::ops::AWAY;
use crate::model::rows::GateRun;
use crate::model::rows::Label;
use crate::model::rows::Landing;
use crate::model::rows::MergeRequest;
use crate::model::rows::Meta;
use crate::model::rows::Queue;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// Landings whose branches are looked at again after a start.
const SWEPT_LANDINGS: usize = 20;

/// A merge request that waits, with what is known of it beforehand.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) mr: MergeRequest,
    pub(super) traits: Traits,
    /// Those that have to be stacked before it.
    pub(super) needs: Vec<BeadId>,
    /// It is an integration branch as a whole.
    pub(super) whole: bool,
}

/// The queue, who waits, and what is known of the trees in question.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(super) queue: Option<Queue>,
    /// Those that the next cycle may stack.
    pub(super) waiting: Vec<Waiting>,
    /// A hotfix waits beside the stack.
    pub(super) hotfix: bool,
    /// How many of the stack's first items a freeze lets land.
    pub(super) may_land: usize,
    /// The integration branch that they are for; `None` is the rig's own target.
    pub(super) onto: Option<String>,
    /// Every run of the tree of each prefix, oldest first; the first is the target itself.
    runs: Vec<Vec<GateRun>>,
    /// The run that certifies what lands.
    pub(super) certified_by: Option<GateRun>,
    /// A person was told that somebody does not answer.
    pub(super) away: bool,
    /// The merge requests that land.
    pub(super) branches: Vec<MergeRequest>,
    /// What landed last, and where, right after a start: a death may have kept their branches.
    pub(super) landed: Vec<(MergeRequest, String)>,
}

impl View {
    /// What the prefixes have shown with the present gates. A green run stands, but the target's
    /// only when it started after `fresh`; a red one stands until a person says "try again". One
    /// that could not run is as good as red once they are known to run on the target.
    pub(super) fn seen(&self, judge: &Judge, retry_after: i64, fresh: i64) -> Vec<Seen> {
        let able = self.able_since(judge, retry_after);
        let unable = |run: &GateRun| able.is_some_and(|able| run.started_at >= able);
        let mut all = Vec::new();
        for (len, runs) in self.runs.iter().enumerate() {
            let mut seen = Seen { len, greens: 0, reds: 0 };
            for run in runs.iter().filter(|run| judge.ran(run)) {
                match run.verdict {
                    Some(Verdict::Passed) if len > 0 || run.started_at >= fresh => seen.greens += 1,
                    Some(Verdict::Failed) if run.started_at >= retry_after => seen.reds += 1,
                    Some(Verdict::CouldNotRun) if mutant::planted(Mutant::LandWithoutProof) => {
                        seen.greens += usize::from(len > 0);
                    }
                    Some(Verdict::CouldNotRun) if len > 0 && unable(run) => seen.reds += 1,
                    Some(Verdict::Passed | Verdict::Failed | Verdict::CouldNotRun) | None => {}
                }
            }
            if seen.greens + seen.reds > 0 {
                all.push(seen);
            }
        }
        all
    }

    fn tried<'a>(
        &'a self,
        lens: impl RangeBounds<usize> + 'a,
        judge: &'a Judge,
        retry_after: i64,
    ) -> impl Iterator<Item = &'a GateRun> {
        let all = self.runs.iter().enumerate().filter(move |(len, _)| lens.contains(len));
        all.flat_map(|(_, runs)| runs)
            .filter(move |run| judge.ran(run) && run.started_at >= retry_after)
    }

    /// Since when the present gates are known to run on the target, after they could not on a
    /// prefix.
    pub(super) fn able_since(&self, judge: &Judge, retry_after: i64) -> Option<i64> {
        let unable = self.tried(1.., judge, retry_after).filter(could_not_run);
        let from = unable.filter_map(|run| run.ended_at).min()?;
        let target = self.tried(..1, judge, retry_after).filter(|run| run.started_at >= from);
        let green = target.filter(|run| run.verdict == Some(Verdict::Passed));
        green.filter_map(|run| run.ended_at).min()
    }

    /// Whether the present gates could not run on the target either, and gave no answer since.
    pub(super) fn target_unable(&self, judge: &Judge, retry_after: i64) -> bool {
        let said = |run: &&GateRun| matches!(run.verdict, Some(Verdict::Passed | Verdict::Failed));
        let answers = self.tried(.., judge, retry_after).filter(said);
        let last = answers.filter_map(|run| run.ended_at).max();
        let mut target = self.tried(..1, judge, retry_after).filter(could_not_run);
        target.any(|run| run.ended_at > last)
    }

    /// A green run of a prefix's exact tree with these gates.
    pub(super) fn proof(&self, len: usize, judge: &Judge) -> Option<RunId> {
        let passed = |run: &&GateRun| run.verdict == Some(Verdict::Passed) && judge.ran(run);
        self.runs.get(len)?.iter().find(passed).map(|run| run.id.clone())
    }

    /// Runs of a prefix's tree, whatever they said.
    pub(super) fn tries(&self, len: usize) -> usize {
        self.runs.get(len).map_or(0, Vec::len)
    }

    /// Whether a run was started with these gates in this environment, as far as it is known.
    pub(super) fn judged(&self, run: &RunId, judge: &Judge) -> bool {
        let found = self.runs.iter().flatten().find(|row| row.id == *run);
        found.is_none_or(|row| judge.ran(row))
    }

    /// What the newest of these runs that did not pass gives as its reason.
    pub(super) fn reason(&self, which: impl Fn(&GateRun) -> bool) -> String {
        let bad = self.runs.iter().flatten().filter(|run| which(run));
        let bad = bad.filter(|run| run.verdict.is_some_and(|v| v != Verdict::Passed));
        let Some(run) = bad.max_by_key(|run| run.started_at) else { return String::new() };
        let gates = run.results.0.iter().filter(|gate| gate.verdict != Verdict::Passed);
        let words: Vec<String> =
            gates.map(|gate| format!("{}: {}", gate.name, gate.reason)).collect();
        words.join("; ")
    }
}

fn could_not_run(run: &&GateRun) -> bool {
    run.verdict == Some(Verdict::CouldNotRun)
}

/// Reads it. `last`: the last landings too.
pub(super) fn read(
    tx: &mut dyn Tx,
    rig: &RigName,
    most: usize,
    last: bool,
) -> Result<View, TxError> {
    let mut view = View { queue: tx.row::<Queue>(rig)?, ..View::default() };
    view.away = away(tx, rig)?;
    if last {
        view.landed = last_landed(tx)?;
    }
    match view.queue.as_ref().map(|queue| queue.cycle.clone()) {
        None => {}
        Some(Cycle::Idle) => {
            let freeze = view.queue.as_ref().and_then(|queue| queue.frozen.as_ref());
            (view.waiting, view.onto) = lineup::waiting(tx, most, freeze)?;
        }
        Some(Cycle::Testing { stack, .. }) => {
            if let Some(queue) = &view.queue {
                view.hotfix = line::hotfix_waits(tx, queue, &stack)?;
                view.may_land = line::may_land(tx, queue, &stack)?;
            }
            for len in 0..=stack.items.len() {
                let tree = stack.tree(len).to_value();
                let mut runs = tx.with::<GateRun>(Some("by_tree"), vec![tree])?;
                runs.sort_by_key(|run| run.started_at);
                view.runs.push(runs);
            }
        }
        Some(Cycle::Landing { stack, green, proof, .. }) => {
            view.certified_by = tx.row::<GateRun>(&proof)?;
            for item in &stack.items[..green] {
                view.branches.extend(line::request(tx, &item.mr)?);
            }
        }
    }
    Ok(view)
}

/// Whether a person was told that somebody does not answer.
fn away(tx: &mut dyn Tx, rig: &RigName) -> Result<bool, TxError> {
    let Some(prefix) = tx.row::<Meta>(&Name::from("prefix"))? else { return Ok(false) };
    let bead = Identity::Refinery(rig.clone()).bead_id(&prefix.value);
    let Some(bead) = bead else { return Ok(false) };
    Ok(tx.row2::<Label>(&bead, &Name::from(AWAY))?.is_some())
}

/// The merge requests of the last landings, each with where it landed.
fn last_landed(tx: &mut dyn Tx) -> Result<Vec<(MergeRequest, String)>, TxError> {
    let last = Scan { limit: Some(SWEPT_LANDINGS), reverse: true, ..Scan::default() };
    let mut landed = Vec::new();
    for landing in tx.rows::<Landing>(&last)? {
        for id in &landing.mrs.0 {
            let mr = line::request(tx, id)?;
            landed.extend(mr.map(|mr| (mr, landing.target.clone())));
        }
    }
    Ok(landed)
}
