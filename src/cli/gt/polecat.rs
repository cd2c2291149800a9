//! `gt polecat list|status|nuke`.

use clap::Subcommand;
use serde_json::Value;
use serde_json::json;

use crate::adapters::sessions::Sessions;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::gt::status;
use crate::cli::render;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::AgentView;
use crate::messages::views::MrView;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::Role;

/// Most lines and bytes of a session's output that are shown.
const TAIL_LINES: usize = 15;
const TAIL_BYTES: u64 = 16 << 10;

/// Workers.
///
/// A worker's name is permanent; its sessions come and go with the work.
#[derive(Debug, Subcommand)]
pub enum Polecat {
    /// Show the workers of a rig, or of all.
    List {
        /// Of this rig only.
        rig: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one worker, its merge requests and the end of what it printed.
    Status {
        /// RIG/NAME.
        worker: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a worker for good: release, rescue, remove.
    ///
    /// Its bead is open again; work that is nowhere else is kept under refs/gt/rescue/.
    Nuke {
        /// RIG/NAME.
        worker: String,
    },
}

impl Polecat {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        match self {
            Self::List { rig, json } => list(&here, rig.map(RigName), json),
            Self::Status { worker, json } => one(&here, &worker, json),
            Self::Nuke { worker } => {
                let (rig, name) = parse(&worker)?;
                here.control::<Value>(Control::Nuke { rig, name })?;
                render::line(&format!("{worker} is gone; its bead is open again"))
            }
        }
    }
}

fn parse(worker: &str) -> Result<(RigName, String), DoorError> {
    match Identity::parse(worker) {
        Some(Identity::Polecat(rig, name)) => Ok((rig, name)),
        _ => Err(DoorError::new("usage", format!("'{worker}' is no worker: RIG/NAME"))
            .hint("'gt polecat list' shows the workers")),
    }
}

fn workers(here: &Here, rig: Option<RigName>) -> Result<Vec<AgentView>, DoorError> {
    if let Some(rig) = &rig {
        here.registry.rig(rig)?;
    }
    let mut all: Vec<AgentView> = here.ask(Query::Agents { rig })?;
    all.retain(|agent| agent.fields.role_type == Role::Polecat);
    Ok(all)
}

fn list(here: &Here, rig: Option<RigName>, json: bool) -> Result<u8, DoorError> {
    let all = workers(here, rig)?;
    if json {
        return render::json(&all);
    }
    if all.is_empty() {
        return render::line("no workers yet: they come with the first 'gt sling'");
    }
    let rows = all.iter().map(|agent| {
        let bead = agent.fields.hook_bead.as_ref().map_or(String::new(), ToString::to_string);
        let rig = agent.fields.rig.as_ref().map_or(String::new(), ToString::to_string);
        let branch = agent.branch.clone().unwrap_or_default();
        vec![format!("{rig}/{}", agent.name), agent.fields.agent_state.clone(), bead, branch]
    });
    render::table(&["WORKER", "STATE", "BEAD", "BRANCH"], rows.collect())
}

fn one(here: &Here, worker: &str, json: bool) -> Result<u8, DoorError> {
    let (rig, name) = parse(worker)?;
    let all = workers(here, Some(rig.clone()))?;
    let Some(agent) = all.iter().find(|agent| agent.name == name) else {
        return Err(DoorError::new("not_found", format!("rig {rig} has no worker '{name}'"))
            .hint(format!("'gt polecat list {rig}' shows them")));
    };
    let mut mrs: Vec<MrView> = here.ask(Query::Queue { rig: Some(rig), all: true })?;
    mrs.retain(|mr| mr.author == agent.id);
    let tail = match &agent.fields.session {
        None => String::new(),
        Some(session) => Sessions::new(here.town.clone())
            .tail(session, TAIL_LINES, TAIL_BYTES)
            .map_err(|error| DoorError::new("io", error.to_string()))?,
    };
    if json {
        return render::json(&json!({"agent": agent, "merge_requests": mrs, "tail": tail}));
    }
    render::line(&status::worker(agent))?;
    if let Some(branch) = &agent.branch {
        render::line(&format!("  branch {branch}"))?;
    }
    for mr in &mrs {
        render::line(&format!("  {} {} for {}", mr.id, mr.state, mr.bead))?;
    }
    if let Some(session) = &agent.fields.session {
        render::line(&format!("  session {session}:"))?;
        render::line(&tail)?;
    }
    Ok(0)
}
