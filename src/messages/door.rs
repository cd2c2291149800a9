//! What passes through the door: one typed call, one typed answer (design 6, D12).
//!
//! The same calls are answered by the daemon behind its socket and, without a daemon, by the
//! command's own process under the writer lock. Writes are ops; reads are questions; the rest
//! asks the running town for something.

use serde::Deserialize;
use serde::Serialize;

use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::Sha;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::past::Point;
use crate::model::query::BeadFilter;
use crate::model::upkeep::Chore;

/// Version of this protocol; another one is refused.
pub const PROTOCOL: u32 = 1;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// [`PROTOCOL`] of the caller.
    pub protocol: u32,
    /// The town that the caller means; another one refuses.
    pub town: Option<String>,
    /// The session's secret (`GT_TOKEN`); none is the overseer.
    pub token: Option<String>,
    /// The caller's label (`BD_ACTOR`): written down, not proof. A token overrides it.
    pub actor: Option<String>,
    /// What is wanted.
    pub request: Request,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Who are you?
    Hello,
    /// Commit these ops together in one database.
    Write {
        /// Where.
        db: Db,
        /// What. Ops that only the town itself may write are refused.
        ops: Vec<Op>,
    },
    /// A question.
    Read(Query),
    /// `gt done`: who and which incarnation come from the token.
    Done {
        /// The tip of the branch.
        head: Sha,
        /// Nothing to merge, and why.
        no_change: Option<String>,
    },
    /// `gt verify`: run the gates on a commit as it would land; answered as `VerifyView`.
    Verify(Verify),
    /// Something of the running town.
    Control(Control),
}

/// What is to be verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// The rig.
    pub rig: RigName,
    /// The branch, as the queue would be told it.
    pub branch: String,
    /// Its tip.
    pub head: Sha,
    /// The integration branch that it would land on; `None` is the rig's own target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onto: Option<String>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "query")]
#[expect(clippy::large_enum_variant, reason = "one at a time: a box would only move it")]
pub enum Query {
    /// Beads by filter; answered as `[IssueView]`, over several databases in one order.
    Beads {
        /// Where; empty is everywhere.
        dbs: Vec<Db>,
        /// Which.
        filter: BeadFilter,
    },
    /// Beads by id, with edges, labels and comments; answered as `[IssueView]`.
    Show {
        /// Which; each in its own database.
        ids: Vec<BeadId>,
    },
    /// Beads as they were; answered as `ShownAt`.
    ShowAt {
        /// Which; each in its own database.
        ids: Vec<BeadId>,
        /// When.
        at: Point,
    },
    /// What became of a database's beads between two points; answered as `DiffView`.
    Diff {
        /// Where.
        db: Db,
        /// From when.
        from: Point,
        /// To when.
        to: Point,
    },
    /// Commits of a database, newest first; answered as `[CommitView]`.
    Log {
        /// Where.
        db: Db,
        /// Most commits.
        limit: Option<usize>,
    },
    /// Counts of one database; answered as `StatsView`.
    Stats {
        /// Where.
        db: Db,
    },
    /// Edges of a bead; answered as `[DepView]`.
    Deps {
        /// Which.
        id: BeadId,
    },
    /// Labels in use or of one bead; answered as `[String]`.
    Labels {
        /// Where.
        db: Db,
        /// Of this bead only.
        id: Option<BeadId>,
    },
    /// Recorded changes of a subject, oldest first; answered as `[ChangeView]`.
    History {
        /// A bead, merge request or agent by id, an agent by address, or a rig by name.
        id: BeadId,
    },
    /// What is on a hook; answered as `HookView`.
    Hook {
        /// Whose; `None` is the caller's.
        actor: Option<String>,
    },
    /// Agents; answered as `[AgentView]`.
    Agents {
        /// Of one rig.
        rig: Option<RigName>,
    },
    /// Merge requests; answered as `[MrView]`.
    Queue {
        /// Of one rig.
        rig: Option<RigName>,
        /// Decided ones too.
        all: bool,
    },
    /// What queues did, beside what theory allows; answered as `[QueueStatsView]`.
    QueueStats {
        /// Of one rig.
        rig: Option<RigName>,
    },
    /// The runs that a merge request was part of; answered as `WhyView`.
    Why {
        /// Which.
        mr: BeadId,
    },
    /// Events of a queue, oldest first; answered as `[QueueEventView]`.
    QueueLog {
        /// The rig.
        rig: RigName,
        /// The newest only.
        limit: usize,
        /// Only those after the one with this `seq`; 0 is all.
        after: i64,
    },
    /// When those who wait will be decided; answered as `[EtaView]`.
    Eta {
        /// The rig.
        rig: RigName,
        /// Of this one only.
        mr: Option<BeadId>,
        /// Most merge requests in one stack.
        most: usize,
    },
    /// Integration branches, ended ones too; answered as `[IntegrationView]`.
    Integrations {
        /// Of one rig.
        rig: Option<RigName>,
        /// Of one epic.
        epic: Option<BeadId>,
    },
    /// The integration branch on which a bead's work lands; answered as a name, or null for the
    /// rig's own target.
    LandsOn {
        /// The bead.
        bead: BeadId,
    },
    /// Landings with their runs; answered as `[LandingView]`.
    Landings {
        /// The rig.
        rig: RigName,
    },
    /// An inbox, oldest first; answered as `[MailView]`.
    Inbox {
        /// Whose; `None` is the caller's.
        recipient: Option<String>,
        /// Archived ones too.
        all: bool,
        /// Unread ones only.
        unread: bool,
    },
    /// One message; answered as `MailView`.
    Message {
        /// Which.
        id: BeadId,
    },
    /// Convoys; answered as `[ConvoyView]`.
    Convoys {
        /// Landed ones too.
        all: bool,
    },
    /// What dogs did, newest first; answered as `[DogRunView]`.
    DogRuns {
        /// Most rows.
        limit: usize,
    },
    /// The whole town at a glance; answered as `StatusView`.
    Status,
}

/// Something of the running town. Only the overseer may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "control")]
pub enum Control {
    /// End the daemon; sessions too, unless they are to stay.
    Stop {
        /// Whether sessions are ended. Assignments are kept either way.
        sessions: bool,
    },
    /// Read the settings files again and start what is new.
    Reload,
    /// Clone, register and start a rig.
    AddRig {
        /// Its name.
        name: RigName,
        /// The repository.
        url: String,
        /// The prefix of its ids, without dash.
        prefix: Option<String>,
    },
    /// Stop a rig and take it off the list; its files stay unless they are clean.
    RemoveRig {
        /// Which.
        name: RigName,
    },
    /// Make a person's clone.
    AddCrew {
        /// The rig.
        rig: RigName,
        /// Its name.
        name: String,
    },
    /// Take a person's clone off the list; refused while it has work that is nowhere else.
    RemoveCrew {
        /// The rig.
        rig: RigName,
        /// Its name.
        name: String,
    },
    /// Do something to a database as a whole, as a dog would; answered as `ChoreDone`.
    Upkeep {
        /// Which.
        db: Db,
        /// What.
        chore: Chore,
    },
    /// Release, end, rescue and forget a worker.
    Nuke {
        /// The rig.
        rig: RigName,
        /// Its name.
        name: String,
    },
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What became true (writes).
    #[serde(default)]
    pub facts: Facts,
    /// What was asked for (reads), or what was done (control), as one of the views.
    #[serde(default)]
    pub result: serde_json::Value,
}

/// Who answers: result of `Hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloView {
    /// [`PROTOCOL`] of the answerer.
    pub protocol: u32,
    /// The town's id.
    pub town: String,
    /// The daemon's process id.
    pub pid: u32,
    /// The program's version.
    pub version: String,
}

/// Why there is no good answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct DoorError {
    /// What happened.
    pub error: String,
    /// A stable word: a code of `Refused`, or one of `busy`, `unavailable`, `denied`, `mismatch`,
    /// `unknown_outcome`, `internal`, `usage`.
    pub code: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl DoorError {
    /// An error without a hint.
    #[must_use]
    pub fn new(code: &str, error: impl Into<String>) -> Self {
        Self { error: error.into(), code: code.to_owned(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
