//! What a commit of the store says: who, what, and which keys are used up by it.

use std::collections::BTreeMap;

use crate::model::rows::Outbox;
use crate::model::rows::TABLES;
use crate::model::table::Row;
use crate::model::table::Table;
use crate::model::value::Kind;
use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::sql_tx::quoted;
use crate::store::writer::Submission;

/// Author of commits that are not one actor's.
pub const STORE_AUTHOR: &str = "gt-store <gt-store@gastown.local>";
/// Most bytes of a commit message's first line.
const SUMMARY_MAX: usize = 400;
/// The line of a commit message that has the last key handed out. Outbox rows are pruned and
/// deleted beads are gone, so the tables alone do not tell which keys were used. Every commit that
/// the store makes has it.
const KEY_LINE: &str = "Last-Key: ";

/// What was done and by whom, then the last key.
pub(super) fn message(accepted: &[&Submission], last_key: i64) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for submission in accepted {
        for op in &submission.ops {
            *counts.entry((op.name(), submission.actor.as_str())).or_default() += 1;
        }
    }
    let mut summary = String::new();
    let mut left = counts.len();
    for ((op, actor), count) in counts {
        let times = if count == 1 { String::new() } else { format!(" x{count}") };
        let part = format!("{op}{times} by {}", one_line(actor));
        if summary.len() + part.len() > SUMMARY_MAX {
            break;
        }
        if !summary.is_empty() {
            summary.push_str(", ");
        }
        summary.push_str(&part);
        left -= 1;
    }
    if left > 0 {
        summary.push_str(&format!(" and {left} more"));
    }
    format!("{summary}{}", key_line(last_key))
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).take(80).collect()
}

/// The actor if all share one, else the store itself.
pub(super) fn author(accepted: &[&Submission]) -> String {
    let Some(first) = accepted.first() else { return STORE_AUTHOR.to_owned() };
    let name = one_line(&first.actor);
    let shared = accepted.iter().all(|submission| submission.actor == first.actor);
    if !shared || name.trim().is_empty() {
        return STORE_AUTHOR.to_owned();
    }
    let mailbox: String = name
        .chars()
        .map(|c| match c {
            '/' => '.',
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') => c,
            _ => '-',
        })
        .collect();
    format!("{} <{mailbox}@gastown.local>", name.trim())
}

/// The end of a commit message that says which keys are used up.
pub(crate) fn key_line(last_key: i64) -> String {
    format!("\n\n{KEY_LINE}{last_key}")
}

/// The key that a commit message ends with.
#[must_use]
pub fn key_of(message: &str) -> Option<i64> {
    let line = message.lines().find_map(|line| line.strip_prefix(KEY_LINE));
    line.and_then(|key| key.trim().parse().ok())
}

/// As [`key_of`], of a row that begins with a message.
pub(super) fn key_in(row: &[Value]) -> Option<i64> {
    let Some(Value::Text(message)) = row.first() else { return None };
    key_of(message)
}

/// The key of the newest commit; `None` when it is not ours.
pub(super) fn newest_key(conn: &mut dyn Conn) -> Result<Option<i64>, ConnError> {
    let newest = conn.query(conn.dialect().last_message, &[])?;
    Ok(newest.first().and_then(|row| key_in(row)))
}

/// The greatest key that may have been handed out: what the newest commit of ours says, or what
/// stands in the tables that are ordered by key.
pub(crate) fn last_key(conn: &mut dyn Conn) -> Result<i64, ConnError> {
    let newest = newest_key(conn)?;
    last_key_from(conn, newest)
}

/// As [`last_key`], where the newest commit's is known.
pub(super) fn last_key_from(conn: &mut dyn Conn, newest: Option<i64>) -> Result<i64, ConnError> {
    let mut last = newest;
    if last.is_none() {
        // The newest commit is somebody else's: ours is further back.
        let rows = conn.query("SELECT message FROM dolt_log", &[])?;
        last = rows.iter().find_map(|row| key_in(row));
    }
    let mut last = last.unwrap_or(0);
    let by_key = TABLES.iter().copied().filter(|table| keyed_by_seq(table));
    for table in by_key.chain([Outbox::TABLE]) {
        let sql = format!("SELECT MAX({}) FROM {}", quoted("seq"), quoted(table.name));
        if let Some(Value::Int(seq)) = conn.query(&sql, &[])?.first().and_then(|row| row.first()) {
            last = last.max(*seq);
        }
    }
    Ok(last)
}

fn keyed_by_seq(table: &Table) -> bool {
    table.key == ["seq"] && table.columns[table.position("seq")].kind == Kind::Int
}
