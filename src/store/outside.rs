//! What others do to a database of ours: seen at the start of each group, kept apart from our own
//! changes, and made whole again.
//!
//! Rows that somebody left uncommitted would become part of our next commit, under our name. They
//! are committed first, by themselves, as `outside`. What the town derives from rows (who is
//! blocked) is derived again after any change from outside.

use crate::model::ops;
use crate::model::ops::Keys;
use crate::store::conn::CommitInfo;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::Intent;
use crate::store::conn::number;
use crate::store::signing::STORE_AUTHOR;
use crate::store::signing::key_line;
use crate::store::sql_tx::SqlTx;
use crate::store::sql_tx::Touched;

/// Author of what others left behind.
const OUTSIDE: &str = "outside <outside@gastown.local>";

/// Rows of versioned tables that are in no commit.
pub(super) const UNCOMMITTED: &str = "SELECT COUNT(*) FROM dolt_status";

/// Admits what others did since `head` was the newest commit; answers the newest one now. Without
/// a time, keys follow the last one and dates are the engine's.
///
/// # Errors
/// As [`Conn::commit`].
pub(super) fn admit(
    conn: &mut dyn Conn,
    keys: &mut Keys,
    head: &str,
    now_ms: Option<i64>,
) -> Result<String, ConnError> {
    let left = number(conn, UNCOMMITTED)?;
    if left > 0 {
        tracing::warn!(tables = left, "rows from outside are committed by themselves");
        let message = format!(
            "rows found uncommitted in {left} tables{}",
            key_line(keys.next(now_ms.unwrap_or(0)))
        );
        conn.begin(Intent::Write)?;
        conn.commit(&CommitInfo { message: &message, author: OUTSIDE, date_ms: now_ms })?;
    }
    let newest = conn.head()?;
    if newest == head {
        return Ok(newest);
    }
    tracing::warn!(from = head, to = newest, "the history moved from outside");
    derive_again(conn, keys, now_ms)?;
    conn.head()
}

fn derive_again(
    conn: &mut dyn Conn,
    keys: &mut Keys,
    now_ms: Option<i64>,
) -> Result<(), ConnError> {
    conn.begin(Intent::Write)?;
    let mut tx = SqlTx::new(conn);
    let derived = tx.attempt(|tx| ops::derive_again(tx))?;
    let facts = derived.map_err(|refused| ConnError::Other(refused.to_string()))?;
    if tx.touched() == Touched::Nothing {
        return conn.rollback();
    }
    let message = format!(
        "{} beads follow what was changed from outside{}",
        facts.len(),
        key_line(keys.next(now_ms.unwrap_or(0)))
    );
    conn.commit(&CommitInfo { message: &message, author: STORE_AUTHOR, date_ms: now_ms })?;
    Ok(())
}
