//! The second engine: a real `dolt sql-server`, over the MySQL protocol.
//!
//! Verified rules that this file keeps (docs/dolt-server.md): `DOLT_COMMIT` publishes at once and
//! leaves the session in its transaction, so COMMIT always follows; conflicts show only there, on
//! the later committer, as 1213; a clash of unique keys across transactions is 1105 by text. One
//! connection has one small runtime of its own, so that the trait stays synchronous.

use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::Column;
use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::Executor;
use sqlx::Row;
use sqlx::SqlSafeStr;
use sqlx::Statement;
use sqlx::TypeInfo;
use sqlx::ValueRef;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::mysql::MySqlConnection;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::mysql::MySqlRow;
use sqlx::mysql::MySqlSslMode;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::Dialect;
use crate::store::conn::Grid;
use crate::store::conn::Intent;
use crate::store::conn::Most;
use crate::store::conn::hex;
use crate::store::served;

/// The server's dialect. Text is compared byte by byte, as the embedded engine does.
pub static SERVER: Dialect = Dialect {
    name: "dolt",
    int: "BIGINT",
    key: "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin",
    text: "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin",
    keyed: "",
    inline_indexes: true,
    drop_index: |table, index| format!("DROP INDEX {index} ON {table}"),
    ignore_table: None,
    columns: "SELECT column_name FROM information_schema.columns \
              WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position",
    index_columns: "SELECT column_name FROM information_schema.statistics \
                    WHERE table_schema = DATABASE() AND index_name = ? ORDER BY seq_in_index",
    piecemeal: true,
    tables: "SELECT COUNT(*) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'",
    table_names: "SELECT table_name FROM information_schema.tables \
                  WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'",
    last_message: "SELECT message FROM dolt_log WHERE commit_hash = HASHOF('HEAD')",
    at: |table, commit| format!("`{table}` AS OF '{commit}'"),
    collect: &["--full"],
};

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host; loopback for a managed one.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password; empty is none.
    pub password: String,
    /// Database; empty is none.
    pub database: String,
    /// Whether the connection must be encrypted.
    pub tls: bool,
}

impl Server {
    /// The same server, on another database.
    #[must_use]
    pub fn on(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// Whether somebody listens there.
    ///
    /// # Errors
    /// [`ConnError::Down`] within a second and a half.
    pub fn listens(&self) -> Result<(), ConnError> {
        let down = |why: &dyn std::fmt::Display| {
            let text = format!("the Dolt server at {} does not answer ({why})", self.address());
            ConnError::Down(text)
        };
        let mut found =
            (self.host.as_str(), self.port).to_socket_addrs().map_err(|error| down(&error))?;
        let Some(address) = found.next() else { return Err(down(&"its host has no address")) };
        TcpStream::connect_timeout(&address, CONNECT_WAIT).map(|_| ()).map_err(|error| down(&error))
    }

    /// `host:port`, for people.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Longest time to wait for a connection: a server that is down is told within two seconds.
const CONNECT_WAIT: Duration = Duration::from_millis(1_500);

/// One connection to one database of a server.
pub struct DoltServer {
    /// Taken when the connection is dropped: a runtime may not be dropped where another one runs.
    runtime: Option<Runtime>,
    conn: MySqlConnection,
    open: bool,
}

impl Drop for DoltServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl DoltServer {
    /// Connects. Call from a thread that may block.
    ///
    /// # Errors
    /// [`ConnError::Down`] when nobody answers within a second and a half, [`ConnError::Missing`]
    /// when there is no such database, else what the server says.
    pub fn connect(server: &Server) -> Result<Self, ConnError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ConnError::Other(error.to_string()))?;
        let mut options = MySqlConnectOptions::new()
            .host(&server.host)
            .port(server.port)
            .username(&server.user)
            .ssl_mode(if server.tls { MySqlSslMode::Required } else { MySqlSslMode::Disabled })
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .set_names(true)
            .timezone(None)
            .disable_statement_logging();
        // An empty password must not be sent at all.
        if !server.password.is_empty() {
            options = options.password(&server.password);
        }
        if !server.database.is_empty() {
            options = options.database(&server.database);
        }
        let connecting = async {
            tokio::time::timeout(CONNECT_WAIT, MySqlConnection::connect_with(&options)).await
        };
        let answer = runtime.block_on(connecting);
        let down = |why: &dyn std::fmt::Display| {
            ConnError::Down(format!(
                "the Dolt server at {} does not answer ({why})",
                server.address()
            ))
        };
        let conn = match answer {
            Ok(Ok(conn)) => conn,
            Ok(Err(error @ sqlx::Error::Io(_))) => return Err(down(&error)),
            Ok(Err(error)) => return Err(told(&error)),
            Err(late) => return Err(down(&late)),
        };
        Ok(Self { runtime: Some(runtime), conn, open: false })
    }

    /// Waits for one answer of the server.
    fn wait<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, ConnError> {
        let Some(runtime) = &self.runtime else {
            return Err(ConnError::Other("the connection is closed".to_owned()));
        };
        runtime.block_on(ask(&mut self.conn)).map_err(|error| told(&error))
    }

    /// Runs a statement as text, for what cannot be prepared.
    pub(super) fn plain(&mut self, sql: &'static str) -> Result<(), ConnError> {
        self.wait(async |conn| conn.execute(sqlx::raw_sql(sql)).await).map(|_| ())
    }
}

impl DoltServer {
    /// Runs a statement that cannot be prepared and has values in its text; the caller answers for
    /// what stands in them.
    pub(super) fn spoken(&mut self, sql: String) -> Result<(), ConnError> {
        let sql = sqlx::AssertSqlSafe(sql);
        self.wait(async |conn| conn.execute(sqlx::raw_sql(sql)).await).map(|_| ())
    }
}

/// A statement with its parameters.
macro_rules! bound {
    ($sql:expr, $params:expr) => {{
        let mut query = sqlx::query(sqlx::AssertSqlSafe($sql.to_owned()));
        for value in $params {
            query = match value {
                Value::Null => query.bind(None::<String>),
                Value::Int(n) => query.bind(*n),
                Value::Text(text) => query.bind(text.clone()),
            };
        }
        query
    }};
}

impl Conn for DoltServer {
    fn dialect(&self) -> &'static Dialect {
        &SERVER
    }

    fn begin(&mut self, intent: Intent) -> Result<(), ConnError> {
        self.plain(match intent {
            Intent::Read => "START TRANSACTION READ ONLY",
            Intent::Write => "START TRANSACTION",
        })?;
        self.open = true;
        Ok(())
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize, ConnError> {
        let query = bound!(sql, params);
        let done = self.wait(async |conn| conn.execute(query).await)?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, ConnError> {
        let query = bound!(sql, params);
        let rows = self.wait(async |conn| conn.fetch_all(query).await)?;
        rows.iter().map(inward).collect()
    }

    fn grid(&mut self, sql: &str, most: Most) -> Result<Grid, ConnError> {
        // Prepared first: the server then refuses more than one statement, and names the columns of
        // an answer without rows.
        let text = || sqlx::AssertSqlSafe(sql.to_owned()).into_sql_str();
        let prepared = self.wait(async |conn| conn.prepare(text()).await)?;
        let names = prepared.columns().iter().map(|column| column.name().to_owned());
        let mut grid = Grid::under(names.collect());
        self.wait(async |conn| {
            let mut rows = conn.fetch(sqlx::raw_sql(text()));
            while let Some(row) = rows.try_next().await? {
                let cells = (0..row.len()).map(|at| cell(&row, at)).collect::<Result<_, _>>()?;
                if !grid.take(cells, most) {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(grid)
    }

    fn savepoint(&mut self) -> Result<(), ConnError> {
        self.plain("SAVEPOINT op")
    }

    fn release(&mut self) -> Result<(), ConnError> {
        self.plain("RELEASE SAVEPOINT op")
    }

    fn rollback_to(&mut self) -> Result<(), ConnError> {
        self.plain("ROLLBACK TO SAVEPOINT op")?;
        self.plain("RELEASE SAVEPOINT op")
    }

    fn call(&mut self, procedure: &str, args: &[&str]) -> Result<Vec<Vec<Value>>, ConnError> {
        let marks = vec!["?"; args.len()].join(", ");
        let params: Vec<Value> = args.iter().map(|arg| Value::Text((*arg).to_owned())).collect();
        self.query(&format!("CALL {procedure}({marks})"), &params)
    }

    fn end(&mut self, published: bool) -> Result<(), ConnError> {
        self.open = false;
        match self.plain("COMMIT") {
            Ok(()) => Ok(()),
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
            self.plain("ROLLBACK")?;
            self.open = false;
        }
        Ok(())
    }

    fn disturbed(&mut self) -> Result<bool, ConnError> {
        // Anybody may be connected, and the server does not tell.
        Ok(true)
    }

    fn head(&mut self) -> Result<String, ConnError> {
        match self.query("SELECT HASHOF('HEAD')", &[])?.pop().and_then(|mut row| row.pop()) {
            Some(Value::Text(hash)) => Ok(hash),
            other => Err(ConnError::Corrupt(format!("HEAD is {other:?}"))),
        }
    }
}

fn inward(row: &MySqlRow) -> Result<Vec<Value>, ConnError> {
    let cells = row.columns().iter().map(|column| {
        let at = column.ordinal();
        let raw = row.try_get_raw(at)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        if raw.type_info().name().contains("INT") {
            return row.try_get_unchecked::<i64, _>(at).map(Value::Int);
        }
        row.try_get_unchecked::<String, _>(at).map(Value::Text)
    });
    cells.collect::<Result<_, sqlx::Error>>().map_err(|error| told(&error))
}

/// A cell of a row that came as text.
fn cell(row: &MySqlRow, at: usize) -> Result<serde_json::Value, sqlx::Error> {
    let raw = row.try_get_raw(at)?;
    if raw.is_null() {
        return Ok(serde_json::Value::Null);
    }
    let kind = raw.type_info().name().to_owned();
    let bytes: Vec<u8> = row.try_get_unchecked(at)?;
    let Ok(text) = String::from_utf8(bytes) else {
        let bytes: Vec<u8> = row.try_get_unchecked(at)?;
        return Ok(hex(&bytes).into());
    };
    let number = match kind.as_str() {
        "FLOAT" | "DOUBLE" => text.parse::<f64>().ok().map(serde_json::Value::from),
        kind if kind.contains("INT") => text.parse::<i64>().ok().map(serde_json::Value::from),
        _ => None,
    };
    Ok(number.unwrap_or_else(|| text.into()))
}

/// The server's error by its kind.
fn told(error: &sqlx::Error) -> ConnError {
    let text = error.to_string();
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            return ConnError::Down(format!("the connection to the Dolt server broke ({text})"));
        }
        _ => return ConnError::Other(text),
    };
    let number = database.try_downcast_ref::<MySqlDatabaseError>().map_or(0, |e| e.number());
    match number {
        1213 | 1205 => ConnError::Busy(text),
        1049 => ConnError::Missing(text),
        1062 => ConnError::Duplicate(text),
        1105 if text.contains("onstraint violations") => ConnError::Busy(text),
        // A database was made or dropped after the transaction began: the next one knows.
        1105 if text.contains("could not resolve initial root") => ConnError::Busy(text),
        1105 if served::half_made(&text) => ConnError::Missing(text),
        1105 if text.contains("please reconnect") => ConnError::Down(text),
        _ => ConnError::Other(text),
    }
}
