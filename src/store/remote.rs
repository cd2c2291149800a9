//! Remotes of a database: where its history is pushed to and pulled from, by hand and never by
//! itself. What has gone two ways is refused: nothing is merged.
//!
//! A `file://` remote of the embedded engine and one of the server are of different formats.

use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::is_hash;
use crate::store::schema;

/// The branch that the ledger is on.
const BRANCH: &str = "main";

/// A place that a history is pushed to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
}

/// How a history stands to its remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// The remote has nothing yet, or cannot be looked at before the first push.
    Empty,
    /// Both have the same.
    Same,
    /// This one has more.
    Ahead,
    /// The remote has more, up to this commit.
    Behind(String),
    /// Each has what the other has not; the last common commit.
    Diverged(String),
}

/// What a pull did, or why it did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// There was nothing to pull.
    Nothing,
    /// The history now ends with this commit.
    Forward(String),
    /// Each has what the other has not.
    Diverged(String),
    /// The remote's tables are of another schema than this program's.
    OtherSchema(String),
}

/// The remotes, by name.
///
/// # Errors
/// As [`Conn::query`].
pub fn list(conn: &mut dyn Conn) -> Result<Vec<Remote>, ConnError> {
    let rows = conn.query("SELECT name, url FROM dolt_remotes ORDER BY name", &[])?;
    rows.into_iter()
        .map(|row| match <[Value; 2]>::try_from(row) {
            Ok([Value::Text(name), Value::Text(url)]) => Ok(Remote { name, url }),
            other => Err(ConnError::Corrupt(format!("dolt_remotes answered {other:?}"))),
        })
        .collect()
}

/// Remembers a remote.
///
/// # Errors
/// As [`Conn::call`].
pub fn add(conn: &mut dyn Conn, remote: &Remote) -> Result<(), ConnError> {
    conn.call("dolt_remote", &["add", &remote.name, &remote.url]).map(|_| ())
}

/// Forgets a remote; what is there stays.
///
/// # Errors
/// As [`Conn::call`].
pub fn remove(conn: &mut dyn Conn, name: &str) -> Result<(), ConnError> {
    conn.call("dolt_remote", &["remove", name]).map(|_| ())
}

/// Looks at a remote and compares.
///
/// # Errors
/// As [`Conn::call`]: it cannot be reached, or it was never pushed to.
pub fn stands(conn: &mut dyn Conn, remote: &str) -> Result<Stands, ConnError> {
    conn.call("dolt_fetch", &[remote])?;
    let name = format!("remotes/{remote}/{BRANCH}");
    let sql = "SELECT hash FROM dolt_remote_branches WHERE name = ?";
    let Some(theirs) = one_text(conn.query(sql, &[Value::Text(name)])?) else {
        return Ok(Stands::Empty);
    };
    let ours = conn.head()?;
    if ours == theirs {
        return Ok(Stands::Same);
    }
    let both = [Value::Text(ours.clone()), Value::Text(theirs.clone())];
    let common = one_text(conn.query("SELECT dolt_merge_base(?, ?)", &both)?);
    Ok(match common {
        Some(common) if common == ours => Stands::Behind(theirs),
        Some(common) if common == theirs => Stands::Ahead,
        common => Stands::Diverged(common.unwrap_or_default()),
    })
}

/// Sends what the remote has not; a history that has gone another way there is refused by the engine too.
///
/// # Errors
/// As [`Conn::call`].
pub fn push(conn: &mut dyn Conn, remote: &str) -> Result<(), ConnError> {
    conn.call("dolt_push", &[remote, BRANCH]).map(|_| ())
}

/// Sends this history in place of the one that the remote has.
///
/// # Errors
/// As [`Conn::call`].
pub fn replace(conn: &mut dyn Conn, remote: &str) -> Result<(), ConnError> {
    conn.call("dolt_push", &["--force", remote, BRANCH]).map(|_| ())
}

/// Takes what the remote has more, when this history is the beginning of that one. Call under the
/// writer lock.
///
/// # Errors
/// As [`Conn::call`]; the history is then as it was.
pub fn pull(conn: &mut dyn Conn, remote: &str) -> Result<Pulled, ConnError> {
    let theirs = match stands(conn, remote)? {
        Stands::Behind(theirs) if is_hash(&theirs) => theirs,
        Stands::Behind(other) => {
            return Err(ConnError::Corrupt(format!("'{other}' is no commit")));
        }
        Stands::Diverged(common) => return Ok(Pulled::Diverged(common)),
        Stands::Empty | Stands::Same | Stands::Ahead => return Ok(Pulled::Nothing),
    };
    let sql = format!(
        "SELECT value FROM {} WHERE name = ?",
        (conn.dialect().at)(schema::META_TABLE, &theirs)
    );
    let found = one_text(conn.query(&sql, &[Value::Text(schema::VERSION_ROW.to_owned())])?);
    if found.as_ref().is_none_or(|found| *found != schema::version().to_string()) {
        return Ok(Pulled::OtherSchema(found.unwrap_or_else(|| "none".to_owned())));
    }
    // The remote's commits are the town's own: what it derives from rows is right in them.
    conn.call("dolt_reset", &["--hard", &theirs])?;
    Ok(Pulled::Forward(theirs))
}

fn one_text(rows: Vec<Vec<Value>>) -> Option<String> {
    match rows.into_iter().next()?.into_iter().next()? {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}
