//! The past of a database: which commit stood when, and what the history no longer has.

/// What the message of a commit begins with that stands for all history before it.
pub const FLATTENED: &str = "history flattened";
/// What the message of a commit begins with that stands for several of an earlier history.
pub const SQUASHED: &str = "history squashed";
