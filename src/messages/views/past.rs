//! Views of the past: commits, beads as they were, what became of them between two points.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::CommentView;
use super::DepView;
use super::IssueView;
use super::rfc3339;
use crate::model::bead::BeadType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::past::Commit;
use crate::model::past::Moment;
use crate::model::rows::Bead;

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitView {
    /// Its full hash.
    pub commit: String,
    /// When.
    pub date: String,
    /// Who.
    pub author: String,
    /// The first line of its message.
    pub message: String,
}

impl From<&Commit> for CommitView {
    fn from(commit: &Commit) -> Self {
        Self {
            commit: commit.hash.clone(),
            date: rfc3339(commit.at),
            author: commit.author.clone(),
            message: commit.message.lines().next().unwrap_or_default().to_owned(),
        }
    }
}

/// A point in time that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointView {
    /// Where.
    pub database: Db,
    /// The commit that stood then.
    pub commit: String,
    /// Its date.
    pub date: String,
    /// What is not known of it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl PointView {
    /// A moment of a database.
    #[must_use]
    pub fn of(db: &Db, moment: &Moment) -> Self {
        let note = moment.squashed_into.as_ref().map(|next| {
            format!(
                "what was changed until {} was squashed into one commit: this is what stood before",
                rfc3339(next.at)
            )
        });
        Self {
            database: db.clone(),
            commit: moment.commit.hash.clone(),
            date: rfc3339(moment.commit.at),
            note,
        }
    }
}

/// Beads as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownAt {
    /// What was read, one point for each database.
    pub points: Vec<PointView>,
    /// The beads, in the order that was asked.
    pub issues: Vec<IssueView>,
}

/// What became of a database's beads between two points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiffView {
    /// From when.
    pub from: PointView,
    /// To when.
    pub to: PointView,
    /// Beads that were not there before.
    pub added: Vec<BeadLine>,
    /// Beads that are not there any more, as they were.
    pub removed: Vec<BeadLine>,
    /// Beads that differ, with their edges, labels and remarks. Those of added and removed beads
    /// stand here too.
    pub changed: Vec<ChangedBead>,
}

/// A bead in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeadLine {
    /// Public id.
    pub id: BeadId,
    /// Title.
    pub title: String,
    /// Status.
    pub status: Status,
    /// 0 to 4.
    pub priority: i64,
    /// Type.
    pub issue_type: BeadType,
}

impl From<&Bead> for BeadLine {
    fn from(bead: &Bead) -> Self {
        Self {
            id: bead.id.clone(),
            title: bead.title.clone(),
            status: bead.status,
            priority: bead.priority,
            issue_type: bead.issue_type,
        }
    }
}

/// What became of one bead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedBead {
    /// Public id.
    pub id: BeadId,
    /// Fields that differ, by the names of columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// New labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_added: Vec<String>,
    /// Labels that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_removed: Vec<String>,
    /// New edges to what it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies_added: Vec<DepView>,
    /// Edges that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies_removed: Vec<DepView>,
    /// New remarks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments_added: Vec<CommentView>,
    /// Remarks that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments_removed: Vec<CommentView>,
}

impl ChangedBead {
    /// Nothing yet.
    #[must_use]
    pub fn new(id: BeadId) -> Self {
        Self {
            id,
            fields: Vec::new(),
            labels_added: Vec::new(),
            labels_removed: Vec::new(),
            dependencies_added: Vec::new(),
            dependencies_removed: Vec::new(),
            comments_added: Vec::new(),
            comments_removed: Vec::new(),
        }
    }
}

/// One field that differs. Times are milliseconds since the epoch, as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The column.
    pub field: String,
    /// Before.
    pub from: Value,
    /// After.
    pub to: Value,
}
