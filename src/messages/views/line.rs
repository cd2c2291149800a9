//! Views of the line before a queue: what happened to it, who waits for what, and how long.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::rfc3339;
use crate::model::ids::BeadId;
use crate::model::line::Freeze;
use crate::model::rows::Change;

/// A freeze that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeView {
    /// Who.
    pub by: String,
    /// Since when.
    pub at: String,
    /// Why.
    pub reason: String,
    /// The least urgent class that still lands, -1 is hotfixes alone; absent is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<i64>,
    /// What still lands, in words.
    pub lands: String,
}

impl From<&Freeze> for FreezeView {
    fn from(freeze: &Freeze) -> Self {
        Self {
            by: freeze.by.to_string(),
            at: rfc3339(freeze.at),
            reason: freeze.reason.clone(),
            allow: freeze.allow,
            lands: freeze.words(),
        }
    }
}

impl FreezeView {
    /// It in one line.
    #[must_use]
    pub fn words(&self) -> String {
        format!("frozen by {} since {}: {}; {}", self.by, self.at, self.reason, self.lands)
    }
}

/// Something that happened to a queue or to what waits in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueEventView {
    /// Its place in time: what comes later has a greater one.
    pub seq: i64,
    /// When.
    pub at: String,
    /// Who did it.
    pub actor: String,
    /// What: the op.
    pub op: String,
    /// To what: the rig, a merge request or its bead.
    pub subject: String,
    /// What is recorded of it.
    pub detail: Value,
}

impl From<&Change> for QueueEventView {
    fn from(row: &Change) -> Self {
        Self {
            seq: row.seq,
            at: rfc3339(row.at),
            actor: row.actor.to_string(),
            op: row.op.to_string(),
            subject: row.subject.to_string(),
            detail: serde_json::from_str(&row.detail)
                .unwrap_or_else(|_| Value::String(row.detail.clone())),
        }
    }
}

/// When a merge request will be decided, as far as that can be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtaView {
    /// Which.
    pub mr: BeadId,
    /// Its work.
    pub bead: BeadId,
    /// Its place in the line, counted from 1; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// Cycles and milliseconds; absent where they are not known.
    #[serde(flatten)]
    pub expected: Option<ExpectedView>,
    /// Why they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// Half of the futures, and nine of ten, do not exceed these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedView {
    /// Cycles, half.
    pub cycles_p50: i64,
    /// Cycles, nine of ten.
    pub cycles_p90: i64,
    /// Milliseconds, half.
    pub ms_p50: i64,
    /// Milliseconds, nine of ten.
    pub ms_p90: i64,
}
