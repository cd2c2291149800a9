//! The transaction that ops are written against, in SQL.
//!
//! Texts are made from the table descriptors, in the subset that both engines speak: identifiers in
//! backticks, no RETURNING, no upsert, one statement per verb.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::model::rows::TABLES;
use crate::model::table::Life;
use crate::model::table::Table;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::is_hash;

/// The fixed statements of one table.
struct Texts {
    /// All columns, without a condition.
    select: String,
    get: String,
    insert: String,
    /// `None` for a table that is all key: there is nothing to replace.
    update: Option<String>,
    delete: String,
    /// Positions of the update's parameters: what is replaced, then the key.
    update_order: Vec<usize>,
}

static TEXTS: LazyLock<BTreeMap<&'static str, Texts>> =
    LazyLock::new(|| TABLES.iter().map(|table| (table.name, Texts::new(table))).collect());

impl Texts {
    fn new(table: &Table) -> Self {
        let name = quoted(table.name);
        let keys = conditions(table.key);
        let others: Vec<&str> = table
            .columns
            .iter()
            .map(|column| column.name)
            .filter(|column| !table.key.contains(column))
            .collect();
        let select = format!("SELECT {} FROM {name}", columns(table, ""));
        let marks = vec!["?"; table.columns.len()].join(", ");
        let sets: Vec<String> = others.iter().map(|c| format!("{} = ?", quoted(c))).collect();
        Self {
            get: format!("{select} WHERE {keys}"),
            insert: format!("INSERT INTO {name} ({}) VALUES ({marks})", columns(table, "")),
            update: (!others.is_empty())
                .then(|| format!("UPDATE {name} SET {} WHERE {keys}", sets.join(", "))),
            delete: format!("DELETE FROM {name} WHERE {keys}"),
            update_order: others.iter().chain(table.key).map(|c| table.position(c)).collect(),
            select,
        }
    }
}

/// An identifier as both engines read it.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{name}`")
}

/// All columns of a table in order, each with this qualifier (`"b."` or nothing).
#[must_use]
pub fn columns(table: &Table, qualifier: &str) -> String {
    let names: Vec<String> =
        table.columns.iter().map(|c| format!("{qualifier}{}", quoted(c.name))).collect();
    names.join(", ")
}

fn conditions(names: &[&str]) -> String {
    let parts: Vec<String> = names.iter().map(|name| format!("{} = ?", quoted(name))).collect();
    parts.join(" AND ")
}

/// What a transaction has changed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// Nothing.
    #[default]
    Nothing,
    /// Only ephemeral tables.
    Ephemeral,
    /// At least one versioned table.
    Versioned,
}

/// A transaction of ops over an open connection.
///
/// The connection's transaction is begun and ended by whoever made this.
pub struct SqlTx<'a> {
    conn: &'a mut dyn Conn,
    writable: bool,
    /// The commit that is read, where it is not the present.
    at: Option<String>,
    touched: Touched,
    failure: Option<ConnError>,
}

impl<'a> SqlTx<'a> {
    /// Reads and changes over a connection whose transaction is for writing.
    pub fn new(conn: &'a mut dyn Conn) -> Self {
        Self { conn, writable: true, at: None, touched: Touched::Nothing, failure: None }
    }

    /// Reads over a connection whose transaction is a snapshot; every change is an error.
    pub fn reader(conn: &'a mut dyn Conn) -> Self {
        Self { writable: false, ..Self::new(conn) }
    }

    /// Reads what stood at a commit, given by its full hash. Ephemeral tables are empty there.
    ///
    /// # Errors
    /// [`ConnError::Other`] for anything that is no hash.
    pub fn reader_at(conn: &'a mut dyn Conn, commit: &str) -> Result<Self, ConnError> {
        if !is_hash(commit) {
            return Err(ConnError::Other(format!("'{commit}' is no commit")));
        }
        Ok(Self { at: Some(commit.to_owned()), ..Self::reader(conn) })
    }

    /// All columns of a table as it stands, or stood at the commit that is read; `None` where it
    /// has no past.
    fn select(&self, table: &'static Table) -> Result<Option<String>, TxError> {
        let texts = Self::texts(table)?;
        match &self.at {
            None => Ok(Some(texts.select.clone())),
            Some(_) if table.life == Life::Ephemeral => Ok(None),
            Some(commit) => {
                let from = (self.conn.dialect().at)(table.name, commit);
                Ok(Some(format!("SELECT {} FROM {from}", columns(table, ""))))
            }
        }
    }

    /// What was changed and not undone.
    #[must_use]
    pub fn touched(&self) -> Touched {
        self.touched
    }

    /// The first failure of the engine itself: what follows it in this transaction is void.
    #[must_use]
    pub fn failure(&self) -> Option<&ConnError> {
        self.failure.as_ref()
    }

    /// The first failure of the engine itself, given away.
    #[must_use]
    pub fn into_failure(self) -> Option<ConnError> {
        self.failure
    }

    /// Runs `body` in a savepoint and undoes its changes when it refuses.
    ///
    /// # Errors
    /// The outer one is the engine's, after which the whole transaction is void; the inner one is
    /// the body's own.
    pub fn attempt<T, E>(
        &mut self,
        body: impl FnOnce(&mut dyn Tx) -> Result<T, E>,
    ) -> Result<Result<T, E>, ConnError> {
        let before = self.touched;
        self.conn.savepoint()?;
        let answer = body(self);
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if answer.is_ok() {
            self.conn.release()?;
        } else {
            self.conn.rollback_to()?;
            self.touched = before;
        }
        Ok(answer)
    }

    fn texts(table: &'static Table) -> Result<&'static Texts, TxError> {
        TEXTS
            .get(table.name)
            .ok_or_else(|| TxError::Engine(format!("table {} is not in TABLES", table.name)))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, TxError> {
        self.conn.query(sql, params).map_err(|error| {
            let text = error.to_string();
            self.failure.get_or_insert(error);
            TxError::Engine(text)
        })
    }

    fn execute(
        &mut self,
        table: &'static Table,
        sql: &str,
        params: &[Value],
    ) -> Result<usize, TxError> {
        if !self.writable {
            return Err(TxError::Engine(format!(
                "table {}: this transaction only reads",
                table.name
            )));
        }
        match self.conn.execute(sql, params) {
            Ok(changed) => {
                if changed > 0 {
                    self.touched = self.touched.max(match table.life {
                        Life::Versioned => Touched::Versioned,
                        Life::Ephemeral => Touched::Ephemeral,
                    });
                }
                Ok(changed)
            }
            Err(ConnError::Duplicate(_)) => Err(TxError::Duplicate { table: table.name }),
            Err(error) => {
                let text = error.to_string();
                self.failure.get_or_insert(error);
                Err(TxError::Engine(text))
            }
        }
    }
}

impl Tx for SqlTx<'_> {
    fn get(&mut self, table: &'static Table, key: &[Value]) -> Result<Option<Vec<Value>>, TxError> {
        if self.at.is_none() {
            return Ok(self.query(&Self::texts(table)?.get, key)?.pop());
        }
        let Some(select) = self.select(table)? else { return Ok(None) };
        let sql = format!("{select} WHERE {}", conditions(table.key));
        Ok(self.query(&sql, key)?.pop())
    }

    fn insert(&mut self, table: &'static Table, row: Vec<Value>) -> Result<(), TxError> {
        table.admit(&row)?;
        self.execute(table, &Self::texts(table)?.insert, &row).map(|_| ())
    }

    fn update(&mut self, table: &'static Table, mut row: Vec<Value>) -> Result<(), TxError> {
        table.admit(&row)?;
        let texts = Self::texts(table)?;
        let Some(sql) = &texts.update else {
            let key = table.key_of(&row);
            return match self.get(table, &key)? {
                Some(_) => Ok(()),
                None => Err(TxError::Missing { table: table.name }),
            };
        };
        let params: Vec<Value> = texts
            .update_order
            .iter()
            .map(|&at| std::mem::replace(&mut row[at], Value::Null))
            .collect();
        match self.execute(table, sql, &params)? {
            0 => Err(TxError::Missing { table: table.name }),
            _ => Ok(()),
        }
    }

    fn delete(&mut self, table: &'static Table, key: &[Value]) -> Result<bool, TxError> {
        Ok(self.execute(table, &Self::texts(table)?.delete, key)? > 0)
    }

    fn scan(&mut self, table: &'static Table, scan: &Scan) -> Result<Vec<Vec<Value>>, TxError> {
        let Some(select) = self.select(table)? else { return Ok(Vec::new()) };
        let (sql, params) = scan_text(table, &select, scan)?;
        let mut rows = self.query(&sql, &params)?;
        rows.truncate(scan.limit.unwrap_or(usize::MAX));
        Ok(rows)
    }

    fn statement(&mut self, table: &'static Table, sql: &str) -> Result<usize, TxError> {
        let failed_before = self.failure.is_some();
        let answer = self.execute(table, sql, &[]);
        // A statement that the engine does not take undoes itself: the transaction is as it was.
        if !failed_before && matches!(self.failure, Some(ConnError::Other(_))) {
            self.failure = None;
        }
        answer
    }
}

/// Most rows that a statement is limited to.
const LIMIT_MAX: usize = 100_000;

/// The parameter of a LIMIT, where one is wanted. The server makes room for as many rows as it says
/// before it sorts, and fails when there is not enough: a greater limit is kept by the caller.
pub(super) fn limit(rows: Option<usize>) -> Option<Value> {
    rows.filter(|rows| *rows <= LIMIT_MAX).and_then(|rows| i64::try_from(rows).ok()).map(Value::Int)
}

/// The statement of a scan. Null is compared by IS, since in SQL it equals nothing.
pub(super) fn scan_text(
    table: &'static Table,
    select: &str,
    scan: &Scan,
) -> Result<(String, Vec<Value>), TxError> {
    let index: &[&str] = scan.index.map_or(&[], |name| table.index_named(name).columns);
    let ordered: Vec<&str> = index.iter().chain(table.key).copied().collect();
    let named = scan.prefix.len() + usize::from(scan.after.is_some());
    if named > ordered.len() {
        return Err(TxError::Engine(format!(
            "a scan of {} names more than its {} ordered columns",
            table.name,
            ordered.len()
        )));
    }
    let mut params = Vec::with_capacity(named + 1);
    let mut wheres = Vec::with_capacity(named);
    for (column, value) in ordered.iter().zip(&scan.prefix) {
        if *value == Value::Null {
            wheres.push(format!("{} IS NULL", quoted(column)));
        } else {
            wheres.push(format!("{} = ?", quoted(column)));
            params.push(value.clone());
        }
    }
    let rest = &ordered[scan.prefix.len()..];
    match (&scan.after, rest.first()) {
        (Some(Value::Null), Some(column)) => wheres.push(format!("{} IS NOT NULL", quoted(column))),
        (Some(value), Some(column)) => {
            wheres.push(format!("{} > ?", quoted(column)));
            params.push(value.clone());
        }
        _ => {}
    }
    let mut sql = select.to_owned();
    if !wheres.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&wheres.join(" AND "));
    }
    if !rest.is_empty() {
        let way = if scan.reverse { " DESC" } else { "" };
        let order: Vec<String> = rest.iter().map(|c| format!("{}{way}", quoted(c))).collect();
        sql.push_str(" ORDER BY ");
        sql.push_str(&order.join(", "));
    }
    if let Some(limit) = limit(scan.limit) {
        sql.push_str(" LIMIT ?");
        params.push(limit);
    }
    Ok((sql, params))
}
