//! The executable `gt`; under the name `bd` it is that command.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next();
    let name = called.as_deref().and_then(|path| Path::new(path).file_stem());
    if name == Some(OsStr::new("bd")) {
        return gastown::cli::run_bd(std::env::args_os());
    }
    gastown::cli::run_gt(std::env::args_os())
}
