//! What can be wrong with a ledger. Each text says what to do next.

use std::path::PathBuf;

use crate::model::ids::Db;
use crate::store::conn::ConnError;
use crate::store::epoch::Owner;

/// A refusal of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such database.
    #[error(
        "no database '{db}' at {path}: `gt install` makes hq, `gt rig add` makes a rig's; \
         check the name and the town"
    )]
    NoDatabase {
        /// Its name.
        db: Db,
        /// Where it should be.
        path: PathBuf,
    },
    /// The database is already there.
    #[error("database '{db}' is already there at {path}: use it, or choose another name")]
    Exists {
        /// Its name.
        db: Db,
        /// Where it is.
        path: PathBuf,
    },
    /// The name cannot be a database's.
    #[error("'{0}' cannot name a database: use 1 to 64 of a-z A-Z 0-9 _ and -, a letter first")]
    BadName(String),
    /// Another process has the writer lock.
    #[error(
        "database '{db}' is being written by {holder}: wait for it, or stop it, then try again"
    )]
    Held {
        /// The database.
        db: Db,
        /// What the lock file says of its holder.
        holder: String,
    },
    /// Another town's daemon owns it.
    #[error(
        "database '{db}' belongs to {owner}: give this town a database of its own, or stop that \
         town and remove the row store.owner from its table metadata"
    )]
    Owned {
        /// The database.
        db: Db,
        /// Who owns it.
        owner: Owner,
    },
    /// Every reading connection was in use for too long.
    #[error("all {size} readers of database '{db}' are in use: try again, or raise store.readers")]
    NoReader {
        /// The database.
        db: Db,
        /// How many there are.
        size: usize,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has schema {found}, this gt knows up to {known}: install a newer gt; \
         nothing was changed"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Same schema number, other columns: a build from another state of the sources wrote it.
    #[error(
        "{path} was made by another build of schema {known} ({found}): use that build, or \
         export with it and import with this one; nothing was changed"
    )]
    OtherBuild {
        /// The file.
        path: PathBuf,
        /// Its fingerprint.
        found: String,
        /// Our schema number.
        known: i64,
    },
    /// Not a ledger.
    #[error("{path} is not a ledger of a town ({why}): move it away; nothing was changed")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        why: String,
    },
    /// A ledger that lost its beginning or its middle.
    #[error("{path} is damaged ({why}): keep it, and restore the newest backup in its place")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was seen.
        why: String,
    },
    /// A copy that is not the same as what was copied.
    #[error("the copy of database '{db}' differs ({what}): nothing was switched; try again")]
    Differs {
        /// The database.
        db: Db,
        /// Which tables.
        what: String,
    },
    /// A chore was not done; nothing was changed.
    #[error("database '{db}': {why}")]
    Upkeep {
        /// The database.
        db: Db,
        /// Why not.
        why: String,
    },
    /// The server does not answer.
    #[error("database '{db}' cannot be reached: {why}; start the server with 'gt dolt start'")]
    Down {
        /// The database.
        db: Db,
        /// What was tried.
        why: String,
    },
    /// The engine failed.
    #[error("database '{db}': {source}")]
    Engine {
        /// The database.
        db: Db,
        /// How.
        source: ConnError,
    },
    /// The file system failed.
    #[error("{path}: {source}; check that the directory exists, is writable and has room")]
    Io {
        /// The file.
        path: PathBuf,
        /// How.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Wraps a failure of the file system.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoDatabase { .. } => "no_database",
            Self::Exists { .. } => "database_exists",
            Self::BadName(_) => "bad_database_name",
            Self::Held { .. } => "writer_held",
            Self::Owned { .. } => "store_owned",
            Self::NoReader { .. } => "no_reader",
            Self::Newer { .. } => "store_newer",
            Self::OtherBuild { .. } => "store_other_build",
            Self::Foreign { .. } => "store_foreign",
            Self::Damaged { .. } => "store_damaged",
            Self::Differs { .. } => "store_differs",
            Self::Upkeep { .. } => "store_upkeep",
            Self::Down { .. } => "store_down",
            Self::Engine { .. } => "store_engine",
            Self::Io { .. } => "store_io",
        }
    }
}

/// Why a group was not committed. All but [`GroupError::Unknown`] mean that nothing of it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Another writer was there for too long.
    #[error("nothing was committed: {0}")]
    Busy(String),
    /// There is no room on the disk.
    #[error("nothing was committed: {0}")]
    Full(String),
    /// The file is damaged.
    #[error("nothing was committed: {0}")]
    Corrupt(String),
    /// The server does not answer.
    #[error("nothing was committed: {0}; start the server with 'gt dolt start'")]
    Down(String),
    /// A later daemon owns the database: this one must write no more.
    #[error("nothing was committed: the database belongs to {0} now; stop this daemon")]
    Fenced(Owner),
    /// The engine failed otherwise, or the database could not be opened again.
    #[error("nothing was committed: {0}")]
    Engine(String),
    /// The group may stand or not: call `settle`, then decide.
    #[error("{0}")]
    Unknown(String),
}

impl From<ConnError> for GroupError {
    fn from(error: ConnError) -> Self {
        let text = error.to_string();
        match error {
            ConnError::Busy(_) => Self::Busy(text),
            ConnError::Full(_) => Self::Full(text),
            ConnError::Corrupt(_) => Self::Corrupt(text),
            ConnError::Unknown(_) => Self::Unknown(text),
            ConnError::Down(_) => Self::Down(text),
            ConnError::Duplicate(_) | ConnError::Missing(_) | ConnError::Other(_) => {
                Self::Engine(text)
            }
        }
    }
}
