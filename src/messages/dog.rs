//! To a dog.

use serde::Deserialize;
use serde::Serialize;

use crate::model::ids::BeadId;
use crate::model::ids::RigName;

/// Orders to a dog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum DogMessage {
    /// Do your round. From the Deacon.
    Run {
        /// The rigs of the town.
        rigs: Vec<RigName>,
    },
    /// Remove what is over in your database. From hq's reaper, which knows what is held elsewhere
    /// and what convoys need.
    Decay {
        /// Beads that must stay.
        spare: Vec<BeadId>,
        /// What changed after this stays, in milliseconds since the epoch.
        held_until: i64,
    },
}
