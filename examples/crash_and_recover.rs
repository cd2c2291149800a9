//! A town whose daemon, machines, store and agents break all the time, and what it makes of it.
//!
//! `cargo run --example crash_and_recover`

#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use gastown::sim::Config;
use gastown::sim::Faults;
use gastown::sim::run;

fn main() {
    let report = run(&Config::days(5, 0.5, 2, 12, Faults::Heavy));
    let restarts = report.faults.get("daemon_restart").copied().unwrap_or_default();
    let crashes = report.faults.get("machine_crash").copied().unwrap_or_default();
    println!("the daemon was killed {restarts} times, machines {crashes} times");
    println!("beads filed  {}", report.beads_filed);
    println!("beads merged {}", report.beads_merged);
    for (invariant, looks) in &report.evaluations {
        println!("{invariant:<4} looked at {looks} times");
    }
    assert!(restarts > 0 && crashes > 0, "the faults did not happen");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}
