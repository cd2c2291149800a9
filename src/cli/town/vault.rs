//! Writing to the ledger, from wherever one is: a command's own process, or the daemon's lanes.

use crate::adapters::clock;
use crate::adapters::failpoint;
use crate::cli::town::error::TownError;
use crate::model::ids::Db;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::store::ledger::Ledger;
use crate::store::writer::Single;
use crate::store::writer::Submission;

/// Where ops are committed and rows are read. Calls block.
pub trait Vault {
    /// Whether the database is there.
    ///
    /// # Errors
    /// The data directory cannot be read.
    fn has(&self, db: &Db) -> Result<bool, TownError>;

    /// Makes a database.
    ///
    /// # Errors
    /// As [`Ledger::create_db`].
    fn create(&self, db: &Db) -> Result<(), TownError>;

    /// Commits ops together, in one database. Facts may be missing where the outcome had to be
    /// looked up.
    ///
    /// # Errors
    /// A rule refuses one of them, or the ledger fails; nothing stands then.
    fn write(&self, db: &Db, actor: &str, ops: Vec<Op>) -> Result<Facts, TownError>;

    /// Reads in a snapshot.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    fn read<T>(
        &self,
        db: &Db,
        body: impl FnOnce(&mut dyn Tx) -> Result<T, TxError>,
    ) -> Result<T, TownError>
    where
        Self: Sized;
}

/// A command's own process: one transaction under the writer lock at a time.
impl Vault for Ledger {
    fn has(&self, db: &Db) -> Result<bool, TownError> {
        Ok(self.databases()?.contains(db))
    }

    fn create(&self, db: &Db) -> Result<(), TownError> {
        Ok(self.create_db(db)?)
    }

    fn write(&self, db: &Db, actor: &str, ops: Vec<Op>) -> Result<Facts, TownError> {
        let mut writer = self.writer(db, actor, self.writer_wait_ms())?;
        let one = Submission { actor: actor.to_owned(), ops };
        let commit = || writer.commit_one(&one, clock::now_ms());
        match failpoint::round(one.ops.iter(), commit)? {
            Single::Done(facts) => Ok(facts),
            Single::Refused(why) => Err(why.into()),
            Single::Stands => Ok(Facts::new()),
        }
    }

    fn read<T>(
        &self,
        db: &Db,
        body: impl FnOnce(&mut dyn Tx) -> Result<T, TxError>,
    ) -> Result<T, TownError> {
        Ok(Self::read(self, db, body)?.map_err(crate::model::ops::Refused::from)?)
    }
}
