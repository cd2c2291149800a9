//! What a database holds, in a few words: rows and a digest of the content of each table.
//!
//! The digest is over a canonical text of the rows in the order of their keys, so that it is the
//! same on either engine. It tells whether a copy, a conversion or a compaction kept every row.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

use crate::model::rows::TABLES;
use crate::model::table::Life;
use crate::model::table::Table;
use crate::model::tx::Walk;
use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::is_hash;
use crate::store::sql_tx::columns;
use crate::store::sql_tx::quoted;
use crate::store::sql_tx::scan_text;

/// Rows read at once: what is in memory at a time.
const PAGE: usize = 4_000;

/// One table in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDigest {
    /// How many rows.
    pub rows: u64,
    /// SHA-256 of their canonical text, hexadecimal.
    pub hash: String,
}

/// A database in a few words: by table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// By name.
    pub tables: BTreeMap<String, TableDigest>,
}

impl Digest {
    /// Rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }

    /// The same without the tables that are not in the history.
    #[must_use]
    pub fn versioned(&self) -> Self {
        let names: Vec<&str> = versioned().map(|table| table.name).collect();
        let kept = self.tables.iter().filter(|(name, _)| names.contains(&name.as_str()));
        Self { tables: kept.map(|(name, table)| (name.clone(), table.clone())).collect() }
    }

    /// The tables that differ, each with both counts, for people; `None` when there is none.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let names: std::collections::BTreeSet<&String> =
            self.tables.keys().chain(other.tables.keys()).collect();
        let count = |of: &Self, name: &str| of.tables.get(name).map_or(0, |table| table.rows);
        let parts: Vec<String> = names
            .into_iter()
            .filter(|name| self.tables.get(*name) != other.tables.get(*name))
            .map(|name| format!("{name}: {} and {} rows", count(self, name), count(other, name)))
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn versioned() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().copied().filter(|table| table.life == Life::Versioned)
}

/// Every table as the open transaction sees it; call it within one, so that all are of one moment.
///
/// # Errors
/// As [`Conn::query`].
pub fn digest(conn: &mut dyn Conn) -> Result<Digest, ConnError> {
    digest_of(conn, TABLES.iter().copied(), |table| quoted(table.name))
}

/// Every versioned table as it stood at a commit, given by its full hash.
///
/// # Errors
/// As [`Conn::query`]; [`ConnError::Other`] for anything that is no hash.
pub fn digest_at(conn: &mut dyn Conn, commit: &str) -> Result<Digest, ConnError> {
    if !is_hash(commit) {
        return Err(ConnError::Other(format!("'{commit}' is no commit")));
    }
    let at = conn.dialect().at;
    digest_of(conn, versioned(), |table| at(table.name, commit))
}

/// Some tables, each as `from` names its rows in FROM.
pub(super) fn digest_of(
    conn: &mut dyn Conn,
    tables: impl Iterator<Item = &'static Table>,
    from: impl Fn(&Table) -> String,
) -> Result<Digest, ConnError> {
    let mut all = BTreeMap::new();
    for table in tables {
        all.insert(table.name.to_owned(), digest_table(conn, table, &from(table))?);
    }
    Ok(Digest { tables: all })
}

fn digest_table(
    conn: &mut dyn Conn,
    table: &'static Table,
    from: &str,
) -> Result<TableDigest, ConnError> {
    let mut hash = Sha256::new();
    let mut rows = 0;
    each_page(conn, table, from, |page| {
        for row in page {
            for cell in row {
                take(&mut hash, cell);
            }
            rows += 1;
        }
        Ok(())
    })?;
    let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(TableDigest { rows, hash })
}

/// A cell with its kind and length, so that no two rows have one text.
fn take(hash: &mut Sha256, cell: &Value) {
    match cell {
        Value::Null => hash.update(b"n;"),
        Value::Int(n) => hash.update(format!("i{n};")),
        Value::Text(text) => {
            hash.update(format!("t{}:", text.len()));
            hash.update(text);
            hash.update(b";");
        }
    }
}

/// Hands the rows of a table to `body`, in the order of their keys, some thousands at a time.
///
/// # Errors
/// As [`Conn::query`], and what `body` says.
pub fn each_page(
    conn: &mut dyn Conn,
    table: &'static Table,
    from: &str,
    mut body: impl FnMut(&[Vec<Value>]) -> Result<(), ConnError>,
) -> Result<(), ConnError> {
    let select = format!("SELECT {} FROM {from}", columns(table, ""));
    let mut walk = Walk::new(table, None, PAGE);
    while let Some(scan) = walk.scan() {
        let (sql, params) =
            scan_text(table, &select, scan).map_err(|error| ConnError::Other(error.to_string()))?;
        let page = conn.query(&sql, &params)?;
        body(&page)?;
        walk.took(&page);
    }
    Ok(())
}
