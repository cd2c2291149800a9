//! The ledger without a daemon: each write is one transaction under the writer lock.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::adapters::clock;
use crate::adapters::failpoint;
use crate::adapters::token;
use crate::gateway::books::Body;
use crate::gateway::books::Books;
use crate::gateway::books::BooksError;
use crate::gateway::books::Doorman;
use crate::gateway::books::SubmitError;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::SessionId;
use crate::model::ops::Facts;
use crate::model::ops::Op;
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
use crate::store::query;
use crate::store::writer::Settled;
use crate::store::writer::Submission;

/// Milliseconds that a command waits for another writer.
const WRITER_WAIT_MS: u64 = 10_000;

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
    BooksError::Unavailable(error.to_string())
}

fn unwritable(error: &dyn std::fmt::Display) -> SubmitError {
    SubmitError::Unavailable(error.to_string())
}

impl Books for LedgerBooks {
    fn databases(&self) -> Vec<(Db, String)> {
        self.databases.clone()
    }

    fn submit(&self, db: &Db, actor: &str, ops: Vec<Op>) -> Result<Facts, SubmitError> {
        let writer = self.ledger.writer(db, "a command", WRITER_WAIT_MS);
        let mut writer = writer.map_err(|error| unwritable(&error))?;
        let group = [Submission { actor: actor.to_owned(), ops }];
        let commit = || writer.commit_group(&group, clock::now_ms());
        match failpoint::round(group[0].ops.iter(), commit) {
            Ok(answers) => {
                let answer = answers.into_iter().next().unwrap_or_else(|| Ok(Facts::new()));
                answer.map_err(SubmitError::Refused)
            }
            Err(GroupError::Unknown(why)) => match writer.settle() {
                Ok(Settled::Absent) => Err(unwritable(&format!("nothing was committed: {why}"))),
                Ok(Settled::Stands) => Err(SubmitError::Unknown),
                Err(error) => {
                    tracing::warn!(%error, "a commit could not be settled");
                    Err(SubmitError::Unknown)
                }
            },
            Err(error) => Err(unwritable(&error)),
        }
    }

    fn read(&self, db: &Db, body: Body<'_>) -> Result<(), BooksError> {
        let answer = self.ledger.read(db, body).map_err(unreadable)?;
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
}

/// Knows sessions by the town's key: nothing else needs to be stored.
pub struct KeyDoorman {
    key: PathBuf,
}

impl KeyDoorman {
    /// With the key at this path; while there is none, no secret is genuine.
    #[must_use]
    pub fn new(key: PathBuf) -> Self {
        Self { key }
    }
}

impl Doorman for KeyDoorman {
    fn session_of(&self, secret: &str) -> Option<SessionId> {
        if !self.key.is_file() {
            return None;
        }
        let key = token::town_key(&self.key)
            .inspect_err(|error| tracing::warn!(%error, "the town's key cannot be read"))
            .ok()?;
        let session = SessionId::from(secret.rsplit_once('.')?.0);
        // Hashes are compared, so that the time of comparing tells nothing of the secret.
        let genuine = token::token_hash(&token::session_token(&key, &session));
        (genuine == token::token_hash(secret)).then_some(session)
    }
}
