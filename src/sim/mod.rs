//! The simulated town: the real machines over an in-memory ledger and a seeded world.
//!
//! The same decisions that run in production meet simulated git, gates, sessions and clock, and a
//! fault plan. It may name model, messages and machines; never actix, the store or an adapter.

mod cast;
mod event;
mod ledger;
pub mod memory;
pub mod memory_query;
mod oracle;
mod people;
mod plan;
pub mod queue_bench;
mod rng;
mod shelves;
mod town;
mod world;

use std::collections::BTreeMap;

use serde::Serialize;

pub use plan::Fault;
pub use plan::Faults;

use crate::machines::limits::Life;
use crate::machines::limits::Limits;
use crate::machines::refinery::QueueSettings;
use crate::model::ids::RigName;
use crate::model::merge::GateSpec;
use crate::model::merge::LandingStyle;
use crate::model::value::Name;
use cast::Casting;
use people::People;
use plan::Plan;
use town::Town;

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;
/// The simulated town's first moment: 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
/// Longest time that a town may take to come to rest.
const REST_MAX_MS: i64 = 5 * DAY_MS;
/// A town at rest is watched for this long.
const IDLE_MS: i64 = DAY_MS / 4;

/// One run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything follows from it.
    pub seed: u64,
    /// Simulated time in milliseconds before the town is left to come to rest.
    pub span_ms: i64,
    /// Rigs.
    pub rigs: usize,
    /// Workers, over all rigs.
    pub polecats: usize,
    /// How bad the world is.
    pub faults: Faults,
    /// Stop at the first violation.
    pub stop_early: bool,
}

impl Config {
    /// A run of so many days.
    #[must_use]
    pub fn days(seed: u64, days: f64, rigs: usize, polecats: usize, faults: Faults) -> Self {
        let span_ms = (days * DAY_MS as f64) as i64;
        Self { seed, span_ms, rigs, polecats, faults, stop_early: false }
    }
}

/// What a run gave.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Simulated milliseconds, coming to rest included.
    pub simulated_ms: i64,
    /// Events.
    pub events: u64,
    /// Hash of every delivered input with its ops and effects (I14).
    pub trace_hash: String,
    /// Broken invariants.
    pub violations: Vec<String>,
    /// The last steps before the first violation.
    pub last_steps: Vec<String>,
    /// Beads filed.
    pub beads_filed: u64,
    /// Beads merged.
    pub beads_merged: u64,
    /// Beads that a person closed while they waited to land.
    pub beads_given_up: u64,
    /// Commits that changed a database.
    pub commits: u64,
    /// Faults that happened, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Looks, by invariant.
    pub evaluations: BTreeMap<String, u64>,
}

fn casting(config: &Config) -> Casting {
    let names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];
    let rigs = (0..config.rigs.max(1)).map(|at| {
        let name = names.get(at).map_or_else(|| format!("rig{at}"), |name| (*name).to_owned());
        (RigName(name), format!("r{at}"))
    });
    let rigs: Vec<_> = rigs.collect();
    let limits =
        Limits { polecats_max: config.polecats.div_ceil(rigs.len()).max(1), ..Limits::default() };
    let gate = |name: &str| GateSpec::new(name, "true", 600_000);
    let queue = QueueSettings {
        target: "main".to_owned(),
        gates: vec![gate("test"), gate("lint")],
        gates_none: false,
        environment: Name::default(),
        style: LandingStyle::default(),
        batch_max: 16,
        batch_wait_ms: 0,
        slots: 2,
        evict_error_ppm: 100,
        base_age_ms: 3_600_000,
        stuck_max: 10,
        rework_max: 8,
    };
    Casting { rigs, limits, life: life(), queue }
}

/// Stored data lives so shortly that a run of days sees the end of it.
fn life() -> Life {
    Life {
        ephemera_keep_ms: DAY_MS / 2,
        beads_keep_ms: DAY_MS,
        commits_max: 400,
        ..Life::default()
    }
}

/// Runs a town from its first moment to rest.
#[must_use]
pub fn run(config: &Config) -> Report {
    let plan = Plan::new(config.seed, config.faults);
    let people = People::new(config.seed, 240_000);
    let mut town = Town::new(config.seed, casting(config), plan, people, START_MS);
    let end = START_MS + config.span_ms;
    live(&mut town, end, config);
    if town.oracle.violations.is_empty() || !config.stop_early {
        come_to_rest(&mut town, end, config);
    }
    town.oracle.hashed(town.steps);
    report(config, town)
}

fn live(town: &mut Town, until: i64, config: &Config) {
    town.until = until;
    while town.step() {
        if config.stop_early && !town.oracle.violations.is_empty() {
            return;
        }
    }
}

/// The person goes home, nothing breaks any more: everything must be decided, then nothing happen.
fn come_to_rest(town: &mut Town, end: i64, config: &Config) {
    town.plan.stop();
    town.people.quiet = true;
    live(town, end + REST_MAX_MS, config);
    let workers = town.casting.limits.polecats_max;
    town.oracle.at_rest(&mut town.books, workers);
    let (commits, effects) = (town.books.commits, town.oracle.effects);
    let waits = !town.people.is_idle();
    live(town, end + REST_MAX_MS + IDLE_MS, config);
    let written = town.books.commits - commits;
    let done = town.oracle.effects - effects;
    town.oracle.idle(written == 0 && done == 0 && !waits, || {
        format!("an idle town wrote {written} commits and did {done} effects")
    });
}

fn report(config: &Config, town: Town) -> Report {
    let evaluations = town.oracle.looks.iter().enumerate().skip(1);
    let last_steps = if town.oracle.violations.is_empty() { Vec::new() } else { town.log.into() };
    Report {
        seed: config.seed,
        simulated_ms: town.now - START_MS,
        events: town.steps,
        trace_hash: format!("{:016x}", town.trace.0),
        last_steps,
        beads_filed: town.people.filed(),
        beads_merged: town.oracle.merges,
        beads_given_up: town.oracle.given_up(),
        commits: town.books.commits,
        faults: town.plan.happened.iter().map(|(k, n)| (k.to_string(), *n)).collect(),
        evaluations: evaluations.map(|(at, n)| (format!("I{at}"), *n)).collect(),
        violations: town.oracle.violations,
    }
}
