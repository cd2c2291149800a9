//! `gt dolt`: the server that has the ledger, and the ledger as Dolt sees it.

mod data;
mod dump;
mod recover;
mod server;
mod sql;
mod sync;
mod upkeep;

use clap::Subcommand;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::messages::door::DoorError;
use crate::model::ids::Db;
use crate::store::conn::ConnError;
use crate::store::error::StoreError;

/// The ledger's server, and the ledger as Dolt sees it.
///
/// A town keeps its ledger in files of an engine that is compiled in, or on a Dolt server of its
/// own ('gt install --store server', 'gt store convert'). Where a command has no meaning in this
/// town's mode, it says so and names the one that has.
#[derive(Debug, Subcommand)]
pub enum Dolt {
    /// Start the town's own server, or find it running.
    Start(server::Start),
    /// End the town's own server.
    Stop(server::Stop),
    /// End it and start it again.
    Restart(server::Restart),
    /// Whether it runs, answers, and how it fares.
    Status(server::Status),
    /// Show the end of its log.
    Logs(server::Logs),
    /// Mend databases that the server does not open.
    Recover(recover::Recover),
    /// Ask the ledger in SQL.
    Sql(sql::Sql),
    /// Every database, its size and its newest commit.
    List(data::List),
    /// The commits of a database.
    Log(data::Log),
    /// Make the database of a rig that is on the list and has none.
    InitRig(data::InitRig),
    /// Write out every row of a database.
    Dump(dump::Dump),
    /// Push to a remote, or pull from one.
    Sync(sync::Sync),
    /// Make one commit of a whole history.
    Flatten(upkeep::Flatten),
    /// Make one commit of all but the newest ones.
    Rebase(upkeep::Rebase),
    /// Free what no commit and no row reaches any more.
    Gc(upkeep::Gc),
}

impl Dolt {
    fn only_looks(&self) -> bool {
        matches!(
            self,
            // The daemon, or the statement's own check, decides what a session may ask in SQL.
            Self::Status(_)
                | Self::Logs(_)
                | Self::Sql(_)
                | Self::List(_)
                | Self::Log(_)
                | Self::Dump(_)
        )
    }

    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        if !self.only_looks() {
            Here::find(at)?.persons_only("change the ledger's store")?;
        }
        match self {
            Self::Start(args) => args.run(at),
            Self::Stop(args) => args.run(at),
            Self::Restart(args) => args.run(at),
            Self::Status(args) => args.run(at),
            Self::Logs(args) => args.run(at),
            Self::Recover(args) => args.run(at),
            Self::Sql(args) => args.run(at),
            Self::List(args) => args.run(at),
            Self::Log(args) => args.run(at),
            Self::InitRig(args) => args.run(at),
            Self::Dump(args) => args.run(at),
            Self::Sync(args) => args.run(at),
            Self::Flatten(args) => args.run(at),
            Self::Rebase(args) => args.run(at),
            Self::Gc(args) => args.run(at),
        }
    }
}

/// The database that was named, or the one of this directory.
fn database(here: &Here, name: Option<&str>) -> Result<Db, DoorError> {
    let Some(name) = name else { return here.context.default_db() };
    let known = here.context.databases();
    if known.iter().any(|(db, _)| db.as_str() == name) {
        return Ok(Db::from(name));
    }
    let names: Vec<&str> = known.iter().map(|(db, _)| db.as_str()).collect();
    Err(DoorError::new("not_found", format!("there is no database '{name}'"))
        .hint(format!("there are: {}", names.join(", "))))
}

/// A failure of the store; what the engine said of the caller's own words is a refusal.
fn told(error: StoreError) -> DoorError {
    match error {
        StoreError::Engine { source: ConnError::Other(text), .. } => {
            DoorError::new("invalid", text)
        }
        other => DoorError::new(other.code(), other.to_string()),
    }
}
