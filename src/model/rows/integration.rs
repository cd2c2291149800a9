//! Integration branches: where the work of an epic is gathered before it lands as one.

use crate::model::ids::BeadId;
use crate::model::ids::Sha;
use crate::model::merge::IntegrationState;
use crate::model::table::rows;
use crate::model::value::Name;

rows! {
    /// The branch on which the beads below an epic land. One for each epic, the last.
    Versioned Integration in "integrations" key(epic)
    {
        /// The epic.
        epic: BeadId,
        /// The branch.
        branch: String,
        /// The branch that it lands on as a whole.
        target: String,
        /// Where it was made, then where the town or a request to land saw it last.
        tip: Sha,
        /// Where it stands.
        state: IntegrationState,
        /// The merge request of the whole, the last.
        mr: Option<BeadId>,
        /// Why it may land although beads below the epic are open.
        forced: Option<String>,
        /// Actor.
        created_by: Name,
        /// When.
        created_at: i64,
        /// When it landed or was dropped.
        ended_at: Option<i64>,
    }
}
