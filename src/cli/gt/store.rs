//! `gt store convert|status|confirm`.

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use serde::Serialize;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::gt::install::Engine;
use crate::cli::render;
use crate::cli::town::convert;
use crate::cli::town::convert::Converted;
use crate::cli::town::convert::Journal;
use crate::cli::town::convert::OldStore;
use crate::cli::town::convert::OldStores;
use crate::config::DoltMode;
use crate::messages::door::DoorError;

/// Where the ledger is, and moving it between the two engines.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Move the ledger to the other engine.
    Convert(Convert),
    /// Which engine has the ledger, and which old stores are kept.
    Status(Status),
    /// Delete an old store that a conversion left.
    Confirm(Confirm),
}

/// Move the ledger to the other engine.
///
/// The town must be down. Every row of every database is copied into a new store and compared by
/// counts and digests; then the new store takes the old one's place. The history is not carried
/// over: it stays in the old store, which is moved aside until you confirm. Interrupted, the old
/// store stays the town's: repeat it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gt down && gt store convert --to server && gt up")]
pub struct Convert {
    /// The engine that the ledger moves to.
    #[arg(long, value_enum, value_name = "ENGINE")]
    to: Engine,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which engine has the ledger, and which old stores are kept.
#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Delete an old store that a conversion left.
///
/// Its history goes with it. The present store must be readable: start its server first.
#[derive(Debug, Args)]
pub struct Confirm {
    /// The word that 'gt store convert' and 'gt store status' print.
    token: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Told {
    mode: DoltMode,
    data_dir: PathBuf,
    interrupted: Option<DoltMode>,
    old_stores: Vec<OldStore>,
}

impl Store {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        if !matches!(self, Self::Status(_)) {
            Here::find(at)?.persons_only("move the ledger")?;
        }
        match self {
            Self::Convert(args) => args.run(at),
            Self::Status(args) => args.run(at),
            Self::Confirm(args) => args.run(at),
        }
    }
}

impl Convert {
    fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let done = convert::convert(&here.town, self.to.into())?;
        if self.json {
            return render::json(&done);
        }
        let Converted { mode, databases, old } = &done;
        for copied in databases {
            let tables = copied.digest.tables.values().filter(|table| table.rows > 0).count();
            render::line(&format!(
                "{}: {} rows in {tables} tables, counts and digests are the same",
                copied.db,
                copied.digest.rows()
            ))?;
        }
        let commits: i64 = databases.iter().map(|copied| copied.commits).sum();
        render::line(&format!("the ledger is {} now", mode.as_str()))?;
        render::line(&format!(
            "its history of {commits} commits is not carried over: it is kept in {}",
            old.path.display()
        ))?;
        render::line(&format!("when you need it no more: gt store confirm {}", old.token))
    }
}

impl Status {
    fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let told = Told {
            mode: here.settings.store.dolt_mode,
            data_dir: here.town.dolt_data(),
            interrupted: Journal::read(&here.town)?.map(|journal| journal.to),
            old_stores: OldStores::read(&here.town)?.stores,
        };
        if self.json {
            return render::json(&told);
        }
        render::line(&format!(
            "the ledger is {}, in {}",
            told.mode.as_str(),
            told.data_dir.display()
        ))?;
        if let Some(to) = told.interrupted {
            let to = to.as_str();
            render::line(&format!("! a conversion was interrupted: gt store convert --to {to}"))?;
        }
        for old in &told.old_stores {
            let rows: u64 = old.rows.iter().map(|(_, rows)| rows).sum();
            render::line(&format!(
                "an old {} store of {rows} rows is kept in {}: gt store confirm {}",
                old.mode.as_str(),
                old.path.display(),
                old.token
            ))?;
        }
        Ok(0)
    }
}

impl Confirm {
    fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let gone = convert::confirm(&here.town, &self.token)?;
        if self.json {
            return render::json(&gone);
        }
        render::line(&format!("{} is deleted", gone.path.display()))
    }
}
