//! The life of a worker, as data. The state is the intent; the next state is its result (D6).

use serde::Deserialize;
use serde::Serialize;

use super::ids::BeadId;
use super::ids::SessionId;
use super::ids::Sha;
use super::value::json_cell;

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The bead.
    pub bead: BeadId,
    /// The branch that the work is done on.
    pub branch: String,
    /// The commit that the branch starts from: the earlier attempt of rework, else the
    /// integration branch above the bead; `None` is the target.
    pub start: Option<Sha>,
    /// The agent preset; `None` is the town's default.
    pub preset: Option<String>,
    /// Session exits of this worker without a submission so far.
    pub exits: i64,
    /// Workers that gave up on the bead before.
    pub tries: i64,
}

/// What `gt done` recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The tip of the branch.
    pub head: Sha,
    /// Set when there is nothing to merge, and why.
    pub no_change: Option<String>,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The program returned this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// The town asked for the stop.
    Stopped,
    /// The host is gone and left no record.
    Vanished,
    /// The program could not be started; the text says why.
    NotStarted(String),
}

json_cell!(Exit);

/// Where an agent stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum AgentState {
    /// Nothing to do.
    #[default]
    Idle,
    /// Assigned; the worktree is wanted.
    Preparing {
        /// The assignment.
        work: Work,
    },
    /// The worktree is there and this session is wanted.
    Spawning {
        /// The assignment.
        work: Work,
        /// The session.
        session: SessionId,
    },
    /// The session runs.
    Working {
        /// The assignment.
        work: Work,
        /// The session.
        session: SessionId,
    },
    /// The session ended without a submission; the next one starts at `until`.
    Backoff {
        /// The assignment.
        work: Work,
        /// Milliseconds since the epoch.
        until: i64,
    },
    /// `gt done` is recorded; the push is wanted.
    Submitted {
        /// The assignment.
        work: Work,
        /// The session.
        session: SessionId,
        /// What was submitted.
        submission: Submission,
    },
    /// The session should end; the worktree goes after it.
    Ending {
        /// The assignment.
        work: Work,
        /// The session.
        session: SessionId,
    },
    /// No session; the worktree should be rescued and removed.
    Clearing {
        /// The assignment.
        work: Work,
    },
}

json_cell!(AgentState);

impl AgentState {
    /// The assignment, if there is one.
    #[must_use]
    pub fn work(&self) -> Option<&Work> {
        match self {
            Self::Idle => None,
            Self::Preparing { work }
            | Self::Spawning { work, .. }
            | Self::Working { work, .. }
            | Self::Backoff { work, .. }
            | Self::Submitted { work, .. }
            | Self::Ending { work, .. }
            | Self::Clearing { work } => Some(work),
        }
    }

    /// The session that is, or should be, running.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::Spawning { session, .. }
            | Self::Working { session, .. }
            | Self::Submitted { session, .. }
            | Self::Ending { session, .. } => Some(session),
            Self::Idle | Self::Preparing { .. } | Self::Backoff { .. } | Self::Clearing { .. } => {
                None
            }
        }
    }

    /// Whether the bead on the hook is still this agent's to finish.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(
            self,
            Self::Preparing { .. }
                | Self::Spawning { .. }
                | Self::Working { .. }
                | Self::Backoff { .. }
                | Self::Submitted { .. }
        )
    }

    /// The word shown as `agent_state`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Preparing { .. } => "preparing",
            Self::Spawning { .. } => "spawning",
            Self::Working { .. } => "working",
            Self::Backoff { .. } => "backoff",
            Self::Submitted { .. } => "submitted",
            Self::Ending { .. } => "ending",
            Self::Clearing { .. } => "clearing",
        }
    }
}
