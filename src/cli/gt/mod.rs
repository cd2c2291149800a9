//! The commands of `gt`, one file per family: parse, ask or write through the door, print.
//!
//! A family decides nothing about work; what a command needs of the town's own files is in
//! [`crate::cli::town`].

pub mod agents;

pub mod config;
pub mod convoy;
pub mod crew;
pub mod daemon;
pub mod dogs;
pub mod dolt;
pub mod done;
pub mod here;
pub mod hook;
pub mod install;
pub mod integration;
pub mod log;
pub mod mail;
pub mod mq;
mod mq_line;
mod mq_record;
pub mod place;
pub mod polecat;
pub mod proof;
pub mod rig;
pub mod running;
pub mod sim;
pub mod sling;
pub mod status;
pub mod store;
pub mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::context::Wanted;
use crate::cli::demo;
use crate::cli::error;
use crate::messages::door::DoorError;

/// Runs a town of coding agents on this machine.
///
/// Say what should be done as beads, sling them to a rig, and watch: workers do them side by side,
/// each in a worktree of its own, and only what passes the rig's gates lands.
#[derive(Debug, Parser)]
#[command(
    name = "gt",
    version,
    max_term_width = 100,
    after_help = "\
A first town:
  gt install ~/gt && cd ~/gt
  gt rig add web ~/src/web
  gt config set rigs.web.gates.test.cmd 'make test'
  gt up
  bd create 'Mend the parser' --rig web
  gt sling we-1a2 web
  gt status --watch

Beads have a command of their own: 'bd --help'."
)]
pub struct Gt {
    /// The town; else the one around this directory, or GT_ROOT.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Where")]
    town: Option<PathBuf>,
    /// Act as if started in this directory.
    #[arg(short = 'C', global = true, value_name = "DIR", help_heading = "Where")]
    directory: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a town in a directory.
    Install(install::Install),
    /// Projects of the town: add, list, remove.
    #[command(subcommand)]
    Rig(rig::Rig),
    /// Settings, agents and gates.
    #[command(subcommand)]
    Config(config::Config),
    /// Start the town.
    Up(running::Up),
    /// Stop the town; work stays assigned.
    Down(running::Down),
    /// The town's one process in the background.
    #[command(subcommand)]
    Daemon(daemon::Daemon),
    /// The ledger's server, and the ledger as Dolt sees it.
    #[command(subcommand)]
    Dolt(dolt::Dolt),
    /// Where the ledger is, and moving it between the two engines.
    #[command(subcommand)]
    Store(store::Store),
    /// The whole town at a glance.
    Status(status::Status),
    /// Hand beads to a rig's workers.
    Sling(sling::Sling),
    /// Take beads back that were slung.
    Unsling(sling::Unsling),
    /// Free a bead from whoever has it.
    Release(sling::Release),
    /// What is on a hook.
    Hook(hook::Hook),
    /// Who you are and what to do, for an agent at its start.
    Prime(hook::Prime),
    /// Hand in the work of this session.
    Done(done::Done),
    /// Have the gates run on your work as it would land.
    Verify(verify::Verify),
    /// Workers: list, status, nuke.
    #[command(subcommand, visible_alias = "polecats")]
    Polecat(polecat::Polecat),
    /// People's own clones: add, list, remove.
    #[command(subcommand)]
    Crew(crew::Crew),
    /// The merge queue.
    #[command(subcommand)]
    Mq(mq::Mq),
    /// Batches of work.
    #[command(subcommand)]
    Convoy(convoy::Convoy),
    /// Upkeep of the ledger: what the dogs did.
    #[command(subcommand)]
    Dog(dogs::Dog),
    /// Mail between agents and people.
    #[command(subcommand)]
    Mail(mail::Mail),
    /// Leave somebody a hint.
    Nudge(mail::Nudge),
    /// Everybody in the town.
    Agents(agents::Agents),
    /// What was changed, by whom.
    Log(log::Log),
    /// Which town, rig and database are meant here, and which rule says so.
    Where(place::Where),
    /// Show a whole town at work on a small repository made on the spot.
    Demo(demo::DemoArgs),
    /// Run simulated towns over a seeded world.
    Sim(sim::Sim),
    /// A completion script for a shell.
    Completions(place::Completions),
    /// The program's version.
    Version(place::Version),
    /// Host of one session or gate.
    #[command(hide = true)]
    SessionHost(place::SessionHost),
    /// An agent that follows the instructions in its bead.
    #[command(hide = true)]
    ScriptedAgent(place::ScriptedAgent),
}

impl Gt {
    /// Does what was asked for and gives the exit code.
    ///
    /// # Errors
    /// [`DoorError`] with a stable code and, where there is one, a hint.
    pub fn run(self) -> Result<u8, DoorError> {
        let at = Wanted { town: self.town, directory: self.directory, rig: None, actor: None };
        match self.command {
            Command::Install(args) => args.run(&at),
            Command::Rig(args) => args.run(&at),
            Command::Config(args) => args.run(&at),
            Command::Up(args) => args.run(&at),
            Command::Down(args) => args.run(&at),
            Command::Daemon(args) => args.run(&at),
            Command::Dolt(args) => args.run(&at),
            Command::Store(args) => args.run(&at),
            Command::Status(args) => args.run(&at),
            Command::Sling(args) => args.run(&at),
            Command::Unsling(args) => args.run(&at),
            Command::Release(args) => args.run(&at),
            Command::Hook(args) => args.run(&at),
            Command::Prime(args) => args.run(&at),
            Command::Done(args) => args.run(&at),
            Command::Verify(args) => args.run(&at),
            Command::Polecat(args) => args.run(&at),
            Command::Crew(args) => args.run(&at),
            Command::Mq(args) => args.run(&at),
            Command::Convoy(args) => args.run(&at),
            Command::Dog(args) => args.run(&at),
            Command::Mail(args) => args.run(&at),
            Command::Nudge(args) => args.run(&at),
            Command::Agents(args) => args.run(&at),
            Command::Log(args) => args.run(&at),
            Command::Where(args) => args.run(&at),
            Command::Demo(args) => args.run(),
            Command::Sim(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Version(args) => args.run(),
            Command::SessionHost(args) => args.run(),
            Command::ScriptedAgent(args) => args.run(),
        }
    }
}

/// Runs `gt` with these arguments, the program's name first, and gives its exit code.
#[must_use]
pub fn run_gt(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let as_json = args.iter().any(|arg| arg == "--json");
    let parsed = match Gt::try_parse_from(&args) {
        Ok(parsed) => parsed,
        Err(wrong) => return error::not_parsed("gt", &wrong, as_json),
    };
    tell_warnings(&parsed.command);
    match parsed.run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => error::report("gt", &error, as_json),
    }
}

/// What the rooms log goes to the error stream: of the daemon all that is worth a line, of a
/// command only warnings.
fn tell_warnings(command: &Command) {
    let daemon = matches!(command, Command::Daemon(daemon::Daemon::Run));
    let level = if daemon { LevelFilter::INFO } else { LevelFilter::WARN };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
    let lines = lines.with_ansi(false).with_target(daemon);
    // A second start in one process, as in a test, keeps the first one's.
    let kept = if daemon { lines.try_init() } else { lines.without_time().try_init() };
    drop(kept);
}
