//! `gt dolt list`, `log` and `init-rig`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::database;
use super::told;
use crate::cli::bd::past;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::gt::rig;
use crate::cli::render;
use crate::cli::town::rig::NewRig;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::CommitView;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::value::Value;
use crate::store::error::StoreError;
use crate::store::ledger::Ledger;

/// Every database, its size and its newest commit.
#[derive(Debug, Args)]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One database.
#[derive(Serialize)]
struct Line {
    database: Db,
    /// The prefix of its ids; none belongs to no rig that is on the list.
    prefix: Option<String>,
    #[serde(flatten)]
    found: Option<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    path: PathBuf,
    /// Bytes on this machine's disk.
    bytes: i64,
}

/// What it says of itself.
#[derive(Serialize)]
struct Found {
    beads: i64,
    commit: String,
    date: String,
}

impl List {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let ledger = here.ledger()?;
        let known = here.context.databases();
        let mut names = ledger.databases().map_err(told)?;
        names.extend(known.iter().map(|(db, _)| db.clone()));
        names.sort();
        names.dedup();
        let lines: Vec<Line> = names
            .into_iter()
            .map(|database| {
                let looked = look(&ledger, &database);
                let path = ledger.path(&database);
                let prefix = known.iter().find(|(db, _)| *db == database);
                let error = looked.as_ref().err().map(ToString::to_string);
                let bytes = ledger.size(&database);
                let prefix = prefix.map(|(_, prefix)| prefix.clone());
                Line { database, prefix, found: looked.ok(), error, path, bytes }
            })
            .collect();
        if self.json {
            return render::json(&lines);
        }
        let rows = lines.into_iter().map(|line| {
            let whose = line.prefix.map_or("(no rig)".to_owned(), |prefix| format!("{prefix}-"));
            let (beads, newest) = match (line.found, line.error) {
                (Some(found), _) => {
                    let commit = found.commit.get(..12).unwrap_or(&found.commit).to_owned();
                    (found.beads.to_string(), format!("{} {commit}", found.date))
                }
                (None, error) => ("-".to_owned(), error.unwrap_or_default()),
            };
            vec![line.database.0, whose, beads, line.bytes.to_string(), newest]
        });
        render::table(&["DATABASE", "IDS", "BEADS", "BYTES", "NEWEST COMMIT"], rows.collect())
    }
}

fn look(ledger: &Ledger, db: &Db) -> Result<Found, StoreError> {
    ledger.query(db, |conn| {
        let count = conn.query("SELECT COUNT(*) FROM beads", &[])?;
        let beads = match count.first().and_then(|row| row.first()) {
            Some(Value::Int(count)) => *count,
            _ => 0,
        };
        let newest = crate::store::past::log(conn, Some(1))?;
        let newest = newest.first().map(CommitView::from);
        let (commit, date) = newest.map(|view| (view.commit, view.date)).unwrap_or_default();
        Ok(Found { beads, commit, date })
    })
}

/// The commits of a database, newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gt dolt log\n  gt dolt log web -n 0 --json")]
pub struct Log {
    /// The database [default: this directory's].
    db: Option<String>,
    /// Most commits; 0 is all.
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Log {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let db = database(&here, self.db.as_deref())?;
        let limit = (self.limit > 0).then_some(self.limit);
        let commits: Vec<CommitView> = here.ask(Query::Log { db, limit })?;
        past::print(&commits, self.json)
    }
}

/// Make the database of a rig that is on the list and has none.
///
/// As 'gt rig add' does it, whose other steps are done already; a database that is there is left
/// as it is. Its rows, if it had any, are in the newest backup: 'gt dolt recover'.
#[derive(Debug, Args)]
pub struct InitRig {
    /// The rig.
    rig: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl InitRig {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let name = RigName(self.rig);
        let entry = here.registry.rig(&name)?;
        let prefix = Some(entry.beads.prefix.clone());
        let new = NewRig { name, url: entry.git_url.clone(), prefix, target: None };
        let added = rig::add(&here, &new)?;
        match self.json {
            true => render::json(&added),
            false => render::line(&format!("the database of {} is there", added.name)),
        }
    }
}
