//! The embedded engine: one DoltLite file.
//!
//! Measured rules that this file keeps: `dolt_commit` publishes at once and destroys savepoints, so
//! it comes last; every connection waits for a busy writer; a statement costs 10 to 30 µs to
//! prepare and cannot outlive a borrow of its connection, so each is prepared where it is used.

use std::path::Path;
use std::thread;

use doltlite::Connection;

use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::DOLTLITE;
use crate::store::conn::Dialect;
use crate::store::conn::Grid;
use crate::store::conn::Intent;
use crate::store::conn::Most;
use crate::store::conn::hex;

/// The engine version that the file format was measured with.
pub const ENGINE_VERSION: &str = "v0.51.6";
/// First bytes of a file of this engine.
pub const MAGIC: &[u8] = b"CTLD";

/// How the engine refuses a commit's date. It checks a date through `gmtime`, whose one result all
/// threads of a process share: a good date is refused when another thread's commit comes in
/// between. The check is before the first write, so trying again is safe.
const DATE_REFUSED: &str = "could not parse --date";
/// How often a refused date is tried before it is believed to be wrong.
const DATE_TRIES: usize = 10_000;

/// Sizes and waits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Page cache in megabytes.
    pub cache_mb: u32,
    /// Milliseconds to wait for another connection.
    pub busy_ms: i32,
}

/// One open file.
pub struct DoltLite {
    conn: Connection,
    /// Whether a transaction is open.
    open: bool,
    /// The engine's count of changes by others, as last seen.
    version: Option<i64>,
}

impl DoltLite {
    /// Opens a file that is there. What is in it is for the caller to look at.
    ///
    /// # Errors
    /// [`ConnError`], also when another SQLite was linked in the engine's place.
    pub fn open(path: &Path, tuning: Tuning) -> Result<Self, ConnError> {
        // The engine would make a missing file, and a moved store would look like an empty one.
        if !path.is_file() {
            return Err(ConnError::Other(format!("{} is not there", path.display())));
        }
        Self::create(path, tuning)
    }

    /// Opens a file, and makes it where it is missing.
    ///
    /// # Errors
    /// As [`DoltLite::open`].
    pub fn create(path: &Path, tuning: Tuning) -> Result<Self, ConnError> {
        if path.to_str().is_none() {
            return Err(ConnError::Other(format!("{} is not a UTF-8 path", path.display())));
        }
        let conn = Connection::open(path).map_err(told)?;
        conn.busy_timeout(tuning.busy_ms).map_err(told)?;
        let mut opened = Self { conn, open: false, version: None };
        opened.is_engine()?;
        let cache_kib = i64::from(tuning.cache_mb.max(1)) * 1024;
        opened.batch("PRAGMA synchronous = FULL")?;
        opened.batch(&format!("PRAGMA cache_size = -{cache_kib}"))?;
        Ok(opened)
    }

    /// Refuses when the linker put a plain SQLite in the engine's place, which it does silently.
    fn is_engine(&mut self) -> Result<(), ConnError> {
        let wrong = |found: String| {
            ConnError::Other(format!(
                "this build has {found} where DoltLite {ENGINE_VERSION} should be: \
                 rebuild gt without any other crate that links sqlite3"
            ))
        };
        let rows = self.query("SELECT doltlite_engine(), dolt_version()", &[]).map_err(
            |error| match error {
                ConnError::Other(text) => wrong(text),
                damaged_or_busy => damaged_or_busy,
            },
        )?;
        let want = [Value::Text("prolly".to_owned()), Value::Text(ENGINE_VERSION.to_owned())];
        match rows.first() {
            Some(row) if row[..] == want => Ok(()),
            other => Err(wrong(format!("{other:?}"))),
        }
    }

    fn batch(&mut self, sql: &str) -> Result<(), ConnError> {
        self.conn.execute_batch(sql).map_err(told)
    }
}

impl Conn for DoltLite {
    fn dialect(&self) -> &'static Dialect {
        &DOLTLITE
    }

    fn begin(&mut self, intent: Intent) -> Result<(), ConnError> {
        self.batch(match intent {
            Intent::Read => "BEGIN",
            Intent::Write => "BEGIN IMMEDIATE",
        })?;
        self.open = true;
        Ok(())
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize, ConnError> {
        let mut statement = self.conn.prepare(sql).map_err(told)?;
        for (at, value) in params.iter().enumerate() {
            statement.bind(at + 1, &outward(value)).map_err(told)?;
        }
        while statement.step().map_err(told)? {}
        Ok(self.conn.changes())
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, ConnError> {
        let mut statement = self.conn.prepare(sql).map_err(told)?;
        for (at, value) in params.iter().enumerate() {
            statement.bind(at + 1, &outward(value)).map_err(told)?;
        }
        let mut rows = Vec::new();
        while statement.step().map_err(told)? {
            let row = statement.row();
            rows.push(row.values().iter().map(inward).collect::<Result<_, _>>()?);
        }
        Ok(rows)
    }

    fn grid(&mut self, sql: &str, most: Most) -> Result<Grid, ConnError> {
        let sql = as_spoken(sql);
        let mut statement = self.conn.prepare(&sql).map_err(told)?;
        let mut grid = Grid::under(statement.row().columns().to_vec());
        while statement.step().map_err(told)? {
            if !grid.take(statement.row().values().iter().map(cell).collect(), most) {
                break;
            }
        }
        Ok(grid)
    }

    fn savepoint(&mut self) -> Result<(), ConnError> {
        self.batch("SAVEPOINT op")
    }

    fn release(&mut self) -> Result<(), ConnError> {
        self.batch("RELEASE op")
    }

    fn rollback_to(&mut self) -> Result<(), ConnError> {
        self.batch("ROLLBACK TO op")?;
        self.batch("RELEASE op")
    }

    fn call(&mut self, procedure: &str, args: &[&str]) -> Result<Vec<Vec<Value>>, ConnError> {
        let marks = vec!["?"; args.len()].join(", ");
        let params: Vec<Value> = args.iter().map(|arg| Value::Text((*arg).to_owned())).collect();
        let sql = format!("SELECT {procedure}({marks})");
        for _ in 1..DATE_TRIES {
            match self.query(&sql, &params) {
                Err(ConnError::Other(text)) if text.contains(DATE_REFUSED) => thread::yield_now(),
                answer => return answer,
            }
        }
        self.query(&sql, &params)
    }

    fn end(&mut self, published: bool) -> Result<(), ConnError> {
        match self.batch("COMMIT") {
            Ok(()) => {
                self.open = false;
                Ok(())
            }
            Err(error) if published => {
                tracing::warn!(%error, "COMMIT after a published commit failed; it stands");
                Ok(())
            }
            Err(busy @ ConnError::Busy(_)) => Err(busy),
            Err(error) => Err(ConnError::Unknown(error.to_string())),
        }
    }

    fn rollback(&mut self) -> Result<(), ConnError> {
        if self.open {
            self.batch("ROLLBACK")?;
            self.open = false;
        }
        Ok(())
    }

    fn disturbed(&mut self) -> Result<bool, ConnError> {
        // It moves with every commit of another connection, and with none of this one.
        match self.query("PRAGMA data_version", &[])?.pop().and_then(|mut row| row.pop()) {
            Some(Value::Int(now)) => Ok(self.version.replace(now) != Some(now)),
            other => Err(ConnError::Other(format!("data_version is {other:?}"))),
        }
    }

    fn head(&mut self) -> Result<String, ConnError> {
        match self.query("SELECT dolt_hashof('HEAD')", &[])?.pop().and_then(|mut row| row.pop()) {
            Some(Value::Text(hash)) => Ok(hash),
            other => Err(ConnError::Corrupt(format!("HEAD is {other:?}"))),
        }
    }
}

/// What the server understands and this engine does not, in this one's words.
fn as_spoken(sql: &str) -> String {
    let mut words = sql.split_whitespace();
    let lower = |word: Option<&str>| word.map(str::to_ascii_lowercase).unwrap_or_default();
    let (first, second, more) = (lower(words.next()), words.next(), words.next());
    let plain = |name: &str| name.trim_matches(['`', '"', '\'']).replace('\'', "''");
    match (first.as_str(), second, more) {
        ("show", Some(word), None) if word.eq_ignore_ascii_case("tables") => {
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name".to_owned()
        }
        ("describe" | "desc", Some(table), None) => {
            format!("SELECT name, type, \"notnull\", pk FROM pragma_table_info('{}')", plain(table))
        }
        _ => sql.to_owned(),
    }
}

fn cell(value: &doltlite::Value) -> serde_json::Value {
    match value {
        doltlite::Value::Null => serde_json::Value::Null,
        doltlite::Value::Integer(n) => (*n).into(),
        doltlite::Value::Real(x) => (*x).into(),
        doltlite::Value::Text(text) => text.clone().into(),
        doltlite::Value::Blob(bytes) => hex(bytes).into(),
    }
}

fn outward(value: &Value) -> doltlite::Value {
    match value {
        Value::Null => doltlite::Value::Null,
        Value::Int(n) => doltlite::Value::Integer(*n),
        Value::Text(text) => doltlite::Value::Text(text.clone()),
    }
}

fn inward(value: &doltlite::Value) -> Result<Value, ConnError> {
    match value {
        doltlite::Value::Null => Ok(Value::Null),
        doltlite::Value::Integer(n) => Ok(Value::Int(*n)),
        doltlite::Value::Text(text) => Ok(Value::Text(text.clone())),
        other => Err(ConnError::Other(format!("the ledger stores no {other:?}"))),
    }
}

/// The engine's error by its kind. The low byte of a code is its class.
fn told(error: doltlite::Error) -> ConnError {
    let text = error.to_string();
    match (error.code & 0xff, error.code) {
        (5 | 6, _) => ConnError::Busy(text),
        (11 | 26, _) => ConnError::Corrupt(text),
        (13, _) => ConnError::Full(text),
        (_, 1555 | 2067 | 2579) => ConnError::Duplicate(text),
        _ => ConnError::Other(text),
    }
}
