//! The answer to `gt verify`.

use serde::Deserialize;
use serde::Serialize;

use crate::model::ids::RigName;
use crate::model::ids::RunId;
use crate::model::ids::Sha;
use crate::model::merge::GateResult;
use crate::model::merge::Verdict;

/// What the gates said of a commit as it would land.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyView {
    /// The rig.
    pub rig: RigName,
    /// The branch that it would land on.
    pub target: String,
    /// Where that is.
    pub base: Sha,
    /// The verified head.
    pub head: Sha,
    /// What it would be on the target.
    pub commit: Sha,
    /// The tree that was tested.
    pub tree: Sha,
    /// The run.
    pub run: RunId,
    /// Its verdict.
    pub verdict: Verdict,
    /// Nothing ran: this run had said so before.
    pub known: bool,
    /// Digest of the gates as configured.
    pub gates_digest: String,
    /// Digest of the environment that they ran in.
    pub environment: String,
    /// Per gate.
    pub gates: Vec<GateResult>,
}
