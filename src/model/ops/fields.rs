//! What a bead is made from, and what of it may be changed.

use serde::Deserialize;
use serde::Serialize;

use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::value::Name;

/// A bead to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewBead {
    /// A chosen id; `None` makes one.
    pub id: Option<BeadId>,
    /// At most 500 characters, not empty.
    pub title: String,
    /// What is wanted.
    pub description: String,
    /// How.
    pub design: String,
    /// When it is done.
    pub acceptance_criteria: String,
    /// Remarks.
    pub notes: String,
    /// `None` is a task.
    pub issue_type: Option<BeadType>,
    /// 0 to 4; `None` is 2.
    pub priority: Option<i64>,
    /// Actor.
    pub assignee: Option<Name>,
    /// Labels.
    pub labels: Vec<Name>,
    /// Makes a child `parent.N`.
    pub parent: Option<BeadId>,
    /// Edges to beads; whoever takes the call moves those to other databases to `foreign_deps`.
    pub deps: Vec<(DepType, BeadId)>,
    /// Edges to beads of other databases.
    pub foreign_deps: Vec<ForeignDep>,
    /// Not ready before.
    pub defer_until: Option<i64>,
    /// Wanted by.
    pub due_at: Option<i64>,
    /// Minutes.
    pub estimated_minutes: Option<i64>,
    /// Id in another system.
    pub external_ref: Option<String>,
    /// A JSON object as text.
    pub metadata: Option<String>,
}

/// An edge to a bead of another database, with what was seen of that bead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignDep {
    /// Meaning.
    pub dep_type: DepType,
    /// The dependency.
    pub target: BeadId,
    /// Where it lives.
    pub db: Db,
    /// Whether it was closed when looked at.
    pub closed: bool,
}

/// Fields to change; `None` leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edit {
    /// New title.
    pub title: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New design.
    pub design: Option<String>,
    /// New acceptance criteria.
    pub acceptance_criteria: Option<String>,
    /// New notes.
    pub notes: Option<String>,
    /// Text added to the notes on a line of its own.
    pub append_notes: Option<String>,
    /// New status; closing has an op of its own.
    pub status: Option<Status>,
    /// New priority.
    pub priority: Option<i64>,
    /// New type.
    pub issue_type: Option<BeadType>,
    /// New assignee; empty text removes it.
    pub assignee: Option<Name>,
    /// Labels to add.
    pub add_labels: Vec<Name>,
    /// Labels to remove.
    pub remove_labels: Vec<Name>,
    /// New time; 0 removes it.
    pub defer_until: Option<i64>,
    /// New time; 0 removes it.
    pub due_at: Option<i64>,
    /// Minutes.
    pub estimated_minutes: Option<i64>,
    /// New reference.
    pub external_ref: Option<String>,
    /// A JSON object as text.
    pub metadata: Option<String>,
}
