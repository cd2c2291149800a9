//! To a worker's machine.

use serde::Deserialize;
use serde::Serialize;

/// Orders to a worker; each is a no-op for another incarnation (I8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum PolecatMessage {
    /// Look at the world again: forget what is thought to be running. From the Witness.
    Recheck {
        /// For which incarnation.
        incarnation: i64,
    },
    /// End the session and start the next one. From the Witness, when no progress is seen.
    Restart {
        /// For which incarnation.
        incarnation: i64,
        /// Why.
        reason: String,
    },
}
