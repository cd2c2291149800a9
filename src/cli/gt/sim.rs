//! `gt sim`: the town's own machines over a simulated world, faster than real time by thousands.

use clap::Args;
use serde_json::Value;
use serde_json::json;

use crate::adapters::clock::Stopwatch;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::sim;
use crate::sim::Config;
use crate::sim::Faults;

/// Run simulated towns: the same decisions, a seeded world, every invariant checked.
///
/// The same seed gives the same trace, byte for byte. A broken invariant prints the seed and the
/// last steps, and the exit code is 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gt sim --seed 7 --days 1
  gt sim --seed 7 --days 7 --rigs 3 --polecats 30 --faults heavy --json")]
pub struct Sim {
    /// Everything follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated days before the town is left to come to rest
    #[arg(long, default_value_t = 1.0)]
    days: f64,
    /// Rigs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    rigs: u64,
    /// Workers, over all rigs
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1000))]
    polecats: u64,
    /// How bad the world is: none, light or heavy
    #[arg(long, default_value = "none", value_parser = parse_faults)]
    faults: Faults,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn parse_faults(word: &str) -> Result<Faults, String> {
    word.parse().map_err(|error: crate::model::value::UnknownWord| error.to_string())
}

impl Sim {
    /// Runs it; the exit code is 1 when an invariant was broken.
    ///
    /// # Errors
    /// The number of days makes no sense, or nothing can be printed.
    pub fn run(&self) -> Result<u8, DoorError> {
        if !(self.days > 0.0 && self.days <= 3650.0) {
            return Err(DoorError::new("usage", "--days needs a number above 0, up to 3650"));
        }
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (rigs, polecats) = (size(self.rigs), size(self.polecats));
        let config = Config::days(self.seed, self.days, rigs, polecats, self.faults);
        let watch = Stopwatch::start();
        let report = sim::run(&config);
        let seconds = watch.seconds().max(1e-6);
        let ratio = report.simulated_ms as f64 / 1000.0 / seconds;
        let broken = !report.violations.is_empty();
        let mut value = serde_json::to_value(&report)
            .map_err(|error| DoorError::new("internal", error.to_string()))?;
        let rate = report.events as f64 / seconds;
        let extra = json!({
            "days": self.days, "rigs": self.rigs, "polecats": self.polecats,
            "seconds": (seconds * 1000.0).round() / 1000.0,
            "events_per_second": rate.round(), "simulated_per_real": ratio.round(),
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut value, extra) {
            all.extend(more);
        }
        if self.json {
            render::json(&value)?;
        } else {
            show(&value)?;
        }
        Ok(u8::from(broken))
    }
}

/// The report in words.
fn show(report: &Value) -> Result<(), DoorError> {
    let rows = [
        "seed",
        "days",
        "events",
        "events_per_second",
        "simulated_per_real",
        "beads_filed",
        "beads_merged",
        "beads_given_up",
        "commits",
        "trace_hash",
    ];
    for row in rows {
        render::line(&format!("{row:<20} {}", plain(&report[row])))?;
    }
    for (title, key) in [("faults", "faults"), ("looks by invariant", "evaluations")] {
        let list = report[key].as_object().into_iter().flatten();
        let words: Vec<String> = list.map(|(name, n)| format!("{name} {n}")).collect();
        render::line(&format!("{title:<20} {}", words.join(", ")))?;
    }
    let violations = report["violations"].as_array().cloned().unwrap_or_default();
    render::line(&format!("{:<20} {}", "violations", violations.len()))?;
    if violations.is_empty() {
        return Ok(());
    }
    for violation in violations.iter().take(10) {
        render::line(&format!("  seed {}: {}", report["seed"], plain(violation)))?;
    }
    render::line("last steps:")?;
    for step in report["last_steps"].as_array().into_iter().flatten() {
        render::line(&format!("  {}", plain(step)))?;
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
