//! The ledger without a daemon: each write is one transaction under the writer lock.

use std::collections::BTreeMap;

use crate::adapters::clock;
use crate::adapters::failpoint;
use crate::gateway::books::Body;
use crate::gateway::books::Books;
use crate::gateway::books::BooksError;
use crate::messages::SubmitError;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::past::Commit;
use crate::model::past::Moment;
use crate::model::past::Point;
use crate::model::query::BeadFilter;
use crate::model::query::Counts;
use crate::model::query::Linked;
use crate::model::query::Stats;
use crate::model::query::Way;
use crate::model::rows::Bead;
use crate::model::value::Name;
use crate::store::error::GroupError;
use crate::store::error::StoreError;
use crate::store::ledger::Ledger;
use crate::store::past;
use crate::store::query;
use crate::store::writer::Single;
use crate::store::writer::Submission;

/// A ledger in this process.
pub struct LedgerBooks {
    ledger: Ledger,
    databases: Vec<(Db, String)>,
}

impl LedgerBooks {
    /// Over a ledger whose databases have these prefixes.
    #[must_use]
    pub fn new(ledger: Ledger, databases: Vec<(Db, String)>) -> Self {
        Self { ledger, databases }
    }
}

fn unreadable(error: StoreError) -> BooksError {
    match error {
        StoreError::Damaged { .. } => BooksError::Damaged(error.to_string()),
        other => BooksError::Unavailable(other.to_string()),
    }
}

fn unwritable(error: &dyn std::fmt::Display) -> SubmitError {
    SubmitError::Unavailable(error.to_string())
}

impl Books for LedgerBooks {
    fn databases(&self) -> Vec<(Db, String)> {
        self.databases.clone()
    }

    fn submit(&self, db: &Db, actor: &str, ops: Vec<Op>) -> Result<Facts, SubmitError> {
        let writer = self.ledger.writer(db, "a command", self.ledger.writer_wait_ms());
        let mut writer = writer.map_err(|error| unwritable(&error))?;
        let one = Submission { actor: actor.to_owned(), ops };
        let commit = || writer.commit_one(&one, clock::now_ms());
        match failpoint::round(one.ops.iter(), commit) {
            Ok(Single::Done(facts)) => Ok(facts),
            Ok(Single::Refused(why)) => Err(SubmitError::Refused(why)),
            // It stands, but the answer would lack its facts, such as a new id.
            Ok(Single::Stands) => Err(SubmitError::Unknown),
            Err(GroupError::Unknown(why)) => {
                tracing::warn!(%db, %why, "a commit could not be settled");
                Err(SubmitError::Unknown)
            }
            Err(error) => Err(unwritable(&error)),
        }
    }

    fn read(&self, db: &Db, body: Body<'_>) -> Result<(), BooksError> {
        let answer = self.ledger.read(db, body).map_err(unreadable)?;
        Ok(answer?)
    }

    fn moment(&self, db: &Db, point: &Point) -> Result<Moment, BooksError> {
        let found = self.ledger.query(db, |conn| past::resolve(conn, point)).map_err(unreadable)?;
        found.map_err(BooksError::NoMoment)
    }

    fn log(&self, db: &Db, limit: Option<usize>) -> Result<Vec<Commit>, BooksError> {
        self.ledger.query(db, |conn| past::log(conn, limit)).map_err(unreadable)
    }

    fn read_at(&self, db: &Db, commit: &str, body: Body<'_>) -> Result<(), BooksError> {
        let answer = self.ledger.read_at(db, commit, |tx| body(tx)).map_err(unreadable)?;
        Ok(answer?)
    }

    fn list(&self, db: &Db, filter: &BeadFilter) -> Result<Vec<Bead>, BooksError> {
        self.ledger.query(db, |conn| query::list(conn, filter)).map_err(unreadable)
    }

    fn labels(&self, db: &Db, ids: &[BeadId]) -> Result<BTreeMap<BeadId, Vec<Name>>, BooksError> {
        self.ledger.query(db, |conn| query::labels_of(conn, ids)).map_err(unreadable)
    }

    fn counts(&self, db: &Db, ids: &[BeadId]) -> Result<BTreeMap<BeadId, Counts>, BooksError> {
        self.ledger.query(db, |conn| query::counts_of(conn, ids)).map_err(unreadable)
    }

    fn linked(&self, db: &Db, ids: &[BeadId], way: Way) -> Result<Vec<Linked>, BooksError> {
        self.ledger.query(db, |conn| query::linked(conn, ids, way)).map_err(unreadable)
    }

    fn stats(&self, db: &Db, now_ms: i64) -> Result<Stats, BooksError> {
        self.ledger.query(db, |conn| query::stats(conn, now_ms)).map_err(unreadable)
    }

    fn lead_ms(&self, db: &Db) -> Result<Option<i64>, BooksError> {
        self.ledger.query(db, query::lead_ms).map_err(unreadable)
    }
}
