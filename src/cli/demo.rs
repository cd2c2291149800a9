//! `gt demo`: a temporary town does eight pieces of real work before one's eyes.
//!
//! It uses the town from outside, as a person would: the `gt` and `bd` commands, a daemon of its
//! own, agents that are real processes, a real repository. What it reports at the end is read from
//! git, the gates' logs and the agents' own logs, not from the town's counters.

mod audit;
mod chaos;
mod screen;
mod server;
mod stage;
mod story;
mod watch;

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::adapters::clock;
use crate::adapters::tool::ToolError;
use crate::cli::demo::audit::Audit;
use crate::cli::demo::chaos::Chaos;
use crate::cli::demo::chaos::DAEMON_MS;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::server::ServerChaos;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::watch::Watch;
use crate::cli::gt::install::Engine;
use crate::messages::door::DoorError;

/// Show a whole town at work on a small repository made on the spot.
#[derive(Args, Clone, Debug)]
#[command(long_about = "Show a whole town at work.\n\n\
    Makes a temporary town with a small git repository, files beads with dependencies, slings \
    them, and watches four scripted agents (real processes that use only 'gt', 'bd' and git) do \
    the work. Two changes are green alone and red together; one agent is killed in the middle of \
    its work. At the end an auditor reads git, the gates' logs and the agents' own logs.\n\n\
    Examples:\n  gt demo\n  gt demo --keep /tmp/town --workers 2\n  gt demo --json\n  \
    gt demo --store server --server-kills 10")]
pub struct DemoArgs {
    /// Keep the town in this directory, which must not exist or be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the summary as JSON on the last line
    #[arg(long)]
    json: bool,
    /// Workers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=16))]
    workers: u64,
    /// Beads
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=200))]
    beads: u64,
    /// Seconds until the demo gives up
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// Make a gate that is always red: nothing may land
    #[arg(long)]
    red_gate: bool,
    /// Kill the daemon (-9) at this many seeded moments and start it again
    #[arg(long, default_value_t = 0)]
    kills: u64,
    /// Kill the Dolt server (-9) at this many seeded moments; the town starts it again
    #[arg(long, default_value_t = 0)]
    server_kills: u64,
    /// Where the ledger is
    #[arg(long, value_enum, value_name = "ENGINE", default_value = "embedded")]
    store: Engine,
    /// The program that serves with '--store server'; else 'dolt' in PATH
    #[arg(long, value_name = "PROGRAM")]
    dolt: Option<String>,
    /// Seed of those moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start the daemon again whenever it is gone
    #[arg(long, hide = true)]
    restart: bool,
}

/// Why there was no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A program.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Files.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something answered in another way than it should.
    #[error("{0}")]
    Odd(String),
}

impl DemoError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// The summary; its first fields are those that matter.
#[derive(Clone, Debug, Serialize)]
struct Summary {
    beads_closed: u64,
    merged: u64,
    lost: u64,
    doubled: u64,
    red_landings: u64,
    beads: u64,
    workers: u64,
    landings: u64,
    gate_runs: u64,
    gate_runs_red: u64,
    merge_requests: u64,
    culprits: u64,
    runs_bound: u64,
    runs_serial: u64,
    sessions: u64,
    sessions_cut_short: u64,
    reworked: u64,
    daemon_kills: u64,
    daemon_deaths: u64,
    server_deaths: u64,
    recover_ms: Option<u64>,
    proof: String,
    seconds: f64,
    town: Option<String>,
}

impl DemoArgs {
    /// Whether the daemon or the server will be gone now and then.
    fn expects_deaths(&self) -> bool {
        self.restart || self.kills > 0 || self.server_kills > 0
    }

    /// Runs the demo; the exit code is 1 unless everything landed.
    ///
    /// # Errors
    /// The demo could not be staged or watched.
    pub fn run(&self) -> Result<u8, DoorError> {
        if self.server_kills > 0 && self.store == Engine::Embedded {
            return Err(DoorError::new("usage", "an embedded ledger has no server to kill")
                .hint("add '--store server'"));
        }
        let mut screen = Screen::open();
        let result = run(self, &mut screen);
        screen.close();
        let good = result.map_err(|error| DoorError::new("demo", error.to_string()))?;
        Ok(u8::from(!good))
    }
}

fn run(args: &DemoArgs, out: &mut Screen) -> Result<bool, DemoError> {
    let started = clock::instant();
    let stage = Stage::build(args, out)?;
    let result = play(args, &stage, out, started);
    let down = stage.gt(&["down"]);
    out.close();
    let Played { audit, kills, deaths, server_deaths, recover_ms, proof } = match result {
        Ok(done) => done,
        Err(error) => {
            stage.unless_asked_to_end();
            out.line(&format!("the town's files are kept in {}", stage.dir.display()));
            return Err(error);
        }
    };
    down?;
    let kept = args.keep.is_some();
    let summary = Summary {
        beads_closed: audit.beads_closed,
        merged: audit.merged,
        lost: audit.lost,
        doubled: audit.doubled,
        red_landings: audit.red_landings,
        beads: args.beads,
        workers: args.workers,
        landings: audit.landings,
        gate_runs: audit.gate_runs,
        gate_runs_red: audit.gate_runs_red,
        merge_requests: audit.merge_requests,
        culprits: audit.culprits,
        runs_bound: least_runs(audit.merge_requests, audit.culprits),
        runs_serial: audit.merge_requests,
        sessions: audit.sessions,
        sessions_cut_short: audit.sessions_cut_short,
        reworked: audit.reworked,
        daemon_kills: kills,
        daemon_deaths: deaths,
        server_deaths,
        recover_ms,
        proof,
        seconds: (started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        town: kept.then(|| stage.town.display().to_string()),
    };
    let good = good(&summary);
    if kept {
        out.note(&format!("kept: cd {} && gt mq proof", stage.town.display()));
    } else if good || args.red_gate {
        stage.remove()?;
    } else {
        out.line(&format!("the town's files are kept in {}", stage.dir.display()));
    }
    // Last, so that the summary is the last line.
    show(args, &summary, good, out)?;
    Ok(good)
}

/// Runs without which nobody can tell which of so many are the culprits: the bits in that answer.
fn least_runs(all: u64, culprits: u64) -> u64 {
    let ways: f64 = (0..culprits).map(|at| (all - at) as f64 / (at + 1) as f64).product();
    (ways.log2().ceil() as u64).max(u64::from(all > 0))
}

fn good(s: &Summary) -> bool {
    let all = s.merged == s.beads && s.beads_closed == s.beads;
    all && s.lost == 0 && s.doubled == 0 && s.red_landings == 0 && s.proof == "clean"
}

/// What came of it.
struct Played {
    audit: Audit,
    kills: u64,
    deaths: u64,
    server_deaths: u64,
    recover_ms: Option<u64>,
    proof: String,
}

fn play(
    args: &DemoArgs,
    stage: &Stage,
    out: &mut Screen,
    started: Instant,
) -> Result<Played, DemoError> {
    let beads = story::file(stage, args, out)?;
    let deadline = started + Duration::from_secs(args.timeout);
    let mut chaos = Chaos::new(args.seed, args.kills, DAEMON_MS);
    let mut server = ServerChaos::new(args.seed, args.server_kills);
    let mut watch = Watch::new(stage, &beads, deadline, args.expects_deaths());
    watch.run(&mut chaos, &mut server, out)?;
    let proof = stage.proof()?;
    let audit = Audit::read(stage, &beads)?;
    let (kills, deaths) = (chaos.done(), watch.restarts());
    let (server_deaths, recover_ms) = (server.done(), server.longest_ms());
    Ok(Played { audit, kills, deaths, server_deaths, recover_ms, proof })
}

fn show(args: &DemoArgs, s: &Summary, good: bool, out: &mut Screen) -> Result<(), DemoError> {
    if args.json {
        let text = serde_json::to_string(s).map_err(|error| DemoError::Odd(error.to_string()))?;
        out.line(&text);
        return Ok(());
    }
    out.line("");
    out.line("What git, the gates' logs and the agents' own logs say:");
    let rows = [
        ("beads closed", format!("{} of {}", s.beads_closed, s.beads)),
        ("merged (commits on main)", s.merged.to_string()),
        ("lost", s.lost.to_string()),
        ("doubled", s.doubled.to_string()),
        ("landings, each checked out and tested again", s.landings.to_string()),
        ("landings that are red", s.red_landings.to_string()),
        ("merge requests tested (culprits)", format!("{} ({})", s.merge_requests, s.culprits)),
        ("gate runs (red)", format!("{} ({})", s.gate_runs, s.gate_runs_red)),
        (
            "  the least, had all waited at once; one by one",
            format!("{}; {}", s.runs_bound, s.runs_serial),
        ),
        ("sent back and reworked", s.reworked.to_string()),
        ("sessions (cut short)", format!("{} ({})", s.sessions, s.sessions_cut_short)),
        (
            "daemon killed here (died otherwise)",
            format!("{} ({})", s.daemon_kills, s.daemon_deaths),
        ),
        ("server killed here", s.server_deaths.to_string()),
        (
            "longest wait for a write after such a kill",
            s.recover_ms.map_or("-".to_owned(), |ms| format!("{ms} ms")),
        ),
        ("proof of every landing", s.proof.clone()),
        ("seconds", format!("{:.1}", s.seconds)),
    ];
    for (what, value) in rows {
        out.line(&format!("  {what:<48} {value}"));
    }
    let verdict =
        if good { "Only green work landed, all of it, once." } else { "Not everything landed." };
    out.line(verdict);
    Ok(())
}
