//! Copying a whole database into a new one on another engine, checked row by row.
//!
//! Every row of every table is carried, ephemeral ones too, in one commit. What the store says of
//! itself (its schema and the fingerprint of its tables) is the new store's own. The history is not
//! carried: the new store begins with one commit, the old one keeps its own.

use serde::Deserialize;
use serde::Serialize;

use crate::model::ids::Db;
use crate::model::rows::Meta;
use crate::model::rows::TABLES;
use crate::model::table::Row as _;
use crate::model::table::Table;
use crate::model::value::Value;
use crate::store::conn::CommitInfo;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::Intent;
use crate::store::digest::Digest;
use crate::store::digest::digest_of;
use crate::store::digest::each_page;
use crate::store::error::StoreError;
use crate::store::keep::history;
use crate::store::ledger::Ledger;
use crate::store::schema::OWN_ROWS;
use crate::store::signing::STORE_AUTHOR;
use crate::store::signing::key_line;
use crate::store::signing::last_key;
use crate::store::sql_tx::columns;
use crate::store::sql_tx::quoted;

/// Rows of one statement: 30 columns at most make it 3000 parameters, which both engines take.
const ROWS_AT_ONCE: usize = 100;

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The database.
    pub db: Db,
    /// Rows and digest of each table, the same in both stores.
    pub digest: Digest,
    /// Commits of the old history, which stays with the old store.
    pub commits: i64,
}

/// Makes a database in `to` and copies every row of `from` into it. The caller holds the writer of
/// the old one.
///
/// # Errors
/// [`StoreError::Exists`] when it is there already; [`StoreError::Differs`] when the copy is not
/// the same; the engines' failures.
pub fn copy(from: &Ledger, to: &Ledger, db: &Db) -> Result<Copied, StoreError> {
    to.create_db(db)?;
    let mut new = to.connect(db)?;
    let copied = from.query(db, |old| copy_rows(old, new.as_mut()))?;
    let Both { before, after, commits } = copied;
    if let Some(what) = before.difference(&after) {
        return Err(StoreError::Differs { db: db.clone(), what });
    }
    Ok(Copied { db: db.clone(), digest: before, commits })
}

/// Both sides of a copy.
struct Both {
    before: Digest,
    after: Digest,
    commits: i64,
}

fn copy_rows(old: &mut dyn Conn, new: &mut dyn Conn) -> Result<Both, ConnError> {
    let commits = history::count(old)?;
    let last = last_key(old)?;
    new.begin(Intent::Write)?;
    let mut rows = 0;
    for table in TABLES {
        rows += copy_table(old, new, table)?;
    }
    let message = format!(
        "{rows} rows from the {} store, whose {commits} commits stay there{}",
        old.dialect().name,
        key_line(last)
    );
    new.commit(&CommitInfo { message: &message, author: STORE_AUTHOR, date_ms: None })?;
    let before = portable(old)?;
    new.begin(Intent::Read)?;
    let after = portable(new)?;
    new.rollback()?;
    Ok(Both { before, after, commits })
}

fn copy_table(
    old: &mut dyn Conn,
    new: &mut dyn Conn,
    table: &'static Table,
) -> Result<usize, ConnError> {
    let name = quoted(table.name);
    let into = format!("INSERT INTO {name} ({}) VALUES ", columns(table, ""));
    let marks = format!("({})", vec!["?"; table.columns.len()].join(", "));
    let mut copied = 0;
    each_page(old, table, &carried(table), |page| {
        for rows in page.chunks(ROWS_AT_ONCE) {
            let sql = format!("{into}{}", vec![marks.as_str(); rows.len()].join(", "));
            let params: Vec<Value> = rows.iter().flatten().cloned().collect();
            copied += new.execute(&sql, &params)?;
        }
        Ok(())
    })?;
    Ok(copied)
}

/// The rows of a table that a copy carries, where a table may be named in FROM.
fn carried(table: &Table) -> String {
    let name = quoted(table.name);
    if table.name != Meta::TABLE.name {
        return name;
    }
    let own: Vec<String> = OWN_ROWS.iter().map(|row| format!("'{row}'")).collect();
    format!("(SELECT * FROM {name} WHERE `name` NOT IN ({})) AS carried", own.join(", "))
}

/// Every table without what each store says of itself.
fn portable(conn: &mut dyn Conn) -> Result<Digest, ConnError> {
    digest_of(conn, TABLES.iter().copied(), carried)
}
