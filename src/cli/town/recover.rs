//! When the server does not open its data: what can be had, what would be missing, and putting it
//! in place once a person agrees.
//!
//! Two ways are tried on copies: the program's own repair, which throws away what it cannot read,
//! and the newest native backup. The one that knows the later key is proposed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::dolt::repair::Commit;
use crate::adapters::dolt::repair::Repair;
use crate::adapters::dolt::repair::written_at;
use crate::adapters::files;
use crate::adapters::layout::Town;
use crate::adapters::token;
use crate::cli::town::error::TownError;
use crate::cli::town::lock::TownLock;
use crate::cli::town::server::OwnServer;
use crate::config::town::TownFile;
use crate::store::keep::backup::BACKUP_DIR;
use crate::store::signing::key_of;

/// Where a whole database comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The program's own repair.
    Repair,
    /// The newest native backup.
    Backup,
}

/// A damaged database and what can be had of it.
#[derive(Clone, Debug, Serialize)]
pub struct Damaged {
    /// The database.
    pub db: String,
    /// What the program says of it.
    pub fault: String,
    /// Where it would come from; `None` when nothing can be had.
    pub source: Option<Source>,
    /// The newest commit that would be there.
    pub newest: Option<Commit>,
    /// Commits that are known and would be missing, newest first.
    pub missing: Vec<Commit>,
    /// When the database was last written, in milliseconds since the epoch: what was acknowledged
    /// between the newest commit and then may be missing too, and cannot be listed.
    pub written_at: i64,
    #[serde(skip)]
    whole: Option<PathBuf>,
    #[serde(skip)]
    path: PathBuf,
}

/// What a recovery would do.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Databases without a fault.
    pub sound: Vec<String>,
    /// The others.
    pub damaged: Vec<Damaged>,
    /// The word that confirms it; `None` when there is nothing to do, or nothing can be done.
    pub token: Option<String>,
}

/// What a recovery did.
#[derive(Clone, Debug, Serialize)]
pub struct Recovered {
    /// The plan that was confirmed.
    pub plan: Plan,
    /// Where the damaged databases are now.
    pub aside: PathBuf,
}

/// Looks at every database and says what could be done. The town and its server must be down.
///
/// # Errors
/// [`TownError::Locked`], [`TownError::Unfit`] while a server runs, the program cannot be run.
pub fn plan(town: &Town, own: &OwnServer) -> Result<Plan, TownError> {
    let _lock = TownLock::take(town, "gt dolt recover")?;
    let repair = begin(own)?;
    look(town, own, &repair)
}

/// Does what a plan with this word would do; damaged databases are moved aside, not deleted.
///
/// # Errors
/// As [`plan`]; [`TownError::Unfit`] when the word is not that of the present plan.
pub fn confirm(town: &Town, own: &OwnServer, word: &str) -> Result<Recovered, TownError> {
    let _lock = TownLock::take(town, "gt dolt recover")?;
    let repair = begin(own)?;
    let plan = look(town, own, &repair)?;
    if plan.token.as_deref() != Some(word) {
        let text = format!("'{word}' does not confirm what would be done: 'gt dolt recover'");
        return Err(TownError::Unfit(text));
    }
    let stamp = clock::now_ms() / 1000;
    let aside = town.root().join(format!(".dolt-data.damaged-{stamp}"));
    files::private_dir(&aside).map_err(TownError::io(&aside))?;
    for damaged in &plan.damaged {
        let Some(whole) = &damaged.whole else { continue };
        let kept = aside.join(&damaged.db);
        fs::rename(&damaged.path, &kept).map_err(TownError::io(&kept))?;
        fs::rename(whole, &damaged.path).map_err(TownError::io(&damaged.path))?;
    }
    let data = &own.site().data;
    fs::File::open(data).and_then(|dir| dir.sync_all()).map_err(TownError::io(data))?;
    Ok(Recovered { plan, aside })
}

fn begin(own: &OwnServer) -> Result<Repair<'_>, TownError> {
    if own.process()?.is_some() {
        let text = "the server runs, so it opened its data: 'gt dolt status' tells how it fares, \
                    'gt dolt stop' ends it";
        return Err(TownError::Unfit(text.to_owned()));
    }
    Ok(Repair::begin(own.site())?)
}

fn look(town: &Town, own: &OwnServer, repair: &Repair<'_>) -> Result<Plan, TownError> {
    let mut plan = Plan { sound: Vec::new(), damaged: Vec::new(), token: None };
    for path in own.site().databases()? {
        let db = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match repair.fault(&path)? {
            None => plan.sound.push(db),
            Some(fault) => plan.damaged.push(examine(town, repair, path, db, fault)?),
        }
    }
    let all = plan.damaged.iter().all(|damaged| damaged.whole.is_some());
    if all && !plan.damaged.is_empty() {
        plan.token = Some(word(&TownFile::read(town)?.id, &plan.damaged));
    }
    Ok(plan)
}

/// What can be had of one database, and what would be missing.
fn examine(
    town: &Town,
    repair: &Repair<'_>,
    path: PathBuf,
    db: String,
    fault: String,
) -> Result<Damaged, TownError> {
    let mut known = repair.commits(&path)?.unwrap_or_default();
    let backups = town.root().join(BACKUP_DIR).join(&db);
    let mut had = Vec::new();
    if let Some(copy) = repair.revived(&path)? {
        had.push((Source::Repair, copy));
    }
    // The second one is there only where a change of the two was stopped.
    for backup in [backups.join(&db), backups.join(format!("{db}.prev")), backups] {
        if let Some(copy) = repair.restored(&path, &backup)? {
            had.push((Source::Backup, copy));
            break;
        }
    }
    let mut best: Option<(i64, Source, PathBuf, Vec<Commit>)> = None;
    for (source, copy) in had {
        let Some(commits) = repair.commits(&copy)? else { continue };
        known.extend(commits.iter().cloned());
        let key = commits.iter().find_map(|commit| key_of(&commit.message)).unwrap_or(0);
        if best.as_ref().is_none_or(|(other, ..)| key > *other) {
            best = Some((key, source, copy, commits));
        }
    }
    let written_at = written_at(&path);
    let mut damaged = Damaged {
        db,
        fault,
        source: None,
        newest: None,
        missing: Vec::new(),
        written_at,
        whole: None,
        path,
    };
    if let Some((_, source, copy, commits)) = best {
        let kept: BTreeSet<&str> = commits.iter().map(|commit| commit.hash.as_str()).collect();
        let mut seen = BTreeSet::new();
        let gone = known.iter().filter(|commit| !kept.contains(commit.hash.as_str()));
        damaged.missing = gone.filter(|commit| seen.insert(&commit.hash)).cloned().collect();
        damaged.newest = commits.first().cloned();
        damaged.source = Some(source);
        damaged.whole = Some(copy);
    }
    Ok(damaged)
}

/// The word that belongs to this plan of this town.
fn word(town: &str, damaged: &[Damaged]) -> String {
    let parts = damaged.iter().map(|damaged| {
        let head = damaged.newest.as_ref().map_or("", |commit| commit.hash.as_str());
        format!("{} {head} {}", damaged.db, damaged.missing.len())
    });
    let text = format!("{town} {}", parts.collect::<Vec<_>>().join(" "));
    token::short_hash(text.as_bytes())
}
