//! The one writer of a database: it turns what waits into one commit.
//!
//! Each submission runs in a savepoint of its own, so that a refused one leaves nothing and the
//! others stand. The commit comes last; nothing that can fail follows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::ops;
use crate::model::ops::Ctx;
use crate::model::ops::Facts;
use crate::model::ops::Keys;
use crate::model::ops::Op;
use crate::model::ops::Refused;
use crate::model::rows::Outbox;
use crate::model::rows::TABLES;
use crate::model::table::Row;
use crate::model::table::Table;
use crate::model::tx::Tx;
use crate::model::value::Kind;
use crate::model::value::Value;
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
use crate::store::sql_tx::SqlTx;
use crate::store::sql_tx::Touched;
use crate::store::sql_tx::quoted;

/// Author of commits that are not one actor's.
pub const STORE_AUTHOR: &str = "gt-store <gt-store@gastown.local>";
/// Most bytes of a commit message's first line.
const SUMMARY_MAX: usize = 400;
/// The line of a commit message that has the last key handed out. Outbox rows are pruned and
/// deleted beads are gone, so the tables alone do not tell which keys were used. Every commit that
/// the store makes has it.
const KEY_LINE: &str = "Last-Key: ";

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
    last_key: i64,
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
        let newest = conn.query(conn.dialect().last_message, &[]).map_err(failed)?;
        // After a commit of somebody else's nothing that the town derives may be trusted.
        let ours = newest.first().is_some_and(|row| key_in(row).is_some());
        let head = if ours { conn.head().map_err(failed)? } else { String::new() };
        let last_key = last_key(conn.as_mut()).map_err(failed)?;
        let keys = Keys::new(database.writer_id, last_key);
        let conn = Some(conn);
        let unknown = Unknown::No;
        Ok(Self { database, conn, keys, last_key, head, unknown, owner: None, _lock: lock })
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
        let failed = |error| self.database.failed()(error);
        let owner = epoch::owner(&mut SqlTx::reader(conn.as_mut()));
        let owner = owner.map_err(|error| failed(ConnError::Other(error.to_string())))?;
        if let Some(owner) = owner.filter(|owner| owner.town != town) {
            return Err(StoreError::Owned { db: self.database.db.clone(), owner });
        }
        // What others did while no daemon ran is theirs, and seen before it is covered by ours.
        if conn.disturbed().map_err(failed)? {
            self.head =
                outside::admit(conn.as_mut(), &mut self.keys, &self.head, None).map_err(failed)?;
        }
        conn.begin(Intent::Write).map_err(failed)?;
        let mut tx = SqlTx::new(conn.as_mut());
        let claimed =
            tx.attempt(|tx| epoch::claim(tx, town, std::process::id())).map_err(failed)?;
        let claimed = claimed.map_err(|error| failed(ConnError::Other(error.to_string())))?;
        let owner =
            claimed.map_err(|owner| StoreError::Owned { db: self.database.db.clone(), owner })?;
        // No time is known here: the key follows the last one, the date is the engine's.
        self.last_key = self.keys.next(0);
        let message = format!("claimed by {owner}{}", key_line(self.last_key));
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
        let failed = |error| self.database.failed()(error);
        if let Some(mine) = &self.owner {
            let now = epoch::owner(&mut SqlTx::reader(conn.as_mut()));
            let now = now.map_err(|error| failed(ConnError::Other(error.to_string())))?;
            if let Some(owner) = now.filter(|now| now != mine) {
                return Err(StoreError::Owned { db: self.database.db.clone(), owner });
            }
        }
        if conn.disturbed().map_err(failed)? {
            self.head = outside::admit(conn.as_mut(), &mut self.keys, &self.head, Some(now_ms))
                .map_err(failed)?;
        }
        let answer = body(conn.as_mut()).map_err(failed)?;
        self.head = conn.head().map_err(failed)?;
        self.conn = Some(conn);
        Ok(answer)
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
        if conn.disturbed()? {
            self.head = outside::admit(conn, &mut self.keys, &self.head, Some(now_ms))?;
        }
        conn.begin(Intent::Write)?;
        let mut tx = SqlTx::new(conn);
        if let Some(mine) = &self.owner {
            let now = epoch::owner(&mut tx).map_err(|e| ConnError::Other(e.to_string()))?;
            if let Some(other) = now.filter(|now| now != mine) {
                conn.rollback()?;
                return Err(Stop::Fenced(other));
            }
        }
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
                self.last_key = self.keys.next(now_ms);
                self.unknown = Unknown::Group(Some(self.last_key));
                let accepted: Vec<&Submission> = group
                    .iter()
                    .zip(&answers)
                    .filter_map(|(submission, answer)| answer.is_ok().then_some(submission))
                    .collect();
                let message = message(&accepted, self.last_key);
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

/// What was done and by whom, then the last key.
fn message(accepted: &[&Submission], last_key: i64) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for submission in accepted {
        for op in &submission.ops {
            *counts.entry((op.name(), submission.actor.as_str())).or_default() += 1;
        }
    }
    let mut summary = String::new();
    let mut left = counts.len();
    for ((op, actor), count) in counts {
        let times = if count == 1 { String::new() } else { format!(" x{count}") };
        let part = format!("{op}{times} by {}", one_line(actor));
        if summary.len() + part.len() > SUMMARY_MAX {
            break;
        }
        if !summary.is_empty() {
            summary.push_str(", ");
        }
        summary.push_str(&part);
        left -= 1;
    }
    if left > 0 {
        summary.push_str(&format!(" and {left} more"));
    }
    format!("{summary}{}", key_line(last_key))
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).take(80).collect()
}

/// The actor if all share one, else the store itself.
fn author(accepted: &[&Submission]) -> String {
    let Some(first) = accepted.first() else { return STORE_AUTHOR.to_owned() };
    let name = one_line(&first.actor);
    let shared = accepted.iter().all(|submission| submission.actor == first.actor);
    if !shared || name.trim().is_empty() {
        return STORE_AUTHOR.to_owned();
    }
    let mailbox: String = name
        .chars()
        .map(|c| match c {
            '/' => '.',
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') => c,
            _ => '-',
        })
        .collect();
    format!("{} <{mailbox}@gastown.local>", name.trim())
}

/// The end of a commit message that says which keys are used up.
pub(crate) fn key_line(last_key: i64) -> String {
    format!("\n\n{KEY_LINE}{last_key}")
}

/// The key that a commit message ends with.
fn key_in(row: &[Value]) -> Option<i64> {
    let Some(Value::Text(message)) = row.first() else { return None };
    let line = message.lines().find_map(|line| line.strip_prefix(KEY_LINE));
    line.and_then(|key| key.trim().parse().ok())
}

/// The greatest key that may have been handed out: what the newest commit of ours says, or what
/// stands in the tables that are ordered by key.
pub(crate) fn last_key(conn: &mut dyn Conn) -> Result<i64, ConnError> {
    let newest = conn.query(conn.dialect().last_message, &[])?;
    let mut last = newest.first().and_then(|row| key_in(row));
    if last.is_none() {
        // The newest commit is somebody else's: ours is further back.
        let rows = conn.query("SELECT message FROM dolt_log", &[])?;
        last = rows.iter().find_map(|row| key_in(row));
    }
    let mut last = last.unwrap_or(0);
    let by_key = TABLES.iter().copied().filter(|table| keyed_by_seq(table));
    for table in by_key.chain([Outbox::TABLE]) {
        let sql = format!("SELECT MAX({}) FROM {}", quoted("seq"), quoted(table.name));
        if let Some(Value::Int(seq)) = conn.query(&sql, &[])?.first().and_then(|row| row.first()) {
            last = last.max(*seq);
        }
    }
    Ok(last)
}

fn keyed_by_seq(table: &Table) -> bool {
    table.key == ["seq"] && table.columns[table.position("seq")].kind == Kind::Int
}
