//! All databases of one town, under `<root>/.dolt-data/` or on a server.
//!
//! A database is looked at when it is first used, so that a damaged one stops only itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::model::ids::Db;
use crate::model::tx::Tx;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::doltlite::Tuning;
use crate::store::error::StoreError;
use crate::store::keep::backup;
use crate::store::keep::backup::BACKUP_DIR;
use crate::store::keep::backup::Backup;
use crate::store::keep::backup::Restored;
use crate::store::keep::size::Live;
use crate::store::lock::Lock;
use crate::store::place::Files;
use crate::store::place::Place;
use crate::store::place::failed;
use crate::store::place::is_name;
use crate::store::pool::Opener;
use crate::store::pool::PoolError;
use crate::store::pool::ReadPool;
use crate::store::schema;
use crate::store::schema::Found;
use crate::store::served::Apart;
use crate::store::served::ServerPlace;
use crate::store::server::Server;
use crate::store::sql_tx::SqlTx;
use crate::store::writer::Writer;

/// The directory of all databases, inside the town.
const DATA_DIR: &str = ".dolt-data";
/// Where writer locks are when the data directory is a server's own.
const LOCKS_DIR: &str = "daemon/locks";

/// Bounds of a ledger.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Page cache of one database in megabytes, shared evenly by its connections.
    pub cache_mb: u32,
    /// Most reading connections of one database.
    pub readers: usize,
    /// Milliseconds that a caller waits for a reading connection.
    pub reader_wait_ms: u64,
    /// Milliseconds that a connection waits for another one's commit.
    pub busy_ms: i32,
    /// Milliseconds that a migration waits for the writer lock.
    pub writer_wait_ms: u64,
    /// 0 to 255: tells this clone's keys from another's.
    pub writer_id: i64,
    /// Tries of a group whose commit collides with another writer's.
    pub retries: u32,
    /// Which engine.
    pub engine: Engine,
    /// How backups are made without a server's help; `None`: it makes them itself.
    pub apart: Option<Apart>,
    /// Whether a collection may run beside the writer: only on a server that lets its sessions
    /// live through one.
    pub collects_beside: bool,
}

/// The engine behind a ledger.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// Compiled in: one file per database.
    #[default]
    Embedded,
    /// A `dolt sql-server`.
    Server(Server),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_mb: 64,
            readers: 4,
            reader_wait_ms: 10_000,
            busy_ms: 5_000,
            writer_wait_ms: 10_000,
            writer_id: 0,
            retries: 5,
            engine: Engine::Embedded,
            apart: None,
            collects_beside: false,
        }
    }
}

/// One database that was found usable.
pub(crate) struct Database {
    pub(crate) db: Db,
    path: PathBuf,
    pub(crate) opener: Opener,
    pub(crate) writer_id: i64,
    pub(crate) retries: u32,
    pool: ReadPool,
}

impl Database {
    /// A connection to write on: one that nobody reads on now, or a new one.
    pub(crate) fn connect(&self) -> Result<Box<dyn Conn>, ConnError> {
        self.pool.take_idle().map_or_else(|| (self.opener)(), Ok)
    }

    /// A connection that nobody has used, to a database that may have been started anew.
    pub(crate) fn fresh(&self) -> Result<Box<dyn Conn>, ConnError> {
        self.pool.close_idle();
        (self.opener)()
    }

    pub(crate) fn failed(&self) -> impl FnOnce(ConnError) -> StoreError {
        failed(&self.db, &self.path)
    }
}

/// Stands between the ledger and each of its connections: for faults and measurements.
pub type Wrap = Arc<dyn Fn(Box<dyn Conn>) -> Box<dyn Conn> + Send + Sync>;

/// The ledger of one town. Share it by `Arc`; every method may be called from any thread that may
/// block.
pub struct Ledger {
    place: Arc<dyn Place>,
    backups: PathBuf,
    settings: Settings,
    wrap: Option<Wrap>,
    known: Mutex<BTreeMap<Db, Arc<Database>>>,
}

impl Ledger {
    /// The ledger of the town at `root`. Nothing is opened yet, nothing is made.
    #[must_use]
    pub fn open(root: &Path, settings: Settings) -> Self {
        let data = root.join(DATA_DIR);
        let place: Arc<dyn Place> = match &settings.engine {
            Engine::Embedded => Arc::new(Files { data, tuning: tuning(&settings) }),
            Engine::Server(server) => {
                let (locks, apart) = (root.join(LOCKS_DIR), settings.apart.clone());
                Arc::new(ServerPlace::new(server.clone(), data, locks, apart))
            }
        };
        let backups = root.join(BACKUP_DIR);
        Self { place, backups, settings, wrap: None, known: Mutex::default() }
    }

    /// As [`Ledger::open`], with something between it and each of its connections.
    #[must_use]
    pub fn wrapped(root: &Path, settings: Settings, wrap: Wrap) -> Self {
        Self { wrap: Some(wrap), ..Self::open(root, settings) }
    }

    /// The names of all databases that are there, in order.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Down`].
    pub fn databases(&self) -> Result<Vec<Db>, StoreError> {
        self.place.databases()
    }

    /// Whether the engine can be reached: for what must not begin without it. `db` is for the text.
    ///
    /// # Errors
    /// [`StoreError::Down`], within two seconds.
    pub fn reach(&self, db: &Db) -> Result<(), StoreError> {
        self.place.reach().map_err(failed(db, &self.place.path(db)))
    }

    /// Where a database is, whether or not it is there.
    #[must_use]
    pub fn path(&self, db: &Db) -> PathBuf {
        self.place.path(db)
    }

    /// Makes an empty database with the current schema. A half-made one of an earlier try is
    /// replaced or completed; it counts only when it is whole.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::BadName`], and what opening may answer.
    pub fn create_db(&self, db: &Db) -> Result<(), StoreError> {
        check_name(db)?;
        self.reach(db)?;
        let _lock = self.lock(db, "making the database", self.settings.writer_wait_ms)?;
        self.place.create(db)
    }

    /// The one writer of a database, waiting at most about `wait_ms` for another to let go.
    /// `what` tells those who wait who this is.
    ///
    /// # Errors
    /// [`StoreError::Held`] with the holder's words; every refusal of a store.
    pub fn writer(&self, db: &Db, what: &str, wait_ms: u64) -> Result<Writer, StoreError> {
        check_name(db)?;
        self.reach(db)?;
        self.place.look(db)?;
        let lock = self.lock(db, what, wait_ms)?;
        let database = self.usable(db, Some(&lock))?;
        Writer::open(database, lock)
    }

    /// How long whoever writes once waits for another writer, in milliseconds.
    #[must_use]
    pub fn writer_wait_ms(&self) -> u64 {
        self.settings.writer_wait_ms
    }

    /// Runs `body` in a snapshot of a database. Changes are errors.
    ///
    /// # Errors
    /// [`StoreError::NoReader`], every refusal of a store, and the engine's failure within `body`.
    pub fn read<T>(&self, db: &Db, body: impl FnOnce(&mut dyn Tx) -> T) -> Result<T, StoreError> {
        self.query(db, |conn| {
            let mut tx = SqlTx::reader(conn);
            let answer = body(&mut tx);
            tx.into_failure().map_or(Ok(answer), Err)
        })
    }

    /// Runs `body` over what stood at a commit, given by its full hash. Changes are errors.
    ///
    /// # Errors
    /// As [`Ledger::read`]; the engine's failure when the commit is not there.
    pub fn read_at<T>(
        &self,
        db: &Db,
        commit: &str,
        body: impl FnOnce(&mut dyn Tx) -> T,
    ) -> Result<T, StoreError> {
        self.query(db, |conn| {
            let mut tx = SqlTx::reader_at(conn, commit)?;
            let answer = body(&mut tx);
            tx.into_failure().map_or(Ok(answer), Err)
        })
    }

    /// Runs `body` on a connection in a snapshot: for [`crate::store::query`].
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub fn query<T>(
        &self,
        db: &Db,
        body: impl FnOnce(&mut dyn Conn) -> Result<T, ConnError>,
    ) -> Result<T, StoreError> {
        let database = self.usable(db, None)?;
        database.pool.with(body).map_err(|error| match error {
            PoolError::Exhausted => {
                StoreError::NoReader { db: db.clone(), size: database.pool.size() }
            }
            PoolError::Engine(error) => database.failed()(error),
        })
    }

    /// Runs `body` on a connection of its own that is in no transaction: for what the engine itself
    /// does, such as remotes.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub fn apart<T>(
        &self,
        db: &Db,
        body: impl FnOnce(&mut dyn Conn) -> Result<T, ConnError>,
    ) -> Result<T, StoreError> {
        let mut conn = self.connect(db)?;
        body(conn.as_mut()).map_err(|error| self.failed(db, error))
    }

    /// Forgets a database and closes its idle readers: before its files are moved away.
    pub fn forget(&self, db: &Db) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(db);
        if let Some(database) = known {
            database.pool.close_idle();
        }
    }

    /// Closes the connections to a database that nobody uses now.
    pub(crate) fn close_idle(&self, db: &Db) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(db).cloned();
        if let Some(database) = known {
            database.pool.close_idle();
        }
    }

    /// A connection of its own to a database.
    pub(crate) fn connect(&self, db: &Db) -> Result<Box<dyn Conn>, StoreError> {
        let database = self.usable(db, None)?;
        (database.opener)().map_err(database.failed())
    }

    /// A failure of the engine with the database's name.
    pub(crate) fn failed(&self, db: &Db, error: ConnError) -> StoreError {
        failed(db, &self.place.path(db))(error)
    }

    /// Whether a collection may run beside the writer.
    pub(crate) fn collects_beside(&self) -> bool {
        self.settings.collects_beside
    }

    /// Bytes of a database on disk; 0 where they cannot be seen.
    #[must_use]
    pub fn size(&self, db: &Db) -> i64 {
        self.place.size(db)
    }

    /// The directory of a database's backup.
    #[must_use]
    pub fn backup_dir(&self, db: &Db) -> PathBuf {
        self.backups.join(db.as_str())
    }

    /// What is known of the newest backup of a database; `None` when there is none.
    ///
    /// # Errors
    /// Its manifest cannot be read.
    pub fn backup(&self, db: &Db) -> Result<Option<Backup>, StoreError> {
        backup::manifest(&self.backup_dir(db))
    }

    /// Copies a database aside while it is used, and reads the copy back before it counts.
    ///
    /// # Errors
    /// The copy could not be made or differs; the backup before it is still there.
    pub fn back_up(&self, db: &Db, now_ms: i64) -> Result<Backup, StoreError> {
        check_name(db)?;
        self.place.look(db)?;
        self.place.back_up(db, &self.backup_dir(db), now_ms)
    }

    /// Bytes that the rows of the newest backup would take without a history; 0 where it cannot be
    /// tried.
    pub(crate) fn live(&self, db: &Db) -> Result<Live, StoreError> {
        self.place.live(db, &self.backup_dir(db))
    }

    /// Puts the newest backup in the place of a database, under its writer lock; what was there is
    /// kept aside. Every acknowledged change since the backup is missing afterwards.
    ///
    /// # Errors
    /// [`StoreError::Held`], and no backup that can be read: nothing was changed then.
    pub fn restore(&self, db: &Db) -> Result<Restored, StoreError> {
        check_name(db)?;
        let _lock = self.lock(db, "restoring a backup", self.settings.writer_wait_ms)?;
        self.forget(db);
        self.place.restore(db, &self.backup_dir(db))
    }

    fn lock(&self, db: &Db, what: &str, wait_ms: u64) -> Result<Lock, StoreError> {
        let path = self.place.lock_path(db);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(StoreError::io(dir))?;
        }
        Lock::take(&path, db, what, wait_ms)
    }

    /// The database, looked at and brought up to date if this is its first use.
    ///
    /// `held` is the writer lock, when the caller has it; a migration takes it otherwise.
    fn usable(&self, db: &Db, held: Option<&Lock>) -> Result<Arc<Database>, StoreError> {
        if let Some(database) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(db) {
            return Ok(Arc::clone(database));
        }
        check_name(db)?;
        self.place.look(db)?;
        let path = self.place.path(db);
        let opener = self.opener(db);
        let (mut conn, found) = look(db, &path, &opener)?;
        if found == Found::Unfinished {
            return Err(StoreError::NoDatabase { db: db.clone(), path });
        }
        if let Found::Older(_) = found {
            drop(conn);
            let _lock = match held {
                Some(_) => None,
                None => Some(self.lock(db, "migrating", self.settings.writer_wait_ms)?),
            };
            conn = self.migrate(db, &path, &opener)?;
        }
        let wait = Duration::from_millis(self.settings.reader_wait_ms);
        let pool = ReadPool::new(Arc::clone(&opener), self.settings.readers, wait);
        // A command that uses a database once opens it once.
        pool.give(conn);
        let Settings { writer_id, retries, .. } = self.settings;
        let database = Database { db: db.clone(), path, opener, writer_id, retries, pool };
        let database = Arc::new(database);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(known.entry(db.clone()).or_insert(database)))
    }

    fn opener(&self, db: &Db) -> Opener {
        let (place, db, wrap) = (self.place.clone(), db.clone(), self.wrap.clone());
        Arc::new(move || {
            let conn = place.connect(&db)?;
            Ok(match &wrap {
                Some(wrap) => wrap(conn),
                None => conn,
            })
        })
    }

    /// Brings an older store up to date under the writer lock, after a copy of it is kept.
    fn migrate(&self, db: &Db, path: &Path, opener: &Opener) -> Result<Box<dyn Conn>, StoreError> {
        // Another process may have done it while this one waited for the lock.
        let (mut conn, found) = look(db, path, opener)?;
        let Found::Older(from) = found else { return Ok(conn) };
        let backup = self.place.keep_copy(db, from)?;
        tracing::info!(%db, from, to = schema::version(), backup, "migrating");
        schema::bring_up(conn.as_mut(), from).map_err(failed(db, path))?;
        Ok(conn)
    }
}

/// Each connection's share of the cache: the writer's and every reader's are alike.
fn tuning(settings: &Settings) -> Tuning {
    let readers = u32::try_from(settings.readers.max(1)).unwrap_or(u32::MAX);
    let cache_mb = (settings.cache_mb / readers.saturating_add(1)).max(2);
    Tuning { cache_mb, busy_ms: settings.busy_ms }
}

fn check_name(db: &Db) -> Result<(), StoreError> {
    if is_name(db) { Ok(()) } else { Err(StoreError::BadName(db.0.clone())) }
}

/// What the store at `path` is, and the connection that looked.
fn look(db: &Db, path: &Path, opener: &Opener) -> Result<(Box<dyn Conn>, Found), StoreError> {
    let mut conn = opener().map_err(failed(db, path))?;
    let found = schema::inspect(conn.as_mut(), path).map_err(failed(db, path))??;
    Ok((conn, found))
}
