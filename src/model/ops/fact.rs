//! What ops leave behind.

use serde::Deserialize;
use serde::Serialize;

use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::mail::MailKind;

/// What an op left behind: replies to the caller and wake-ups for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fact")]
pub enum Fact {
    /// A bead was made.
    Created {
        /// Its id.
        id: BeadId,
    },
    /// A bead changed.
    Changed {
        /// Its id.
        id: BeadId,
        /// The op.
        by: String,
    },
    /// A bead was closed.
    Closed {
        /// Its id.
        id: BeadId,
    },
    /// A bead is no longer blocked.
    Unblocked {
        /// Its id.
        id: BeadId,
    },
    /// A bead waits for a worker.
    Ordered {
        /// The bead.
        id: BeadId,
    },
    /// A convoy was chosen or made for an order.
    Convoyed {
        /// The convoy.
        convoy: BeadId,
    },
    /// An agent's state changed.
    Agent {
        /// Its bead.
        id: BeadId,
        /// Its address.
        actor: String,
        /// The new phase.
        phase: String,
    },
    /// A merge request is queued.
    Queued {
        /// Which.
        mr: BeadId,
        /// For which bead.
        bead: BeadId,
    },
    /// A merge request came back.
    Returned {
        /// Which.
        mr: BeadId,
        /// The bead.
        bead: BeadId,
    },
    /// A merge request landed.
    Merged {
        /// Which.
        mr: BeadId,
        /// The bead.
        bead: BeadId,
    },
    /// The queue's cycle changed.
    Queue {
        /// The rig.
        rig: RigName,
    },
    /// An outbox row was written.
    Outbox {
        /// For whom.
        dst: Db,
    },
    /// A parcel was applied, or had been.
    Delivered {
        /// From.
        src: Db,
        /// Its number.
        seq: i64,
    },
    /// Mail is in an inbox.
    Mail {
        /// Which.
        id: BeadId,
        /// Whose.
        to: String,
        /// Type.
        kind: MailKind,
    },
    /// A hint waits.
    Nudge {
        /// For whom.
        to: String,
        /// Words.
        text: String,
    },
    /// A convoy landed.
    ConvoyLanded {
        /// Which.
        id: BeadId,
    },
    /// A condition was raised or cleared.
    Alarm {
        /// What it is about.
        subject: String,
        /// What is wrong.
        condition: String,
        /// Raised or cleared.
        raised: bool,
    },
    /// Rows were removed.
    Reaped {
        /// How many.
        rows: usize,
    },
    /// A person's statement changed rows of a table.
    Statement {
        /// The table.
        table: String,
        /// How many rows.
        rows: usize,
    },
    /// What was over is gone.
    Decayed {
        /// The beads of work among it.
        beads: Vec<BeadId>,
        /// How many rows.
        rows: usize,
    },
    /// A dog's run was recorded, or old records were removed: no change of the history.
    Ran {
        /// Which dog.
        dog: String,
    },
    /// Nothing had to change.
    Unchanged,
}

/// Facts in the order they came about.
pub type Facts = Vec<Fact>;
