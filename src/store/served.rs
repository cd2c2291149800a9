//! The databases of one server: which are there, how one is made, copied and put back.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::ids::Db;
use crate::model::rows::Meta;
use crate::model::table::Row as _;
use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::error::StoreError;
use crate::store::keep::backup;
use crate::store::keep::backup::BACKUP_DIR;
use crate::store::keep::backup::Backup;
use crate::store::keep::backup::Restored;
use crate::store::keep::compact;
use crate::store::keep::size;
use crate::store::keep::size::Live;
use crate::store::place;
use crate::store::place::Place;
use crate::store::schema;
use crate::store::server::DoltServer;
use crate::store::server::Server;

/// The file that a database gets last when it is made.
const MADE_LAST: &str = "repo_state.json";

/// Whether the server says that a database has not that file.
pub(super) fn half_made(text: &str) -> bool {
    text.contains(MADE_LAST) && text.contains("no such file")
}

/// Moves aside what a kill in the middle of CREATE DATABASE has left in a data directory; answers
/// where to. A server shows such a database, can neither use nor drop it, and must not run while
/// its files are moved: call this before each start of one.
///
/// # Errors
/// The directory cannot be read, or one of these not be moved.
pub fn sweep(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    let entries = match fs::read_dir(data) {
        // Its first start makes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(moved),
        other => other?,
    };
    for entry in entries {
        let place = entry?.path();
        let Some(name) = place.file_name().and_then(|name| name.to_str()) else { continue };
        let inner = place.join(".dolt");
        // The data directory has one of its own, which is no database's.
        if name.starts_with('.') || !inner.is_dir() || inner.join(MADE_LAST).exists() {
            continue;
        }
        let aside = data.with_file_name(".dolt-half-made");
        fs::create_dir_all(&aside)?;
        let free = (1..).map(|number| aside.join(format!("{name}.{number}")));
        if let Some(to) = free.into_iter().find(|to| !to.exists()) {
            fs::rename(&place, &to)?;
            moved.push(to);
        }
    }
    Ok(moved)
}

/// Brings the database in a directory into the backup at a URL, apart from the server that has it;
/// says why not.
type BackUpApart = dyn Fn(&Path, &str) -> Result<(), String> + Send + Sync;

/// How a backup is made without the server's help, where somebody can.
#[derive(Clone)]
pub struct Apart(pub Arc<BackUpApart>);

impl std::fmt::Debug for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Apart")
    }
}

/// The databases of one server. Its data directory is its own: locks are kept elsewhere.
pub(super) struct ServerPlace {
    server: Server,
    data: PathBuf,
    locks: PathBuf,
    apart: Option<Apart>,
}

/// Databases that every server has.
const SYSTEM: &[&str] = &["information_schema", "mysql", "performance_schema", "sys"];

/// The names of a server's databases but its own, in order.
pub(super) fn databases(conn: &mut DoltServer) -> Result<Vec<String>, ConnError> {
    let rows = conn.query("SHOW DATABASES", &[])?;
    let names = rows.into_iter().filter_map(|row| match row.into_iter().next() {
        Some(Value::Text(name)) if !SYSTEM.contains(&name.as_str()) => Some(name),
        _ => None,
    });
    let mut found: Vec<String> = names.collect();
    found.sort();
    Ok(found)
}

impl ServerPlace {
    pub(super) fn new(server: Server, data: PathBuf, locks: PathBuf, apart: Option<Apart>) -> Self {
        Self { server, data, locks, apart }
    }

    /// Brings a database into a backup: apart where that can be done, since the server lets nobody
    /// write while it reads for one.
    fn sync(&self, db: &Db, store: &mut dyn Conn, url: &str) -> Result<(), ConnError> {
        if let Some(Apart(back_up)) = &self.apart {
            match back_up(&self.path(db), url) {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%db, error, "the server makes the backup itself"),
            }
        }
        store.call("dolt_backup", &["sync-url", url]).map(|_| ())
    }

    /// Looks at a database that is made of a backup alone, and removed again.
    fn beside<T>(
        &self,
        db: &Db,
        url: &str,
        look: impl FnOnce(&mut DoltServer) -> Result<T, ConnError>,
    ) -> Result<T, ConnError> {
        let scratch = format!("{SCRATCH}{db}");
        let mut admin = DoltServer::connect(&self.server.on(""))?;
        self.drop_scratch(&mut admin, &scratch)?;
        admin.call("dolt_backup", &["restore", url, &scratch])?;
        let copy = DoltServer::connect(&self.server.on(&scratch));
        let seen = copy.and_then(|mut copy| look(&mut copy));
        // A collection may have ended every other connection.
        let mut admin = DoltServer::connect(&self.server.on(""))?;
        self.drop_scratch(&mut admin, &scratch)?;
        seen
    }

    /// Removes a database that was made to read a backup back, for good. What anybody else dropped
    /// stays where it can be had again.
    fn drop_scratch(&self, admin: &mut DoltServer, name: &str) -> Result<(), ConnError> {
        admin.execute(&format!("DROP DATABASE IF EXISTS `{name}`"), &[])?;
        // The server only moves it away. On another machine that is where it stays.
        let dropped = self.data.join(DROPPED_DIR);
        let entries = match fs::read_dir(&dropped) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(ConnError::Other(format!("{}: {error}", dropped.display()))),
        };
        for entry in entries.filter_map(Result::ok) {
            let of = entry.file_name();
            let of = of.to_string_lossy();
            if of == name || of.starts_with(&format!("{name}.backup.")) {
                fs::remove_dir_all(entry.path())
                    .map_err(|error| ConnError::Other(format!("remove {of}: {error}")))?;
            }
        }
        Ok(())
    }
}

impl Place for ServerPlace {
    fn reach(&self) -> Result<(), ConnError> {
        self.server.listens()
    }

    fn databases(&self) -> Result<Vec<Db>, StoreError> {
        let none = Db::from("(any)");
        let failed = |error| place::failed(&none, &self.data)(error);
        let mut conn = DoltServer::connect(&self.server.on("")).map_err(failed)?;
        let mut found = Vec::new();
        for db in databases(&mut conn).map_err(failed)?.into_iter().map(Db) {
            // One of ours may be half-made, and others may have databases here, which cannot be
            // asked so.
            let version =
                format!("SELECT COUNT(*) FROM `{db}`.`{}` WHERE `name` = ?", Meta::TABLE.name);
            let row = [Value::Text(schema::VERSION_ROW.to_owned())];
            if !place::is_name(&db) || db.as_str().starts_with(SCRATCH) {
                continue;
            }
            match conn.query(&version, &row) {
                Ok(rows) if rows == [[Value::Int(1)]] => found.push(db),
                Err(error @ ConnError::Down(_)) => return Err(failed(error)),
                Ok(_) | Err(_) => {}
            }
        }
        found.sort();
        Ok(found)
    }

    fn path(&self, db: &Db) -> PathBuf {
        self.data.join(db.as_str())
    }

    fn lock_path(&self, db: &Db) -> PathBuf {
        self.locks.join(format!("{db}.writer.lock"))
    }

    fn look(&self, _db: &Db) -> Result<(), StoreError> {
        Ok(())
    }

    fn create(&self, db: &Db) -> Result<(), StoreError> {
        let path = self.path(db);
        let failed = |error| place::failed(db, &path)(error);
        let mut conn = DoltServer::connect(&self.server.on("")).map_err(failed)?;
        let name = db.as_str();
        conn.execute(&format!("CREATE DATABASE IF NOT EXISTS `{name}`"), &[]).map_err(failed)?;
        let mut conn = DoltServer::connect(&self.server.on(name)).map_err(|error| match error {
            ConnError::Missing(_) => failed(ConnError::Other(
                "its making was interrupted: 'gt dolt restart' clears it away, then try again"
                    .to_owned(),
            )),
            other => failed(other),
        })?;
        // Definitions publish one by one here; the version row comes last and says that all is
        // there, so that a half-made database is known and completed.
        if schema::version_of(&mut conn).map_err(failed)?.is_some() {
            return Err(StoreError::Exists { db: db.clone(), path: path.clone() });
        }
        if !schema::only_ours(&mut conn).map_err(failed)? {
            let why = "it has tables of somebody else".to_owned();
            return Err(StoreError::Foreign { path, why });
        }
        schema::bring_up(&mut conn, 0).map_err(failed)
    }

    fn connect(&self, db: &Db) -> Result<Box<dyn Conn>, ConnError> {
        Ok(Box::new(DoltServer::connect(&self.server.on(db.as_str()))?))
    }

    fn keep_copy(&self, db: &Db, schema: i64) -> Result<String, StoreError> {
        let copy = self.data.with_file_name(BACKUP_DIR).join(format!("{db}.schema-{schema}"));
        let url = url(&copy);
        let kept =
            self.connect(db).and_then(|mut conn| conn.call("dolt_backup", &["sync-url", &url]));
        kept.map_err(place::failed(db, &self.path(db)))?;
        Ok(url)
    }

    fn size(&self, db: &Db) -> i64 {
        size::bytes(&self.path(db))
    }

    fn back_up(&self, db: &Db, dir: &Path, now_ms: i64) -> Result<Backup, StoreError> {
        let path = self.path(db);
        let failed = |error| place::failed(db, &path)(error);
        fs::create_dir_all(dir).map_err(StoreError::io(dir))?;
        let kept = Kept::settle(db, dir)?;
        let anew = kept.is_overgrown(self.size(db));
        let target = if anew { kept.begin_anew()? } else { kept.now.clone() };
        let url = url(&target);
        let mut store = self.connect(db).map_err(failed)?;
        self.sync(db, store.as_mut(), &url).map_err(failed)?;
        let compare = |copy: &mut DoltServer| backup::compare(copy, store.as_mut());
        let (head, digest) = self.beside(db, &url, compare).map_err(failed)?;
        if anew {
            kept.replace(&target)?;
        }
        let made = Backup { db: db.clone(), taken_at: now_ms, head, digest };
        backup::write_manifest(dir, &made)?;
        kept.tidy()?;
        Ok(made)
    }

    fn live(&self, db: &Db, dir: &Path) -> Result<Live, StoreError> {
        let path = self.path(db);
        let from = Kept::settle(db, dir)?.now;
        // Elsewhere the files cannot be seen.
        if self.size(db) == 0 || !from.is_dir() {
            return Ok(Live::default());
        }
        let at = self.data.join(format!("{SCRATCH}{db}"));
        let flat = |copy: &mut DoltServer| {
            compact::collect(copy)?;
            let whole = size::bytes(&at);
            compact::rows_alone(copy)?;
            Ok(Live { alone: size::bytes(&at), whole })
        };
        self.beside(db, &url(&from), flat).map_err(place::failed(db, &path))
    }

    fn restore(&self, db: &Db, dir: &Path) -> Result<Restored, StoreError> {
        let path = self.path(db);
        let failed = |error| place::failed(db, &path)(error);
        let from = Kept::settle(db, dir)?.now;
        if !from.is_dir() {
            let why = format!("there is no backup in {}", dir.display());
            return Err(StoreError::Upkeep { db: db.clone(), why });
        }
        // What cannot be restored beside must not be restored over.
        let read = |copy: &mut DoltServer| backup::read_all(copy);
        self.beside(db, &url(&from), read).map_err(failed)?;
        let mut admin = DoltServer::connect(&self.server.on("")).map_err(failed)?;
        let name = db.as_str();
        let aside = match self.connect(db) {
            Ok(mut old) => {
                let free = (1..).map(|n| dir.join(format!("{name}.damaged-{n}")));
                let Some(free) = free.into_iter().find(|path| !path.exists()) else {
                    return Err(failed(ConnError::Other("no name is free".to_owned())));
                };
                old.call("dolt_backup", &["sync-url", &url(&free)]).map_err(failed)?;
                drop(old);
                admin.execute(&format!("DROP DATABASE `{name}`"), &[]).map_err(failed)?;
                Some(free)
            }
            Err(ConnError::Missing(_)) => None,
            Err(error) => return Err(failed(error)),
        };
        admin.call("dolt_backup", &["restore", &url(&from), name]).map_err(|error| {
            let kept = aside.as_ref().map_or_else(String::new, |path| {
                format!("; what was there is kept in {}", path.display())
            });
            failed(ConnError::Other(format!("{error}{kept}")))
        })?;
        let head = self.connect(db).and_then(|mut conn| conn.head()).map_err(failed)?;
        Ok(Restored { db: db.clone(), from, head, aside })
    }
}

/// So many times the database's own bytes a backup may have, before it is made anew.
const OVERGROWN: i64 = 2;
/// A backup below so many bytes is not worth that, whatever the database has.
const SMALL: i64 = 8 << 20;

/// Where one database's backup is. What is brought into it is added to it, and nothing ever leaves
/// it: what a shorter history let go stays, and is copied at each reading back. So it is made anew
/// beside itself now and then, read back, and put in the place of the old one.
struct Kept {
    now: PathBuf,
    /// The one before, while they change places.
    prev: PathBuf,
    /// The directory of one that is being made anew.
    fresh: PathBuf,
}

impl Kept {
    /// Finishes a change that was stopped: there is a whole backup at each moment.
    fn settle(db: &Db, dir: &Path) -> Result<Self, StoreError> {
        let (now, prev) = (dir.join(db.as_str()), dir.join(format!("{db}.prev")));
        if !now.exists() && prev.exists() {
            fs::rename(&prev, &now).map_err(StoreError::io(&prev))?;
        }
        Ok(Self { now, prev, fresh: dir.join("fresh") })
    }

    /// Whether it holds far more than a database of this size; 0 is a size that is not known.
    fn is_overgrown(&self, database: i64) -> bool {
        database > 0 && size::bytes(&self.now) > database.saturating_mul(OVERGROWN).max(SMALL)
    }

    /// An empty place for a new one.
    fn begin_anew(&self) -> Result<PathBuf, StoreError> {
        backup::clear(&self.fresh)?;
        fs::create_dir_all(&self.fresh).map_err(StoreError::io(&self.fresh))?;
        Ok(self.fresh.join("backup"))
    }

    /// Puts a new one, which was read back, in the old one's place.
    fn replace(&self, made: &Path) -> Result<(), StoreError> {
        backup::clear(&self.prev)?;
        fs::rename(&self.now, &self.prev).map_err(StoreError::io(&self.now))?;
        fs::rename(made, &self.now).map_err(StoreError::io(made))?;
        self.now.parent().map_or(Ok(()), place::sync)
    }

    /// Removes what is of no use now that the newest one counts.
    fn tidy(&self) -> Result<(), StoreError> {
        backup::clear(&self.prev)?;
        backup::clear(&self.fresh)
    }
}

/// First part of the name of a database that is made to read a backup back.
const SCRATCH: &str = "gt_verify_";
/// Where a server keeps the databases that were dropped.
const DROPPED_DIR: &str = ".dolt_dropped_databases";

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}
