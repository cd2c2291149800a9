//! What a refinery reads: the queue, who waits, and every run of the trees in question.

use crate::machines::policy::Seen;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::learner;
use crate::model::learner::Traits;
use crate::model::merge::Cycle;
use crate::model::merge::Judge;
use crate::model::merge::MrState;
use crate::model::merge::Verdict;
use crate::model::mutant;
use crate::model::mutant::Mutant;
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

/// Landings whose branches are looked at again after a start.
const SWEPT_LANDINGS: usize = 3;

/// A merge request that waits, with what is known of it beforehand.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) mr: MergeRequest,
    pub(super) traits: Traits,
}

/// The queue, who waits, and what is known of the trees in question.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(super) queue: Option<Queue>,
    pub(super) waiting: Vec<Waiting>,
    /// Every run of the tree of each prefix, oldest first; the first is the target itself.
    runs: Vec<Vec<GateRun>>,
    /// The merge requests that land.
    pub(super) branches: Vec<MergeRequest>,
    /// What landed last, right after a start: a death may have kept their branches.
    pub(super) landed: Vec<MergeRequest>,
}

impl View {
    /// What the prefixes have shown with the present gates. A green run stands, but the target's
    /// only when it started after `fresh`; a red one stands until a person says "try again".
    pub(super) fn seen(&self, judge: &Judge, retry_after: i64, fresh: i64) -> Vec<Seen> {
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
                    Some(Verdict::Passed | Verdict::Failed | Verdict::CouldNotRun) | None => {}
                }
            }
            if seen.greens + seen.reds > 0 {
                all.push(seen);
            }
        }
        all
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

/// Reads it. `last`: the last landings too.
pub(super) fn read(
    tx: &mut dyn Tx,
    rig: &RigName,
    most: usize,
    last: bool,
) -> Result<View, TxError> {
    let mut view = View { queue: tx.row::<Queue>(rig)?, ..View::default() };
    if last {
        view.landed = last_landed(tx)?;
    }
    match view.queue.as_ref().map(|queue| queue.cycle.clone()) {
        None => {}
        Some(Cycle::Idle) => view.waiting = waiting(tx, most)?,
        Some(Cycle::Testing { stack, .. }) => {
            for len in 0..=stack.items.len() {
                let tree = stack.tree(len).to_value();
                let mut runs = tx.with::<GateRun>(Some("by_tree"), vec![tree])?;
                runs.sort_by_key(|run| run.started_at);
                view.runs.push(runs);
            }
        }
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

/// Who waits, most urgent first, then oldest: no merge request is overtaken by one of its class.
fn waiting(tx: &mut dyn Tx, most: usize) -> Result<Vec<Waiting>, TxError> {
    let scan = Scan {
        index: Some("by_state"),
        prefix: vec![MrState::Queued.to_value()],
        ..Scan::default()
    };
    let mut all = tx.rows::<MergeRequest>(&scan)?;
    all.sort_by_key(|mr| (mr.priority, mr.seq));
    all.truncate(most);
    let mut waiting = Vec::new();
    for mr in all {
        let same = tx.with::<MergeRequest>(Some("by_bead"), vec![mr.bead.to_value()])?;
        let traits = learner::traits(&mr, &same);
        waiting.push(Waiting { mr, traits });
    }
    Ok(waiting)
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
