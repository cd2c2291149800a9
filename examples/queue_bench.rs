//! The merge queue at the limit: our policy and others in the same worlds, against theory.
//!
//! `cargo run --release --example queue_bench` prints the tables, writes docs/queue-bench.md and
//! docs/queue-bench.svg, and exits with 1 when a figure falls short of its bound. `--quick` is a
//! short look that writes nothing. To enter a policy of yours, implement `Entry` and add it to
//! `src/sim/queue_bench/report.rs`.

#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use std::process::ExitCode;

use gastown::sim::queue_bench::report::Size;
use gastown::sim::queue_bench::report::bench;

/// What stands above the tables in the file.
const HEAD: &str = "# The merge queue against theory

Made by `cargo run --release --example queue_bench`; the same numbers come out each time.

![cost and pace](queue-bench.svg)

";

fn main() -> ExitCode {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let report = bench(if quick { &Size::QUICK } else { &Size::FULL });
    let text = report.markdown();
    println!("{text}");
    if !quick {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let files =
            [("queue-bench.md", format!("{HEAD}{text}")), ("queue-bench.svg", report.plot.svg())];
        for (name, text) in files {
            if let Err(error) = std::fs::write(docs.join(name), text) {
                println!("docs/{name}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if report.short.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
