//! What a store answers to whoever wants ops committed: an actor, the door, a command.

use crate::model::ops::Refused;

/// Why ops were not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// By rule; nothing was written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Too much waits already; nothing was written.
    #[error("the ledger has too much to do; nothing was written")]
    Busy,
    /// The commit was under way when it failed: read, then decide.
    #[error("whether it was written is not known")]
    Unknown,
    /// The ledger cannot be used; the text names the remedy. Nothing was written.
    #[error("{0}")]
    Unavailable(String),
}
