//! The verbs by which machines touch the world, and what the world answers.
//!
//! Each effect is idempotent by its own fields: it acts, then looks at the world, and says what it
//! found (D6). Doing one twice, or after a crash in its middle, gives the same world. A destructive
//! one names the incarnation it is for (I8).

use serde::Deserialize;
use serde::Serialize;

use super::agent::Exit;
use super::ids::BeadId;
use super::ids::Db;
use super::ids::RigName;
use super::ids::RunId;
use super::ids::SessionId;
use super::ids::Sha;
use super::merge::GateResult;
use super::merge::GateSpec;
use super::merge::LandingStyle;
use super::merge::Stacked;
use super::merge::Touches;
use super::upkeep::Chore;
use super::upkeep::ChoreDone;

/// A worker's place on disk: `<rig>/polecats/<name>/<rig>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The rig.
    pub rig: RigName,
    /// The worker's short name.
    pub name: String,
    /// The incarnation that the effect is for (I8).
    pub incarnation: i64,
}

/// A session to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// Its id; the same id twice never gives two processes.
    pub id: SessionId,
    /// The agent's address.
    pub actor: String,
    /// Its bead id.
    pub agent: BeadId,
    /// Where it works.
    pub place: Place,
    /// The bead on its hook.
    pub bead: BeadId,
    /// The branch it works on.
    pub branch: String,
    /// The agent preset; `None` is the town's default.
    pub preset: Option<String>,
}

/// A merge request to stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The merge request.
    pub mr: BeadId,
    /// Its branch.
    pub branch: String,
    /// The submitted head.
    pub head: Sha,
    /// It is an integration branch: joined by a merge commit, whatever the style.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

/// What did not stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounced {
    /// The merge request.
    pub mr: BeadId,
    /// Conflicting files; empty when the commit itself is not there.
    pub files: Vec<String>,
    /// The commit it was applied to.
    pub onto: Sha,
}

/// A verb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb")]
pub enum Effect {
    /// Make the worker's worktree on `branch`, from `start` or the target's tip. One that is
    /// there already on that branch is kept as it is.
    MakeWorktree {
        /// Whose.
        place: Place,
        /// The branch.
        branch: String,
        /// Where the branch starts; `None` is the target's tip.
        start: Option<Sha>,
    },
    /// Start a session and say who it is.
    Spawn(SessionSpec),
    /// Answer when the session has ended: at once if it has, or if nobody ever heard of it.
    Watch {
        /// The session.
        session: SessionId,
    },
    /// End the session's whole tree; the exit is told by `Watch`.
    Stop {
        /// The session.
        session: SessionId,
        /// Milliseconds between asking and forcing.
        grace_ms: i64,
    },
    /// Bring `head` to the remote as `branch`.
    Push {
        /// Whose worktree has it.
        place: Place,
        /// The branch.
        branch: String,
        /// The commit.
        head: Sha,
    },
    /// Save what is not in a verified target under `refs/gt/rescue/`, then remove the worktree
    /// and the local branch (I7).
    Teardown {
        /// Whose.
        place: Place,
        /// The branch.
        branch: String,
    },
    /// Fetch the target and apply the candidates on it, one on another, in the object store.
    BuildStack {
        /// The rig.
        rig: RigName,
        /// Cycle number.
        number: i64,
        /// The target branch.
        target: String,
        /// How their commits come to the target.
        #[serde(default)]
        style: LandingStyle,
        /// In order.
        candidates: Vec<Candidate>,
    },
    /// Check the commit out at `refinery/runs/<run>` and run every gate there at once.
    RunGates {
        /// The rig.
        rig: RigName,
        /// The run.
        run: RunId,
        /// The commit.
        commit: Sha,
        /// Its tree.
        tree: Sha,
        /// The gates.
        gates: Vec<GateSpec>,
    },
    /// Move the target from `base` to `tip` by compare-and-swap, then look where it is and check
    /// that every item is in it by ancestry and patch id (I4, I6).
    Land {
        /// The rig.
        rig: RigName,
        /// The target branch.
        target: String,
        /// The tested base.
        base: Sha,
        /// The tested tip.
        tip: Sha,
        /// What lands.
        items: Vec<Stacked>,
    },
    /// Remove a merged branch from the remote, if its head is in the target (I7).
    RemoveBranch {
        /// The rig.
        rig: RigName,
        /// The branch that it landed on.
        target: String,
        /// The branch.
        branch: String,
        /// The submitted head.
        head: Sha,
        /// The landed commit that holds its patches.
        landed: Sha,
    },
    /// Do a chore to a database as a whole.
    Upkeep {
        /// Which.
        db: Db,
        /// What.
        chore: Chore,
    },
}

impl Effect {
    /// The verb's name, as failpoints and logs use it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MakeWorktree { .. } => "make_worktree",
            Self::Spawn(_) => "spawn",
            Self::Watch { .. } => "watch",
            Self::Stop { .. } => "stop",
            Self::Push { .. } => "push",
            Self::Teardown { .. } => "teardown",
            Self::BuildStack { .. } => "build_stack",
            Self::RunGates { .. } => "run_gates",
            Self::Land { .. } => "land",
            Self::RemoveBranch { .. } => "remove_branch",
            Self::Upkeep { .. } => "upkeep",
        }
    }

    /// Every verb's name.
    pub const NAMES: &'static [&'static str] = &[
        "make_worktree",
        "spawn",
        "watch",
        "stop",
        "push",
        "teardown",
        "build_stack",
        "run_gates",
        "land",
        "remove_branch",
        "upkeep",
    ];

    /// What makes two of them the same effect: verb, subject and attempt.
    #[must_use]
    pub fn key(&self) -> String {
        let verb = self.name();
        match self {
            Self::MakeWorktree { place, branch, .. }
            | Self::Push { place, branch, .. }
            | Self::Teardown { place, branch } => {
                format!("{verb} {}/{} {branch}", place.rig, place.name)
            }
            Self::Spawn(spec) => format!("{verb} {}", spec.id),
            Self::Watch { session } | Self::Stop { session, .. } => format!("{verb} {session}"),
            Self::BuildStack { rig, number, target, .. } => {
                format!("{verb} {rig} {target} {number}")
            }
            Self::RunGates { run, .. } => format!("{verb} {run}"),
            Self::Land { rig, tip, .. } => format!("{verb} {rig} {tip}"),
            Self::RemoveBranch { rig, branch, .. } => format!("{verb} {rig} {branch}"),
            Self::Upkeep { db, chore } => format!("{verb} {db} {}", chore.name()),
        }
    }
}

/// Who a started session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIdentity {
    /// The host's process id.
    pub pid: i32,
    /// The host's start time in clock ticks since boot, so that a reused pid is not mistaken.
    pub start_time: u64,
    /// The machine's boot id.
    pub boot_id: String,
    /// SHA-256 of the session's secret, hexadecimal.
    pub token_hash: String,
}

/// The answer to one verb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// The worktree is there, at this commit.
    Worktree {
        /// Its HEAD.
        head: Sha,
    },
    /// The session runs, or ran: its host is known.
    Started {
        /// Who.
        host: HostIdentity,
    },
    /// The session has ended.
    Exited {
        /// How.
        exit: Exit,
    },
    /// The stop was asked for, or there was nothing to stop.
    Stopping,
    /// The remote has the branch at that commit.
    Pushed {
        /// What it touches, if that could be told.
        touches: Option<Touches>,
    },
    /// The worktree is gone.
    TornDown {
        /// Where unsaved work went, if there was any.
        rescued: Option<String>,
    },
    /// The stack.
    Stack {
        /// The target's commit.
        base: Sha,
        /// Its tree.
        base_tree: Sha,
        /// What applied, in order.
        items: Vec<Stacked>,
        /// What did not.
        bounced: Vec<Bounced>,
    },
    /// The gates answered.
    Gates {
        /// Per gate.
        results: Vec<GateResult>,
    },
    /// The target holds the tip and every item.
    Landed,
    /// The target was elsewhere and is untouched.
    Moved {
        /// Where it is.
        at: Sha,
    },
    /// The branch is gone.
    BranchRemoved,
    /// The chore is done, or was not to be done; it says which.
    Kept {
        /// What came of it.
        done: ChoreDone,
    },
    /// The other database has applied the parcels.
    Delivered,
    /// Somebody who has to be asked does not answer: trying again helps once they do.
    Unreachable {
        /// What happened.
        error: String,
    },
    /// The verb could not be done; trying again may help.
    Failed {
        /// What happened and, if known, what to do.
        error: String,
    },
}
