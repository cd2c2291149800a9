//! Where the databases of a town are: files of the embedded engine, or a server.
//!
//! One of these is chosen when a ledger is opened, and nothing falls back to the other (D3).

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;

use crate::model::ids::Db;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::doltlite::DoltLite;
use crate::store::doltlite::Tuning;
use crate::store::error::StoreError;
use crate::store::keep::backup;
use crate::store::keep::backup::Backup;
use crate::store::keep::backup::Restored;
use crate::store::keep::size;
use crate::store::keep::size::Live;
use crate::store::schema;

/// Databases of one engine.
pub(super) trait Place: Send + Sync {
    /// Whether the engine can be reached at all, before anything is made on disk for it.
    ///
    /// # Errors
    /// [`ConnError::Down`].
    fn reach(&self) -> Result<(), ConnError> {
        Ok(())
    }

    /// The names of all databases, in order.
    ///
    /// # Errors
    /// The directory cannot be read, or the server not be asked.
    fn databases(&self) -> Result<Vec<Db>, StoreError>;

    /// Where a database is, whether or not it is there: for people.
    fn path(&self, db: &Db) -> PathBuf;

    /// The file whose lock admits one writer on this machine.
    fn lock_path(&self, db: &Db) -> PathBuf;

    /// Looks at a database before an engine does.
    ///
    /// # Errors
    /// [`StoreError::NoDatabase`], [`StoreError::Foreign`], [`StoreError::Damaged`].
    fn look(&self, db: &Db) -> Result<(), StoreError>;

    /// Makes an empty database with the current schema under the writer lock. A half-made one of
    /// an earlier try is completed or replaced.
    ///
    /// # Errors
    /// [`StoreError::Exists`], and what the engine says.
    fn create(&self, db: &Db) -> Result<(), StoreError>;

    /// A new connection.
    ///
    /// # Errors
    /// [`ConnError`].
    fn connect(&self, db: &Db) -> Result<Box<dyn Conn>, ConnError>;

    /// Keeps a copy of a database before its schema changes; answers where.
    ///
    /// # Errors
    /// The copy could not be made: nothing may be changed then.
    fn keep_copy(&self, db: &Db, schema: i64) -> Result<String, StoreError>;

    /// Bytes on disk; 0 where they cannot be seen.
    fn size(&self, db: &Db) -> i64;

    /// Copies a database into a directory of its own and reads the copy back.
    ///
    /// # Errors
    /// The copy could not be made, or differs: it does not count then.
    fn back_up(&self, db: &Db, dir: &Path, now_ms: i64) -> Result<Backup, StoreError>;

    /// Bytes that the rows of that directory's backup would take without a history; 0 where it
    /// cannot be tried.
    ///
    /// # Errors
    /// The copy that it is tried on could not be made or read.
    fn live(&self, db: &Db, dir: &Path) -> Result<Live, StoreError>;

    /// Puts the backup of that directory in the place of a database; what was there is kept aside.
    ///
    /// # Errors
    /// No backup can be read: nothing was changed then.
    fn restore(&self, db: &Db, dir: &Path) -> Result<Restored, StoreError>;
}

/// A failure of the engine with the database's name; damage is told as damage.
pub(super) fn failed(db: &Db, path: &Path) -> impl FnOnce(ConnError) -> StoreError {
    move |source| match source {
        ConnError::Corrupt(why) => StoreError::Damaged { path: path.into(), why },
        ConnError::Missing(_) => StoreError::NoDatabase { db: db.clone(), path: path.into() },
        ConnError::Down(why) => StoreError::Down { db: db.clone(), why },
        source => StoreError::Engine { db: db.clone(), source },
    }
}

/// Files `<data>/<db>/<db>.db` of the embedded engine.
pub(super) struct Files {
    pub(super) data: PathBuf,
    pub(super) tuning: Tuning,
}

impl Place for Files {
    fn databases(&self) -> Result<Vec<Db>, StoreError> {
        let entries = match fs::read_dir(&self.data) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io(&self.data)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::io(&self.data))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let db = Db(name);
            if is_name(&db) && self.path(&db).is_file() {
                found.push(db);
            }
        }
        found.sort();
        Ok(found)
    }

    fn path(&self, db: &Db) -> PathBuf {
        self.data.join(db.as_str()).join(format!("{db}.db"))
    }

    fn lock_path(&self, db: &Db) -> PathBuf {
        self.data.join(db.as_str()).join("writer.lock")
    }

    fn look(&self, db: &Db) -> Result<(), StoreError> {
        let path = self.path(db);
        if !path.is_file() {
            return Err(StoreError::NoDatabase { db: db.clone(), path });
        }
        schema::inspect_file(&path)
    }

    fn create(&self, db: &Db) -> Result<(), StoreError> {
        let path = self.path(db);
        let dir = self.data.join(db.as_str());
        if path.exists() {
            return Err(StoreError::Exists { db: db.clone(), path });
        }
        let draft = dir.join("draft");
        let draft_lock = dir.join(".draft-lock");
        remove_if_there(&draft)?;
        let mut conn = DoltLite::create(&draft, self.tuning).map_err(failed(db, &draft))?;
        schema::bring_up(&mut conn, 0).map_err(failed(db, &draft))?;
        drop(conn);
        fs::rename(&draft, &path).map_err(StoreError::io(&path))?;
        remove_if_there(&draft_lock)?;
        sync(&dir)?;
        sync(&self.data)
    }

    fn connect(&self, db: &Db) -> Result<Box<dyn Conn>, ConnError> {
        Ok(Box::new(DoltLite::open(&self.path(db), self.tuning)?))
    }

    fn keep_copy(&self, db: &Db, schema: i64) -> Result<String, StoreError> {
        let path = self.path(db);
        let backup = path.with_extension(format!("db.schema-{schema}.backup"));
        fs::copy(&path, &backup).map_err(StoreError::io(&backup))?;
        Ok(backup.display().to_string())
    }

    fn size(&self, db: &Db) -> i64 {
        size::bytes(&self.path(db))
    }

    fn back_up(&self, db: &Db, dir: &Path, now_ms: i64) -> Result<Backup, StoreError> {
        backup::copy_file(db, &self.path(db), dir, self.tuning, now_ms)
    }

    fn live(&self, db: &Db, dir: &Path) -> Result<Live, StoreError> {
        let alone = backup::live_bytes(db, dir, self.tuning)?;
        Ok(Live { alone, whole: self.size(db) })
    }

    fn restore(&self, db: &Db, dir: &Path) -> Result<Restored, StoreError> {
        backup::restore_file(db, &self.path(db), dir, self.tuning)
    }
}

/// Whether the name can be a directory's and a database's on both engines.
pub(super) fn is_name(db: &Db) -> bool {
    let name = db.as_str();
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(path)(error)),
        _ => Ok(()),
    }
}

/// Makes what was written under a path last.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(StoreError::io(path))
}
