//! `gt install`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Wanted;
use crate::cli::render;
use crate::cli::town::install::install;
use crate::messages::door::DoorError;

/// Make a town in a directory.
///
/// The directory must be empty, or hold a town already: then what is missing is made again and
/// nothing else is touched. It may be repeated after a crash.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gt install ~/gt && cd ~/gt")]
pub struct Install {
    /// Where; it is made if it is not there.
    dir: PathBuf,
    /// A name for people; else the directory's.
    #[arg(long, short)]
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Install {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let dir = at.directory.as_ref().map_or(self.dir.clone(), |base| base.join(&self.dir));
        let made = install(&dir, self.name.as_deref())?;
        if self.json {
            return render::json(&made);
        }
        let verb = if made.existed { "is whole" } else { "is ready" };
        render::line(&format!("town '{}' {verb} at {}", made.name, made.root))?;
        if !made.existed {
            render::line(&format!(
                "next: cd {} && gt rig add NAME REPOSITORY && gt up",
                made.root
            ))?;
        }
        Ok(0)
    }
}
