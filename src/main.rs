//! The executable: `gt`, and `bd` where it is called by that name.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called).file_stem().is_some_and(|name| name == "bd") {
        return gastown::cli::run_bd(std::env::args_os());
    }
    gastown::cli::run_gt(std::env::args_os())
}
