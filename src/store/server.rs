//! The second engine: a real `dolt sql-server`, over the MySQL protocol.
//!
//! Verified rules that this file keeps (docs/dolt-server.md): `DOLT_COMMIT` publishes at once and
//! leaves the session in its transaction, so COMMIT always follows; conflicts show only there, on
//! the later committer, as 1213; a clash of unique keys across transactions is 1105 by text. One
//! connection has one small runtime of its own, so that the trait stays synchronous.

use std::time::Duration;

use sqlx::Column;
use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::Executor;
use sqlx::Row;
use sqlx::TypeInfo;
use sqlx::ValueRef;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::mysql::MySqlConnection;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::mysql::MySqlRow;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

use crate::model::value::Value;
use crate::store::conn::CommitInfo;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::Dialect;
use crate::store::conn::Intent;
use crate::store::conn::civil;

/// The server's dialect. Text is compared byte by byte, as the embedded engine does.
pub static SERVER: Dialect = Dialect {
    name: "dolt",
    int: "BIGINT",
    key: "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin",
    text: "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin",
    keyed: "",
    inline_indexes: true,
    ignore_table: None,
    columns: "SELECT column_name FROM information_schema.columns \
              WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position",
    tables: "SELECT COUNT(*) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'",
    last_message: "SELECT message FROM dolt_log WHERE commit_hash = HASHOF('HEAD')",
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
    /// Database.
    pub database: String,
}

/// Longest time to wait for a connection: a server that is down is told within two seconds.
const CONNECT_WAIT: Duration = Duration::from_millis(1_500);

/// One connection to one database of a server.
pub struct DoltServer {
    runtime: Runtime,
    conn: MySqlConnection,
    open: bool,
}

impl DoltServer {
    /// Connects. Call from a thread that may block and runs no other runtime.
    ///
    /// # Errors
    /// [`ConnError::Other`] with what the server or the system says.
    pub fn connect(server: &Server) -> Result<Self, ConnError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ConnError::Other(error.to_string()))?;
        let mut options = MySqlConnectOptions::new()
            .host(&server.host)
            .port(server.port)
            .username(&server.user)
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
        let conn = match runtime.block_on(connecting) {
            Ok(Ok(conn)) => conn,
            Ok(Err(error)) => return Err(told(&error)),
            Err(_) => {
                let (host, port) = (&server.host, server.port);
                let text = format!("{host}:{port} does not answer; start it with 'gt dolt start'");
                return Err(ConnError::Other(text));
            }
        };
        Ok(Self { runtime, conn, open: false })
    }

    /// Runs a statement as text, for what cannot be prepared.
    fn plain(&mut self, sql: &'static str) -> Result<(), ConnError> {
        let done = self.runtime.block_on(self.conn.execute(sqlx::raw_sql(sql)));
        done.map(|_| ()).map_err(|error| told(&error))
    }

    /// COMMIT; `published` says that it is a formality.
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

    fn begin(&mut self, _intent: Intent) -> Result<(), ConnError> {
        self.plain("START TRANSACTION")?;
        self.open = true;
        Ok(())
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize, ConnError> {
        let query = bound!(sql, params);
        let done = self.runtime.block_on(self.conn.execute(query)).map_err(|e| told(&e))?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, ConnError> {
        let query = bound!(sql, params);
        let rows = self.runtime.block_on(self.conn.fetch_all(query)).map_err(|e| told(&e))?;
        rows.iter().map(inward).collect()
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

    fn commit(&mut self, info: &CommitInfo<'_>) -> Result<Option<String>, ConnError> {
        let mut params =
            vec![Value::Text(info.message.to_owned()), Value::Text(info.author.to_owned())];
        let dated = info.date_ms.map_or("", |ms| {
            params.push(Value::Text(civil(ms)));
            ", '--date', ?"
        });
        let sql = format!("CALL DOLT_COMMIT('-Am', ?, '--author', ?{dated}, '--skip-empty')");
        let rows = self.query(&sql, &params).map_err(|error| match error {
            busy @ ConnError::Busy(_) => busy,
            other => ConnError::Unknown(other.to_string()),
        })?;
        let hash = match rows.into_iter().next().and_then(|row| row.into_iter().next()) {
            Some(Value::Text(hash)) if !hash.is_empty() => Some(hash),
            _ => None,
        };
        self.end(true)?;
        Ok(hash)
    }

    fn publish(&mut self) -> Result<(), ConnError> {
        self.end(false)
    }

    fn rollback(&mut self) -> Result<(), ConnError> {
        if self.open {
            self.plain("ROLLBACK")?;
            self.open = false;
        }
        Ok(())
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

/// The server's error by its kind.
fn told(error: &sqlx::Error) -> ConnError {
    let text = error.to_string();
    let sqlx::Error::Database(database) = error else { return ConnError::Other(text) };
    let number = database.try_downcast_ref::<MySqlDatabaseError>().map_or(0, |e| e.number());
    match number {
        1213 | 1205 => ConnError::Busy(text),
        1062 => ConnError::Duplicate(text),
        1105 if text.contains("onstraint violations") => ConnError::Busy(text),
        _ => ConnError::Other(text),
    }
}
