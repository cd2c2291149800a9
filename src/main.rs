//! The executable `gt`, which is `bd` when it is called by that name.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next();
    let is_bd =
        name.as_deref().and_then(|name| Path::new(name).file_stem()) == Some(OsStr::new("bd"));
    if is_bd {
        gastown::cli::run_bd(std::env::args_os())
    } else {
        gastown::cli::run_gt(std::env::args_os())
    }
}
