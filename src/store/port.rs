//! What actors need of a ledger: commit a group, read a snapshot. Both block.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::model::ids::Db;
use crate::model::tx::Tx;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::error::GroupError;
use crate::store::error::StoreError;
use crate::store::keep::Busy;
pub use crate::store::keep::Keep;
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

/// The ledger of a running town: it holds every database's writer while it lives.
pub struct HeldLedger {
    ledger: Arc<Ledger>,
    writers: Mutex<BTreeMap<Db, Arc<Mutex<Writer>>>>,
    wait_ms: u64,
    town: Option<String>,
    busy: Busy,
}

impl HeldLedger {
    /// Holds nothing yet. A database's writer is taken at its first commit or by
    /// [`HeldLedger::hold`], waiting at most `wait_ms` for another holder.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, wait_ms: u64) -> Self {
        Self { ledger, writers: Mutex::default(), wait_ms, town: None, busy: Busy::default() }
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
        self.writer(db).map(|_| ())
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
        let writer = self.writer(db)?;
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.alone(now_ms, body)
    }

    fn writer(&self, db: &Db) -> Result<Arc<Mutex<Writer>>, StoreError> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writers.get(db) {
            return Ok(writer.clone());
        }
        let mut writer = self.ledger.writer(db, "daemon", self.wait_ms)?;
        if let Some(town) = &self.town {
            writer.claim(town)?;
        }
        let writer = Arc::new(Mutex::new(writer));
        writers.insert(db.clone(), writer.clone());
        Ok(writer)
    }
}

impl Port for HeldLedger {
    fn commit(&self, db: &Db, group: &[Submission], now_ms: i64) -> Result<Answers, GroupError> {
        let writer = self.writer(db).map_err(|error| GroupError::Engine(error.to_string()))?;
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
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
