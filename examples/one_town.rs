//! One rig, four workers, one quiet day: every bead that is filed lands, unless a person gives it
//! up.
//!
//! `cargo run --example one_town`

#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use gastown::sim::Config;
use gastown::sim::Faults;
use gastown::sim::run;

fn main() {
    let report = run(&Config::days(1, 1.0, 1, 4, Faults::None));
    println!("beads filed  {}", report.beads_filed);
    println!("beads merged {}", report.beads_merged);
    println!("given up     {}", report.beads_given_up);
    println!("events       {}", report.events);
    println!("trace        {}", report.trace_hash);
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    let accounted = report.beads_merged + report.beads_given_up;
    assert_eq!(report.beads_filed, accounted, "a quiet town loses nothing");
}
