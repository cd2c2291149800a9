//! The executable `gt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gastown::cli::run_gt(std::env::args_os())
}
