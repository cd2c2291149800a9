//! Every table. All databases have the same tables; D7 says which rows live where.

mod integration;
mod tables;

pub use super::lists::Ids;
pub use super::lists::Results;
pub use integration::Integration;
pub use tables::TABLES;

use super::agent::AgentState;
use super::agent::Exit;
use super::bead::BeadType;
use super::bead::DepType;
use super::bead::Hold;
use super::bead::Status;
use super::ids::BeadId;
use super::ids::Db;
use super::ids::Persistence;
use super::ids::RigName;
use super::ids::Role;
use super::ids::RunId;
use super::ids::SessionId;
use super::ids::Sha;
use super::line::Freeze;
use super::mail::MailKind;
use super::mail::MailState;
use super::mail::Priority;
use super::merge::Cycle;
use super::merge::MrState;
use super::merge::Returned;
use super::merge::Touches;
use super::merge::Verdict;
use super::parcel::Parcel;
use super::table::rows;
use super::value::Name;

rows! {
    /// Every noun of the town. Times are milliseconds since the epoch.
    Versioned Bead in "beads" key(seq),
    index(by_id: unique [id], by_ready: [work, status, blocked, priority, seq, defer_until])
    {
        /// Time-ordered key that includes the writer's id.
        seq: i64,
        /// Public id.
        id: BeadId,
        /// At most 500 characters.
        title: String,
        /// What is wanted.
        description: String,
        /// How.
        design: String,
        /// When it is done.
        acceptance_criteria: String,
        /// Remarks.
        notes: String,
        /// Shown status.
        status: Status,
        /// 0 (highest) to 4.
        priority: i64,
        /// Shown type.
        issue_type: BeadType,
        /// Whether a worker can be given a bead of this type: what ready work is counted by.
        work: bool,
        /// Actor that has it.
        assignee: Option<Name>,
        /// Actor that made it.
        created_by: Name,
        /// Creation.
        created_at: i64,
        /// Last change.
        updated_at: i64,
        /// First claim.
        started_at: Option<i64>,
        /// Closing.
        closed_at: Option<i64>,
        /// Words at closing.
        close_reason: Option<String>,
        /// Not ready before.
        defer_until: Option<i64>,
        /// Wanted by.
        due_at: Option<i64>,
        /// Minutes.
        estimated_minutes: Option<i64>,
        /// Id in another system.
        external_ref: Option<String>,
        /// A JSON object.
        metadata: Option<String>,
        /// A blocker is open, or the parent is blocked.
        blocked: bool,
        /// Who has it.
        hold: Hold,
        /// The convoy that tracks it.
        convoy: Option<BeadId>,
        /// Children made so far.
        children: i64,
    }

    /// An edge: `bead` depends on `target`.
    Versioned Dep in "dependencies" key(bead, target), index(by_target: [target])
    {
        /// The dependent.
        bead: BeadId,
        /// The dependency.
        target: BeadId,
        /// Meaning.
        dep_type: DepType,
        /// Creation.
        created_at: i64,
        /// Actor.
        created_by: Name,
    }

    /// A label.
    Versioned Label in "labels" key(bead, label)
    {
        /// The bead.
        bead: BeadId,
        /// The label.
        label: Name,
    }

    /// A remark.
    Versioned Comment in "comments" key(bead, seq)
    {
        /// The bead.
        bead: BeadId,
        /// Order.
        seq: i64,
        /// Actor.
        author: Name,
        /// Words.
        text: String,
        /// When.
        created_at: i64,
    }

    /// Actor and operation of every mutation.
    Versioned Change in "changes" key(subject, seq)
    {
        /// The bead, or another thing by name.
        subject: Name,
        /// Order.
        seq: i64,
        /// Actor.
        actor: Name,
        /// The op's name.
        op: Name,
        /// What changed, as JSON.
        detail: String,
        /// When.
        at: i64,
    }

    /// Somebody in the town: 1:1 with an agent bead.
    Versioned Agent in "agents" key(id)
    {
        /// The agent bead's id.
        id: BeadId,
        /// Address (`BD_ACTOR`).
        actor: Name,
        /// Role.
        role: Role,
        /// Its definition.
        role_bead: BeadId,
        /// Class.
        persistence: Persistence,
        /// Rig of a rig-level agent.
        rig: Option<RigName>,
        /// Short name.
        name: Name,
        /// Session starts so far.
        incarnation: i64,
        /// Where it stands.
        state: AgentState,
        /// The bead on its hook.
        hook_bead: Option<BeadId>,
        /// Last change.
        updated_at: i64,
    }

    /// One session start.
    Versioned Session in "sessions" key(id)
    {
        /// Its id.
        id: SessionId,
        /// The agent.
        agent: BeadId,
        /// Which start of it.
        incarnation: i64,
        /// The bead at the start.
        bead: Option<BeadId>,
        /// Hash of its secret; set when it runs.
        token_hash: Option<Name>,
        /// Host process, when it runs.
        host: Option<String>,
        /// Start.
        started_at: i64,
        /// End.
        ended_at: Option<i64>,
        /// How it ended.
        exit: Option<Exit>,
    }

    /// Work that waits for a worker.
    Versioned Order in "orders" key(bead)
    {
        /// The bead.
        bead: BeadId,
        /// Order of arrival.
        seq: i64,
        /// A wanted worker's short name.
        worker: Option<Name>,
        /// Only that worker will do.
        strict: bool,
        /// Agent preset.
        preset: Option<Name>,
        /// Branch of an earlier attempt.
        branch: Option<String>,
        /// Commit of an earlier attempt.
        start: Option<Sha>,
        /// Workers that gave up on it before.
        tries: i64,
        /// Actor.
        placed_by: Name,
        /// When.
        placed_at: i64,
    }

    /// A branch that waits to land: 1:1 with a merge-request bead.
    Versioned MergeRequest in "merge_requests" key(seq), index(by_state: [state, hotfix, priority], by_bead: [bead])
    {
        /// The bead's key.
        seq: i64,
        /// The merge-request bead's id.
        id: BeadId,
        /// The work.
        bead: BeadId,
        /// The author's agent bead.
        author: BeadId,
        /// Which incarnation.
        incarnation: i64,
        /// The branch.
        branch: String,
        /// The submitted head.
        head: Sha,
        /// The branch it should land on.
        target: String,
        /// 0 to 4.
        priority: i64,
        /// Where it stands.
        state: MrState,
        /// Why it came back.
        verdict: Option<Returned>,
        /// The landed commit.
        merge_commit: Option<Sha>,
        /// When queued.
        created_at: i64,
        /// When decided.
        decided_at: Option<i64>,
        /// Newer ones of its class or a lower one that landed before it.
        overtaken: i64,
        /// Batches with newer ones of a higher class that were decided before it.
        outranked: i64,
        /// A person wants it ahead of everything.
        hotfix: bool,
        /// What it touches; `None` where nobody could tell.
        touches: Option<Touches>,
    }

    /// What a rig's queue is doing.
    Versioned Queue in "queues" key(rig)
    {
        /// The rig.
        rig: RigName,
        /// The cycle.
        cycle: Cycle,
        /// Cycles so far.
        cycles: i64,
        /// Set when the queue waits for a person, and why.
        parked: Option<String>,
        /// Red runs that started before this are forgotten: a person has said "try again".
        retry_after: i64,
        /// What verdicts have taught; null before the first.
        learner: Option<super::learner::Learner>,
        /// Set while a person keeps work from landing.
        frozen: Option<Freeze>,
    }

    /// One run of a rig's gates.
    Versioned GateRun in "gate_runs" key(id), index(by_tree: [tree])
    {
        /// The run.
        id: RunId,
        /// The tested commit.
        commit_id: Sha,
        /// Its tree.
        tree: Sha,
        /// Digest of the gates as configured.
        gates: Name,
        /// Digest of the environment they ran in; null for a run of a version that kept none.
        environment: Option<Name>,
        /// Who asked for it ahead of the queue; null for the queue's own.
        asked_by: Option<Name>,
        /// The answer; null while it runs.
        verdict: Option<Verdict>,
        /// Per gate.
        results: Results,
        /// Merge requests in the tested prefix.
        mrs: Ids,
        /// Start.
        started_at: i64,
        /// End.
        ended_at: Option<i64>,
    }

    /// One move of a target.
    Versioned Landing in "landings" key(seq)
    {
        /// Order.
        seq: i64,
        /// The branch.
        target: String,
        /// Where it was.
        base: Sha,
        /// Where it is.
        tip: Sha,
        /// The tip's tree.
        tree: Sha,
        /// The run that passed on that tree.
        run: RunId,
        /// What landed, in order.
        mrs: Ids,
        /// When.
        landed_at: i64,
    }

    /// A batch of work: 1:1 with a convoy bead. Only in hq.
    Versioned Convoy in "convoys" key(id)
    {
        /// The convoy bead's id.
        id: BeadId,
        /// Actor told when it lands.
        owner: Name,
        /// Set once, when all members are closed.
        landed_at: Option<i64>,
    }

    /// A tracked bead. Only in hq.
    Versioned Member in "convoy_members" key(convoy, bead), index(by_bead: [bead])
    {
        /// The convoy.
        convoy: BeadId,
        /// The bead.
        bead: BeadId,
        /// Its rig.
        rig: RigName,
        /// Whether it is closed.
        closed: bool,
    }

    /// Mail: 1:1 with a message bead, which has subject and body. Only in hq.
    Versioned Mail in "mails" key(seq), index(by_recipient: [recipient, state])
    {
        /// The bead's key; order of sending.
        seq: i64,
        /// The message bead's id.
        id: BeadId,
        /// Actor.
        sender: Name,
        /// Actor.
        recipient: Name,
        /// Protocol type.
        kind: MailKind,
        /// Urgency.
        priority: Priority,
        /// The first message of the thread.
        thread: BeadId,
        /// Where it stands.
        state: MailState,
        /// When.
        sent_at: i64,
        /// When first read.
        read_at: Option<i64>,
    }

    /// A hint to an agent: a lost one costs time, never truth.
    Ephemeral Nudge in "nudges" key(seq), index(by_recipient: [recipient])
    {
        /// Order.
        seq: i64,
        /// Actor.
        sender: Name,
        /// Actor.
        recipient: Name,
        /// Words.
        text: String,
        /// When.
        sent_at: i64,
        /// When the recipient pulled it.
        taken_at: Option<i64>,
    }

    /// What another database must still apply.
    Versioned Outbox in "outbox" key(dst, seq)
    {
        /// The destination.
        dst: Db,
        /// Order.
        seq: i64,
        /// What to apply.
        parcel: Parcel,
    }

    /// The last applied parcel of each source.
    Versioned Cursor in "inbox_cursors" key(src)
    {
        /// The source.
        src: Db,
        /// The last applied `seq`.
        seq: i64,
    }

    /// What is known here of a bead that lives elsewhere.
    Versioned Shadow in "shadows" key(id)
    {
        /// The foreign bead.
        id: BeadId,
        /// Where it lives.
        db: Db,
        /// Whether it is closed.
        closed: bool,
    }

    /// Who elsewhere wants to know of a bead that lives here.
    Versioned Watch in "watches" key(bead, db)
    {
        /// The bead.
        bead: BeadId,
        /// Who wants to know.
        db: Db,
    }

    /// A condition that a person was told of: one raise, one clear. Only in hq.
    Versioned Escalation in "escalations" key(subject, condition)
    {
        /// What it is about.
        subject: Name,
        /// What is wrong.
        condition: Name,
        /// The escalation bead.
        id: BeadId,
        /// Raise.
        raised_at: i64,
        /// Clear.
        cleared_at: Option<i64>,
    }

    /// One run of a dog. Ephemeral, so that recording upkeep is no change that wants upkeep.
    Ephemeral DogRun in "dog_runs" key(seq)
    {
        /// Order.
        seq: i64,
        /// Which dog.
        dog: Name,
        /// What it did, as JSON.
        detail: String,
        /// When.
        ran_at: i64,
    }

    /// Small numbers: population by prefix.
    Versioned Counter in "counters" key(name)
    {
        /// What is counted.
        name: Name,
        /// How many.
        value: i64,
    }

    /// Small texts: schema version, ids of town and store.
    Versioned Meta in "metadata" key(name)
    {
        /// Which.
        name: Name,
        /// Its value.
        value: String,
    }
}
