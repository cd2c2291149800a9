//! Makes a history shorter without touching a row.
//!
//! The new history is built on a branch by a second connection, while the writer goes on. Either
//! engine lets one at a time commit, the embedded one by a lock that a waiter asks for again and
//! again, up to a tenth of a second apart: so both take turns in the writer's lane instead, a few
//! commits at a time. Then, in the lane: the commits that were made since the last turn are added,
//! content is compared, and one reset swaps the histories. It is a soft one, which touches no row.
//! A stop before the swap leaves a branch, which the next run removes; a stop after it leaves the
//! branch and garbage, which the next collection frees. Nothing has to be completed.

use std::collections::BTreeMap;

use crate::model::rows::TABLES;
use crate::model::upkeep::Plan;
use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::conn::civil;
use crate::store::conn::number;
use crate::store::keep::history;
use crate::store::keep::history::Entry;
use crate::store::outside::UNCOMMITTED;
use crate::store::past::STANDS_FOR;
use crate::store::pause;
use crate::store::signing::STORE_AUTHOR;
use crate::store::sql_tx::quoted;

/// The branch on which a new history is built.
const BRANCH: &str = "gt_compact";
/// Commits that are added to a draft at once; a town that makes more meanwhile is too busy.
const BEHIND_MAX: usize = 400;
/// Commits added in one turn: the writer waits for so many, and makes one or so between two turns,
/// so that a draft comes nearer with each round.
const A_TURN: usize = 3;
/// Commits that may be left to add while the writer waits for the swap.
const LAST_MAX: usize = 8;
/// Rounds in which a draft catches up, before the last one.
const ROUNDS: usize = 12;
/// Tries of a collection that finds somebody reading.
const COLLECT_TRIES: u32 = 6;
/// First wait between two of them, in milliseconds; doubles.
const COLLECT_WAIT_MS: u64 = 20;

/// Where a compaction may be stopped by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The new history is built; nothing of the old one was touched.
    Drafted,
    /// The lane is held, the draft is complete.
    Ready,
    /// The histories are swapped; the lane is still held.
    Swapped,
    /// The branch is gone.
    Tidied,
}

/// Is told of each point: for crash tests.
pub type Watch<'a> = &'a mut dyn FnMut(Point);

/// Something that writes, done at once.
pub type Step<'a> = &'a mut dyn FnMut() -> Result<(), ConnError>;

/// Does a step while nobody else writes.
pub type Turns<'a> = &'a dyn Fn(Step<'_>) -> Result<(), ConnError>;

/// Turns for a database that nobody else uses.
///
/// # Errors
/// The step's own.
pub fn at_once(step: Step<'_>) -> Result<(), ConnError> {
    step()
}

/// A new history on its branch.
pub struct Draft {
    conn: Box<dyn Conn>,
    /// The newest commit of it.
    tip: String,
    /// The commit of the old history that has the same content.
    at: String,
    /// How many commits it has, the root among them.
    commits: usize,
}

impl Draft {
    /// Commits of the new history.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.commits
    }
}

/// Builds the new history; `None` when it would be the old one. `conn` is used up: it stands on
/// the branch.
///
/// # Errors
/// As [`Conn::call`]. A branch may be left; the next run removes it.
pub fn draft(
    mut conn: Box<dyn Conn>,
    plan: &Plan,
    now_ms: i64,
    turns: Turns<'_>,
) -> Result<Option<Draft>, ConnError> {
    turns(&mut || remove_branch(conn.as_mut()))?;
    let log = history::newest(conn.as_mut(), None)?;
    let Some(root) = log.last().map(|entry| entry.hash.clone()) else { return Ok(None) };
    let dates: Vec<i64> = log.iter().map(|entry| entry.date_ms).collect();
    let mut kept = plan.kept(&dates, now_ms);
    // The root is the beginning of either history.
    kept.retain(|at| *at + 1 < log.len());
    if kept.len() + 1 >= log.len() {
        return Ok(None);
    }
    turns(&mut || {
        conn.call("dolt_branch", &[BRANCH, &root])?;
        conn.call("dolt_checkout", &[BRANCH]).map(|_| ())
    })?;
    let mut draft = Draft { conn, tip: root, at: log[0].hash.clone(), commits: 1 };
    let mut older = log.len() - 1;
    let mut wanted = Vec::with_capacity(kept.len());
    for at in kept.into_iter().rev() {
        wanted.push((&log[at], older - at));
        older = at;
    }
    draft.add_all(&wanted, turns)?;
    Ok(Some(draft))
}

impl Draft {
    /// Adds a commit that stands for `stands_for` of the old history.
    fn add(&mut self, entry: &Entry, stands_for: usize) -> Result<(), ConnError> {
        self.conn.call("dolt_reset", &["--hard", &entry.hash])?;
        self.conn.call("dolt_reset", &["--soft", &self.tip])?;
        let message = match stands_for {
            0 | 1 => entry.message.clone(),
            many => told(&entry.message, many),
        };
        let date = civil(entry.date_ms);
        let (author, date) = (entry.author.as_str(), date.as_str());
        let args = ["-Am", &message, "--author", author, "--date", date, "--allow-empty"];
        self.conn.call("dolt_commit", &args)?;
        self.tip = self.conn.head()?;
        self.at.clone_from(&entry.hash);
        self.commits += 1;
        Ok(())
    }

    /// Adds these, oldest first, a few in a turn.
    fn add_all(&mut self, wanted: &[(&Entry, usize)], turns: Turns<'_>) -> Result<(), ConnError> {
        for some in wanted.chunks(A_TURN) {
            turns(&mut || some.iter().try_for_each(|(entry, many)| self.add(entry, *many)))?;
        }
        Ok(())
    }

    /// Adds what was committed since; `main` stands on the old history. Answers how many commits
    /// that were, or `None` when the draft is no part of that history or more than `most` behind.
    fn follow(
        &mut self,
        main: &mut dyn Conn,
        most: usize,
        turns: Turns<'_>,
    ) -> Result<Option<usize>, ConnError> {
        if main.head()? == self.at {
            return Ok(Some(0));
        }
        let log = history::newest(main, Some(most + 1))?;
        let Some(behind) = log.iter().position(|entry| entry.hash == self.at) else {
            return Ok(None);
        };
        let wanted: Vec<_> = log[..behind].iter().rev().map(|entry| (entry, 1)).collect();
        self.add_all(&wanted, turns)?;
        Ok(Some(behind))
    }

    /// Follows until one commit or none is left to add, as far as that can be known; `None` when
    /// the history moved too far or was swapped by somebody else.
    ///
    /// # Errors
    /// As [`Conn::call`].
    pub fn catch_up(
        &mut self,
        main: &mut dyn Conn,
        turns: Turns<'_>,
    ) -> Result<Option<()>, ConnError> {
        for _ in 0..ROUNDS {
            match self.follow(main, BEHIND_MAX, turns)? {
                None => return Ok(None),
                Some(0 | 1) => break,
                Some(_) => {}
            }
        }
        Ok(Some(()))
    }

    /// Swaps the histories. `main` is the writer's connection, in no transaction, and nobody else
    /// writes. `Err(why)` inside: nothing was changed. The branch is left for [`remove_branch`].
    ///
    /// # Errors
    /// As [`Conn::call`].
    pub fn swap(
        mut self,
        main: &mut dyn Conn,
        watch: Watch<'_>,
    ) -> Result<Result<(), String>, ConnError> {
        if self.follow(main, LAST_MAX, &at_once)?.is_none() {
            return Ok(Err("the history moved too far meanwhile; the next run tries again".into()));
        }
        let made = content(self.conn.as_mut())?;
        let (before, old) = ((content(main)?, counts(main)?), main.head()?);
        if made != before.0 {
            return Ok(Err("the new history does not have the same content".into()));
        }
        watch(Point::Ready);
        main.call("dolt_reset", &["--soft", BRANCH])?;
        watch(Point::Swapped);
        // Rows stay as they are: nothing of them may differ from the new history.
        let changed = number(main, UNCOMMITTED)?;
        if changed > 0 || (content(main)?, counts(main)?) != before {
            main.call("dolt_reset", &["--soft", &old])?;
            return Ok(Err("rows differed after the swap; it was taken back".into()));
        }
        Ok(Ok(()))
    }
}

/// The message with the number of commits that it stands for, above its last line.
fn told(message: &str, commits: usize) -> String {
    let line = format!("{STANDS_FOR}{commits} commits");
    match message.rsplit_once("\n\n") {
        Some((first, last)) => format!("{first}\n\n{line}\n{last}"),
        None => format!("{message}\n\n{line}"),
    }
}

/// Removes the branch of a draft, if it is there. Nobody may stand on it.
///
/// # Errors
/// As [`Conn::call`].
pub fn remove_branch(conn: &mut dyn Conn) -> Result<(), ConnError> {
    let name = [Value::Text(BRANCH.to_owned())];
    if !conn.query("SELECT name FROM dolt_branches WHERE name = ?", &name)?.is_empty() {
        conn.call("dolt_branch", &["-D", BRANCH])?;
    }
    Ok(())
}

/// The hash of all versioned content.
fn content(conn: &mut dyn Conn) -> Result<String, ConnError> {
    let rows = conn.query("SELECT dolt_hashof_db('HEAD')", &[])?;
    match rows.into_iter().next().and_then(|row| row.into_iter().next()) {
        Some(Value::Text(hash)) => Ok(hash),
        other => Err(ConnError::Corrupt(format!("the content's hash is {other:?}"))),
    }
}

/// Rows of every table, those that are in no history too.
fn counts(conn: &mut dyn Conn) -> Result<BTreeMap<&'static str, i64>, ConnError> {
    let mut all = BTreeMap::new();
    for table in TABLES {
        let sql = format!("SELECT COUNT(*) FROM {}", quoted(table.name));
        all.insert(table.name, number(conn, &sql)?);
    }
    Ok(all)
}

/// Lets go of the history of a database that nobody else uses, and of what only that reaches.
///
/// # Errors
/// As [`Conn::call`].
pub fn rows_alone(conn: &mut dyn Conn) -> Result<(), ConnError> {
    if let Some(root) = history::newest(conn, None)?.last() {
        conn.call("dolt_reset", &["--soft", &root.hash])?;
        let args = ["-Am", "rows alone", "--author", STORE_AUTHOR, "--allow-empty"];
        conn.call("dolt_commit", &args)?;
    }
    collect(conn)
}

/// Frees what nothing reaches. `conn` is in no transaction. A reader in the way is waited for.
///
/// # Errors
/// As [`Conn::call`].
pub fn collect(conn: &mut dyn Conn) -> Result<(), ConnError> {
    let args = conn.dialect().collect;
    let mut tries = 0;
    loop {
        match conn.call("dolt_gc", args) {
            Err(ConnError::Busy(why)) if tries < COLLECT_TRIES => {
                tracing::debug!(%why, tries, "a collection waits");
                pause::millis(COLLECT_WAIT_MS << tries);
                tries += 1;
            }
            other => return other.map(|_| ()),
        }
    }
}
