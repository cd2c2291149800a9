//! What one database asks another to apply (D7). Applied once, in order, by the relay.

use serde::Deserialize;
use serde::Serialize;

use super::ids::BeadId;
use super::ids::Db;
use super::mail::MailKind;
use super::mail::Priority;
use super::value::json_cell;

/// One effect on another database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "parcel")]
pub enum Parcel {
    /// hq: a convoy tracks these beads; made when it is not there.
    Track {
        /// The convoy's id.
        convoy: BeadId,
        /// Its title when new.
        title: String,
        /// Its owner when new.
        owner: String,
        /// The beads, and whether each is closed already.
        beads: Vec<(BeadId, bool)>,
    },
    /// hq: a tracked bead was closed or reopened.
    Tracked {
        /// The convoy.
        convoy: BeadId,
        /// The bead.
        bead: BeadId,
        /// Whether it is closed now.
        closed: bool,
    },
    /// hq: mail caused by a change elsewhere.
    Mail(Letter),
    /// hq: raise (once) or clear (once) a condition.
    Alarm {
        /// What it is about.
        subject: String,
        /// What is wrong.
        condition: String,
        /// Words; `None` clears.
        raise: Option<String>,
    },
    /// Any: tell `db` when this bead closes.
    Watch {
        /// The bead.
        bead: BeadId,
        /// Who wants to know.
        db: Db,
    },
    /// Any: `db` does not want to hear of this bead any more.
    Unwatch {
        /// The bead.
        bead: BeadId,
        /// Who wanted to know.
        db: Db,
    },
    /// Any: a bead that is shadowed here was closed or reopened there.
    Shadow {
        /// The bead.
        bead: BeadId,
        /// Whether it is closed now.
        closed: bool,
    },
}

json_cell!(Parcel);

/// A message before it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Actor.
    pub sender: String,
    /// Actor.
    pub recipient: String,
    /// Protocol type.
    pub kind: MailKind,
    /// Subject.
    pub subject: String,
    /// Body.
    pub body: String,
    /// Urgency.
    pub priority: Priority,
    /// The thread it belongs to.
    pub thread: Option<BeadId>,
}
