//! The transaction that ops are written against, and the typed layer over it.
//!
//! An engine implements five verbs on plain cells. Everything else (ids, compare-and-set, the
//! blocked fixpoint) is written once, on top.

use super::table::Row;
use super::table::Table;
use super::value::BadCell;
use super::value::Cell;
use super::value::KEY_MAX;
use super::value::Value;

/// What went wrong below an op.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// A stored cell does not fit its type: the store was written by something else.
    #[error("table {table}: {source}")]
    BadCell {
        /// The table that holds it.
        table: &'static str,
        /// The cell.
        source: BadCell,
    },
    /// A row with this key or unique value is already there.
    #[error("table {table}: a row with this key is already there")]
    Duplicate {
        /// The table.
        table: &'static str,
    },
    /// An update named a row that is not there.
    #[error("table {table}: no row with this key")]
    Missing {
        /// The table.
        table: &'static str,
    },
    /// A text is longer than its column takes.
    #[error("{table}.{column} takes at most {KEY_MAX} characters: use a shorter text")]
    TooLong {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The engine failed; the message is the engine's own.
    #[error("{0}")]
    Engine(String),
}

/// A scan along the primary key or one secondary index.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The index's name; `None` is the primary key.
    pub index: Option<&'static str>,
    /// Values that the first columns must equal.
    pub prefix: Vec<Value>,
    /// The column after the prefix must be greater than this.
    pub after: Option<Value>,
    /// Most rows to return; `None` is all.
    pub limit: Option<usize>,
    /// Descending instead of ascending order.
    pub reverse: bool,
}

/// Every row of a table, page by page, in the order of an index or of the key.
///
/// Each page is one scan along a prefix of equal values. "Greater than this whole key" is no such
/// range, and the server sorts all that is left of the table to answer it.
#[derive(Clone, Debug)]
pub struct Walk {
    table: &'static Table,
    ordered: Vec<&'static str>,
    /// The next page; `None` when all was seen.
    next: Option<Scan>,
}

impl Walk {
    /// From the first row on, at most `page` rows at once (1 at least).
    #[must_use]
    pub fn new(table: &'static Table, index: Option<&'static str>, page: usize) -> Self {
        let columns: &[&str] = index.map_or(&[], |name| table.index_named(name).columns);
        let ordered = columns.iter().chain(table.key).copied().collect();
        let next = Scan { index, limit: Some(page.max(1)), ..Scan::default() };
        Self { table, ordered, next: Some(next) }
    }

    /// The next page; `None` when all was seen. [`Walk::took`] goes on.
    #[must_use]
    pub fn scan(&self) -> Option<&Scan> {
        self.next.as_ref()
    }

    /// Goes on behind what the last scan gave.
    pub fn took(&mut self, page: &[Vec<Value>]) {
        let Some(scan) = &mut self.next else { return };
        match page.last() {
            Some(row) if Some(page.len()) == scan.limit => {
                let at = |name: &&str| row[self.table.position(name)].clone();
                scan.prefix = self.ordered.iter().map(at).collect();
                scan.after = scan.prefix.pop();
            }
            // This group is read; the one around it goes on behind it.
            _ => match scan.prefix.pop() {
                Some(group) => scan.after = Some(group),
                None => self.next = None,
            },
        }
    }
}

/// One transaction on one database. Rows come back in (index columns, key) order.
pub trait Tx {
    /// The row with this key.
    ///
    /// # Errors
    /// [`TxError::Engine`].
    fn get(&mut self, table: &'static Table, key: &[Value]) -> Result<Option<Vec<Value>>, TxError>;
    /// Adds a row.
    ///
    /// # Errors
    /// [`TxError::Duplicate`] when the key or a unique index value is taken.
    fn insert(&mut self, table: &'static Table, row: Vec<Value>) -> Result<(), TxError>;
    /// Replaces the row with the same key.
    ///
    /// # Errors
    /// [`TxError::Missing`] when there is none.
    fn update(&mut self, table: &'static Table, row: Vec<Value>) -> Result<(), TxError>;
    /// Removes a row and says whether it was there.
    ///
    /// # Errors
    /// [`TxError::Engine`].
    fn delete(&mut self, table: &'static Table, key: &[Value]) -> Result<bool, TxError>;
    /// The rows of a scan.
    ///
    /// # Errors
    /// [`TxError::Engine`].
    fn scan(&mut self, table: &'static Table, scan: &Scan) -> Result<Vec<Vec<Value>>, TxError>;
    /// Runs one SQL statement that changes rows of this table; gives their number. Only engines
    /// that speak SQL can.
    ///
    /// # Errors
    /// [`TxError::Engine`] with the engine's words; the statement changed nothing then.
    fn statement(&mut self, table: &'static Table, _sql: &str) -> Result<usize, TxError> {
        Err(TxError::Engine(format!("table {}: this ledger does not speak SQL", table.name)))
    }
}

fn typed<R: Row>(values: Vec<Value>) -> Result<R, TxError> {
    R::from_values(values).map_err(|source| TxError::BadCell { table: R::TABLE.name, source })
}

/// Typed verbs over any [`Tx`].
pub trait TxExt: Tx {
    /// The row with a one-column key.
    ///
    /// # Errors
    /// As [`Tx::get`], and a cell of a foreign shape.
    fn row<R: Row>(&mut self, key: &impl Cell) -> Result<Option<R>, TxError> {
        self.get(R::TABLE, &[key.to_value()])?.map(typed).transpose()
    }

    /// The row with a two-column key.
    ///
    /// # Errors
    /// As [`TxExt::row`].
    fn row2<R: Row>(&mut self, a: &impl Cell, b: &impl Cell) -> Result<Option<R>, TxError> {
        self.get(R::TABLE, &[a.to_value(), b.to_value()])?.map(typed).transpose()
    }

    /// Adds a typed row.
    ///
    /// # Errors
    /// As [`Tx::insert`].
    fn add<R: Row>(&mut self, row: &R) -> Result<(), TxError> {
        self.insert(R::TABLE, row.to_values())
    }

    /// Replaces a typed row.
    ///
    /// # Errors
    /// As [`Tx::update`].
    fn set<R: Row>(&mut self, row: &R) -> Result<(), TxError> {
        self.update(R::TABLE, row.to_values())
    }

    /// Removes a typed row; says whether it was there.
    ///
    /// # Errors
    /// As [`Tx::delete`].
    fn remove<R: Row>(&mut self, row: &R) -> Result<bool, TxError> {
        self.delete(R::TABLE, &R::TABLE.key_of(&row.to_values()))
    }

    /// Typed rows of a scan.
    ///
    /// # Errors
    /// As [`TxExt::row`].
    fn rows<R: Row>(&mut self, scan: &Scan) -> Result<Vec<R>, TxError> {
        Tx::scan(self, R::TABLE, scan)?.into_iter().map(typed).collect()
    }

    /// Rows whose key (or named index) starts with these values.
    ///
    /// # Errors
    /// As [`TxExt::row`].
    fn with<R: Row>(
        &mut self,
        index: Option<&'static str>,
        prefix: Vec<Value>,
    ) -> Result<Vec<R>, TxError> {
        self.rows(&Scan { index, prefix, ..Scan::default() })
    }

    /// The one row that a unique index value names.
    ///
    /// # Errors
    /// As [`TxExt::row`].
    fn find<R: Row>(
        &mut self,
        index: &'static str,
        value: &impl Cell,
    ) -> Result<Option<R>, TxError> {
        let scan = Scan {
            index: Some(index),
            prefix: vec![value.to_value()],
            limit: Some(1),
            ..Scan::default()
        };
        Ok(self.rows(&scan)?.pop())
    }
}

impl<T: Tx + ?Sized> TxExt for T {}
