//! The past of a database, as data: points in time, commits, and why a point cannot be read.

use serde::Deserialize;
use serde::Serialize;

/// A point in the history of a database, as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// So many commits before the newest one.
    Head(usize),
    /// A commit by the beginning of its hash.
    Commit(String),
    /// What stood then; milliseconds since the epoch, of which the seconds count.
    Time(i64),
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its full hash.
    pub hash: String,
    /// Its date in milliseconds since the epoch; engines keep whole seconds.
    pub at: i64,
    /// Who, without the address.
    pub author: String,
    /// The whole message.
    pub message: String,
}

/// The commit that a point means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The commit.
    pub commit: Commit,
    /// The commit after it, where that one stands for several and the point lies among them: what
    /// stood at the point itself is not known any more.
    pub squashed_into: Option<Commit>,
}

/// Why a point is no moment of the history that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoMoment {
    /// No commit is called so.
    Unknown {
        /// The beginning of the hash.
        text: String,
        /// The oldest commit that can be read, and whether it stands for what was before it.
        oldest: Option<(Commit, bool)>,
    },
    /// Several commits are called so.
    Ambiguous {
        /// The beginning of the hash.
        text: String,
        /// Some of them.
        hashes: Vec<String>,
    },
    /// The point is before the oldest commit that can be read.
    TooEarly {
        /// That commit.
        oldest: Commit,
        /// Whether it stands for what was before it.
        flattened: bool,
    },
    /// Nothing was ever written.
    Empty,
}
