//! `gt dolt dump`: every row of a database, for other programs.

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;
use serde_json::Map;
use serde_json::json;

use super::database;
use super::told;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::cli::when;
use crate::gateway::desk;
use crate::messages::door::DoorError;
use crate::model::past::Point;
use crate::model::rows::TABLES;
use crate::model::table::Life;
use crate::model::table::Table;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::value::Value;
use crate::store::past;

/// How rows are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One JSON object a line: `{"table": ..., "row": {...}}`.
    Jsonl,
    /// One INSERT a row.
    Sql,
}

/// Write out every row of a database.
///
/// All tables that have a history, in the order of their keys, as they stand or stood at one
/// commit. Hints and runs of dogs have no history and are left out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gt dolt dump web --out web.jsonl\n  \
    gt dolt dump hq --format sql --as-of yesterday")]
pub struct Dump {
    /// The database [default: this directory's].
    db: Option<String>,
    /// The file; it appears when it is whole [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How.
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    /// As it stood then: a time, '2h ago', a commit, HEAD~1.
    #[arg(long, value_name = "WHEN", value_parser = when::point, default_value = "HEAD")]
    as_of: Point,
}

impl Dump {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let db = database(&here, self.db.as_deref())?;
        let ledger = here.ledger()?;
        let found = ledger.query(&db, |conn| past::resolve(conn, &self.as_of)).map_err(told)?;
        let moment = found.map_err(desk::no_moment)?;
        let mut written = Ok(0);
        let read = ledger.read_at(&db, &moment.commit.hash, |tx| {
            written = match &self.out {
                None => match rows(tx, self.format, &mut io::stdout().lock()) {
                    // A reader who went away is no error.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
                    other => other,
                },
                Some(path) => whole(tx, self.format, path),
            };
        });
        read.map_err(told)?;
        let place = || self.out.as_ref().map_or("-".to_owned(), |path| path.display().to_string());
        let count =
            written.map_err(|error| DoorError::new("io", format!("{}: {error}", place())))?;
        if self.out.is_none() {
            return Ok(0);
        }
        let commit = moment.commit.hash.get(..12).unwrap_or(&moment.commit.hash).to_owned();
        render::line(&format!("{count} rows of {db} at commit {commit} are in {}", place()))
    }
}

/// Writes beside the file and moves it there when all is on the disk.
fn whole(tx: &mut dyn Tx, format: Format, path: &Path) -> io::Result<usize> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut out = BufWriter::new(File::create(&part)?);
    let count = rows(tx, format, &mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&part, path)?;
    Ok(count)
}

fn rows(tx: &mut dyn Tx, format: Format, out: &mut impl Write) -> io::Result<usize> {
    let mut count = 0;
    for table in TABLES.iter().filter(|table| table.life == Life::Versioned) {
        for row in tx.scan(table, &Scan::default()).map_err(io::Error::other)? {
            match format {
                Format::Jsonl => writeln!(out, "{}", as_json(table, row))?,
                Format::Sql => writeln!(out, "{}", as_sql(table, &row))?,
            }
            count += 1;
        }
    }
    out.flush()?;
    Ok(count)
}

fn as_json(table: &Table, row: Vec<Value>) -> serde_json::Value {
    let cells = table.columns.iter().zip(row).map(|(column, cell)| {
        let cell = match cell {
            Value::Null => serde_json::Value::Null,
            Value::Int(number) => number.into(),
            Value::Text(text) => text.into(),
        };
        (column.name.to_owned(), cell)
    });
    json!({"table": table.name, "row": cells.collect::<Map<_, _>>()})
}

/// In the words of both engines, except that the server reads backslashes in its own way.
fn as_sql(table: &Table, row: &[Value]) -> String {
    let names: Vec<String> =
        table.columns.iter().map(|column| format!("`{}`", column.name)).collect();
    let cells: Vec<String> = row
        .iter()
        .map(|cell| match cell {
            Value::Null => "NULL".to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        })
        .collect();
    format!("INSERT INTO `{}` ({}) VALUES ({});", table.name, names.join(", "), cells.join(", "))
}
