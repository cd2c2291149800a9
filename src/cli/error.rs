//! Exit codes, and how an error is told. The table is docs/exit-codes.md.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::render;
use crate::config::ConfigError;
use crate::config::env;
use crate::messages::door::DoorError;

/// Done.
pub const OK: u8 = 0;
/// Refused by a rule, or not found; nothing was written.
pub const REFUSED: u8 = 1;
/// The command itself makes no sense.
pub const USAGE: u8 = 2;
/// Settings, registry or the place where the command runs.
pub const CONFIG: u8 = 3;
/// Daemon, store or lock: trying again later may help.
pub const UNAVAILABLE: u8 = 4;
/// Whether it was done is not known: look first.
pub const UNKNOWN: u8 = 5;
/// A defect of this program, or a damaged store.
pub const INTERNAL: u8 = 70;

/// The exit code of an error's stable word.
#[must_use]
pub fn exit(code: &str) -> u8 {
    match code {
        "usage" => USAGE,
        "config" | "mismatch" | "io" | "foreign_directory" | "nested_town" => CONFIG,
        "busy" | "unavailable" | "town_locked" | "writer_held" | "no_database" | "no_reader"
        | "store_engine" | "store_differs" | "store_down" | "store_owned" | "store_io" => {
            UNAVAILABLE
        }
        "unknown_outcome" => UNKNOWN,
        "internal" | "store" | "store_damaged" | "store_foreign" | "store_newer"
        | "store_other_build" => INTERNAL,
        _ => REFUSED,
    }
}

/// Tells an error on the error stream and gives its exit code.
#[must_use]
pub fn report(program: &str, error: &DoorError, as_json: bool) -> ExitCode {
    if as_json {
        let mut told = json!({"error": error.error, "code": error.code, "schema_version": 1});
        if let Some(hint) = &error.hint {
            told["hint"] = json!(hint);
        }
        render::complain(&format!("{told:#}"));
    } else {
        render::complain(&format!("{program}: {}", error.error));
        if let Some(hint) = &error.hint {
            render::complain(&format!("  {hint}"));
        }
    }
    ExitCode::from(exit(&error.code))
}

/// Tells that a command line makes no sense, or prints the help that was asked for.
#[must_use]
pub fn not_parsed(program: &str, wrong: &clap::Error, as_json: bool) -> ExitCode {
    let text = wrong.render();
    if !wrong.use_stderr() {
        let help = if env::is_terminal() { text.ansi().to_string() } else { text.to_string() };
        return match render::raw(&help) {
            Ok(code) => ExitCode::from(code),
            Err(error) => report(program, &error, as_json),
        };
    }
    if !as_json {
        render::complain(text.to_string().trim_end());
        return ExitCode::from(USAGE);
    }
    let text = text.to_string();
    let said = text.trim().split("\n\n").next().unwrap_or_default();
    let said = said.trim_start_matches("error: ");
    report(program, &DoorError::new("usage", said).hint(format!("see '{program} --help'")), true)
}

impl From<ConfigError> for DoorError {
    fn from(error: ConfigError) -> Self {
        let code = if matches!(error, ConfigError::NotFound(_)) { "not_found" } else { "config" };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::exit;

    #[test]
    fn every_word_has_its_exit() {
        let table: Vec<String> = [
            "not_found",
            "exists",
            "invalid",
            "cycle",
            "held",
            "not_now",
            "stale",
            "moved",
            "denied",
            "usage",
            "config",
            "mismatch",
            "busy",
            "unavailable",
            "unknown_outcome",
            "internal",
            "store",
        ]
        .iter()
        .map(|code| format!("{code} {}", exit(code)))
        .collect();
        insta::assert_snapshot!(table.join(", "), @"not_found 1, exists 1, invalid 1, cycle 1, held 1, not_now 1, stale 1, moved 1, denied 1, usage 2, config 3, mismatch 3, busy 4, unavailable 4, unknown_outcome 5, internal 70, store 70");
    }
}
