//! `gt dog history`: what the town's dogs did.

use clap::Subcommand;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::DogRunView;

/// Upkeep of the ledger.
///
/// Dogs remove what is over, copy databases and read the copies back, bring rows into the git
/// archive, and make histories shorter. `mayor/daemon.json` says how often each looks; none does
/// anything where nothing has changed.
#[derive(Debug, Subcommand)]
pub enum Dog {
    /// Show what they did, newest first.
    History {
        /// Most runs.
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Dog {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let Self::History { limit, json } = self;
        let here = Here::find(at)?;
        let runs: Vec<DogRunView> = here.ask(Query::DogRuns { limit })?;
        if json {
            return render::json(&runs);
        }
        if runs.is_empty() {
            return render::line("no dog has done anything yet");
        }
        let head = ["AT", "DOG", "DATABASE", "COMMITS", "KB", "MS", "WHAT"];
        render::table(&head, runs.iter().map(line).collect())
    }
}

fn line(run: &DogRunView) -> Vec<String> {
    let (before, after) = (&run.done.before, &run.done.after);
    let change = |before: i64, after: i64| match before == after {
        true => after.to_string(),
        false => format!("{before} > {after}"),
    };
    let failed = if run.done.done { "" } else { "not done: " };
    vec![
        run.at.clone(),
        run.dog.clone(),
        run.db.to_string(),
        change(before.commits, after.commits),
        change(before.bytes / 1024, after.bytes / 1024),
        run.done.took_ms.to_string(),
        format!("{}: {failed}{}", run.chore, run.done.words),
    ]
}
