//! One rig, four workers, one quiet day: every bead that is filed lands.
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
    println!("events       {}", report.events);
    println!("trace        {}", report.trace_hash);
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    assert_eq!(report.beads_filed, report.beads_merged, "a quiet town loses nothing");
}
