//! Dogs that look after one stored database each: backup, archive, compactor. They live in hq,
//! where the rows of their runs are, and do nothing where nothing has changed.
//!
//! A run is two effects: a look, which changes nothing, and the chore, if the look says so.

use super::Decision;
use super::Input;
use super::Machine;
use super::driver::Driver;
use super::limits::Life;
use super::limits::Limits;
use crate::messages::Address;
use crate::messages::DogMessage;
use crate::messages::Message;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ops::Op;
use crate::model::rows::DogRun;
use crate::model::rows::Escalation;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::upkeep::Chore;
use crate::model::upkeep::ChoreDone;
use crate::model::upkeep::Finding;
use crate::model::upkeep::Measure;
use crate::model::upkeep::Plan;
use crate::model::upkeep::RunDetail;
use crate::model::value::Cell;
use crate::model::value::Name;

/// Bytes in a megabyte.
const MB: i64 = 1 << 20;
/// A store smaller than this is not worth a compaction for its growth alone, in megabytes.
const SMALL_MB: i64 = 4;
/// So few commits are not halved any more.
const FEW: i64 = 8;
/// Rows among which a dog looks for its last run first.
const RECENT: usize = 256;
/// Runs that failed in a row before a person is told.
const FAILURES_MAX: usize = 2;

/// What a dog does for a living.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trade {
    /// Copies that are read back.
    Backup,
    /// Rows as text in git.
    Archive,
    /// Shorter histories.
    Compactor,
}

impl Trade {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Backup, Self::Archive, Self::Compactor];

    /// What the names of these dogs begin with.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Archive => "archive",
            Self::Compactor => "compactor",
        }
    }

    /// The dog of this trade for a database.
    #[must_use]
    pub fn dog(self, db: &Db) -> String {
        format!("{}-{db}", self.word())
    }
}

/// Until when archive and backup hold each database: the earlier of the two beginnings of their
/// last runs, in milliseconds since the epoch. Reads hq.
///
/// # Errors
/// As the transaction.
pub fn held(tx: &mut dyn Tx) -> Result<Vec<(Db, i64)>, TxError> {
    let mut copies: Vec<(Db, [Option<i64>; 2])> = Vec::new();
    for row in tx.rows::<DogRun>(&Scan { reverse: true, ..Scan::default() })? {
        let Some(run) = detail(&row).filter(|run| run.done.done) else { continue };
        let at = match run.chore.as_str() {
            "backup" => 0,
            "archive" => 1,
            _ => continue,
        };
        let place = copies.iter().position(|(db, _)| *db == run.db).unwrap_or_else(|| {
            copies.push((run.db.clone(), [None, None]));
            copies.len() - 1
        });
        let known = &mut copies[place].1[at];
        *known = known.or(Some(run.done.began_at));
    }
    let both = copies.into_iter().filter_map(|(db, begun)| match begun {
        [Some(backup), Some(archive)] => Some((db, backup.min(archive))),
        _ => None,
    });
    Ok(both.collect())
}

fn detail(row: &DogRun) -> Option<RunDetail> {
    RunDetail::parse(&row.detail)
}

/// Where a dog is in its run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Resting,
    Wants(Chore),
}

/// One dog.
#[derive(Clone, Debug)]
pub struct StoreDog {
    trade: Trade,
    target: Db,
    limits: Limits,
    life: Life,
    driver: Driver,
    stage: Stage,
}

/// What a dog sees: its own last runs, and which of its conditions stand.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The last run that was done.
    last: Option<RunDetail>,
    /// Runs since that were not.
    failures: usize,
    /// Conditions that a person was told of.
    standing: Vec<String>,
}

impl StoreDog {
    /// The dog of a trade for one database.
    #[must_use]
    pub fn new(trade: Trade, target: Db, limits: Limits, life: Life) -> Self {
        let (driver, stage) = (Driver::default(), Stage::Resting);
        Self { trade, target, limits, life, driver, stage }
    }

    fn name(&self) -> String {
        self.trade.dog(&self.target)
    }

    /// What is to be done about a database of this size.
    fn due(&self, seen: &Record, now: &Measure) -> Option<Chore> {
        let last = seen.last.as_ref().map(|run| &run.done);
        match self.trade {
            Trade::Backup | Trade::Archive => {
                // What is copied is at least what stood before.
                let same = last.is_some_and(|last| last.before.head == now.head);
                let chore = match self.trade {
                    Trade::Archive => Chore::Archive,
                    Trade::Backup | Trade::Compactor => Chore::Backup,
                };
                (!same).then_some(chore)
            }
            Trade::Compactor => {
                let life = &self.life;
                let after = last.map(|last| last.after.clone()).unwrap_or_default();
                let too_big = now.bytes > (life.size_mb_max * MB).max(2 * after.bytes);
                let base = if after.live > 0 { after.live } else { after.bytes };
                let grown = now.bytes > base.saturating_mul(life.growth_max).max(SMALL_MB * MB);
                let due = now.commits > life.commits_max || too_big || grown;
                let plan = self.plan(life.commits_max);
                (due && after.head != now.head).then_some(Chore::Compact { plan })
            }
        }
    }

    fn plan(&self, commits_max: i64) -> Plan {
        let Life { history_keep_ms, growth_max, .. } = self.life;
        Plan::Keep { keep_ms: history_keep_ms, commits_max, growth_max }
    }

    /// What follows a chore: the bounds on size win over the kept time. Half of the commits go,
    /// and half again, until there is room.
    fn next(&self, chore: &Chore, done: &ChoreDone) -> Stage {
        let kept = matches!(chore, Chore::Compact { plan: Plan::Keep { .. } });
        let after = &done.after;
        let over =
            |times: i64, least: i64| after.bytes > after.live.saturating_mul(times).max(least);
        let grown = after.live > 0 && over(self.life.growth_max * 3 / 4, SMALL_MB * MB);
        if !kept || !done.done || !(grown || over(2, self.life.size_mb_max * MB)) {
            return Stage::Resting;
        }
        let fewer = after.commits < done.before.commits;
        let plan = match after.commits > FEW && fewer {
            true => self.plan(after.commits),
            false => Plan::Flatten,
        };
        Stage::Wants(Chore::Compact { plan })
    }

    fn record(&self, chore: &Chore, done: ChoreDone, d: &mut Decision) {
        let chore = chore.name().to_owned();
        let detail = RunDetail { db: self.target.clone(), chore, done };
        d.ops.push(Op::RecordRun { dog: Name(self.name()), detail });
    }

    fn reported(&mut self, seen: &Record, chore: Chore, outcome: &Outcome, d: &mut Decision) {
        let subject = format!("database {}", self.target);
        match outcome {
            Outcome::Kept { done } if chore == Chore::Look => {
                self.stage = self.due(seen, &done.after).map_or(Stage::Resting, Stage::Wants);
            }
            Outcome::Kept { done } => {
                let mut found = done.findings.clone();
                if !done.done {
                    found.extend(self.failing(seen, &done.words));
                }
                alarms(d, &subject, &seen.standing, &found);
                self.stage = self.next(&chore, done);
                self.record(&chore, done.clone(), d);
            }
            Outcome::Failed { error } => {
                self.stage = Stage::Resting;
                if let Some(found) = self.failing(seen, error) {
                    let mut standing = seen.standing.clone();
                    standing.retain(|condition| *condition == found.condition);
                    alarms(d, &subject, &standing, &[found]);
                }
                let done = ChoreDone { words: error.clone(), ..ChoreDone::default() };
                self.record(&chore, done, d);
            }
            _ => {}
        }
    }

    /// The condition of a dog that cannot do its work; one failure is nobody's business.
    fn failing(&self, seen: &Record, words: &str) -> Option<Finding> {
        (seen.failures + 1 >= FAILURES_MAX).then(|| Finding {
            condition: format!("{} fails", self.trade.word()),
            words: words.to_owned(),
        })
    }
}

/// Raises what is new and clears what is gone; `standing` are the conditions a person knows of.
pub(super) fn alarms(d: &mut Decision, subject: &str, standing: &[String], found: &[Finding]) {
    let set = |condition: &str, raise: Option<String>| Op::SetAlarm {
        subject: Name::from(subject),
        condition: Name::from(condition),
        raise,
    };
    for one in found.iter().filter(|one| !standing.contains(&one.condition)) {
        d.ops.push(set(&one.condition, Some(one.words.clone())));
    }
    for gone in standing.iter().filter(|old| !found.iter().any(|one| one.condition == **old)) {
        d.ops.push(set(gone, None));
    }
}

/// The conditions of a subject that a person was told of, of those that begin with one of these.
pub(super) fn standing(
    tx: &mut dyn Tx,
    subject: &str,
    kinds: &[&str],
) -> Result<Vec<String>, TxError> {
    let rows = tx.with::<Escalation>(None, vec![Name::from(subject).to_value()])?;
    let open = rows.into_iter().filter(|row| row.cleared_at.is_none());
    let names = open.map(|row| row.condition.to_string());
    Ok(names.filter(|name| kinds.iter().any(|kind| name.starts_with(kind))).collect())
}

impl Machine for StoreDog {
    type View = Record;

    fn address(&self) -> Address {
        Address::Dog(self.name())
    }

    fn db(&self) -> Db {
        Db::hq()
    }

    fn actor(&self) -> String {
        Identity::Dog(self.name()).actor()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<Record, TxError> {
        let name = self.name();
        let mut seen = recent(tx, &name, Some(RECENT))?;
        if seen.last.is_none() {
            seen = recent(tx, &name, None)?;
        }
        let subject = format!("database {}", self.target);
        seen.standing = standing(tx, &subject, &[self.trade.word()])?;
        Ok(seen)
    }

    fn decide(&mut self, seen: &Record, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        match input {
            Input::Told(Message::Dog(DogMessage::Run { .. })) => {
                if self.stage == Stage::Resting {
                    self.stage = Stage::Wants(Chore::Look);
                }
            }
            Input::Report { key, outcome } => {
                if let Stage::Wants(chore) = self.stage.clone()
                    && *key == effect(&self.target, &chore).key()
                {
                    self.driver.done(key);
                    self.reported(seen, chore, outcome, &mut d);
                }
            }
            Input::Wake | Input::Told(_) => {}
        }
        if let Stage::Wants(chore) = self.stage.clone() {
            let wanted = effect(&self.target, &chore);
            self.driver.want(&mut d, now, &self.limits, wanted);
        }
        d
    }
}

/// A dog's last runs, among the newest rows of all dogs.
fn recent(tx: &mut dyn Tx, name: &str, limit: Option<usize>) -> Result<Record, TxError> {
    let mut seen = Record::default();
    for row in tx.rows::<DogRun>(&Scan { reverse: true, limit, ..Scan::default() })? {
        if row.dog.as_str() != name {
            continue;
        }
        match detail(&row) {
            Some(run) if run.done.done => {
                seen.last = Some(run);
                break;
            }
            _ => seen.failures += 1,
        }
    }
    Ok(seen)
}

fn effect(db: &Db, chore: &Chore) -> Effect {
    Effect::Upkeep { db: db.clone(), chore: chore.clone() }
}
