//! One connection to one database, whatever engine is behind it.
//!
//! Synchronous on purpose: callers run it on a thread that may block. The discipline is the same
//! for every engine: begin, change, [`Conn::commit`] as the last step that can fail.

use crate::model::value::Value;

/// What an engine answered instead of a result. Each text is the engine's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnError {
    /// Another writer is there; nothing was done and the same may be tried again.
    #[error("the database is busy: {0}; try again")]
    Busy(String),
    /// The file is damaged.
    #[error("the database is damaged: {0}; restore a backup")]
    Corrupt(String),
    /// There is no room on the disk.
    #[error("no room on the disk: {0}; free some and try again")]
    Full(String),
    /// The commit was under way when it failed: open again and look whether it stands.
    #[error("the outcome of the commit is not known: {0}; open again and look")]
    Unknown(String),
    /// The server does not answer, or the connection to it broke. Nothing was published.
    #[error("{0}")]
    Down(String),
    /// There is no such database.
    #[error("{0}")]
    Missing(String),
    /// A key or unique value is already there.
    #[error("{0}")]
    Duplicate(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Who changed what, for the history.
#[derive(Clone, Copy, Debug)]
pub struct CommitInfo<'a> {
    /// The message; its first line says what was done.
    pub message: &'a str,
    /// `Name <mail>`.
    pub author: &'a str,
    /// Milliseconds since the epoch; `None` lets the engine take its own clock.
    pub date_ms: Option<i64>,
}

/// Bounds of an answer; what is more is left out and said.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Rows.
    pub rows: usize,
    /// Bytes of all cells as text.
    pub bytes: usize,
}

/// Rows of any types, for people: a number that fits is a number, anything else is text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// Names of the columns, in order; two may be alike.
    pub columns: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// Whether rows were left out.
    pub cut: bool,
    bytes: usize,
}

impl Grid {
    /// No rows yet, under these columns.
    #[must_use]
    pub fn under(columns: Vec<String>) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Takes a row in, unless that is more than the bounds; says whether another may follow.
    pub fn take(&mut self, row: Vec<serde_json::Value>, most: Most) -> bool {
        let size = |cell: &serde_json::Value| match cell {
            serde_json::Value::String(text) => text.len(),
            _ => 8,
        };
        self.bytes = self.bytes.saturating_add(row.iter().map(size).sum());
        if self.rows.len() >= most.rows || self.bytes > most.bytes {
            self.cut = true;
            return false;
        }
        self.rows.push(row);
        true
    }
}

/// The one number that a statement gives.
///
/// # Errors
/// As [`Conn::query`]; [`ConnError::Corrupt`] for anything else.
pub fn number(conn: &mut dyn Conn, sql: &str) -> Result<i64, ConnError> {
    match conn.query(sql, &[])?.first().and_then(|row| row.first()) {
        Some(Value::Int(number)) => Ok(*number),
        other => Err(ConnError::Corrupt(format!("'{sql}' answered {other:?}"))),
    }
}

/// Bytes as people read them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// A snapshot.
    Read,
    /// Changes; waits for another writer, up to the connection's timeout.
    Write,
}

/// One connection.
pub trait Conn: Send {
    /// How this engine wants its definitions.
    fn dialect(&self) -> &'static Dialect;
    /// Opens a transaction.
    ///
    /// # Errors
    /// [`ConnError::Busy`] when another writer outlasts the timeout.
    fn begin(&mut self, intent: Intent) -> Result<(), ConnError>;
    /// Runs one statement and gives the number of rows it found to change.
    ///
    /// # Errors
    /// Any [`ConnError`] but [`ConnError::Unknown`].
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize, ConnError>;
    /// Runs one statement and gives its rows.
    ///
    /// # Errors
    /// Any [`ConnError`] but [`ConnError::Unknown`].
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, ConnError>;
    /// Runs one statement that reads, whatever it gives, and stops at the bounds.
    ///
    /// # Errors
    /// As [`Conn::query`].
    fn grid(&mut self, sql: &str, most: Most) -> Result<Grid, ConnError>;
    /// Opens the one savepoint of a transaction.
    ///
    /// # Errors
    /// As [`Conn::execute`].
    fn savepoint(&mut self) -> Result<(), ConnError>;
    /// Keeps what was done since the savepoint and closes it.
    ///
    /// # Errors
    /// As [`Conn::execute`].
    fn release(&mut self) -> Result<(), ConnError>;
    /// Undoes what was done since the savepoint and closes it.
    ///
    /// # Errors
    /// As [`Conn::execute`].
    fn rollback_to(&mut self) -> Result<(), ConnError>;
    /// Runs one of the engine's own procedures (`dolt_reset`, `dolt_gc` ...) and gives its rows.
    ///
    /// # Errors
    /// Any [`ConnError`] but [`ConnError::Unknown`].
    fn call(&mut self, procedure: &str, args: &[&str]) -> Result<Vec<Vec<Value>>, ConnError>;
    /// Ends the transaction by COMMIT; `published` says that this is a formality, whose failure is
    /// told to the log and changes nothing.
    ///
    /// # Errors
    /// [`ConnError::Busy`]: nothing was published. [`ConnError::Unknown`]: look.
    fn end(&mut self, published: bool) -> Result<(), ConnError>;
    /// Publishes the transaction with a commit in the history; no savepoint may be open.
    ///
    /// Gives the commit's hash, or `None` when no versioned row changed in the end; rows of
    /// ephemeral tables are published either way.
    ///
    /// # Errors
    /// [`ConnError::Busy`]: nothing was published. [`ConnError::Unknown`]: look.
    fn commit(&mut self, info: &CommitInfo<'_>) -> Result<Option<String>, ConnError> {
        let date = info.date_ms.map(civil);
        let mut args = vec!["-Am", info.message, "--author", info.author, "--skip-empty"];
        if let Some(date) = &date {
            args.extend(["--date", date]);
        }
        let rows = self.call("dolt_commit", &args).map_err(|error| match error {
            busy @ ConnError::Busy(_) => busy,
            other => ConnError::Unknown(other.to_string()),
        })?;
        let hash = match rows.into_iter().next().and_then(|row| row.into_iter().next()) {
            Some(Value::Text(hash)) if !hash.is_empty() => Some(hash),
            _ => None,
        };
        self.end(hash.is_some())?;
        Ok(hash)
    }
    /// Publishes a transaction that touched only ephemeral tables, without history.
    ///
    /// # Errors
    /// As [`Conn::commit`].
    fn publish(&mut self) -> Result<(), ConnError> {
        self.end(false)
    }
    /// Undoes the transaction. Without one it does nothing.
    ///
    /// # Errors
    /// As [`Conn::execute`]; the connection must then be closed.
    fn rollback(&mut self) -> Result<(), ConnError>;
    /// Whether somebody else may have changed the database since this was asked last; the first
    /// answer is yes.
    ///
    /// # Errors
    /// As [`Conn::query`].
    fn disturbed(&mut self) -> Result<bool, ConnError>;
    /// The hash of the newest commit.
    ///
    /// # Errors
    /// As [`Conn::query`].
    fn head(&mut self) -> Result<String, ConnError>;
}

/// How engines differ in definitions and in looking at themselves. All else is common SQL.
#[derive(Debug)]
pub struct Dialect {
    /// The engine's name.
    pub name: &'static str,
    /// Column type of 64-bit integers.
    pub int: &'static str,
    /// Column type of text that may stand in a key.
    pub key: &'static str,
    /// Column type of any text; compared byte by byte.
    pub text: &'static str,
    /// What follows a table whose key is not one integer.
    pub keyed: &'static str,
    /// Whether indexes are part of the table's definition, because there is no
    /// `CREATE INDEX IF NOT EXISTS`.
    pub inline_indexes: bool,
    /// Removes an index of a table; both names are quoted already or plain.
    pub drop_index: fn(table: &str, index: &str) -> String,
    /// Makes the list of ignored tables, where the engine does not have it by itself.
    pub ignore_table: Option<&'static str>,
    /// Asks for the names of the columns of a table, in order; one parameter.
    pub columns: &'static str,
    /// Asks for the names of the columns of an index, in order; one parameter.
    pub index_columns: &'static str,
    /// Whether each definition is published by itself, so that a database whose making was
    /// interrupted is there, without its version row.
    pub piecemeal: bool,
    /// Asks how many tables there are.
    pub tables: &'static str,
    /// Asks for the names of all tables.
    pub table_names: &'static str,
    /// Asks for the message of the newest commit.
    pub last_message: &'static str,
    /// A table as it stood at a commit, where a table may be named in FROM. The commit is a full
    /// hash: see [`is_hash`].
    pub at: fn(table: &str, commit: &str) -> String,
    /// Arguments by which `dolt_gc` frees all that is not reached, whatever its age.
    pub collect: &'static [&'static str],
}

/// Whether a text is a full commit hash of either engine: it may then stand in a statement.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    matches!(text.len(), 32 | 40)
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The embedded engine's dialect.
pub static DOLTLITE: Dialect = Dialect {
    name: "doltlite",
    int: "INTEGER",
    key: "TEXT",
    text: "TEXT",
    keyed: " WITHOUT ROWID",
    inline_indexes: false,
    drop_index: |_, index| format!("DROP INDEX {index}"),
    ignore_table: Some(
        "CREATE TABLE IF NOT EXISTS dolt_ignore(\
         pattern TEXT NOT NULL PRIMARY KEY, ignored TINYINT NOT NULL)",
    ),
    columns: "SELECT name FROM pragma_table_info(?) ORDER BY cid",
    index_columns: "SELECT name FROM pragma_index_info(?) ORDER BY seqno",
    piecemeal: false,
    tables: "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'",
    table_names: "SELECT name FROM sqlite_master WHERE type = 'table'",
    last_message: "SELECT message FROM dolt_log WHERE commit_hash = dolt_hashof('HEAD')",
    at: |table, commit| format!("dolt_at_{table}('{commit}')"),
    collect: &[],
};

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// `2024-01-31T23:59:59` of milliseconds since the epoch, in UTC; before 1970 it is 1970.
#[must_use]
pub fn civil(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    // Days since 0000-03-01, so that a leap day ends its year (Howard Hinnant's calendar).
    let days = seconds / DAY_S + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let second = seconds % DAY_S;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}", second % 60)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (-5, "1970-01-01T00:00:00"),
            (951_782_400_000, "2000-02-29T00:00:00"),
            (1_709_251_199_999, "2024-02-29T23:59:59"),
            (1_767_225_600_000, "2026-01-01T00:00:00"),
            (4_107_542_400_000, "2100-03-01T00:00:00"),
        ];
        for (ms, text) in cases {
            assert_eq!(civil(ms), text);
        }
    }
}
