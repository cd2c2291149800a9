//! Why an op was not applied. A refusal is an answer, not a failure: nothing was written.

use crate::model::ids::BeadId;
use crate::model::tx::TxError;

/// A refusal by rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such thing here.
    #[error("{kind} '{id}' not found")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// Its name.
        id: String,
    },
    /// The id is taken or reserved.
    #[error("'{0}' already exists")]
    Exists(String),
    /// A value is not allowed; the text says which and what is.
    #[error("{0}")]
    Invalid(String),
    /// The edge would close a circle.
    #[error("dependency cycle: {}", .0.iter().map(BeadId::as_str).collect::<Vec<_>>().join(" -> "))]
    Cycle(Vec<BeadId>),
    /// Somebody has it.
    #[error("{id} is held by {by}")]
    Held {
        /// The bead.
        id: BeadId,
        /// Who.
        by: String,
    },
    /// It cannot be done while this holds.
    #[error("{id}: {why}")]
    NotNow {
        /// The bead or agent.
        id: String,
        /// What holds, and what to do.
        why: String,
    },
    /// The sender's incarnation is not the current one (I8).
    #[error(
        "{agent} is at incarnation {current}, not {given}: this session is no longer its holder"
    )]
    Stale {
        /// The agent.
        agent: BeadId,
        /// What the op named.
        given: i64,
        /// What the ledger has.
        current: i64,
    },
    /// The row is not in the state that the op was decided on: read again and decide again.
    #[error("{what} has changed meanwhile")]
    Moved {
        /// The row.
        what: String,
    },
    /// The transaction itself failed.
    #[error(transparent)]
    Tx(TxError),
}

impl From<TxError> for Refused {
    fn from(error: TxError) -> Self {
        match error {
            // What the caller said, not what the engine did.
            TxError::TooLong { .. } => Self::Invalid(error.to_string()),
            other => Self::Tx(other),
        }
    }
}

impl Refused {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Exists(_) => "exists",
            Self::Invalid(_) => "invalid",
            Self::Cycle(_) => "cycle",
            Self::Held { .. } => "held",
            Self::NotNow { .. } => "not_now",
            Self::Stale { .. } => "stale",
            Self::Moved { .. } => "moved",
            Self::Tx(_) => "store",
        }
    }
}
