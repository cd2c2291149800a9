//! Upkeep of a town's ledger: the store's own chores, the archive in git, and the doctor's look.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::adapters::clock;
use crate::cli::town::archive::Archive;
use crate::cli::town::archive::Archived;
use crate::cli::town::error::TownError;
use crate::config::Settings;
use crate::model::ids::Db;
use crate::model::upkeep::Chore;
use crate::model::upkeep::ChoreDone;
use crate::model::upkeep::Finding;
use crate::store::error::StoreError;
use crate::store::keep::backup::BACKUP_DIR;
use crate::store::port::HeldLedger;
use crate::store::port::Keep;

/// An answer of the store that takes longer is worth a word, in seconds.
const SLOW_S: f64 = 1.0;
/// Bytes that must be free on the disk in any case.
const FREE_MIN: u64 = 512 << 20;
/// A half-made file that is older belongs to nobody any more.
const LEFT_AFTER: Duration = Duration::from_secs(3_600);

/// Upkeep of one town.
pub struct TownKeep {
    root: PathBuf,
    held: Arc<HeldLedger>,
    archive: Archive,
    archiving: Mutex<()>,
}

impl TownKeep {
    /// Upkeep of the town at `root`.
    #[must_use]
    pub fn new(root: PathBuf, held: Arc<HeldLedger>, settings: &Settings) -> Self {
        let timeout = Duration::from_millis(u64::try_from(settings.git_timeout).unwrap_or(0));
        let archive = Archive::new(&root, timeout, settings.life.ephemera_keep_ms);
        Self { root, held, archive, archiving: Mutex::new(()) }
    }

    fn archived(&self, db: &Db, now_ms: i64) -> Result<ChoreDone, TownError> {
        let before = self.held.measure(db)?;
        let run = self.held.ledger().read(db, |tx| self.archive.run(db, tx, now_ms))?;
        let (done, words, findings) = match run? {
            Archived::Committed(lines) => (true, format!("{lines} lines"), Vec::new()),
            Archived::Unchanged => (true, "nothing is new".to_owned(), Vec::new()),
            Archived::Halted(why) => {
                let condition = "archive halted: too much is gone".to_owned();
                (false, why.clone(), vec![Finding { condition, words: why }])
            }
        };
        let after = before.clone();
        Ok(ChoreDone { before, after, began_at: now_ms, done, words, findings, took_ms: 0 })
    }

    /// Looks after the place where all databases are.
    fn checkup(&self, known: &[Db], now_ms: i64) -> ChoreDone {
        let mut findings = Vec::new();
        let mut find = |condition: &str, words: String| {
            findings.push(Finding { condition: condition.to_owned(), words });
        };
        let watch = clock::Stopwatch::start();
        match self.held.ledger().databases() {
            Ok(there) => {
                let took = watch.seconds();
                if took > SLOW_S {
                    find("the store is slow", format!("it took {took:.1} s to name its databases"));
                }
                let orphans: Vec<&str> =
                    there.iter().filter(|db| !known.contains(db)).map(Db::as_str).collect();
                if !orphans.is_empty() {
                    let words = format!(
                        "{}: no rig of the registry has them; 'gt rig add' adopts one, else move \
                         its directory away",
                        orphans.join(", ")
                    );
                    find("orphan databases", words);
                }
            }
            Err(error @ StoreError::Down { .. }) => {
                find("the store does not answer", error.to_string());
            }
            Err(error) => find("the store cannot be looked at", error.to_string()),
        }
        if let Some(words) = self.leftovers(known) {
            find("half-made files", words);
        }
        if let Some(words) = self.disk(known) {
            find("the disk is nearly full", words);
        }
        let words = format!("{} conditions", findings.len());
        ChoreDone { began_at: now_ms, done: true, words, findings, ..ChoreDone::default() }
    }

    /// What a chore that was stopped has left, and no later one has cleared.
    fn leftovers(&self, known: &[Db]) -> Option<String> {
        let backups = self.root.join(BACKUP_DIR);
        let places = known.iter().flat_map(|db| {
            let data = self.held.ledger().path(db);
            let dir = data.parent().map(PathBuf::from).unwrap_or_default();
            [
                dir.join("draft"),
                data.with_extension("db.restoring"),
                backups.join(db.as_str()).join("fresh"),
            ]
        });
        let old = |path: &PathBuf| {
            let made = path.metadata().and_then(|meta| meta.modified());
            made.is_ok_and(|made| clock::age(made) > LEFT_AFTER)
        };
        let left: Vec<String> = places.filter(old).map(|path| path.display().to_string()).collect();
        (!left.is_empty()).then(|| format!("{}: remove them", left.join(", ")))
    }

    /// A compaction and a backup each need room for a copy.
    fn disk(&self, known: &[Db]) -> Option<String> {
        let stat = rustix::fs::statvfs(&self.root).ok()?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let biggest = known.iter().map(|db| self.held.ledger().size(db)).max()?;
        let wanted = FREE_MIN.max(u64::try_from(biggest).unwrap_or(0).saturating_mul(3));
        (free < wanted).then(|| {
            format!("{} MB are free, {} MB should be: free some", free >> 20, wanted >> 20)
        })
    }
}

impl Keep for TownKeep {
    fn keep(&self, db: &Db, chore: &Chore, now_ms: i64) -> Result<ChoreDone, String> {
        match chore {
            Chore::Archive => {
                // One repository, so one archive at a time, whatever the database.
                let _one = self.archiving.lock().unwrap_or_else(PoisonError::into_inner);
                self.archived(db, now_ms).map_err(|error| error.to_string())
            }
            Chore::Checkup { known } => Ok(self.checkup(known, now_ms)),
            Chore::Look | Chore::Backup | Chore::Compact { .. } | Chore::Collect => {
                self.held.keep(db, chore, now_ms)
            }
        }
    }
}
