//! To a rig's witness.

use serde::Deserialize;
use serde::Serialize;

use crate::model::ids::BeadId;

/// Facts for a witness. They live in memory: after a restart it starts at "unknown" (D9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum WitnessMessage {
    /// A session did something. From the door, at each call that carries its token.
    Progressed {
        /// Whose.
        agent: BeadId,
        /// Which incarnation.
        incarnation: i64,
    },
    /// Look at everybody now. From the Deacon.
    Patrol,
}
