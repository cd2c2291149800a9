//! The history of a database as a list, as it is written again.

use crate::model::past::Commit;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::number;
use crate::store::past;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its hash.
    pub hash: String,
    /// `Name <mail>`.
    pub author: String,
    /// Milliseconds since the epoch, whole seconds.
    pub date_ms: i64,
    /// The whole message.
    pub message: String,
}

/// The newest commits, newest first; `limit` of them at most.
///
/// # Errors
/// As [`Conn::query`]; [`ConnError::Corrupt`] for a line that is no commit.
pub fn newest(conn: &mut dyn Conn, limit: Option<usize>) -> Result<Vec<Entry>, ConnError> {
    let whole_seconds = |ms: i64| ms.div_euclid(1000) * 1000;
    let entry = |(commit, mail): (Commit, String)| Entry {
        author: format!("{} <{mail}>", commit.author),
        date_ms: whole_seconds(commit.at),
        hash: commit.hash,
        message: commit.message,
    };
    Ok(past::signed(conn, limit)?.into_iter().map(entry).collect())
}

/// How many commits lead to the newest one.
///
/// # Errors
/// As [`Conn::query`].
pub fn count(conn: &mut dyn Conn) -> Result<i64, ConnError> {
    number(conn, "SELECT COUNT(*) FROM dolt_log")
}
