//! To a rig's refinery.

use serde::Deserialize;
use serde::Serialize;

use crate::model::merge::GateSpec;
use crate::model::merge::Judge;
use crate::model::merge::LandingStyle;
use crate::model::merge::gates_digest;
use crate::model::value::Name;

/// How a rig's queue runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    /// The branch that work lands on.
    pub target: String,
    /// How a merge request's commits come to the target.
    pub style: LandingStyle,
    /// The gates; empty means none are configured.
    pub gates: Vec<GateSpec>,
    /// The rig says that it has no gates (`gates: none`).
    pub gates_none: bool,
    /// Digest of the environment that gates run in.
    pub environment: Name,
    /// Most merge requests in one stack.
    pub batch_max: usize,
    /// Milliseconds that a merge request waits for others to be stacked with.
    pub batch_wait_ms: i64,
    /// Runs of all gates at once.
    pub slots: usize,
    /// Most innocents sent back because of flaky gates, in a million merge requests.
    pub evict_error_ppm: i64,
    /// Milliseconds that a green run of the target speaks for it when the first item is red.
    pub base_age_ms: i64,
    /// Runs in a row that could not run before a person is told.
    pub stuck_max: i64,
    /// Returns of one bead before a person is told.
    pub rework_max: i64,
}

impl QueueSettings {
    /// What a verdict of the present gates depends on.
    #[must_use]
    pub fn judge(&self) -> Judge {
        let gates = gates_digest(&self.gates, self.gates_none);
        Judge { gates, environment: self.environment.clone() }
    }
}

/// Orders to a refinery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum RefineryMessage {
    /// The settings have changed. From the configuration.
    Configure(QueueSettings),
}
