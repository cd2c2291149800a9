//! The life of stored data: measure, back up, compact, collect, restore.
//!
//! Everything here may be done while the town runs. What writes is done in the writer's lane, in
//! steps between which groups come first, and only in that database's: the steps of a compaction,
//! its swap, and a collection, unless that is a server's that lets its sessions live. One chore at
//! a time is done to a database.

pub mod backup;
pub mod compact;
pub mod history;
pub mod size;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::model::ids::Db;
use crate::model::upkeep::Chore;
use crate::model::upkeep::ChoreDone;
use crate::model::upkeep::Measure;
use crate::model::upkeep::Plan;
use crate::store::error::StoreError;
use crate::store::keep::backup::Backup;
use crate::store::keep::compact::Point;
use crate::store::keep::compact::Watch;
use crate::store::keep::size::Live;
use crate::store::port::HeldLedger;

/// What looks after stored data. Call from threads that may block.
pub trait Keep: Send + Sync + 'static {
    /// Does a chore to a database. `now_ms` is milliseconds since the epoch.
    ///
    /// # Errors
    /// What went wrong, for people; the store is usable and has every row.
    fn keep(&self, db: &Db, chore: &Chore, now_ms: i64) -> Result<ChoreDone, String>;
}

/// Databases to which a chore is being done.
#[derive(Default)]
pub struct Busy(Mutex<BTreeSet<Db>>);

/// A chore in progress.
pub struct Working<'a>(&'a Busy, Db);

impl Busy {
    /// Begins a chore, unless there is one.
    pub fn begin(&self, db: &Db) -> Option<Working<'_>> {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert(db.clone()).then(|| Working(self, db.clone()))
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Keep for HeldLedger {
    fn keep(&self, db: &Db, chore: &Chore, now_ms: i64) -> Result<ChoreDone, String> {
        let told = |error: StoreError| error.to_string();
        if let Chore::Look = chore {
            let now = self.measure(db).map_err(told)?;
            let done = ChoreDone { before: now.clone(), after: now, ..ChoreDone::default() };
            return Ok(ChoreDone { began_at: now_ms, done: true, ..done });
        }
        let Some(_one) = self.busy().begin(db) else {
            return Err(format!("something is being done to database '{db}' already; try later"));
        };
        let before = self.measure(db).map_err(told)?;
        let mut live = 0;
        let (done, words) = match chore {
            Chore::Backup => {
                let backup = self.ledger().back_up(db, now_ms).map_err(told)?;
                (true, format!("{} rows at {}", backup.digest.rows(), backup.head))
            }
            Chore::Compact { plan } => match self.compact(db, plan, now_ms, &mut |_| {}) {
                Ok(compacted) => {
                    live = compacted.live;
                    (true, compacted.words)
                }
                Err(StoreError::Upkeep { why, .. }) => (false, why),
                Err(error) => return Err(error.to_string()),
            },
            Chore::Collect => {
                self.collect(db, now_ms).map_err(told)?;
                (true, "collected".to_owned())
            }
            Chore::Look | Chore::Archive | Chore::Checkup { .. } => {
                return Err(format!("the store alone cannot do '{}'", chore.name()));
            }
        };
        let after = Measure { live, ..self.measure(db).map_err(told)? };
        Ok(ChoreDone { before, after, began_at: now_ms, done, words, ..ChoreDone::default() })
    }
}

/// What a compaction gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// For people.
    pub words: String,
    /// Bytes that the rows alone would take; 0 where it cannot be tried.
    pub live: i64,
}

impl HeldLedger {
    /// How big a database is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn measure(&self, db: &Db) -> Result<Measure, StoreError> {
        let (head, commits) =
            self.ledger().query(db, |conn| Ok((conn.head()?, history::count(conn)?)))?;
        Ok(Measure { head, commits, bytes: self.ledger().size(db), live: 0 })
    }

    /// Makes the history shorter, and frees what is not reached any more. A backup of the newest
    /// commit is made first where there is none. `watch` is told of each step.
    ///
    /// # Errors
    /// [`StoreError::Upkeep`]: nothing was changed, its words say why. Else the engine's.
    pub fn compact(
        &self,
        db: &Db,
        plan: &Plan,
        now_ms: i64,
        watch: Watch<'_>,
    ) -> Result<Compacted, StoreError> {
        self.backed_up(db, now_ms)?;
        let ledger = self.ledger();
        let Live { alone: live, whole } = ledger.live(db)?;
        let plan = &self.bounded(db, plan, Live { alone: live, whole })?;
        let failed = |error| ledger.failed(db, error);
        let refused = |why: String| StoreError::Upkeep { db: db.clone(), why };
        let turns = self.turns(db)?;
        let conn = ledger.connect(db)?;
        let Some(mut draft) = compact::draft(conn, plan, now_ms, &turns).map_err(failed)? else {
            // An earlier run may have been stopped between its swap and its collection.
            self.collect(db, now_ms)?;
            return Ok(Compacted { words: "the history is short already".to_owned(), live });
        };
        watch(Point::Drafted);
        let mut main = ledger.connect(db)?;
        let near = draft.catch_up(main.as_mut(), &turns).map_err(failed)?;
        drop(main);
        if near.is_none() {
            drop(draft);
            self.alone(db, now_ms, compact::remove_branch)?;
            return Err(refused("the history moved too fast; the next run tries again".to_owned()));
        }
        let commits = draft.commits();
        let swapped = self.alone(db, now_ms, |conn| draft.swap(conn, &mut *watch))?;
        // Groups that wait come first, here and before the collection.
        self.alone(db, now_ms, compact::remove_branch)?;
        swapped.map_err(refused)?;
        watch(Point::Tidied);
        self.collect(db, now_ms)?;
        Ok(Compacted { words: format!("{commits} commits are left"), live })
    }

    /// The plan with as many commits as there is room for, beside what the rows alone take.
    fn bounded(&self, db: &Db, plan: &Plan, live: Live) -> Result<Plan, StoreError> {
        let Plan::Keep { keep_ms, commits_max, growth_max } = *plan else {
            return Ok(plan.clone());
        };
        let Live { alone, whole } = live;
        if alone == 0 {
            return Ok(plan.clone());
        }
        let commits = self.ledger().query(db, history::count)?;
        let each = ((whole - alone) / commits.max(1)).max(1);
        let room = (growth_max.saturating_mul(alone) / 2 - alone).max(0) / each;
        let commits_max = commits_max.min(room.saturating_mul(2));
        Ok(Plan::Keep { keep_ms, commits_max, growth_max })
    }

    /// Frees what nothing reaches. Only this database's writer waits: for all of it, or, on a
    /// server that lets its sessions live, for what the server makes it wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn collect(&self, db: &Db, now_ms: i64) -> Result<(), StoreError> {
        let ledger = self.ledger();
        ledger.close_idle(db);
        if ledger.collects_beside() {
            // Not where another daemon owns the database.
            self.alone(db, now_ms, |_| Ok(()))?;
            return ledger.apart(db, compact::collect);
        }
        self.alone(db, now_ms, compact::collect)
    }

    /// A backup of the newest commit: the one that is there, or a new one.
    fn backed_up(&self, db: &Db, now_ms: i64) -> Result<Backup, StoreError> {
        let head = self.ledger().query(db, |conn| conn.head())?;
        match self.ledger().backup(db)? {
            Some(backup) if backup.head == head => Ok(backup),
            _ => self.ledger().back_up(db, now_ms),
        }
    }
}
