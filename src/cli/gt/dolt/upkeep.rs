//! `gt dolt flatten|rebase|gc`, and putting a backup back: what the dogs do by themselves, by hand.
//!
//! What takes something away wants a word first that is bound to the database and to what is in it:
//! without it a command only says what would go.

use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::database;
use super::told;
use crate::adapters::clock;
use crate::cli::context::Wanted;
use crate::cli::error;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::town::keep::TownKeep;
use crate::cli::town::lock::TownLock;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::messages::views::CommitView;
use crate::messages::views::rfc3339;
use crate::model::ids::Db;
use crate::model::past::Commit;
use crate::model::upkeep::Chore;
use crate::model::upkeep::ChoreDone;
use crate::model::upkeep::Plan;
use crate::model::value::Value;
use crate::store::past;
use crate::store::port::HeldLedger;
use crate::store::port::Keep;

/// Commits of a list that are shown to a person.
const SHOWN: usize = 20;

/// Make one commit of a whole history.
///
/// Every row stays; what was at any earlier time is gone. A backup of the newest commit is made first
/// where there is none. The first call says what would go and prints the word that --confirm wants.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gt dolt flatten web\n  gt dolt flatten web --confirm TOKEN")]
pub struct Flatten {
    /// The database.
    db: String,
    /// The word that the first call printed.
    #[arg(long, value_name = "TOKEN")]
    confirm: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Make one commit of all but the newest ones.
///
/// As 'gt dolt flatten', but the newest commits stay as they are.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gt dolt rebase web --keep 200")]
pub struct Rebase {
    /// The database.
    db: String,
    /// How many of the newest commits stay.
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(i64).range(1..))]
    keep: i64,
    /// The word that the first call printed.
    #[arg(long, value_name = "TOKEN")]
    confirm: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Free what no commit and no row reaches any more.
///
/// Only this database's writer waits meanwhile. A long history is made shorter first: what it
/// reaches is not freed.
#[derive(Debug, Args)]
pub struct Gc {
    /// The database.
    db: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Flatten {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        shorten(at, &self.db, Plan::Flatten, self.confirm.as_deref(), self.json)
    }
}

impl Rebase {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let plan = Plan::Last { commits: self.keep };
        shorten(at, &self.db, plan, self.confirm.as_deref(), self.json)
    }
}

impl Gc {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let db = database(&here, Some(&self.db))?;
        // Before anything is taken: a store that cannot be asked is told as that.
        here.ledger()?.query(&db, |conn| conn.head()).map_err(told)?;
        let done = work(&here, &db, Chore::Collect)?;
        tell(&db, &done, self.json)
    }
}

/// What a shorter history would lose.
#[derive(Serialize)]
struct Stake {
    database: Db,
    /// Commits that are there.
    commits: usize,
    /// Commits that would be gone.
    going: usize,
    /// The oldest of them.
    oldest: String,
    /// Rows of beads, which all stay.
    beads: i64,
    /// What --confirm wants.
    token: String,
    done: bool,
}

fn shorten(
    at: &Wanted,
    name: &str,
    plan: Plan,
    confirm: Option<&str>,
    as_json: bool,
) -> Result<u8, DoorError> {
    let here = Here::find(at)?;
    let db = database(&here, Some(name))?;
    let (log, beads) = here
        .ledger()?
        .query(&db, |conn| {
            let count = conn.query("SELECT COUNT(*) FROM beads", &[])?;
            let beads = match count.first().and_then(|row| row.first()) {
                Some(Value::Int(count)) => *count,
                _ => 0,
            };
            Ok((past::log(conn, None)?, beads))
        })
        .map_err(told)?;
    let stake = stake(&db, &log, beads, &plan);
    if stake.going == 0 {
        let words = format!("the history of {db} is that short already");
        return match as_json {
            true => render::json(&stake),
            false => render::line(&words),
        };
    }
    match confirm {
        Some(word) if word == stake.token => {
            let done = work(&here, &db, Chore::Compact { plan })?;
            tell(&db, &done, as_json)
        }
        Some(_) => Err(DoorError::new("not_confirmed", "this word is not for what is there now")
            .hint("look again: the same command without --confirm prints the word")),
        None => {
            if as_json {
                render::json(&stake)?;
                return Ok(error::REFUSED);
            }
            let Stake { commits, going, oldest, token, .. } = &stake;
            render::line(&format!(
                "{going} of {commits} commits of {db} would be gone, back to {oldest}; all rows stay \
                 ({beads} beads), and a backup is made first"
            ))?;
            render::line(&format!("nothing was done; to do it: --confirm {token}"))?;
            Ok(error::REFUSED)
        }
    }
}

fn stake(db: &Db, log: &[Commit], beads: i64, plan: &Plan) -> Stake {
    // The engine's own commit, the last one, stays under every history and tells it from others.
    let (root, own) = match log.split_last() {
        Some((root, own)) => (root.hash.get(..8).unwrap_or_default(), own),
        None => ("", log),
    };
    let dates: Vec<i64> = own.iter().map(|commit| commit.at).collect();
    let kept = plan.kept(&dates, clock::now_ms()).len();
    // What stood before the oldest kept one is one commit already.
    let going = own.len().saturating_sub(kept.max(1));
    Stake {
        database: db.clone(),
        commits: own.len(),
        going,
        oldest: own.last().map(|commit| rfc3339(commit.at)).unwrap_or_default(),
        beads,
        token: format!("{db}-{root}-{beads}-{going}"),
        done: false,
    }
}

/// Has the daemon do a chore, or without one does it here.
fn work(here: &Here, db: &Db, chore: Chore) -> Result<ChoreDone, DoorError> {
    let what = format!("{} of {db}", chore.name());
    patiently(&what, || {
        if here.is_up() {
            return here.control(Control::Upkeep { db: db.clone(), chore });
        }
        // Looked for before the town is taken: without its server nothing is written anywhere.
        let ledger = Arc::new(here.ledger()?);
        let lock = TownLock::take(&here.town, "gt dolt")?;
        let wait_ms = here.settings.store.writer_wait_ms;
        let held = Arc::new(HeldLedger::new(ledger, wait_ms));
        let keep = TownKeep::new(here.town.root().to_owned(), held, &here.settings);
        let done = keep.keep(db, &chore, clock::now_ms());
        drop(lock);
        done.map_err(|why| DoorError::new("upkeep", why))
    })
}

fn tell(db: &Db, done: &ChoreDone, as_json: bool) -> Result<u8, DoorError> {
    if !done.done {
        return Err(DoorError::new("not_now", format!("nothing was done: {}", done.words))
            .hint("try again when less is going on"));
    }
    if as_json {
        return render::json(&json!({"database": db, "done": true, "run": done}));
    }
    let (before, after) = (&done.before, &done.after);
    render::line(&format!(
        "{db}: {} ({} -> {} commits, {} -> {} bytes)",
        done.words, before.commits, after.commits, before.bytes, after.bytes
    ))
}

/// Puts the newest backup in the place of a database; without the right word it says what would be
/// missing.
pub(super) fn restore(
    here: &Here,
    name: &str,
    confirm: Option<&str>,
    as_json: bool,
) -> Result<u8, DoorError> {
    if here.is_up() {
        return Err(DoorError::new("not_now", "the town is running")
            .hint("'gt down' first: nobody may write while a store is put back"));
    }
    let db = database(here, Some(name))?;
    let ledger = here.ledger()?;
    let Some(backup) = ledger.backup(&db).map_err(told)? else {
        return Err(DoorError::new("not_found", format!("there is no backup of {db}"))
            .hint("'gt dog history' shows what the backup dog did"));
    };
    let head = backup.head.get(..12).unwrap_or(&backup.head).to_owned();
    let token = format!("{db}-{}-{}", &head[..8.min(head.len())], backup.digest.rows());
    let taken = rfc3339(backup.taken_at);
    match confirm {
        Some(word) if word == token => {}
        Some(_) => {
            let text = "this word is not for the newest backup";
            return Err(DoorError::new("not_confirmed", text)
                .hint("look again: the same command without --confirm prints the word"));
        }
        None => {
            let missing = missing(&ledger.query(&db, |conn| past::log(conn, None)), &backup.head);
            if as_json {
                let (commits, unknown) = missing;
                render::json(&json!({
                    "database": db, "backup": head, "taken_at": taken, "token": token,
                    "missing": commits, "unknown": unknown, "done": false,
                }))?;
                return Ok(error::REFUSED);
            }
            render::line(&format!("the backup of {db} is of {taken}, commit {head}"))?;
            say_missing(missing)?;
            render::line(&format!("nothing was done; to put it back: --confirm {token}"))?;
            return Ok(error::REFUSED);
        }
    }
    let lock = TownLock::take(&here.town, "gt dolt recover")?;
    let restored = patiently(&format!("recover of {db}"), || ledger.restore(&db));
    drop(lock);
    let restored = restored.map_err(told)?;
    if as_json {
        return render::json(&json!({
            "database": db, "done": true, "commit": restored.head, "from": restored.from,
            "aside": restored.aside,
        }));
    }
    let from = restored.from.display();
    let at = &restored.head;
    render::line(&format!("{db} is as it was at commit {at}, from {from}"))?;
    if restored.head != head {
        let words = format!("the backup of {taken} could not be read: this is the one before it");
        render::line(&words)?;
    }
    match restored.aside {
        Some(aside) => render::line(&format!("what was there is kept: {}", aside.display())),
        None => Ok(0),
    }
}

/// Commits that a backup does not have, and why they are not known.
type Missing = (Vec<CommitView>, Option<String>);

fn missing(log: &Result<Vec<Commit>, crate::store::error::StoreError>, backed_up: &str) -> Missing {
    match log {
        Err(error) => (Vec::new(), Some(error.to_string())),
        Ok(log) => match log.iter().position(|commit| commit.hash == backed_up) {
            Some(at) => (log[..at].iter().map(CommitView::from).collect(), None),
            None => {
                let why = "the history was made shorter since the backup".to_owned();
                (log.iter().map(CommitView::from).collect(), Some(why))
            }
        },
    }
}

fn say_missing((commits, unknown): Missing) -> Result<u8, DoorError> {
    if let Some(why) = unknown {
        render::line(&format!("what it lacks is not known exactly: {why}"))?;
    }
    if commits.is_empty() {
        return Ok(0);
    }
    render::line(&format!("{} acknowledged commits are not in it:", commits.len()))?;
    for commit in commits.iter().take(SHOWN) {
        let hash = commit.commit.get(..12).unwrap_or(&commit.commit);
        render::line(&format!("  {hash}  {}  {}", commit.date, commit.message))?;
    }
    match commits.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => render::line(&format!("  and {more} more: --json has all")),
        _ => Ok(0),
    }
}

/// Does something, and says on the error stream that it still goes on: after a second, after two,
/// after four ...
fn patiently<T>(what: &str, work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        scope.spawn(move || {
            let mut seconds: u32 = 0;
            while waiting.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                seconds += 1;
                if seconds.is_power_of_two() {
                    render::complain(&format!("{what}: {seconds} s so far"));
                }
            }
        });
        let answer = work();
        drop(done);
        answer
    })
}
