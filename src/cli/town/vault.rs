//! Writing to the ledger, from wherever one is: a command's own process, or the daemon's lanes.

use crate::adapters::clock;
use crate::adapters::failpoint;
use crate::cli::town::error::TownError;
use crate::model::ids::Db;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::store::error::GroupError;
use crate::store::ledger::Ledger;
use crate::store::writer::Settled;
use crate::store::writer::Submission;

/// Milliseconds that a command waits for another writer.
const WRITER_WAIT_MS: u64 = 10_000;
/// Times that a group of unknown outcome is settled and tried again.
const TRIES: usize = 2;

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

    /// Commits ops together, in one database.
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
        let mut writer = self.writer(db, actor, WRITER_WAIT_MS)?;
        let group = [Submission { actor: actor.to_owned(), ops }];
        let mut unknown = None;
        for _ in 0..TRIES {
            let commit = || writer.commit_group(&group, clock::now_ms());
            match failpoint::round(group[0].ops.iter(), commit) {
                Ok(answers) => {
                    let answer = answers.into_iter().next().unwrap_or_else(|| Ok(Facts::new()));
                    return Ok(answer?);
                }
                Err(GroupError::Unknown(why)) => {
                    // These ops are idempotent; what stands is not done again.
                    if writer.settle()? == Settled::Stands {
                        return Ok(Facts::new());
                    }
                    unknown = Some(GroupError::Unknown(why));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(unknown.unwrap_or_else(|| GroupError::Unknown("no try was made".to_owned())).into())
    }

    fn read<T>(
        &self,
        db: &Db,
        body: impl FnOnce(&mut dyn Tx) -> Result<T, TxError>,
    ) -> Result<T, TownError> {
        Ok(Self::read(self, db, body)?.map_err(crate::model::ops::Refused::from)?)
    }
}
