//! What actors need of a ledger: commit a group, read a snapshot. Both block.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::model::ids::Db;
use crate::model::tx::Tx;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::error::GroupError;
use crate::store::error::StoreError;
use crate::store::keep::Busy;
pub use crate::store::keep::Keep;
use crate::store::keep::compact::Step;
use crate::store::ledger::Ledger;
use crate::store::writer::Answers;
use crate::store::writer::Submission;
use crate::store::writer::Writer;

/// A ledger as actors see it. Call from threads that may block.
pub trait Port: Send + Sync + 'static {
    /// Commits what is not refused of a group.
    ///
    /// # Errors
    /// [`GroupError`]; after `Unknown` the caller's next read tells what stands.
    fn commit(&self, db: &Db, group: &[Submission], now_ms: i64) -> Result<Answers, GroupError>;

    /// Runs `body` in a snapshot.
    ///
    /// # Errors
    /// [`StoreError`].
    fn read(&self, db: &Db, body: &mut dyn FnMut(&mut dyn Tx)) -> Result<(), StoreError>;
}

/// The way to the writer of one database. Whoever waits goes first: a thread that has just been
/// there and comes again stands behind.
struct Lane {
    /// Held by the one who waits next.
    next: Mutex<()>,
    writer: Mutex<Writer>,
}

impl Lane {
    /// Waits for the writer. A thread that panicked in here left an open question or none, and the
    /// writer knows.
    fn enter(&self) -> MutexGuard<'_, Writer> {
        let _next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ledger of a running town: it holds every database's writer while it lives.
pub struct HeldLedger {
    ledger: Arc<Ledger>,
    lanes: Mutex<BTreeMap<Db, Arc<Lane>>>,
    wait_ms: u64,
    town: Option<String>,
    busy: Busy,
}

impl HeldLedger {
    /// Holds nothing yet. A database's writer is taken at its first commit or by
    /// [`HeldLedger::hold`], waiting at most `wait_ms` for another holder.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, wait_ms: u64) -> Self {
        Self { ledger, lanes: Mutex::default(), wait_ms, town: None, busy: Busy::default() }
    }

    /// As [`HeldLedger::new`], for the daemon of the town with this id: every database is claimed
    /// for it.
    #[must_use]
    pub fn owned(ledger: Arc<Ledger>, wait_ms: u64, town: String) -> Self {
        Self { town: Some(town), ..Self::new(ledger, wait_ms) }
    }

    /// The ledger itself, for lists and statistics.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Takes a database's writer now, so that a start fails early and names the holder.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn hold(&self, db: &Db) -> Result<(), StoreError> {
        self.lane(db).map(|_| ())
    }

    /// Databases to which a chore is being done.
    #[must_use]
    pub fn busy(&self) -> &Busy {
        &self.busy
    }

    /// Runs `body` on the writer's connection, in no transaction, while no group runs.
    ///
    /// # Errors
    /// [`StoreError`], also `body`'s own.
    pub(crate) fn alone<T>(
        &self,
        db: &Db,
        now_ms: i64,
        body: impl FnOnce(&mut dyn Conn) -> Result<T, ConnError>,
    ) -> Result<T, StoreError> {
        self.lane(db)?.enter().alone(now_ms, body)
    }

    /// What takes turns with a database's writer: each call of it runs while no group does, and a
    /// group that waits comes before the next.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn turns(
        &self,
        db: &Db,
    ) -> Result<impl Fn(Step<'_>) -> Result<(), ConnError>, StoreError> {
        let lane = self.lane(db)?;
        Ok(move |step: Step<'_>| {
            let _writer = lane.enter();
            step()
        })
    }

    fn lane(&self, db: &Db) -> Result<Arc<Lane>, StoreError> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(db) {
            return Ok(lane.clone());
        }
        let mut writer = self.ledger.writer(db, "daemon", self.wait_ms)?;
        if let Some(town) = &self.town {
            writer.claim(town)?;
        }
        let lane = Arc::new(Lane { next: Mutex::default(), writer: Mutex::new(writer) });
        lanes.insert(db.clone(), lane.clone());
        Ok(lane)
    }
}

impl Port for HeldLedger {
    fn commit(&self, db: &Db, group: &[Submission], now_ms: i64) -> Result<Answers, GroupError> {
        let lane = self.lane(db).map_err(|error| GroupError::Engine(error.to_string()))?;
        let mut writer = lane.enter();
        if writer.is_unsettled() {
            // An earlier try to settle failed, or a panic left the question open. Nothing of this
            // group was tried, so its callers may try again.
            let settled = writer.settle().map_err(|error| GroupError::Engine(error.to_string()))?;
            tracing::warn!(%db, ?settled, "an earlier group is settled");
        }
        match writer.commit_group(group, now_ms) {
            Err(GroupError::Unknown(why)) => {
                // Settle at once, so that the next group can run; the callers read again.
                let settled = writer.settle();
                tracing::warn!(%db, %why, ?settled, "the outcome of a group was not known");
                Err(GroupError::Unknown(why))
            }
            other => other,
        }
    }

    fn read(&self, db: &Db, body: &mut dyn FnMut(&mut dyn Tx)) -> Result<(), StoreError> {
        self.ledger.read(db, |tx| body(tx))
    }
}
