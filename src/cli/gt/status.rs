//! `gt status`.

use clap::Args;

use crate::cli::gt::here::Here;
use crate::cli::gt::print;
use crate::config::env;
use crate::gateway::client;
use crate::messages::door::DoorError;
use crate::messages::door::Query;
use crate::messages::views::AgentView;
use crate::messages::views::RigStatus;
use crate::messages::views::StatusView;
use crate::model::ids::Role;

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
    pub(super) fn run(self) -> Result<u8, DoorError> {
        let here = Here::find()?;
        if self.watch {
            return watch(&here);
        }
        let town: StatusView = here.ask(Query::Status)?;
        if self.json {
            return print::json(&town);
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
            print::clear()?;
        }
        show(&here.ask(Query::Status)?).map(|_| ())
    };
    draw()?;
    for event in events {
        let event = event.map_err(|error| lost(&error))?;
        match screen {
            true => draw()?,
            false => drop(print::line(&event)?),
        }
    }
    print::line("the daemon has ended")
}

/// Prints the town for a person.
pub(super) fn show(town: &StatusView) -> Result<u8, DoorError> {
    let running = if town.daemon.is_some() { "running" } else { "not running: gt up" };
    print::line(&format!("town {} ({running})", town.town.as_deref().unwrap_or("-")))?;
    for rig in &town.rigs {
        show_rig(rig)?;
    }
    if town.rigs.is_empty() {
        print::line("no rigs yet: gt rig add NAME REPOSITORY")?;
    }
    for escalation in &town.escalations {
        let text =
            format!("! {}: {} ({})", escalation.subject, escalation.condition, escalation.id);
        print::line(&text)?;
    }
    let mail = match town.unread_mail {
        0 => String::new(),
        n => format!(", {n} unread: gt mail inbox"),
    };
    print::line(&format!("{} open convoys{mail}", town.convoys))
}

fn show_rig(rig: &RigStatus) -> Result<(), DoorError> {
    let b = &rig.beads;
    print::line("")?;
    print::line(&format!(
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
    let run = q.run.as_ref().map_or(String::new(), |run| format!(", run {run}"));
    let held = if q.held > 0 { format!(", {} held", q.held) } else { String::new() };
    print::line(&format!("  queue    {}, {} waiting{held}{run}", q.step, q.queued))?;
    if let Some(why) = &q.parked {
        print::line(&format!("  ! the queue waits for you: {why}"))?;
    }
    for agent in rig.agents.iter().filter(|agent| agent.fields.role_type == Role::Polecat) {
        print::line(&format!("  {}", worker(agent)))?;
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
