//! The commands of `bd`, one file per family: parse, ask or write through the door, print.
//!
//! Flags and JSON follow upstream `bd` where agents use them. A family decides nothing about work.

mod about;
mod close;
mod create;
mod dep;
mod init;
mod issues;
mod list;
pub(crate) mod past;
mod remark;
mod show;
mod update;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::Parser;
use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::context::Wanted;
use crate::cli::error;
use crate::cli::render;
use crate::config::env::Env;
use crate::messages::door::DoorError;

/// Beads: the work there is, what it waits for, and who does it.
///
/// A bead has an id like gt-a1b, a status, a priority from 0 (first) to 4, and edges to beads that
/// must close before it. In a town each rig has its own beads, and the directory you are in says
/// which are meant; a full id or --rig always wins. Everything prints JSON with --json.
#[derive(Debug, Parser)]
#[command(
    name = "bd",
    version,
    max_term_width = 100,
    after_help = "\
What to do now:
  bd ready
  bd update gt-a1b --claim
  bd close gt-a1b -r 'parser mended'
New work:
  bd create 'Mend the parser' -t bug -p 1 -d 'It drops the last line'
  bd create 'Test the parser' --deps blocks:gt-a1b
  bd dep tree gt-a1b
Without a town:
  cd ~/notes && bd init"
)]
pub struct Bd {
    #[command(flatten)]
    common: Common,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Print JSON; errors too.
    #[arg(long, global = true)]
    json: bool,
    /// The rig whose beads are meant; 'hq' is the town itself.
    #[arg(long, global = true, value_name = "NAME")]
    rig: Option<String>,
    /// Who is written down as the author [default: $BD_ACTOR, else overseer].
    #[arg(long, global = true, value_name = "NAME")]
    actor: Option<String>,
    /// The town's directory [default: the one around you, else $GT_ROOT].
    #[arg(long, global = true, value_name = "DIR")]
    town: Option<PathBuf>,
    /// Run as if in this directory.
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Print nothing but what was asked for.
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// What a command runs with.
struct Run {
    context: Context,
    json: bool,
    quiet: bool,
}

impl Run {
    /// Says what was done, unless nobody wants to know.
    fn say(&self, text: &str) -> Result<u8, DoorError> {
        if self.quiet { Ok(error::OK) } else { render::line(text) }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a place for beads in a plain directory.
    Init(init::Init),
    /// Make a bead.
    #[command(visible_alias = "new")]
    Create(create::Create),
    /// Make a bead and print only its id.
    Q(create::Quick),
    /// Show beads with their edges.
    #[command(visible_alias = "view")]
    Show(show::Show),
    /// List beads that are not closed.
    List(list::List),
    /// List work that could start now.
    Ready(list::Ready),
    /// List work that waits for other work.
    Blocked(list::Blocked),
    /// Find beads by id or words of the title.
    Search(list::Search),
    /// Count beads.
    Count(list::Count),
    /// Change beads, claim one, or hand in the work on your hook.
    Update(update::Update),
    /// Close beads.
    #[command(visible_alias = "done")]
    Close(close::Close),
    /// Open closed beads again.
    Reopen(close::Reopen),
    /// Remove beads and their edges.
    Delete(close::Delete),
    /// Edges between beads.
    #[command(subcommand)]
    Dep(dep::Dep),
    /// Remark on a bead.
    Comment(remark::Comment),
    /// Show the remarks on a bead, or add one.
    Comments(remark::Comments),
    /// Labels of beads.
    #[command(subcommand)]
    Label(remark::Label),
    /// Numbers of a database.
    #[command(visible_alias = "status")]
    Stats(about::Stats),
    /// What was changed, when and by whom.
    History(past::History),
    /// What became of beads between two points in time.
    Diff(past::Diff),
    /// The commits of a database.
    Log(past::Log),
    /// Which database is meant here, and which rule says so.
    Where(about::Where),
    /// The types of beads.
    Types(about::Types),
    /// The statuses of beads.
    Statuses(about::Statuses),
    /// The program's version.
    Version(about::Version),
    /// A completion script for a shell.
    Completion(about::Completion),
}

/// Runs `bd` with these arguments, the program's name first.
#[must_use]
pub fn run_bd(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let as_json = args.iter().any(|arg| arg == "--json");
    let bd = match Bd::try_parse_from(args) {
        Ok(bd) => bd,
        Err(wrong) => return error::not_parsed("bd", &wrong, as_json),
    };
    let as_json = bd.common.json;
    match bd.run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => error::report("bd", &error, as_json),
    }
}

impl Bd {
    fn run(self) -> Result<u8, DoorError> {
        let Common { json, rig, actor, town, directory, quiet } = self.common;
        let env = Env::read();
        let command = match self.command {
            Command::Init(args) => {
                let actor = actor.or_else(|| env.actor.clone());
                return args.run(&env, directory.as_deref(), actor.as_deref(), (json, quiet));
            }
            Command::Version(args) => return args.run(json),
            Command::Completion(args) => return args.run(),
            Command::Types(args) => return args.run(json),
            Command::Statuses(args) => return args.run(json),
            other => other,
        };
        let context = Context::find(env, Wanted { town, directory, rig, actor })?;
        let run = Run { context, json, quiet };
        match command {
            Command::Create(args) => args.run(&run),
            Command::Q(args) => args.run(&run),
            Command::Show(args) => args.run(&run),
            Command::List(args) => args.run(&run),
            Command::Ready(args) => args.run(&run),
            Command::Blocked(args) => args.run(&run),
            Command::Search(args) => args.run(&run),
            Command::Count(args) => args.run(&run),
            Command::Update(args) => args.run(&run),
            Command::Close(args) => args.run(&run),
            Command::Reopen(args) => args.run(&run),
            Command::Delete(args) => args.run(&run),
            Command::Dep(args) => args.run(&run),
            Command::Comment(args) => args.run(&run),
            Command::Comments(args) => args.run(&run),
            Command::Label(args) => args.run(&run),
            Command::Stats(args) => args.run(&run),
            Command::History(args) => args.run(&run),
            Command::Diff(args) => args.run(&run),
            Command::Log(args) => args.run(&run),
            Command::Where(args) => args.run(&run),
            Command::Init(_)
            | Command::Version(_)
            | Command::Completion(_)
            | Command::Types(_)
            | Command::Statuses(_) => Ok(error::OK),
        }
    }
}
