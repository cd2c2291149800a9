//! `gt agents`.

use clap::Args;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::AgentView;
use crate::model::ids::RigName;

/// Everybody in the town.
#[derive(Debug, Args)]
pub struct Agents {
    /// Of this rig only.
    #[arg(long)]
    rig: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Agents {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let rig = self.rig.map(RigName);
        if let Some(rig) = &rig {
            here.registry.rig(rig)?;
        }
        let all: Vec<AgentView> = here.ask(Query::Agents { rig })?;
        if self.json {
            return render::json(&all);
        }
        let rows = all.iter().map(|agent| {
            let fields = &agent.fields;
            let hook = fields.hook_bead.as_ref().map_or(String::new(), ToString::to_string);
            let class = fields.persistence.clone();
            vec![agent.actor.clone(), agent.id.to_string(), fields.agent_state.clone(), hook, class]
        });
        render::table(&["WHO", "BEAD", "STATE", "HOOK", "CLASS"], rows.collect())
    }
}
