//! The executable `gt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|verb| verb == "session-host")
        && let Some(dir) = args.next()
        && let Err(error) = gastown::adapters::host::run(dir.as_ref())
    {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
