//! Three rigs, thirty workers, one busy day with light faults.
//!
//! `cargo run --example three_rigs_busy_day`

#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use gastown::sim::Config;
use gastown::sim::Faults;
use gastown::sim::run;

fn main() {
    let report = run(&Config::days(3, 1.0, 3, 30, Faults::Light));
    println!("beads filed  {}", report.beads_filed);
    println!("beads merged {}", report.beads_merged);
    for (fault, times) in &report.faults {
        println!("{fault:<18} {times}");
    }
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    assert!(report.beads_merged > 0, "a busy day merges something");
}
