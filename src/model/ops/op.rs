//! The closed list of ops.

use serde::Deserialize;
use serde::Serialize;

use super::decay::Doomed;
use super::decay::Rules;
use super::fields::Edit;
use super::fields::NewBead;
use super::integration::NewIntegration;
use super::integration::WholeLanding;
use super::queue::NewBranch;
use super::sessions::AfterExit;
use crate::model::agent::Exit;
use crate::model::agent::Submission;
use crate::model::bead::DepType;
use crate::model::effect::Bounced;
use crate::model::effect::HostIdentity;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::Role;
use crate::model::ids::RunId;
use crate::model::ids::SessionId;
use crate::model::mail::MailState;
use crate::model::merge::CycleEnd;
use crate::model::merge::GateResult;
use crate::model::merge::Judge;
use crate::model::merge::MrState;
use crate::model::merge::Stack;
use crate::model::merge::Touches;
use crate::model::merge::Verification;
use crate::model::parcel::Letter;
use crate::model::parcel::Parcel;
use crate::model::upkeep::RunDetail;
use crate::model::value::Name;

/// Declares the op enum together with its names, so that crash points cover every op.
macro_rules! ops {
    ($($(#[$meta:meta])* $name:ident $text:literal $({ $($(#[$fm:meta])* $field:ident: $ty:ty),+ $(,)? })? $(($inner:ty))?;)+) => {
        /// One change of one database.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case", tag = "op")]
        pub enum Op {
            $($(#[$meta])* $name $({ $($(#[$fm])* $field: $ty),+ })? $(($inner))?),+
        }

        impl Op {
            /// Every op's name.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The name, as `changes`, commit messages and crash points use it.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $text),+
                }
            }
        }
    };
}

ops! {
    /// Make a bead.
    Create "create" (NewBead);
    /// Change fields of a bead.
    Edit "edit" {
        /// Which.
        id: BeadId,
        /// What.
        edit: Edit,
    };
    /// Close a bead by hand.
    Close "close" {
        /// Which.
        id: BeadId,
        /// Why.
        reason: String,
    };
    /// Open a closed bead again.
    Reopen "reopen" {
        /// Which.
        id: BeadId,
    };
    /// Remove a bead and its edges.
    Delete "delete" {
        /// Which.
        id: BeadId,
    };
    /// Remark on a bead.
    Comment "comment" {
        /// Which.
        id: BeadId,
        /// Words.
        text: String,
    };
    /// Take a free bead by hand (compare-and-set).
    Claim "claim" {
        /// Which.
        id: BeadId,
    };
    /// Add an edge within the database.
    AddDep "add_dep" {
        /// The dependent.
        bead: BeadId,
        /// The dependency.
        target: BeadId,
        /// Meaning.
        dep_type: DepType,
    };
    /// Add an edge to a bead of another database.
    AddForeignDep "add_foreign_dep" {
        /// The dependent.
        bead: BeadId,
        /// The dependency.
        target: BeadId,
        /// Meaning.
        dep_type: DepType,
        /// Where the dependency lives.
        db: Db,
        /// Whether it was closed when looked at.
        closed: bool,
    };
    /// Remove an edge.
    RemoveDep "remove_dep" {
        /// The dependent.
        bead: BeadId,
        /// The dependency.
        target: BeadId,
    };
    /// Set a small text of the database.
    SetMeta "set_meta" {
        /// Which.
        name: Name,
        /// Its value.
        value: String,
    };
    /// Write a role's definition bead (idempotent).
    RegisterRole "register_role" {
        /// The role.
        role: Role,
    };
    /// Write an agent's bead (idempotent).
    RegisterAgent "register_agent" {
        /// Who.
        who: Identity,
    };
    /// Remove an idle agent.
    RemoveAgent "remove_agent" {
        /// Its bead.
        id: BeadId,
    };
    /// Ask for workers (`gt sling`).
    PlaceOrders "place_orders" {
        /// The beads, in the order wanted.
        beads: Vec<BeadId>,
        /// Only this worker will do.
        worker: Option<Name>,
        /// Agent preset.
        preset: Option<Name>,
        /// An existing convoy.
        convoy: Option<BeadId>,
    };
    /// Give an ordered, ready bead to an idle worker.
    Assign "assign" {
        /// The bead.
        bead: BeadId,
        /// The worker.
        agent: BeadId,
        /// The branch, unless the order names one.
        branch: String,
    };
    /// Take a bead from whoever has or waits for it.
    Release "release" {
        /// The bead.
        bead: BeadId,
        /// Why.
        reason: String,
    };
    /// Count up the incarnation and want this session.
    StartSession "start_session" {
        /// Whose.
        agent: BeadId,
        /// The incarnation before.
        incarnation: i64,
        /// The session.
        session: SessionId,
    };
    /// The session's host is known.
    SessionStarted "session_started" {
        /// Whose.
        agent: BeadId,
        /// Which incarnation.
        incarnation: i64,
        /// The session.
        session: SessionId,
        /// Who it is.
        host: HostIdentity,
    };
    /// The session has ended.
    SessionEnded "session_ended" {
        /// Whose.
        agent: BeadId,
        /// Which incarnation.
        incarnation: i64,
        /// The session.
        session: SessionId,
        /// How.
        exit: Exit,
        /// What follows, if the bead is still held.
        then: AfterExit,
    };
    /// Record a completion (`gt done`).
    Submit "submit" {
        /// Who.
        agent: BeadId,
        /// Which incarnation.
        incarnation: i64,
        /// What.
        submission: Submission,
    };
    /// The work cannot go on here: give the bead back.
    Withdraw "withdraw" {
        /// Who.
        agent: BeadId,
        /// Which incarnation.
        incarnation: i64,
        /// What follows; a retry is not among it.
        then: AfterExit,
    };
    /// The push is verified: queue the merge request, or close work without change.
    Enqueue "enqueue" {
        /// Who.
        agent: BeadId,
        /// Which incarnation.
        incarnation: i64,
        /// The branch to land on.
        target: String,
        /// What it touches, if that could be told.
        touches: Option<Touches>,
    };
    /// The worktree is gone: the worker is idle.
    Cleared "cleared" {
        /// Who.
        agent: BeadId,
        /// Which incarnation.
        incarnation: i64,
        /// Where unsaved work went.
        rescued: Option<String>,
    };
    /// A stack is built: test it.
    BeginCycle "begin_cycle" {
        /// The rig.
        rig: RigName,
        /// The stack.
        stack: Stack,
        /// Each item's chance to be a culprit, in millionths.
        risks: Vec<i64>,
        /// What did not stack.
        bounced: Vec<Bounced>,
        /// Returns of one bead before a person is told.
        rework_max: i64,
    };
    /// A prefix is to be tested.
    StartRun "start_run" {
        /// The rig.
        rig: RigName,
        /// The run.
        run: RunId,
        /// Prefix length.
        len: usize,
        /// Gates and environment.
        judge: Judge,
    };
    /// The gates have answered.
    FinishRun "finish_run" {
        /// The rig.
        rig: RigName,
        /// The run.
        run: RunId,
        /// Per gate.
        results: Vec<GateResult>,
    };
    /// The gates have run ahead of the queue.
    RecordVerification "record_verification" {
        /// The rig.
        rig: RigName,
        /// What they said.
        told: Verification,
    };
    /// A green prefix should land.
    BeginLanding "begin_landing" {
        /// The rig.
        rig: RigName,
        /// Length of the prefix.
        len: usize,
        /// Set when the item behind it goes back: its chance to be innocent, in millionths.
        culprit: Option<i64>,
        /// The run that passed on its exact tree.
        proof: RunId,
    };
    /// The cycle is over: what landed is merged, the culprit goes back. What is behind a landed
    /// prefix without a culprit is searched on.
    FinishCycle "finish_cycle" {
        /// The rig.
        rig: RigName,
        /// How.
        end: CycleEnd,
        /// Returns of one bead before a person is told.
        rework_max: i64,
        /// The branch.
        target: String,
        /// The present gates: only what they said is held against anybody.
        judge: Judge,
    };
    /// Give up a cycle; its merge requests stay queued.
    AbandonCycle "abandon_cycle" {
        /// The rig.
        rig: RigName,
        /// Why.
        reason: String,
    };
    /// Stop the queue until a person looks, or let it go on.
    ParkQueue "park_queue" {
        /// The rig.
        rig: RigName,
        /// Why; `None` lets it go on.
        reason: Option<String>,
    };
    /// Tell a person that the queue waits for somebody who does not answer, or that it is over.
    QueueAway "queue_away" {
        /// The rig.
        rig: RigName,
        /// What happened; `None` when it is over.
        reason: Option<String>,
    };
    /// Hold, queue again or reject a merge request by hand.
    SetMr "set_mr" {
        /// Which.
        mr: BeadId,
        /// The new state: queued, held or rejected.
        state: MrState,
        /// Why.
        reason: String,
    };
    /// Put a waiting merge request ahead of everything.
    Hotfix "hotfix" {
        /// Which, or its bead.
        id: BeadId,
        /// Why.
        reason: String,
    };
    /// Keep work from landing, or let it land again.
    FreezeQueue "freeze_queue" {
        /// The rig.
        rig: RigName,
        /// Why; `None` lets it land again.
        reason: Option<String>,
        /// The least urgent class that still lands, -1 is hotfixes alone; `None` is nothing.
        allow: Option<i64>,
    };
    /// Queue a branch that is on the remote already (crew).
    SubmitBranch "submit_branch" (NewBranch);
    /// Record the branch on which the beads below an epic land. It is at the remote already.
    CreateIntegration "create_integration" (NewIntegration);
    /// Queue an integration branch as one merge request.
    LandIntegration "land_integration" (WholeLanding);
    /// Give up an integration branch with nothing in it.
    DropIntegration "drop_integration" {
        /// The epic.
        epic: BeadId,
    };
    /// Apply a parcel from another database, once.
    Deliver "deliver" {
        /// The source.
        src: Db,
        /// Its number there.
        seq: i64,
        /// The parcel.
        parcel: Parcel,
    };
    /// The destination has everything up to here.
    Prune "prune" {
        /// The destination.
        dst: Db,
        /// The last applied number.
        upto: i64,
    };
    /// Send mail.
    SendMail "send_mail" (Letter);
    /// Read, archive or bring back a message.
    MarkMail "mark_mail" {
        /// Which.
        id: BeadId,
        /// The new state.
        state: MailState,
    };
    /// Leave a hint.
    SendNudge "send_nudge" {
        /// For whom.
        to: Name,
        /// Words.
        text: String,
    };
    /// Pull the hints for somebody.
    TakeNudges "take_nudges" {
        /// Who.
        by: Name,
    };
    /// Raise or clear a condition.
    SetAlarm "set_alarm" {
        /// What it is about.
        subject: Name,
        /// What is wrong.
        condition: Name,
        /// Words; `None` clears.
        raise: Option<String>,
    };
    /// Make a convoy by hand.
    CreateConvoy "create_convoy" {
        /// Title.
        title: String,
        /// Told when it lands.
        owner: Name,
        /// Beads with their rigs, and whether each is closed.
        beads: Vec<(BeadId, RigName, bool)>,
    };
    /// Remove hints taken or sent before a time.
    Reap "reap" {
        /// Milliseconds since the epoch.
        before: i64,
        /// Most rows.
        limit: usize,
    };
    /// Change rows of one table by a person's own SQL.
    Sql "sql" {
        /// One INSERT, REPLACE, UPDATE or DELETE.
        text: String,
    };
    /// Remove what is over, rows and all. Each is looked at again.
    Decay "decay" {
        /// What was found.
        doomed: Vec<Doomed>,
        /// What is over.
        rules: Rules,
    };
    /// Keep what a dog did. No change of the history.
    RecordRun "record_run" {
        /// Which dog.
        dog: Name,
        /// What it did.
        detail: RunDetail,
    };
}
