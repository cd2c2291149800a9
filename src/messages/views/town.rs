//! Views of what is the town's own: agents, merge queues, mail, convoys, the whole at a glance.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::FreezeView;
use super::IssueView;
use super::Summary;
use super::rfc3339;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::Role;
use crate::model::ids::RunId;
use crate::model::ids::SessionId;
use crate::model::ids::Sha;
use crate::model::line;
use crate::model::mail::MailKind;
use crate::model::mail::MailState;
use crate::model::mail::Priority;
use crate::model::merge::GateResult;
use crate::model::merge::MrState;
use crate::model::merge::Returned;
use crate::model::merge::Verdict;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Mail;
use crate::model::rows::MergeRequest;

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
    /// The integration branch on which it lands; absent for the rig's own target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lands_on: Option<String>,
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
    /// The class that it has by now: -1 is a hotfix, 0 the most urgent; it falls with age.
    pub class: i64,
    /// Whether a person put it first.
    pub hotfix: bool,
    /// Why it cannot be stacked now, or behind what it has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
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
            class: line::class(row),
            hotfix: row.hotfix,
            waits: None,
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
    /// Who had the run made ahead of the queue; absent for the queue's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<String>,
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
    /// The runs in progress.
    #[serde(default)]
    pub runs: Vec<RunId>,
    /// Why it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// Who keeps work from landing, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FreezeView>,
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
