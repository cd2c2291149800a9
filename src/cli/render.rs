//! The only place that prints. A reader who went away (`bd list | head`) is no error.

use std::io;
use std::io::ErrorKind;
use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use crate::cli::error;
use crate::messages::door::DoorError;

/// Widest cell of a table but the last, in characters.
const CELL_MAX: usize = 60;

fn print(text: &str) -> Result<u8, DoorError> {
    let mut out = io::stdout().lock();
    let done = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match done {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(DoorError::new("io", format!("standard output: {error}")))
        }
        _ => Ok(error::OK),
    }
}

/// Prints a line.
///
/// # Errors
/// Standard output cannot be written to.
pub fn line(text: &str) -> Result<u8, DoorError> {
    print(&format!("{text}\n"))
}

/// Prints lines.
///
/// # Errors
/// As [`line`].
pub fn lines(lines: &[String]) -> Result<u8, DoorError> {
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

/// Prints text as it is.
///
/// # Errors
/// As [`line`].
pub fn raw(text: &str) -> Result<u8, DoorError> {
    print(text)
}

/// An object with the version of its shape.
#[derive(Serialize)]
struct Versioned<'a, T: Serialize> {
    #[serde(flatten)]
    value: &'a T,
    schema_version: u32,
}

/// Prints JSON as upstream `bd` does: two spaces, objects with `schema_version`, bare arrays.
///
/// # Errors
/// As [`line`].
pub fn json(value: &impl Serialize) -> Result<u8, DoorError> {
    let bad = |error| DoorError::new("internal", format!("no JSON: {error}"));
    let text = match serde_json::to_value(value).map_err(bad)? {
        Value::Object(map) if !map.contains_key("schema_version") => {
            serde_json::to_string_pretty(&Versioned { value, schema_version: 1 })
        }
        _ => serde_json::to_string_pretty(value),
    };
    line(&text.map_err(bad)?)
}

/// Prints rows under a heading, columns as wide as they need.
///
/// # Errors
/// As [`line`].
pub fn table(heading: &[&str], rows: Vec<Vec<String>>) -> Result<u8, DoorError> {
    let heading: Vec<String> = heading.iter().map(|word| (*word).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).min(CELL_MAX)
    };
    let widths: Vec<usize> = (0..columns).map(wide).collect();
    let shown = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            if at + 1 == row.len() { cell.clone() } else { format!("{:<width$}", cut(cell)) }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines(&rows.iter().map(shown).collect::<Vec<_>>())
}

fn cut(cell: &str) -> String {
    if cell.chars().count() <= CELL_MAX {
        return cell.to_owned();
    }
    cell.chars().take(CELL_MAX - 1).chain(['…']).collect()
}

/// Prints a line on the error stream; if that is gone there is nobody left to tell.
pub fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let _ = writeln!(out, "{text}");
}
