//! What reads answer: plain data in the words that upstream `bd` prints.
//!
//! Field names and what is left out when empty follow upstream's JSON; what is the town's own has
//! views of its own. Times are RFC 3339 in UTC with milliseconds. Nothing here asks a database.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::Role;
use crate::model::ids::RunId;
use crate::model::ids::SessionId;
use crate::model::ids::Sha;
use crate::model::mail::MailKind;
use crate::model::mail::MailState;
use crate::model::mail::Priority;
use crate::model::merge::GateResult;
use crate::model::merge::MrState;
use crate::model::merge::Returned;
use crate::model::merge::Verdict;
use crate::model::query::Counts;
use crate::model::query::Linked;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Change;
use crate::model::rows::Comment;
use crate::model::rows::Mail;
use crate::model::rows::MergeRequest;

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
    /// Mean hours from creation to closing; 0 when nothing was closed.
    pub average_lead_time_hours: f64,
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

/// What is on somebody's hook, and what waits for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookView {
    /// The agent's bead; absent for the person.
    pub agent: Option<BeadId>,
    /// The address.
    pub actor: String,
    /// The state's word; `none` for the person.
    pub phase: String,
    /// Session starts so far.
    pub incarnation: i64,
    /// The work.
    pub bead: Option<IssueView>,
    /// The branch that it is done on.
    pub branch: Option<String>,
    /// Where it is done, when the answerer knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<String>,
    /// The merge request that came back last, if the work is rework.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<MrView>,
    /// Hints that were not taken yet, oldest first.
    pub nudges: Vec<String>,
    /// Messages not read yet.
    pub unread_mail: usize,
}

/// What an agent's bead has more than another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFields {
    /// Its role's definition.
    pub role_bead: BeadId,
    /// Its role.
    pub role_type: Role,
    /// Its rig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rig: Option<RigName>,
    /// The state's word.
    pub agent_state: String,
    /// The bead on its hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_bead: Option<BeadId>,
    /// The seed's class.
    pub persistence: String,
    /// Session starts so far.
    pub incarnation: i64,
    /// The session that runs, or should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Last change of its state.
    pub last_activity: String,
}

impl From<&Agent> for AgentFields {
    fn from(row: &Agent) -> Self {
        Self {
            role_bead: row.role_bead.clone(),
            role_type: row.role,
            rig: row.rig.clone(),
            agent_state: row.state.word().to_owned(),
            hook_bead: row.hook_bead.clone(),
            persistence: row.persistence.to_string(),
            incarnation: row.incarnation,
            session: row.state.session().cloned(),
            last_activity: rfc3339(row.updated_at),
        }
    }
}

/// Somebody in the town.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// The agent's bead.
    pub id: BeadId,
    /// The address.
    pub actor: String,
    /// The short name.
    pub name: String,
    /// The branch that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub fields: AgentFields,
}

impl From<&Agent> for AgentView {
    fn from(row: &Agent) -> Self {
        Self {
            id: row.id.clone(),
            actor: row.actor.to_string(),
            name: row.name.to_string(),
            branch: row.state.work().map(|work| work.branch.clone()),
            fields: AgentFields::from(row),
        }
    }
}

/// A merge request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MrView {
    /// Its bead.
    pub id: BeadId,
    /// Its rig.
    pub rig: Option<RigName>,
    /// The work.
    pub bead: BeadId,
    /// The work's title.
    pub title: String,
    /// The author's agent bead.
    pub author: BeadId,
    /// Which start of the author.
    pub incarnation: i64,
    /// The branch.
    pub branch: String,
    /// The submitted head.
    pub head: Sha,
    /// The branch to land on.
    pub target: String,
    /// 0 to 4.
    pub priority: i64,
    /// Where it stands.
    pub state: MrState,
    /// Whether it is in the cycle that runs now.
    pub in_cycle: bool,
    /// Why it came back, and what it was tested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Returned>,
    /// The landed commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_commit: Option<Sha>,
    /// When queued.
    pub created_at: String,
    /// When decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
}

impl MrView {
    /// The row, with what other rows know of it.
    #[must_use]
    pub fn of(row: &MergeRequest, rig: Option<RigName>, title: String, in_cycle: bool) -> Self {
        Self {
            id: row.id.clone(),
            rig,
            bead: row.bead.clone(),
            title,
            author: row.author.clone(),
            incarnation: row.incarnation,
            branch: row.branch.clone(),
            head: row.head.clone(),
            target: row.target.clone(),
            priority: row.priority,
            state: row.state,
            in_cycle,
            verdict: row.verdict.clone(),
            merge_commit: row.merge_commit.clone(),
            created_at: rfc3339(row.created_at),
            decided_at: row.decided_at.map(rfc3339),
        }
    }
}

/// One move of a target, with the run that certifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandingView {
    /// The branch.
    pub target: String,
    /// Where it was.
    pub base: Sha,
    /// Where it is.
    pub tip: Sha,
    /// The tip's tree.
    pub tree: Sha,
    /// What landed, in order.
    pub mrs: Vec<BeadId>,
    /// When.
    pub landed_at: String,
    /// The run.
    pub run: RunId,
    /// The commit that the run tested; absent when the run is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested_commit: Option<Sha>,
    /// The tree that the run tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested_tree: Option<Sha>,
    /// The run's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The digest of the gates as they were configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates_digest: Option<String>,
    /// Per gate.
    pub gates: Vec<GateResult>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailView {
    /// Its bead.
    pub id: BeadId,
    /// Sender.
    pub from: String,
    /// Recipient.
    pub to: String,
    /// Protocol type.
    #[serde(rename = "type")]
    pub kind: MailKind,
    /// Subject.
    pub subject: String,
    /// Body.
    pub body: String,
    /// Urgency.
    pub priority: Priority,
    /// The first message of the thread.
    pub thread_id: BeadId,
    /// Where it stands.
    pub state: MailState,
    /// Whether it was read.
    pub read: bool,
    /// When it was sent.
    pub timestamp: String,
    /// When it was first read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
}

impl MailView {
    /// The row, with its bead's subject and body.
    #[must_use]
    pub fn of(row: &Mail, bead: Option<&Bead>) -> Self {
        Self {
            id: row.id.clone(),
            from: row.sender.to_string(),
            to: row.recipient.to_string(),
            kind: row.kind,
            subject: bead.map(|bead| bead.title.clone()).unwrap_or_default(),
            body: bead.map(|bead| bead.description.clone()).unwrap_or_default(),
            priority: row.priority,
            thread_id: row.thread.clone(),
            state: row.state,
            read: row.state != MailState::Unread,
            timestamp: rfc3339(row.sent_at),
            read_at: row.read_at.map(rfc3339),
        }
    }
}

/// A batch of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvoyView {
    /// Its bead.
    pub id: BeadId,
    /// Its title.
    pub title: String,
    /// Its status.
    pub status: Status,
    /// Who is told when it lands.
    pub owner: String,
    /// When it landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landed_at: Option<String>,
    /// Members that are closed.
    pub closed: usize,
    /// Members.
    pub total: usize,
    /// Its members.
    pub members: Vec<MemberView>,
}

/// A tracked bead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// The bead.
    pub bead: BeadId,
    /// Its rig.
    pub rig: RigName,
    /// Whether it is closed.
    pub closed: bool,
}

/// The town at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The town's id; absent outside of a town.
    pub town: Option<String>,
    /// The town's own agents.
    pub agents: Vec<AgentView>,
    /// Rig by rig, by name.
    pub rigs: Vec<RigStatus>,
    /// Conditions that a person was told of and that still hold.
    pub escalations: Vec<EscalationView>,
    /// Convoys that have not landed.
    pub convoys: usize,
    /// Messages that the person has not read.
    pub unread_mail: usize,
    /// What the daemon says of itself; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<Value>,
}

/// A rig at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RigStatus {
    /// Its name.
    pub name: RigName,
    /// Its database.
    pub db: Db,
    /// The prefix of its ids.
    pub prefix: String,
    /// Who is there.
    pub agents: Vec<AgentView>,
    /// Beads that wait for a worker.
    pub orders: usize,
    /// The merge queue.
    pub queue: QueueStatus,
    /// Its work in numbers.
    pub beads: Summary,
}

/// A merge queue at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// What it does: `idle`, `testing`, `landing`.
    pub step: String,
    /// Merge requests that wait or are in the cycle.
    pub queued: usize,
    /// Kept out of cycles by hand.
    pub held: usize,
    /// Cycles so far.
    pub cycles: i64,
    /// The run in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Why it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
}

/// A condition that wants a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationView {
    /// Its bead.
    pub id: BeadId,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub condition: String,
    /// Since when.
    pub raised_at: String,
}
