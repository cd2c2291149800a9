//! The daemon's books: writes through the lanes, reads from the pool.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use crate::actors::store::Submit;
use crate::cli::boot::live::Keeper;
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
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::error::StoreError;
use crate::store::past;
use crate::store::query;

/// Books over a running town.
pub(super) struct DaemonBooks {
    keeper: Keeper,
}

impl DaemonBooks {
    pub(super) fn new(keeper: Keeper) -> Self {
        Self { keeper }
    }

    fn query<T>(
        &self,
        db: &Db,
        body: impl FnOnce(&mut dyn Conn) -> Result<T, ConnError>,
    ) -> Result<T, BooksError> {
        self.keeper.held.ledger().query(db, body).map_err(unavailable)
    }
}

fn unavailable(error: StoreError) -> BooksError {
    match error {
        StoreError::Damaged { .. } => BooksError::Damaged(error.to_string()),
        other => BooksError::Unavailable(other.to_string()),
    }
}

impl Books for DaemonBooks {
    fn databases(&self) -> Vec<(Db, String)> {
        self.keeper.databases.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn submit(&self, db: &Db, actor: &str, ops: Vec<Op>) -> Result<Facts, SubmitError> {
        let Some(store) = self.keeper.stores.get(db) else {
            let why = format!("database {db} is not served: 'gt rig list' names those that are");
            return Err(SubmitError::Unavailable(why));
        };
        let answer = store.send(Submit { actor: actor.to_owned(), ops });
        self.keeper.runtime.block_on(answer).unwrap_or(Err(SubmitError::Unknown))
    }

    fn read(&self, db: &Db, body: Body<'_>) -> Result<(), BooksError> {
        let answer = self.keeper.held.ledger().read(db, |tx| body(tx)).map_err(unavailable)?;
        Ok(answer?)
    }

    fn moment(&self, db: &Db, point: &Point) -> Result<Moment, BooksError> {
        let found = self.query(db, |conn| past::resolve(conn, point))?;
        found.map_err(BooksError::NoMoment)
    }

    fn log(&self, db: &Db, limit: Option<usize>) -> Result<Vec<Commit>, BooksError> {
        self.query(db, |conn| past::log(conn, limit))
    }

    fn read_at(&self, db: &Db, commit: &str, body: Body<'_>) -> Result<(), BooksError> {
        let answer =
            self.keeper.held.ledger().read_at(db, commit, |tx| body(tx)).map_err(unavailable)?;
        Ok(answer?)
    }

    fn list(&self, db: &Db, filter: &BeadFilter) -> Result<Vec<Bead>, BooksError> {
        self.query(db, |conn| query::list(conn, filter))
    }

    fn labels(&self, db: &Db, ids: &[BeadId]) -> Result<BTreeMap<BeadId, Vec<Name>>, BooksError> {
        self.query(db, |conn| query::labels_of(conn, ids))
    }

    fn counts(&self, db: &Db, ids: &[BeadId]) -> Result<BTreeMap<BeadId, Counts>, BooksError> {
        self.query(db, |conn| query::counts_of(conn, ids))
    }

    fn linked(&self, db: &Db, ids: &[BeadId], way: Way) -> Result<Vec<Linked>, BooksError> {
        self.query(db, |conn| query::linked(conn, ids, way))
    }

    fn stats(&self, db: &Db, now_ms: i64) -> Result<Stats, BooksError> {
        self.query(db, |conn| query::stats(conn, now_ms))
    }

    fn lead_ms(&self, db: &Db) -> Result<Option<i64>, BooksError> {
        self.query(db, query::lead_ms)
    }
}
