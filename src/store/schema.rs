//! The tables on disk: how they are made, brought up to date, and recognised.
//!
//! Steps are numbered and each can run again over its own half: it makes what is missing. A store
//! that is new runs them all. The number stands in `metadata`, written in the same commit.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::model::bead::BeadType;
use crate::model::rows::Bead;
use crate::model::rows::DogRun;
use crate::model::rows::GateRun;
use crate::model::rows::MergeRequest;
use crate::model::rows::Meta;
use crate::model::rows::Queue;
use crate::model::rows::TABLES;
use crate::model::table::Index;
use crate::model::table::Life;
use crate::model::table::Row;
use crate::model::table::Table;
use crate::model::tx::TxExt;
use crate::model::value::Kind;
use crate::model::value::Name;
use crate::model::value::Value;
use crate::store::conn::CommitInfo;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::Dialect;
use crate::store::conn::Intent;
use crate::store::doltlite::MAGIC;
use crate::store::error::StoreError;
use crate::store::signing::STORE_AUTHOR;
use crate::store::signing::key_line;
use crate::store::signing::last_key;
use crate::store::sql_tx::SqlTx;
use crate::store::sql_tx::quoted;

/// The name of the row that has the schema's number.
pub const VERSION_ROW: &str = "store.schema";
/// A file of the embedded engine that is shorter lacks a part of what the engine writes first, and
/// is completed, as an empty database, by opening it.
const BEGINNING: u64 = 1024;
/// The table that has these rows.
pub const META_TABLE: &str = Meta::TABLE.name;
/// The name of the row that has the fingerprint of all tables.
const SHAPE_ROW: &str = "store.shape";
/// Rows that say how this very store was made.
pub(super) const OWN_ROWS: [&str; 2] = [VERSION_ROW, SHAPE_ROW];

/// One numbered step: what it is called in the history, and what it does.
///
/// It must do nothing where its work is done already. Later ones add columns through
/// [`add_column`], because the first one makes all tables as they are now.
pub struct Step {
    /// For the commit message.
    pub name: &'static str,
    /// The work.
    pub run: fn(&mut dyn Conn) -> Result<(), ConnError>,
}

/// Every step; the first brings a store from schema 0 to 1.
pub static STEPS: &[Step] = &[
    Step { name: "make every table", run: make_tables },
    Step { name: "count work by an index; keep dog runs out of the history", run: count_work },
    Step { name: "the life of a merge request", run: queue_life },
    Step { name: "what a merge request touches", run: touches },
];

/// The schema that this program writes.
#[must_use]
pub fn version() -> i64 {
    i64::try_from(STEPS.len()).expect("a handful of steps")
}

/// What stands in a store that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is as this program writes it.
    Current,
    /// It must be brought up from this schema first.
    Older(i64),
    /// Its making was interrupted: it does not count, and is completed when it is made again.
    Unfinished,
}

/// Runs the steps that a store at schema `from` lacks, in one commit.
///
/// # Errors
/// [`ConnError`]; the store is then as it was.
pub fn bring_up(conn: &mut dyn Conn, from: i64) -> Result<(), ConnError> {
    conn.begin(Intent::Write)?;
    let mut message = format!("schema {from} -> {}", version());
    let done = run_steps(conn, from, &mut message)
        .and_then(|()| last_key(conn))
        .map(|last| message.push_str(&key_line(last)));
    let info = CommitInfo { message: &message, author: STORE_AUTHOR, date_ms: None };
    match done.and_then(|()| conn.commit(&info)) {
        Ok(_) => Ok(()),
        Err(error) => {
            if let Err(second) = conn.rollback() {
                tracing::warn!(%second, "a failed migration did not roll back; closing");
            }
            Err(error)
        }
    }
}

fn run_steps(conn: &mut dyn Conn, from: i64, message: &mut String) -> Result<(), ConnError> {
    for (number, step) in (1..).zip(STEPS).filter(|(number, _)| *number > from) {
        (step.run)(conn)?;
        // Writing to a String cannot fail.
        let _ = write!(message, "\n{number}: {}", step.name);
    }
    let shape = shape(conn.dialect());
    let mut tx = SqlTx::new(conn);
    for (name, value) in [(VERSION_ROW, version().to_string()), (SHAPE_ROW, shape)] {
        let row = Meta { name: Name::from(name), value };
        let is_there = tx.row::<Meta>(&row.name).map_err(other)?.is_some();
        if is_there { tx.set(&row) } else { tx.add(&row) }.map_err(other)?;
    }
    tx.into_failure().map_or(Ok(()), Err)
}

fn other(error: impl std::fmt::Display) -> ConnError {
    ConnError::Other(error.to_string())
}

fn make_tables(conn: &mut dyn Conn) -> Result<(), ConnError> {
    let dialect = conn.dialect();
    if let Some(sql) = dialect.ignore_table {
        conn.execute(sql, &[])?;
    }
    // A table that is committed before it is listed stays in the history.
    for table in TABLES.iter().filter(|table| table.life == Life::Ephemeral) {
        if !is_ignored(conn, table)? {
            let name = [Value::Text(table.name.to_owned())];
            conn.execute("INSERT INTO dolt_ignore (pattern, ignored) VALUES (?, 1)", &name)?;
        }
    }
    for table in TABLES {
        for sql in definition(dialect, table) {
            conn.execute(&sql, &[])?;
        }
    }
    Ok(())
}

/// Whether a table is listed as one that stays out of the history.
fn is_ignored(conn: &mut dyn Conn, table: &Table) -> Result<bool, ConnError> {
    let name = [Value::Text(table.name.to_owned())];
    let listed = conn.query("SELECT ignored FROM dolt_ignore WHERE pattern = ?", &name)?;
    Ok(!listed.is_empty())
}

/// Makes an index anew whose columns are not as they are now.
fn renew_index(conn: &mut dyn Conn, table: &Table, index: &Index) -> Result<(), ConnError> {
    let dialect = conn.dialect();
    let plain = format!("{}_{}", table.name, index.name);
    let found = conn.query(dialect.index_columns, &[Value::Text(plain)])?;
    let wanted: Vec<_> =
        index.columns.iter().map(|name| vec![Value::Text((*name).to_owned())]).collect();
    if found == wanted {
        return Ok(());
    }
    let name = index_name(table, index);
    if !found.is_empty() {
        conn.execute(&(dialect.drop_index)(table.name, &name), &[])?;
    }
    let columns = list(index.columns);
    conn.execute(&format!("CREATE INDEX {name} ON {} ({columns})", quoted(table.name)), &[])?;
    Ok(())
}

/// Schema 1 counted work by looking at every bead, and had dog runs (of which none was written) in
/// the history.
fn count_work(conn: &mut dyn Conn) -> Result<(), ConnError> {
    let dialect = conn.dialect();
    add_column(conn, Bead::TABLE.name, "work", &format!("{} NOT NULL DEFAULT 0", dialect.int))?;
    let types: Vec<Value> = BeadType::ALL
        .iter()
        .filter(|kind| kind.is_work())
        .map(|kind| Value::Text(kind.as_str().to_owned()))
        .collect();
    let marks = vec!["?"; types.len()].join(", ");
    let sql =
        format!("UPDATE `beads` SET `work` = 1 WHERE `work` = 0 AND `issue_type` IN ({marks})");
    conn.execute(&sql, &types)?;
    renew_index(conn, Bead::TABLE, Bead::TABLE.index_named("by_ready"))?;
    if !is_ignored(conn, DogRun::TABLE)? {
        conn.execute(&format!("DROP TABLE IF EXISTS {}", quoted(DogRun::TABLE.name)), &[])?;
    }
    // It had fixed halves in the queue, and nobody was put behind a newer one.
    add_column(conn, Queue::TABLE.name, "learner", dialect.text)?;
    let count = format!("{} NOT NULL DEFAULT 0", dialect.int);
    add_column(conn, MergeRequest::TABLE.name, "overtaken", &count)?;
    // The list of ignored tables comes before the table.
    make_tables(conn)
}

/// Schema 2 knew a run by its gates alone, and only the queue ran them; nobody was put first by
/// hand, aged or kept back; it had no integration branches.
fn queue_life(conn: &mut dyn Conn) -> Result<(), ConnError> {
    let dialect = conn.dialect();
    add_column(conn, GateRun::TABLE.name, "environment", dialect.key)?;
    add_column(conn, GateRun::TABLE.name, "asked_by", dialect.key)?;
    let count = format!("{} NOT NULL DEFAULT 0", dialect.int);
    add_column(conn, MergeRequest::TABLE.name, "outranked", &count)?;
    add_column(conn, MergeRequest::TABLE.name, "hotfix", &count)?;
    add_column(conn, Queue::TABLE.name, "frozen", dialect.text)?;
    let by_state = MergeRequest::TABLE.index_named("by_state");
    renew_index(conn, MergeRequest::TABLE, by_state)?;
    make_tables(conn)
}

/// Schema 3 judged a merge request by its author and attempt alone.
fn touches(conn: &mut dyn Conn) -> Result<(), ConnError> {
    let text = conn.dialect().text;
    add_column(conn, MergeRequest::TABLE.name, "touches", text).map(|_| ())
}

/// Adds a column to a table that may have it already: the tool of later steps. Says whether it was
/// missing.
///
/// # Errors
/// As [`Conn::execute`].
pub fn add_column(
    conn: &mut dyn Conn,
    table: &str,
    column: &str,
    definition: &str,
) -> Result<bool, ConnError> {
    let names = conn.query(conn.dialect().columns, &[Value::Text(table.to_owned())])?;
    if names.iter().any(|row| row.first() == Some(&Value::Text(column.to_owned()))) {
        return Ok(false);
    }
    let (table, column) = (quoted(table), quoted(column));
    conn.execute(&format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"), &[])?;
    Ok(true)
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn index_name(table: &Table, index: &Index) -> String {
    quoted(&format!("{}_{}", table.name, index.name))
}

/// The statements that make one table where it is missing.
#[must_use]
pub fn definition(dialect: &Dialect, table: &Table) -> Vec<String> {
    let mut parts: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let kind = match column.kind {
                Kind::Int => dialect.int,
                Kind::Key => dialect.key,
                Kind::Text => dialect.text,
            };
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("{} {kind}{null}", quoted(column.name))
        })
        .collect();
    parts.push(format!("PRIMARY KEY ({})", list(table.key)));
    if dialect.inline_indexes {
        parts.extend(table.indexes.iter().map(|index| {
            let unique = if index.unique { "UNIQUE " } else { "" };
            format!("{unique}KEY {} ({})", index_name(table, index), list(index.columns))
        }));
    }
    let one_integer =
        table.key.len() == 1 && table.columns[table.position(table.key[0])].kind == Kind::Int;
    let tail = if one_integer { "" } else { dialect.keyed };
    let name = quoted(table.name);
    let mut statements =
        vec![format!("CREATE TABLE IF NOT EXISTS {name} ({}){tail}", parts.join(", "))];
    if !dialect.inline_indexes {
        statements.extend(table.indexes.iter().map(|index| {
            let unique = if index.unique { "UNIQUE " } else { "" };
            let (index_name, columns) = (index_name(table, index), list(index.columns));
            format!("CREATE {unique}INDEX IF NOT EXISTS {index_name} ON {name} ({columns})")
        }));
    }
    statements
}

/// A fingerprint of all definitions (64-bit FNV-1a), so that two builds of one schema number with
/// different tables are told apart.
#[must_use]
pub fn shape(dialect: &Dialect) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for sql in TABLES.iter().flat_map(|table| definition(dialect, table)) {
        for byte in sql.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// Looks at the first bytes of a file, before an engine does.
///
/// # Errors
/// [`StoreError::Foreign`], [`StoreError::Damaged`] for an empty file, [`StoreError::Io`].
pub fn inspect_file(path: &Path) -> Result<(), StoreError> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(StoreError::io(path))?;
    let bytes = file.metadata().map_err(StoreError::io(path))?.len();
    file.take(16).read_to_end(&mut head).map_err(StoreError::io(path))?;
    if head.is_empty() {
        return Err(StoreError::Damaged { path: path.into(), why: "it is empty".to_owned() });
    }
    if !head.starts_with(MAGIC) {
        let plain = head.starts_with(b"SQLite format 3");
        let why = if plain { "it is a plain SQLite file" } else { "its first bytes are unknown" };
        return Err(StoreError::Foreign { path: path.into(), why: why.to_owned() });
    }
    if bytes < BEGINNING {
        let why = format!("it is cut short after {bytes} bytes");
        return Err(StoreError::Damaged { path: path.into(), why });
    }
    Ok(())
}

/// Looks at what an open store is. The engine shows a file whose first part is damaged as an empty
/// database, so a store without its version row is refused and never made anew.
///
/// # Errors
/// [`StoreError::Newer`], [`StoreError::OtherBuild`], [`StoreError::Foreign`],
/// [`StoreError::Damaged`]; an engine's failure as the inner `ConnError`.
pub fn inspect(conn: &mut dyn Conn, path: &Path) -> Result<Result<Found, StoreError>, ConnError> {
    if conn.dialect().piecemeal && version_of(conn)?.is_none() && only_ours(conn)? {
        return Ok(Ok(Found::Unfinished));
    }
    let tables = match conn.query(conn.dialect().tables, &[]) {
        Ok(rows) => match rows.first().and_then(|row| row.first()) {
            Some(Value::Int(n)) => *n,
            other => return Err(ConnError::Corrupt(format!("the number of tables is {other:?}"))),
        },
        Err(ConnError::Corrupt(why)) => {
            return Ok(Err(StoreError::Damaged { path: path.into(), why }));
        }
        Err(error) => return Err(error),
    };
    if tables == 0 {
        let why = "it has bytes but shows no table".to_owned();
        return Ok(Err(StoreError::Damaged { path: path.into(), why }));
    }
    let columns =
        conn.query(conn.dialect().columns, &[Value::Text(Meta::TABLE.name.to_owned())])?;
    if columns.len() != Meta::TABLE.columns.len() {
        let why = format!("it has {tables} tables but no {}", Meta::TABLE.name);
        return Ok(Err(StoreError::Foreign { path: path.into(), why }));
    }
    let found = match meta(conn, VERSION_ROW)?.map(|text| text.parse::<i64>()) {
        Some(Ok(number)) => number,
        other => {
            let why = format!("its schema number is {other:?}");
            return Ok(Err(StoreError::Foreign { path: path.into(), why }));
        }
    };
    let known = version();
    if found > known {
        return Ok(Err(StoreError::Newer { path: path.into(), found, known }));
    }
    if found < known {
        return Ok(Ok(Found::Older(found)));
    }
    match meta(conn, SHAPE_ROW)? {
        Some(text) if text == shape(conn.dialect()) => Ok(Ok(Found::Current)),
        other => {
            let found = other.unwrap_or_else(|| "no fingerprint".to_owned());
            Ok(Err(StoreError::OtherBuild { path: path.into(), found, known }))
        }
    }
}

/// Whether a database has no table but some of ours, or none at all.
///
/// # Errors
/// As [`Conn::query`].
pub fn only_ours(conn: &mut dyn Conn) -> Result<bool, ConnError> {
    let names = conn.query(conn.dialect().table_names, &[])?;
    let ours = |row: &Vec<Value>| match row.first() {
        Some(Value::Text(name)) => TABLES.iter().any(|table| table.name == name),
        _ => false,
    };
    Ok(names.iter().all(ours))
}

/// The schema number that a store says it has; `None` where it is not whole.
///
/// # Errors
/// As [`Conn::query`].
pub fn version_of(conn: &mut dyn Conn) -> Result<Option<i64>, ConnError> {
    let table = [Value::Text(Meta::TABLE.name.to_owned())];
    if conn.query(conn.dialect().columns, &table)?.is_empty() {
        return Ok(None);
    }
    Ok(meta(conn, VERSION_ROW)?.and_then(|text| text.parse().ok()))
}

fn meta(conn: &mut dyn Conn, name: &str) -> Result<Option<String>, ConnError> {
    let mut tx = SqlTx::reader(conn);
    let row = tx.row::<Meta>(&Name::from(name)).map_err(other);
    match tx.into_failure() {
        Some(failure) => Err(failure),
        None => Ok(row?.map(|meta| meta.value)),
    }
}
