//! `gt daemon`.

use clap::Subcommand;
use serde_json::json;

use crate::adapters::files;
use crate::cli::boot;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::town::lock::TownLock;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::StatusView;

/// Most bytes of a log that are shown.
const LOG_BYTES: u64 = 1 << 20;

/// The town's one process in the background.
#[derive(Debug, Subcommand)]
pub enum Daemon {
    /// Run it in the foreground until it is told to stop.
    Run,
    /// Whether it runs, and what it says of itself.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the end of its log.
    Logs {
        /// How many lines.
        #[arg(long, short = 'n', default_value_t = 50)]
        lines: usize,
    },
}

impl Daemon {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        match self {
            Self::Run => boot::run_daemon(here.town.root()).map(|()| 0).map_err(DoorError::from),
            Self::Status { json } => status(&here, json),
            Self::Logs { lines } => {
                let path = here.town.daemon().join("daemon.log");
                let text = files::tail(&path, lines, LOG_BYTES).map_err(|error| {
                    DoorError::new("io", format!("{}: {error}", path.display()))
                })?;
                if text.is_empty() { Ok(0) } else { render::line(&text) }
            }
        }
    }
}

fn status(here: &Here, json: bool) -> Result<u8, DoorError> {
    let Some(hello) = here.hello()? else {
        let holder = TownLock::holder(&here.town)?;
        if json {
            return render::json(&json!({"running": false, "lock": holder}));
        }
        return render::line(&match holder {
            None => "the daemon is not running: gt up".to_owned(),
            Some(holder) => format!("the daemon does not answer; {holder} has the town"),
        });
    };
    let town: StatusView = here.ask(Query::Status)?;
    if json {
        let own = json!({"running": true, "pid": hello.pid, "version": hello.version,
            "town": hello.town, "daemon": town.daemon});
        return render::json(&own);
    }
    render::line(&format!("running as process {}, version {}", hello.pid, hello.version))?;
    for (key, value) in town.daemon.iter().filter_map(|daemon| daemon.as_object()).flatten() {
        render::line(&format!("  {key}: {value}"))?;
    }
    Ok(0)
}
