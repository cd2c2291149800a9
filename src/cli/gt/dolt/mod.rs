//! `gt dolt`: the server that has the ledger, and the ledger as Dolt sees it.

mod server;

use clap::Subcommand;

use crate::cli::context::Wanted;
use crate::messages::door::DoorError;

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
}

impl Dolt {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        match self {
            Self::Start(args) => args.run(at),
            Self::Stop(args) => args.run(at),
            Self::Restart(args) => args.run(at),
            Self::Status(args) => args.run(at),
            Self::Logs(args) => args.run(at),
        }
    }
}
