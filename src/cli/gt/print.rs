//! Printing of `gt`: every function answers the exit code of a good end, so that it may come last.
//!
//! A reader who went away, as `head` does, is no failure.

use std::io::ErrorKind;
use std::io::Write;

use serde::Serialize;

use crate::messages::door::DoorError;

fn out(text: &str) -> Result<u8, DoorError> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(DoorError::new("io", format!("standard output: {error}")))
        }
        _ => Ok(0),
    }
}

/// Prints text and a line end.
///
/// # Errors
/// Standard output cannot be written.
pub fn line(text: &str) -> Result<u8, DoorError> {
    out(&format!("{text}\n"))
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`line`].
pub fn json(value: &impl Serialize) -> Result<u8, DoorError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| DoorError::new("internal", format!("an answer is no JSON: {error}")))?;
    line(&text)
}

/// Prints rows under their headings; the last column is as long as it is.
///
/// # Errors
/// As [`line`].
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> Result<u8, DoorError> {
    let head: Vec<String> = head.iter().map(|text| (*text).to_owned()).collect();
    let mut widths: Vec<usize> = head.iter().map(|text| text.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    out(&text)
}

/// Clears the terminal and goes to its top.
///
/// # Errors
/// As [`line`].
pub fn clear() -> Result<u8, DoorError> {
    out("\u{1b}[2J\u{1b}[H")
}
