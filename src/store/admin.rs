//! A server as a whole: whether it answers, whose data it serves, and who may connect to it.

use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::server::DoltServer;
use crate::store::server::Server;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The directory of its databases, where its configuration says it.
    pub data_dir: String,
    /// The id of this run of the server.
    pub server_id: String,
    /// Dolt's version.
    pub version: String,
    /// Connections now, this one not counted.
    pub connections: usize,
    /// Its databases, in order.
    pub databases: Vec<String>,
}

/// A connection that looks at a server. Call from threads that may block.
pub struct Admin {
    conn: DoltServer,
}

impl Admin {
    /// Connects to no database.
    ///
    /// # Errors
    /// As [`DoltServer::connect`].
    pub fn connect(server: &Server) -> Result<Self, ConnError> {
        Ok(Self { conn: DoltServer::connect(&server.on(""))? })
    }

    /// Asks for nothing and waits for the answer.
    ///
    /// # Errors
    /// As [`Conn::query`].
    pub fn ping(&mut self) -> Result<(), ConnError> {
        self.conn.query("SELECT 1", &[]).map(|_| ())
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// As [`Conn::query`].
    pub fn standing(&mut self) -> Result<Standing, ConnError> {
        let said = self.conn.query("SELECT @@datadir, @@server_uuid, dolt_version()", &[])?;
        let mut said =
            said.into_iter().next().unwrap_or_default().into_iter().map(|value| match value {
                Value::Text(text) => text,
                Value::Int(number) => number.to_string(),
                Value::Null => String::new(),
            });
        let mut next = || said.next().unwrap_or_default();
        let (data_dir, server_id, version) = (next(), next(), next());
        let connections = self.conn.query("SHOW PROCESSLIST", &[])?.len().saturating_sub(1);
        let databases = super::served::databases(&mut self.conn)?;
        Ok(Standing { data_dir, server_id, version, connections, databases })
    }

    /// Makes a user who may do everything, as the server's first user. May be repeated.
    ///
    /// # Errors
    /// [`ConnError::Other`] for a name or password that is not plain letters and digits, and what
    /// the server says.
    pub fn make_user(&mut self, name: &str, password: &str) -> Result<(), ConnError> {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain(name) || !plain(password) {
            let text = "a user of the server has a name and a password of letters and digits";
            return Err(ConnError::Other(text.to_owned()));
        }
        self.conn
            .spoken(format!("CREATE USER IF NOT EXISTS '{name}'@'%' IDENTIFIED BY '{password}'"))?;
        self.conn.spoken(format!("GRANT ALL ON *.* TO '{name}'@'%' WITH GRANT OPTION"))
    }

    /// Removes the user that a server makes at its first start. May be repeated.
    ///
    /// # Errors
    /// As [`Conn::query`].
    pub fn drop_first_user(&mut self) -> Result<(), ConnError> {
        self.conn.plain("DROP USER IF EXISTS 'root'@'localhost'")
    }
}
