//! `gt convoy list|status`.

use clap::Subcommand;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::ConvoyView;

/// Batches of work.
///
/// Every sling makes one; it lands when all of its beads are closed, and its owner is told once.
#[derive(Debug, Subcommand)]
pub enum Convoy {
    /// Show those that have not landed.
    List {
        /// Landed ones too.
        #[arg(long, short)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one with its beads.
    Status {
        /// Which.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Convoy {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        match self {
            Self::List { all, json } => {
                let convoys: Vec<ConvoyView> = here.ask(Query::Convoys { all })?;
                if json { render::json(&convoys) } else { list(&convoys) }
            }
            Self::Status { id, json } => {
                let convoys: Vec<ConvoyView> = here.ask(Query::Convoys { all: true })?;
                let found = convoys.into_iter().find(|convoy| convoy.id.as_str() == id);
                let Some(convoy) = found else {
                    return Err(DoorError::new("not_found", format!("no convoy '{id}'"))
                        .hint("'gt convoy list --all' shows them"));
                };
                if json { render::json(&convoy) } else { one(&convoy) }
            }
        }
    }
}

fn line(convoy: &ConvoyView) -> Vec<String> {
    let state = match &convoy.landed_at {
        Some(at) => format!("landed {at}"),
        None => format!("{} of {} closed", convoy.closed, convoy.total),
    };
    vec![convoy.id.to_string(), state, convoy.owner.clone(), convoy.title.clone()]
}

fn list(convoys: &[ConvoyView]) -> Result<u8, DoorError> {
    if convoys.is_empty() {
        return render::line("no convoys under way");
    }
    render::table(&["CONVOY", "STATE", "OWNER", "TITLE"], convoys.iter().map(line).collect())
}

fn one(convoy: &ConvoyView) -> Result<u8, DoorError> {
    render::line(&line(convoy).join("  "))?;
    for member in &convoy.members {
        let mark = if member.closed { "x" } else { " " };
        render::line(&format!("  [{mark}] {} ({})", member.bead, member.rig))?;
    }
    Ok(0)
}
