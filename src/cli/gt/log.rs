//! `gt log`.

use clap::Args;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::ChangeView;

/// What was changed, by whom.
///
/// Every change of a bead, an agent, a merge request or a convoy is recorded with its actor.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gt log we-1a2\n  gt log we-web-polecat-alpha -n 5")]
pub struct Log {
    /// Of what: a bead, agent, merge request or convoy by id, an agent by address, a rig by name.
    id: String,
    /// The newest only.
    #[arg(long, short = 'n', default_value_t = 50)]
    lines: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Log {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let id = here.context.subject(&self.id)?;
        let mut all: Vec<ChangeView> = here.ask(Query::History { id })?;
        let old = all.len().saturating_sub(self.lines);
        all.drain(..old);
        if self.json {
            return render::json(&all);
        }
        let rows = all.into_iter().map(|c| vec![c.at, c.actor, c.op, c.detail.to_string()]);
        render::table(&["WHEN", "WHO", "WHAT", ""], rows.collect())
    }
}
