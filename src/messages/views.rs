//! What reads answer: plain data in the words that upstream `bd` prints.
//!
//! Field names and what is left out when empty follow upstream's JSON; what is the town's own has
//! views of its own. Times are RFC 3339 in UTC with milliseconds. Nothing here asks a database.

mod dogs;
mod line;
mod past;
mod queue;
mod town;
mod verify;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::query::Counts;
use crate::model::query::Linked;
use crate::model::rows::Bead;
use crate::model::rows::Change;
use crate::model::rows::Comment;
use crate::model::rows::Dep;

pub use dogs::DogRunView;
pub use line::EtaView;
pub use line::ExpectedView;
pub use line::FreezeView;
pub use line::QueueEventView;
pub use past::BeadLine;
pub use past::ChangedBead;
pub use past::CommitView;
pub use past::DiffView;
pub use past::FieldChange;
pub use past::PointView;
pub use past::ShownAt;
pub use queue::IntegrationView;
pub use queue::PartView;
pub use queue::QueueStatsView;
pub use queue::WhyView;
pub use town::AgentFields;
pub use town::AgentView;
pub use town::ConvoyView;
pub use town::EscalationView;
pub use town::HookView;
pub use town::LandingView;
pub use town::MailView;
pub use town::MemberView;
pub use town::MrView;
pub use town::QueueStatus;
pub use town::RigStatus;
pub use town::StatusView;
pub use verify::VerifyView;

/// Milliseconds since the epoch as RFC 3339; a time outside of years -9999 to 9999 is the epoch.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A bead as upstream prints an issue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IssueView {
    /// Public id.
    pub id: BeadId,
    /// Title.
    pub title: String,
    /// What is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<String>,
    /// When it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptance_criteria: Option<String>,
    /// Remarks in the bead itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Status.
    pub status: Status,
    /// 0 to 4.
    pub priority: i64,
    /// Type.
    pub issue_type: BeadType,
    /// Who has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_minutes: Option<i64>,
    /// Creation.
    pub created_at: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Last change.
    pub updated_at: String,
    /// First claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Closing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    /// Words at closing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<String>,
    /// Wanted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// Not ready before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defer_until: Option<String>,
    /// Id in another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_ref: Option<String>,
    /// Any JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Labels, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What it depends on; only in `show`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<LinkedIssue>,
    /// What depends on it; only in `show`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<LinkedBrief>,
    /// Remarks of their own; only in `show`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<CommentView>,
    /// The parent, by edge or by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BeadId>,
    /// Open beads that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<BeadId>,
    /// Beads that it depends on; absent where edges were not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency_count: Option<i64>,
    /// Beads that depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependent_count: Option<i64>,
    /// Remarks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment_count: Option<i64>,
    /// What an agent's bead has more.
    #[serde(flatten, default)]
    pub agent: Option<AgentFields>,
}

impl IssueView {
    /// The row alone, without edges, labels and remarks.
    #[must_use]
    pub fn of(bead: &Bead) -> Self {
        Self {
            id: bead.id.clone(),
            title: bead.title.clone(),
            description: some_text(&bead.description),
            design: some_text(&bead.design),
            acceptance_criteria: some_text(&bead.acceptance_criteria),
            notes: some_text(&bead.notes),
            status: bead.status,
            priority: bead.priority,
            issue_type: bead.issue_type,
            assignee: bead.assignee.as_ref().map(ToString::to_string),
            estimated_minutes: bead.estimated_minutes,
            created_at: rfc3339(bead.created_at),
            created_by: some_text(bead.created_by.as_str()),
            updated_at: rfc3339(bead.updated_at),
            started_at: bead.started_at.map(rfc3339),
            closed_at: bead.closed_at.map(rfc3339),
            close_reason: bead.close_reason.as_deref().and_then(some_text),
            due_at: bead.due_at.map(rfc3339),
            defer_until: bead.defer_until.map(rfc3339),
            external_ref: bead.external_ref.clone(),
            metadata: bead.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            labels: Vec::new(),
            dependencies: Vec::new(),
            dependents: Vec::new(),
            comments: Vec::new(),
            parent: bead.id.parent(),
            blocked_by: Vec::new(),
            dependency_count: None,
            dependent_count: None,
            comment_count: None,
            agent: None,
        }
    }

    /// The same with how many edges and remarks there are.
    #[must_use]
    pub fn counted(mut self, counts: Counts) -> Self {
        self.dependency_count = Some(counts.dependencies);
        self.dependent_count = Some(counts.dependents);
        self.comment_count = Some(counts.comments);
        self
    }
}

/// A bead at the far end of an edge, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkedIssue {
    /// The bead.
    #[serde(flatten)]
    pub issue: Box<IssueView>,
    /// What the edge means.
    pub dependency_type: DepType,
}

/// A bead at the far end of an edge, in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedBrief {
    /// The bead.
    pub id: BeadId,
    /// Its title; empty when it lives elsewhere.
    pub title: String,
    /// Its status; absent when it lives elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_type: Option<BeadType>,
    /// Its priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// What the edge means.
    pub dependency_type: DepType,
}

impl From<&Linked> for LinkedBrief {
    fn from(linked: &Linked) -> Self {
        let brief = linked.brief.as_ref();
        Self {
            id: linked.id.clone(),
            title: brief.map(|b| b.title.clone()).unwrap_or_default(),
            status: brief.map(|b| b.status),
            issue_type: brief.map(|b| b.issue_type),
            priority: brief.map(|b| b.priority),
            dependency_type: linked.dep_type,
        }
    }
}

/// A remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentView {
    /// Its own id.
    pub id: String,
    /// The bead.
    pub issue_id: BeadId,
    /// Who.
    pub author: String,
    /// Words.
    pub text: String,
    /// When.
    pub created_at: String,
}

impl From<&Comment> for CommentView {
    fn from(row: &Comment) -> Self {
        Self {
            id: row.seq.to_string(),
            issue_id: row.bead.clone(),
            author: row.author.to_string(),
            text: row.text.clone(),
            created_at: rfc3339(row.created_at),
        }
    }
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepView {
    /// The dependent.
    pub issue_id: BeadId,
    /// The dependency.
    pub depends_on_id: BeadId,
    /// What it means.
    #[serde(rename = "type")]
    pub dep_type: DepType,
    /// When it was made.
    pub created_at: String,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

impl From<&Dep> for DepView {
    fn from(row: &Dep) -> Self {
        Self {
            issue_id: row.bead.clone(),
            depends_on_id: row.target.clone(),
            dep_type: row.dep_type,
            created_at: rfc3339(row.created_at),
            created_by: Some(row.created_by.0.clone()),
        }
    }
}

/// The numbers of one database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatsView {
    /// Upstream's block.
    pub summary: Summary,
    /// Per status word.
    pub by_status: BTreeMap<String, i64>,
}

/// Upstream's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Of any status.
    pub total_issues: i64,
    /// Open.
    pub open_issues: i64,
    /// In progress.
    pub in_progress_issues: i64,
    /// Closed.
    pub closed_issues: i64,
    /// Kept from starting by another bead.
    pub blocked_issues: i64,
    /// Put off by hand.
    pub deferred_issues: i64,
    /// Could start now.
    pub ready_issues: i64,
    /// References.
    pub pinned_issues: i64,
    /// Epics whose children are all closed.
    pub epics_eligible_for_closure: i64,
    /// Mean hours from creation to closing; 0 when nothing was closed; absent in the town's status,
    /// which does not look at every closed bead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_lead_time_hours: Option<f64>,
}

/// One recorded change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeView {
    /// What was changed.
    pub subject: String,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// The op.
    pub op: String,
    /// What it changed.
    pub detail: Value,
}

impl From<&Change> for ChangeView {
    fn from(row: &Change) -> Self {
        Self {
            subject: row.subject.to_string(),
            at: rfc3339(row.at),
            actor: row.actor.to_string(),
            op: row.op.to_string(),
            detail: serde_json::from_str(&row.detail)
                .unwrap_or_else(|_| Value::String(row.detail.clone())),
        }
    }
}
