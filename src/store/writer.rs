//! The one writer of a database: it turns what waits into one commit.
//!
//! Each submission runs in a savepoint of its own, so that a refused one leaves nothing and the
//! others stand. The commit comes last; nothing that can fail follows it.

use std::sync::Arc;

use crate::model::ops;
use crate::model::ops::Ctx;
use crate::model::ops::Facts;
use crate::model::ops::Keys;
use crate::model::ops::Op;
use crate::model::ops::Refused;
use crate::model::tx::Tx;
use crate::store::conn::CommitInfo;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::Intent;
use crate::store::epoch;
use crate::store::epoch::Owner;
use crate::store::error::GroupError;
use crate::store::error::StoreError;
use crate::store::ledger::Database;
use crate::store::lock::Lock;
use crate::store::outside;
use crate::store::pause;
use crate::store::signing::STORE_AUTHOR;
use crate::store::signing::author;
use crate::store::signing::key_in;
use crate::store::signing::key_line;
use crate::store::signing::last_key_from;
use crate::store::signing::message;
use crate::store::signing::newest_key;
use crate::store::sql_tx::SqlTx;
use crate::store::sql_tx::Touched;

/// What one caller wants, all of it or none.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who.
    pub actor: String,
    /// In order.
    pub ops: Vec<Op>,
}

/// What became of each submission of a group, in order: its facts, or why it was refused.
pub type Answers = Vec<Result<Facts, Refused>>;

/// What became of a group whose outcome was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It stands: answer its callers from the tables, do not submit it again.
    Stands,
    /// Nothing of it stands: it may be submitted again.
    Absent,
}

/// What became of a submission by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Single {
    /// It stands, with these facts.
    Done(Facts),
    /// A rule says no; nothing stands.
    Refused(Refused),
    /// It stands, but its facts were lost with the connection: read.
    Stands,
}

/// The writer of one database. It holds the writer lock while it lives.
pub struct Writer {
    database: Arc<Database>,
    conn: Option<Box<dyn Conn>>,
    keys: Keys,
    head: String,
    unknown: Unknown,
    owner: Option<Owner>,
    _lock: Lock,
}

/// Whether an earlier group may stand or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    /// Every group is settled.
    No,
    /// A group is open whose commit would end with this key; `None` has none.
    Group(Option<i64>),
}

/// First wait in milliseconds before a colliding group is tried again; doubles with each try.
const RETRY_MS: u64 = 10;
/// Newest commits among which a group whose outcome is not known is looked for.
const LOOK_BACK: usize = 200;

impl Writer {
    pub(crate) fn open(database: Arc<Database>, lock: Lock) -> Result<Self, StoreError> {
        let failed = |error| database.failed()(error);
        let mut conn = database.connect().map_err(failed)?;
        let newest = newest_key(conn.as_mut()).map_err(failed)?;
        // After a commit of somebody else's nothing that the town derives may be trusted.
        let head = if newest.is_some() { conn.head().map_err(failed)? } else { String::new() };
        let last_key = last_key_from(conn.as_mut(), newest).map_err(failed)?;
        let keys = Keys::new(database.writer_id, last_key);
        let conn = Some(conn);
        let unknown = Unknown::No;
        Ok(Self { database, conn, keys, head, unknown, owner: None, _lock: lock })
    }

    /// The hash of the newest commit.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Makes a town's daemon the owner of the database, for as long as no later one claims it.
    ///
    /// # Errors
    /// [`StoreError::Owned`] by another town, and the engine's failure; nothing is changed then.
    pub fn claim(&mut self, town: &str) -> Result<(), StoreError> {
        let mut conn = self.ready()?;
        let database = self.database.clone();
        let failed = |error| database.failed()(error);
        let owner = epoch::standing(conn.as_mut()).map_err(failed)?;
        if let Some(owner) = owner.filter(|owner| owner.town != town) {
            return Err(StoreError::Owned { db: self.database.db.clone(), owner });
        }
        // What others did while no daemon ran is theirs, and seen before it is covered by ours.
        self.admit(conn.as_mut(), None).map_err(failed)?;
        conn.begin(Intent::Write).map_err(failed)?;
        let mut tx = SqlTx::new(conn.as_mut());
        let claimed =
            tx.attempt(|tx| epoch::claim(tx, town, std::process::id())).map_err(failed)?;
        let claimed = claimed.map_err(|error| failed(ConnError::Other(error.to_string())))?;
        let owner =
            claimed.map_err(|owner| StoreError::Owned { db: self.database.db.clone(), owner })?;
        // No time is known here: the key follows the last one, the date is the engine's.
        let message = format!("claimed by {owner}{}", key_line(self.keys.next(0)));
        let info = CommitInfo { message: &message, author: STORE_AUTHOR, date_ms: None };
        if let Some(hash) = conn.commit(&info).map_err(failed)? {
            self.head = hash;
        }
        self.owner = Some(owner);
        self.conn = Some(conn);
        Ok(())
    }

    /// The connection, opened again if there is none.
    fn ready(&mut self) -> Result<Box<dyn Conn>, StoreError> {
        let failed = |error| self.database.failed()(error);
        self.conn.take().map_or_else(|| self.database.connect().map_err(failed), Ok)
    }

    /// Applies each submission in its own savepoint and commits those that were not refused.
    ///
    /// When nothing was changed, no byte is written. `now_ms` is the time of every op and of the
    /// commit, in milliseconds since the epoch. A commit that collides with another writer's is
    /// tried again, a bounded number of times.
    ///
    /// # Errors
    /// [`GroupError`]; nothing stands, except that for [`GroupError::Unknown`] only
    /// [`Writer::settle`] can tell.
    pub fn commit_group(
        &mut self,
        group: &[Submission],
        now_ms: i64,
    ) -> Result<Answers, GroupError> {
        if self.is_unsettled() {
            return Err(GroupError::Unknown(
                "an earlier group has not been settled: call settle first".to_owned(),
            ));
        }
        let mut tries = 0;
        loop {
            match self.try_group(group, now_ms) {
                Err(GroupError::Busy(why)) if tries < self.database.retries => {
                    tracing::debug!(db = %self.database.db, %why, tries, "again");
                    pause::millis(RETRY_MS << tries);
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn try_group(&mut self, group: &[Submission], now_ms: i64) -> Result<Answers, GroupError> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.database.connect()?,
        };
        // A panic in here leaves the question open.
        self.unknown = Unknown::Group(None);
        let mut answers = self.run(&mut conn, group, now_ms);
        if matches!(answers, Err(Stop::Engine(ConnError::Down(_)))) {
            // Nothing was published: a connection that broke while it was idle is no failure.
            answers = match self.database.fresh() {
                Ok(fresh) => {
                    conn = fresh;
                    self.run(&mut conn, group, now_ms)
                }
                Err(error) => Err(Stop::Engine(error)),
            };
        }
        if !matches!(answers, Err(Stop::Engine(ConnError::Unknown(_)))) {
            self.unknown = Unknown::No;
        }
        // On an error the connection is dropped, and with it whatever it had open.
        let answers = answers.map_err(|stop| {
            let error = GroupError::from(stop);
            tracing::warn!(db = %self.database.db, %error, "a group failed");
            error
        })?;
        self.conn = Some(conn);
        Ok(answers)
    }

    /// Commits one submission by itself and settles an unknown outcome at once; what does not
    /// stand then is tried once more.
    ///
    /// # Errors
    /// As [`Writer::commit_group`]; [`GroupError::Unknown`] only when it cannot be settled, or
    /// the second try ends so too.
    pub fn commit_one(&mut self, one: &Submission, now_ms: i64) -> Result<Single, GroupError> {
        let group = std::slice::from_ref(one);
        let answers = match self.commit_group(group, now_ms) {
            Err(GroupError::Unknown(why)) => match self.settle() {
                Ok(Settled::Stands) => return Ok(Single::Stands),
                Ok(Settled::Absent) => self.commit_group(group, now_ms)?,
                Err(error) => {
                    return Err(GroupError::Unknown(format!(
                        "{why}; it cannot be settled: {error}"
                    )));
                }
            },
            other => other?,
        };
        Ok(match answers.into_iter().next() {
            Some(Ok(facts)) => Single::Done(facts),
            Some(Err(refused)) => Single::Refused(refused),
            None => Single::Done(Facts::new()),
        })
    }

    /// Runs `body` on the connection, in no transaction, after an open question is settled and
    /// what others left is admitted. What `body` does to the history is the town's own doing.
    ///
    /// # Errors
    /// Another daemon owns the database; the engine's failure, also within `body`.
    pub(crate) fn alone<T>(
        &mut self,
        now_ms: i64,
        body: impl FnOnce(&mut dyn Conn) -> Result<T, ConnError>,
    ) -> Result<T, StoreError> {
        if self.is_unsettled() {
            self.settle()?;
        }
        let mut conn = self.ready()?;
        let database = self.database.clone();
        let failed = |error| database.failed()(error);
        if let Some(owner) = self.replaced_by(conn.as_mut()).map_err(failed)? {
            return Err(StoreError::Owned { db: self.database.db.clone(), owner });
        }
        self.admit(conn.as_mut(), Some(now_ms)).map_err(failed)?;
        let answer = body(conn.as_mut()).map_err(failed)?;
        self.head = conn.head().map_err(failed)?;
        self.conn = Some(conn);
        Ok(answer)
    }

    /// Lets in what others did since the last look, if anything.
    fn admit(&mut self, conn: &mut dyn Conn, now_ms: Option<i64>) -> Result<(), ConnError> {
        if conn.disturbed()? {
            self.head = outside::admit(conn, &mut self.keys, &self.head, now_ms)?;
        }
        Ok(())
    }

    /// A later owner of the database, where this writer had claimed it.
    fn replaced_by(&self, conn: &mut dyn Conn) -> Result<Option<Owner>, ConnError> {
        let Some(mine) = &self.owner else { return Ok(None) };
        Ok(epoch::standing(conn)?.filter(|now| now != mine))
    }

    /// Whether the outcome of an earlier group is still to be settled.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.unknown != Unknown::No
    }

    fn run(
        &mut self,
        conn: &mut Box<dyn Conn>,
        group: &[Submission],
        now_ms: i64,
    ) -> Result<Answers, Stop> {
        let conn = conn.as_mut();
        self.admit(conn, Some(now_ms))?;
        conn.begin(Intent::Write)?;
        if let Some(other) = self.replaced_by(conn)? {
            conn.rollback()?;
            return Err(Stop::Fenced(other));
        }
        let mut tx = SqlTx::new(conn);
        let mut answers = Answers::with_capacity(group.len());
        for submission in group {
            let mut ctx = Ctx {
                now: now_ms,
                actor: &submission.actor,
                db: &self.database.db,
                keys: &mut self.keys,
            };
            answers.push(tx.attempt(|tx| apply_all(tx, &mut ctx, &submission.ops))?);
        }
        match tx.touched() {
            Touched::Nothing => conn.rollback()?,
            Touched::Ephemeral => conn.publish()?,
            Touched::Versioned => {
                // A fresh key bounds all that were handed out, in the order of time.
                let last_key = self.keys.next(now_ms);
                self.unknown = Unknown::Group(Some(last_key));
                let accepted: Vec<&Submission> = group
                    .iter()
                    .zip(&answers)
                    .filter_map(|(submission, answer)| answer.is_ok().then_some(submission))
                    .collect();
                let message = message(&accepted, last_key);
                let author = author(&accepted);
                let info = CommitInfo { message: &message, author: &author, date_ms: Some(now_ms) };
                if let Some(hash) = conn.commit(&info)? {
                    self.head = hash;
                }
            }
        }
        Ok(answers)
    }

    /// After [`GroupError::Unknown`]: opens again and looks whether the group stands, by the key
    /// that its commit would end with.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be opened or read; the question stays open.
    pub fn settle(&mut self) -> Result<Settled, StoreError> {
        let failed = |error| self.database.failed()(error);
        self.conn = None;
        let mut conn = self.database.fresh().map_err(failed)?;
        let head = conn.head().map_err(failed)?;
        let settled = match self.unknown {
            Unknown::Group(Some(key)) if head != self.head => {
                let sql = format!("SELECT message FROM dolt_log LIMIT {LOOK_BACK}");
                let rows = conn.query(&sql, &[]).map_err(failed)?;
                let stands = rows.iter().any(|row| key_in(row) == Some(key));
                if stands { Settled::Stands } else { Settled::Absent }
            }
            Unknown::Group(_) | Unknown::No => Settled::Absent,
        };
        if settled == Settled::Stands {
            self.head = head;
        }
        self.conn = Some(conn);
        self.unknown = Unknown::No;
        Ok(settled)
    }
}

/// Why a group came to a stop before its commit was known to stand.
enum Stop {
    /// The engine.
    Engine(ConnError),
    /// Another daemon owns the database.
    Fenced(Owner),
}

impl From<ConnError> for Stop {
    fn from(error: ConnError) -> Self {
        Self::Engine(error)
    }
}

impl From<Stop> for GroupError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Engine(error) => error.into(),
            Stop::Fenced(owner) => Self::Fenced(owner),
        }
    }
}

fn apply_all(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, ops: &[Op]) -> Result<Facts, Refused> {
    let mut facts = Facts::new();
    for op in ops {
        facts.extend(ops::apply(tx, ctx, op)?);
    }
    Ok(facts)
}
