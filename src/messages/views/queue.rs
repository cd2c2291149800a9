//! Views of a merge queue's record.

use serde::Deserialize;
use serde::Serialize;

use super::MrView;
use crate::model::ids::BeadId;
use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;
use crate::model::merge::IntegrationState;
use crate::model::merge::MrState;
use crate::model::merge::Verdict;

/// What a queue did, beside what theory allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueStatsView {
    /// The rig.
    pub rig: RigName,
    /// Merge requests that landed.
    pub merged: usize,
    /// Those that came back because they were red.
    pub culprits: usize,
    /// Those that came back for another reason: a conflict, a missing commit, a person's no.
    pub bounced: usize,
    /// Landings.
    pub landings: usize,
    /// Gate runs that gave an answer.
    pub runs: usize,
    /// Gate runs that could not run.
    pub runs_without_answer: usize,
    /// Gate runs that authors asked for ahead of the queue; they are not among the others.
    #[serde(default)]
    pub verifications: usize,
    /// Gate runs per landed merge request; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_per_merged: Option<f64>,
    /// The least that theory allows at the learnt rates, for a line that never ends.
    pub bound_per_merged: f64,
    /// One by one: gate runs per landed merge request without stacking.
    pub serial_per_merged: f64,
    /// The learnt share of culprits.
    pub failure_rate: f64,
    /// The learnt share of green trees' runs that are red.
    pub flake_rate: f64,
    /// Milliseconds from queued to decided that half of them did not exceed.
    pub wait_ms_p50: i64,
    /// The same for 95 of 100.
    pub wait_ms_p95: i64,
    /// The most newer ones that landed before one of their class.
    pub overtaken_max: i64,
}

/// Why a merge request is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyView {
    /// Which.
    pub mr: BeadId,
    /// Where it stands.
    pub state: MrState,
    /// The chance to be a culprit that its traits give it now.
    pub risk: f64,
    /// Newer ones of its class or a lower one that landed before it.
    pub overtaken: i64,
    /// Batches with newer ones of a higher class that were decided before it.
    pub outranked: i64,
    /// 0 (highest) to 4.
    pub priority: i64,
    /// The class that it has by now: -1 is a hotfix; it falls with age.
    pub class: i64,
    /// Why it cannot be stacked now, or behind what it has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Every run that it was part of, or that speaks for it, oldest first.
    pub runs: Vec<PartView>,
}

/// One run that a merge request was part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    /// The run.
    pub run: RunId,
    /// When it started.
    pub at: String,
    /// Who had it made ahead of the queue; absent for the queue's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<String>,
    /// How many were stacked before it.
    pub before: usize,
    /// How many were stacked behind it.
    pub behind: usize,
    /// The answer; absent while it runs, or when it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// An integration branch, with what is below its epic and what lands on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationView {
    /// The epic.
    pub epic: BeadId,
    /// Its title.
    pub title: String,
    /// The rig.
    pub rig: RigName,
    /// The branch.
    pub branch: String,
    /// The branch that it lands on as a whole.
    pub target: String,
    /// Where the town, or a request to land, saw it last.
    pub tip: Sha,
    /// Where it stands.
    pub state: IntegrationState,
    /// The merge request of the whole, the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mr: Option<BeadId>,
    /// Why it may land although beads below the epic are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: String,
    /// When it landed or was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Beads below the epic that are not closed.
    pub open: Vec<BeadId>,
    /// Beads below the epic that are.
    pub closed: Vec<BeadId>,
    /// Merge requests that land on it, and those of the whole; oldest first.
    pub mrs: Vec<MrView>,
    /// Why it cannot land now, as far as the ledger knows; empty when it can.
    pub why_not: Vec<String>,
}
