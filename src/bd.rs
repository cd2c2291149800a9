//! The executable `bd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gastown::cli::run_bd(std::env::args_os())
}
