//! The long measurements behind `tools/soak`, one file each.
//!
//! Everything is measured from outside: whole processes, `/proc`, files. What a figure is compared
//! with runs beside it, on the same machine, in the same run.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a soak runs real processes for a while and prints what it measured"
)]

mod check;
#[path = "../../tests/support/dolt.rs"]
mod dolt;
mod engines;
mod growth;
mod idle;
#[allow(clippy::unwrap_used, unreachable_pub, reason = "it is shared with the tests")]
#[path = "../../tests/support/kennel.rs"]
mod kennel;
mod kill;
mod kills;
mod latency;
mod queue;
mod seeded;
mod speed;
mod tools;
mod towns;
mod writers;

use std::process::ExitCode;

/// Every soak.
const NAMES: &str = "idle, speed, kills, kill, engines, latency, growth, queue";

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let result = match name.as_str() {
        "idle" => idle::idle(),
        "speed" => speed::speed(),
        "kills" => kills::kills(),
        "kill" => kill::kill(),
        "engines" => engines::engines(),
        "latency" => latency::latency(),
        "growth" => growth::growth(),
        "queue" => queue::queue(),
        // What the rig of `queue` has for a gate.
        "gate" => queue::gate(),
        // What `kill` starts: one writer in a process of its own.
        "writer" => writers::writer(),
        other => Err(format!("no soak is called '{other}': {NAMES}").into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("a figure falls short");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
