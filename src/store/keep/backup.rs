//! Copies of whole databases: made while they are used, read back before they count, put in the
//! place of a damaged one.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::model::ids::Db;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::Intent;
use crate::store::digest;
use crate::store::digest::Digest;
use crate::store::doltlite::DoltLite;
use crate::store::doltlite::Tuning;
use crate::store::error::StoreError;
use crate::store::keep::compact;
use crate::store::keep::size;
use crate::store::place::remove_if_there;
use crate::store::place::sync;

/// The directory of all backups, inside the town.
pub const BACKUP_DIR: &str = ".dolt-backup";
/// What stands beside a backup.
const MANIFEST: &str = "backup.json";

/// What is known of a backup that was read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The database.
    pub db: Db,
    /// When it was begun, in milliseconds since the epoch.
    pub taken_at: i64,
    /// Its newest commit.
    pub head: String,
    /// Its rows.
    pub digest: Digest,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The database.
    pub db: Db,
    /// The backup.
    pub from: PathBuf,
    /// The newest commit that is there now.
    pub head: String,
    /// Where the store is that was there before; nothing when there was none.
    pub aside: Option<PathBuf>,
}

/// The newest backup's manifest; `None` when there is none.
///
/// # Errors
/// It cannot be read, or is not one.
pub fn manifest(dir: &Path) -> Result<Option<Backup>, StoreError> {
    let path = dir.join(MANIFEST);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(&path)(error)),
    };
    let backup = serde_json::from_slice(&text);
    backup.map(Some).map_err(|error| StoreError::io(&path)(error.into()))
}

pub(in crate::store) fn write_manifest(dir: &Path, backup: &Backup) -> Result<(), StoreError> {
    let path = dir.join(MANIFEST);
    let fresh = dir.join("backup.json.new");
    let text =
        serde_json::to_vec_pretty(backup).map_err(|error| StoreError::io(&path)(error.into()))?;
    fs::write(&fresh, text).map_err(StoreError::io(&fresh))?;
    sync(&fresh)?;
    fs::rename(&fresh, &path).map_err(StoreError::io(&path))?;
    sync(dir)
}

/// Whether a copy says what the store says of the copy's newest commit; answers that commit and
/// the copy's rows.
///
/// # Errors
/// The engine's, and [`ConnError::Corrupt`] for a copy that differs.
pub(in crate::store) fn compare(
    copy: &mut dyn Conn,
    store: &mut dyn Conn,
) -> Result<(String, Digest), ConnError> {
    copy.begin(Intent::Read)?;
    let head = copy.head()?;
    let rows = digest::digest(copy)?;
    copy.rollback()?;
    store.begin(Intent::Read)?;
    let said = if store.head()? == head {
        digest::digest(store).map(|all| all.versioned())
    } else {
        digest::digest_at(store, &head)
    };
    store.rollback()?;
    match rows.versioned().difference(&said?) {
        None => Ok((head, rows)),
        Some(tables) => Err(ConnError::Corrupt(format!("the copy differs: {tables}"))),
    }
}

/// A copy of a file in a directory of its own below the backup's; gives both.
fn copy_beside(db: &Db, from: &Path, dir: &Path) -> Result<(PathBuf, PathBuf), StoreError> {
    let scratch = dir.join("fresh");
    clear(&scratch)?;
    fs::create_dir_all(&scratch).map_err(StoreError::io(&scratch))?;
    let copy = scratch.join(format!("{db}.db"));
    fs::copy(from, &copy).map_err(StoreError::io(&copy))?;
    Ok((scratch, copy))
}

/// Copies a file of the embedded engine. A copy taken while the file is written opens at the last
/// whole commit. The backup before it is kept as `.prev`.
pub(in crate::store) fn copy_file(
    db: &Db,
    from: &Path,
    dir: &Path,
    tuning: Tuning,
    now_ms: i64,
) -> Result<Backup, StoreError> {
    let failed = |error| crate::store::place::failed(db, from)(error);
    let (scratch, fresh) = copy_beside(db, from, dir)?;
    sync(&fresh)?;
    let mut copy = DoltLite::open(&fresh, tuning).map_err(failed)?;
    let mut store = DoltLite::open(from, tuning).map_err(failed)?;
    let (head, digest) = compare(&mut copy, &mut store).map_err(failed)?;
    drop((copy, store));
    let kept = dir.join(format!("{db}.db"));
    if kept.exists() {
        let prev = dir.join(format!("{db}.db.prev"));
        fs::rename(&kept, &prev).map_err(StoreError::io(&prev))?;
    }
    fs::rename(&fresh, &kept).map_err(StoreError::io(&kept))?;
    sync(dir)?;
    clear(&scratch)?;
    let backup = Backup { db: db.clone(), taken_at: now_ms, head, digest };
    write_manifest(dir, &backup)?;
    Ok(backup)
}

/// Bytes that the rows of a backup take without its history: tried on a copy of it.
pub(in crate::store) fn live_bytes(db: &Db, dir: &Path, tuning: Tuning) -> Result<i64, StoreError> {
    let (scratch, copy) = copy_beside(db, &dir.join(format!("{db}.db")), dir)?;
    let flat = (|| -> Result<(), ConnError> {
        let mut conn = DoltLite::open(&copy, tuning)?;
        // It is thrown away: nothing of it has to reach the disk, where others wait.
        conn.execute("PRAGMA synchronous = OFF", &[])?;
        compact::rows_alone(&mut conn)
    })();
    flat.map_err(crate::store::place::failed(db, &copy))?;
    let bytes = size::bytes(&copy);
    clear(&scratch)?;
    Ok(bytes)
}

/// Puts the newest backup that opens in the place of a file; what was there is kept beside it.
pub(in crate::store) fn restore_file(
    db: &Db,
    path: &Path,
    dir: &Path,
    tuning: Tuning,
) -> Result<Restored, StoreError> {
    let names = [format!("{db}.db"), format!("{db}.db.prev")];
    let mut wrong = None;
    for from in names.iter().map(|name| dir.join(name)).filter(|from| from.is_file()) {
        let made = path.with_extension("db.restoring");
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(StoreError::io(parent))?;
        }
        fs::copy(&from, &made).map_err(StoreError::io(&made))?;
        sync(&made)?;
        let head = match DoltLite::open(&made, tuning).and_then(|mut copy| read_all(&mut copy)) {
            Ok(head) => head,
            Err(error) => {
                tracing::warn!(backup = %from.display(), %error, "a backup cannot be read");
                wrong = Some(StoreError::Damaged { path: from, why: error.to_string() });
                remove_if_there(&made)?;
                continue;
            }
        };
        let aside = aside(path)?;
        fs::rename(&made, path).map_err(StoreError::io(path))?;
        if let Some(parent) = path.parent() {
            // The engine's empty lock file of the copy that was looked at.
            remove_if_there(&parent.join(format!(".{db}.db.restoring-lock")))?;
            sync(parent)?;
        }
        return Ok(Restored { db: db.clone(), from, head, aside });
    }
    let none = || StoreError::Upkeep {
        db: db.clone(),
        why: format!("there is no backup in {}", dir.display()),
    };
    Err(wrong.unwrap_or_else(none))
}

/// Reads every row; answers the newest commit.
pub(in crate::store) fn read_all(conn: &mut dyn Conn) -> Result<String, ConnError> {
    conn.begin(Intent::Read)?;
    let head = conn.head()?;
    digest::digest(conn)?;
    conn.rollback()?;
    Ok(head)
}

/// Moves a file out of the way, under a name that nothing has yet.
fn aside(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let free = (1..).map(|n| path.with_extension(format!("db.damaged-{n}"))).find(|p| !p.exists());
    let Some(free) = free else { return Ok(None) };
    fs::rename(path, &free).map_err(StoreError::io(&free))?;
    Ok(Some(free))
}

pub(in crate::store) fn clear(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(dir)(error)),
        _ => Ok(()),
    }
}
