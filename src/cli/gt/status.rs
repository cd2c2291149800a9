//! `gt status`.

use clap::Args;

use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::config::env;
use crate::gateway::client;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::AgentView;
use crate::messages::views::RigStatus;
use crate::messages::views::StatusView;
use crate::model::ids::Role;

/// Clears a terminal and goes to its top.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// The whole town at a glance.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gt status\n  gt status --watch\n  gt status --json | jq .rigs"
)]
pub struct Status {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show it again whenever something happens, until interrupted.
    #[arg(long, short, conflicts_with = "json")]
    watch: bool,
}

impl Status {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        if self.watch {
            return watch(&here);
        }
        let town: StatusView = here.ask(Query::Status)?;
        if self.json {
            return render::json(&town);
        }
        show(&town)
    }
}

/// Draws the town, and again at each event. Without a terminal each event is one line.
fn watch(here: &Here) -> Result<u8, DoorError> {
    if !here.is_up() {
        return Err(DoorError::new("unavailable", "the town is not running: nothing will happen")
            .hint("start it with 'gt up'; 'gt status' shows it as it stands"));
    }
    let lost = |error: &dyn std::fmt::Display| {
        DoorError::new("unavailable", format!("the daemon stopped telling: {error}"))
            .hint("'gt daemon status' tells whether it runs")
    };
    let events = client::events(&here.town.socket_path()).map_err(|error| lost(&error))?;
    let screen = env::is_terminal();
    let draw = || -> Result<(), DoorError> {
        if screen {
            render::raw(CLEAR)?;
        }
        show(&here.ask(Query::Status)?).map(|_| ())
    };
    draw()?;
    for event in events {
        let event = event.map_err(|error| lost(&error))?;
        match screen {
            true => draw()?,
            false => drop(render::line(&event)?),
        }
    }
    render::line("the daemon has ended")
}

/// Prints the town for a person.
pub(super) fn show(town: &StatusView) -> Result<u8, DoorError> {
    let running = if town.daemon.is_some() { "running" } else { "not running: gt up" };
    render::line(&format!("town {} ({running})", town.town.as_deref().unwrap_or("-")))?;
    for rig in &town.rigs {
        show_rig(rig)?;
    }
    if town.rigs.is_empty() {
        render::line("no rigs yet: gt rig add NAME REPOSITORY")?;
    }
    for escalation in &town.escalations {
        let text =
            format!("! {}: {} ({})", escalation.subject, escalation.condition, escalation.id);
        render::line(&text)?;
    }
    let mail = match town.unread_mail {
        0 => String::new(),
        n => format!(", {n} unread: gt mail inbox"),
    };
    render::line(&format!("{} open convoys{mail}", town.convoys))
}

fn show_rig(rig: &RigStatus) -> Result<(), DoorError> {
    let b = &rig.beads;
    render::line("")?;
    render::line(&format!(
        "{} ({}-): {} ready, {} in progress, {} blocked, {} closed of {}; {} slung and waiting",
        rig.name,
        rig.prefix,
        b.ready_issues,
        b.in_progress_issues,
        b.blocked_issues,
        b.closed_issues,
        b.total_issues,
        rig.orders
    ))?;
    let q = &rig.queue;
    let run = q.runs.iter().map(|run| format!(", run {run}")).collect::<String>();
    let held = if q.held > 0 { format!(", {} held", q.held) } else { String::new() };
    render::line(&format!("  queue    {}, {} waiting{held}{run}", q.step, q.queued))?;
    if let Some(frozen) = &q.frozen {
        render::line(&format!("  ! {}", frozen.words()))?;
    }
    if let Some(why) = &q.parked {
        render::line(&format!("  ! the queue waits for you: {why}"))?;
    }
    for agent in rig.agents.iter().filter(|agent| agent.fields.role_type == Role::Polecat) {
        render::line(&format!("  {}", worker(agent)))?;
    }
    Ok(())
}

/// A worker in one line.
pub(super) fn worker(agent: &AgentView) -> String {
    let bead = agent.fields.hook_bead.as_ref().map_or("", |id| id.as_str());
    let starts = match agent.fields.incarnation {
        0 => String::new(),
        n => format!("session {n}"),
    };
    format!("{:<10} {:<10} {:<14} {starts}", agent.name, agent.fields.agent_state, bead)
        .trim_end()
        .to_owned()
}
