//! Tables as data, and the macro that declares a row type together with its table.
//!
//! Engines read these descriptors to make SQL; the in-memory transaction reads them to make keys.
//! A new noun is one `rows!` entry plus its name in [`crate::model::rows::TABLES`].

use super::tx::TxError;
use super::value::BadCell;
use super::value::KEY_MAX;
use super::value::Kind;
use super::value::Value;

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The SQL name.
    pub name: &'static str,
    /// The declaration.
    pub kind: Kind,
    /// Whether null may be stored.
    pub nullable: bool,
}

/// One secondary index. On DoltLite each costs about 8 kB per commit, so there are few.
#[derive(Clone, Copy, Debug)]
pub struct Index {
    /// Name, unique within the table.
    pub name: &'static str,
    /// Column names in order.
    pub columns: &'static [&'static str],
    /// Whether two rows may share a value.
    pub unique: bool,
}

/// Whether a table's rows are part of the versioned history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Committed with every change.
    Versioned,
    /// Listed in `dolt_ignore`: losing it costs time, never truth.
    Ephemeral,
}

/// One table.
#[derive(Debug)]
pub struct Table {
    /// The SQL name.
    pub name: &'static str,
    /// All columns in storage order.
    pub columns: &'static [Column],
    /// Names of the primary key's columns.
    pub key: &'static [&'static str],
    /// Secondary indexes.
    pub indexes: &'static [Index],
    /// Versioned or ephemeral.
    pub life: Life,
}

impl Table {
    /// Position of a column.
    ///
    /// # Panics
    /// When the table has no such column: a defect of the caller, never of data.
    #[must_use]
    pub fn position(&self, name: &str) -> usize {
        self.columns
            .iter()
            .position(|column| column.name == name)
            .unwrap_or_else(|| panic!("table {} has no column {name}", self.name))
    }

    /// The named secondary index.
    ///
    /// # Panics
    /// When the table has no such index: a defect of the caller, never of data.
    #[must_use]
    pub fn index_named(&self, name: &str) -> &Index {
        self.indexes
            .iter()
            .find(|index| index.name == name)
            .unwrap_or_else(|| panic!("table {} has no index {name}", self.name))
    }

    /// The values of the named columns in a stored row.
    #[must_use]
    pub fn project(&self, columns: &[&str], row: &[Value]) -> Vec<Value> {
        columns.iter().map(|name| row[self.position(name)].clone()).collect()
    }

    /// Whether every engine can keep this row: one cell for each column, short text where a column
    /// is of that kind.
    ///
    /// # Errors
    /// [`TxError::TooLong`]; [`TxError::Engine`] for another number of cells, a defect of the caller.
    pub fn admit(&self, row: &[Value]) -> Result<(), TxError> {
        if row.len() != self.columns.len() {
            return Err(TxError::Engine(format!(
                "table {} has {} columns, not {}",
                self.name,
                self.columns.len(),
                row.len()
            )));
        }
        let long = |(column, value): &(&Column, &Value)| match value {
            // Bytes bound characters from above, and are known without counting.
            Value::Text(text) => {
                column.kind == Kind::Key && text.len() > KEY_MAX && text.chars().count() > KEY_MAX
            }
            Value::Null | Value::Int(_) => false,
        };
        match self.columns.iter().zip(row).find(long) {
            Some((column, _)) => Err(TxError::TooLong { table: self.name, column: column.name }),
            None => Ok(()),
        }
    }

    /// The key of a stored row.
    #[must_use]
    pub fn key_of(&self, row: &[Value]) -> Vec<Value> {
        self.project(self.key, row)
    }
}

/// A typed row of one table.
pub trait Row: Sized + Clone {
    /// The table.
    const TABLE: &'static Table;
    /// Cells in column order.
    fn to_values(&self) -> Vec<Value>;
    /// The typed form of a stored row.
    ///
    /// # Errors
    /// [`BadCell`] when a stored cell was not written by this type.
    fn from_values(values: Vec<Value>) -> Result<Self, BadCell>;
}

/// Declares row types and their tables.
macro_rules! rows {
    ($(
        $(#[$meta:meta])*
        $life:ident $name:ident in $table:literal key($($key:ident),+)
        $(, index($($iname:ident: $($unique:ident)? [$($icol:ident),+]),+))?
        { $($(#[$fmeta:meta])* $field:ident: $ty:ty),+ $(,)? }
    )+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            pub struct $name {
                $($(#[$fmeta])* pub $field: $ty),+
            }

            impl $crate::model::table::Row for $name {
                const TABLE: &'static $crate::model::table::Table = &$crate::model::table::Table {
                    name: $table,
                    columns: &[$($crate::model::table::Column {
                        name: stringify!($field),
                        kind: <$ty as $crate::model::value::Cell>::KIND,
                        nullable: <$ty as $crate::model::value::Cell>::NULLABLE,
                    }),+],
                    key: &[$(stringify!($key)),+],
                    indexes: &[$($($crate::model::table::Index {
                        name: stringify!($iname),
                        columns: &[$(stringify!($icol)),+],
                        unique: rows!(@unique $($unique)?),
                    }),+)?],
                    life: $crate::model::table::Life::$life,
                };

                fn to_values(&self) -> Vec<$crate::model::value::Value> {
                    vec![$($crate::model::value::Cell::to_value(&self.$field)),+]
                }

                fn from_values(
                    values: Vec<$crate::model::value::Value>,
                ) -> Result<Self, $crate::model::value::BadCell> {
                    let mut values = values.into_iter();
                    Ok(Self {
                        $($field: $crate::model::value::Cell::from_value(
                            values.next().unwrap_or($crate::model::value::Value::Null),
                        )?),+
                    })
                }
            }
        )+
    };
    (@unique unique) => { true };
    (@unique) => { false };
}

pub(crate) use rows;
