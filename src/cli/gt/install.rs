//! `gt install`.

use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;

use crate::cli::context::Wanted;
use crate::cli::render;
use crate::cli::town::install::NewTown;
use crate::cli::town::install::install;
use crate::config::DoltMode;
use crate::messages::door::DoorError;

/// Make a town in a directory.
///
/// The directory must be empty, or hold a town already: then what is missing is made again and
/// nothing else is touched. It may be repeated after a crash.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gt install ~/gt && cd ~/gt\n  gt install ~/gt --store server --dolt ~/bin/dolt"
)]
pub struct Install {
    /// Where; it is made if it is not there.
    dir: PathBuf,
    /// A name for people; else the directory's.
    #[arg(long, short)]
    name: Option<String>,
    /// Where the ledger is: files of an engine that is compiled in, or a Dolt server of the town's
    /// own (the program 'dolt' is needed then).
    #[arg(long, value_enum, value_name = "ENGINE")]
    store: Option<Engine>,
    /// Port of the town's own server on loopback; else 3307.
    #[arg(long)]
    port: Option<u16>,
    /// The program that serves; else 'dolt' in PATH.
    #[arg(long, value_name = "PROGRAM")]
    dolt: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The two engines, as words of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Compiled in: one file per database.
    Embedded,
    /// One 'dolt sql-server' per town.
    Server,
}

impl From<Engine> for DoltMode {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Embedded => Self::Embedded,
            Engine::Server => Self::Server,
        }
    }
}

impl Install {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let dir = at.directory.as_ref().map_or(self.dir.clone(), |base| base.join(&self.dir));
        let new = NewTown {
            name: self.name,
            mode: self.store.map(DoltMode::from),
            port: self.port,
            dolt: self.dolt,
        };
        let made = install(&dir, &new)?;
        if self.json {
            return render::json(&made);
        }
        let verb = if made.existed { "is whole" } else { "is ready" };
        render::line(&format!("town '{}' {verb} at {}", made.name, made.root))?;
        if !made.existed {
            // A rig's database is made on the server, which the daemon starts.
            let steps = match new.mode {
                Some(DoltMode::Server) => "gt up && gt rig add NAME REPOSITORY",
                Some(DoltMode::Embedded) | None => "gt rig add NAME REPOSITORY && gt up",
            };
            render::line(&format!("next: cd {} && {steps}", made.root))?;
        }
        Ok(0)
    }
}
