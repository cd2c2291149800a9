//! `gt dolt sql`: one statement that reads, in a snapshot; or one that changes, through the Store.
//!
//! It reads in this process, on a connection of its own: a question that takes for ever is ended
//! with the command, and takes nothing of the daemon.

use std::io::Read;

use clap::Args;
use serde_json::Value;
use serde_json::json;

use super::database;
use super::told;
use crate::cli::context::Wanted;
use crate::cli::gt::here::Here;
use crate::cli::render;
use crate::messages::door::DoorError;
use crate::model::ops::Fact;
use crate::model::ops::Op;
use crate::model::sql;
use crate::store::conn::Grid;
use crate::store::conn::Most;

/// Most bytes of a statement.
const TEXT_MAX: u64 = 256 << 10;
/// Most bytes of an answer.
const BYTES_MAX: usize = 16 << 20;

/// Ask the ledger in SQL.
///
/// One statement, which may only read: SELECT, WITH, VALUES, EXPLAIN, SHOW or DESCRIBE, and of the
/// engine's own what reads (dolt_log, dolt_diff, dolt_hashof ...). It is answered from a snapshot,
/// beside a running daemon too.
///
/// With --write one INSERT, REPLACE, UPDATE or DELETE on one table goes through the town's own
/// writer: it is committed and recorded with your name, and what the town derives from rows is
/// derived again. It goes past every rule of the town but that; prefer 'bd' and 'gt'.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gt dolt sql -e 'select id, title from beads limit 5'\n  \
    gt dolt sql web --json -e 'select * from changes where op = \"close\"'\n  \
    echo 'select count(*) from dolt_log' | gt dolt sql hq\n  \
    gt dolt sql web --write -e \"update beads set priority = 1 where id = 'we-1a2'\"")]
pub struct Sql {
    /// The database [default: this directory's].
    db: Option<String>,
    /// The statement [default: standard input].
    #[arg(short, long, value_name = "TEXT")]
    execute: Option<String>,
    /// Most rows.
    #[arg(short = 'n', long, default_value_t = 1000)]
    limit: usize,
    /// Change rows; only the overseer may.
    #[arg(long)]
    write: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Sql {
    pub(super) fn run(self, at: &Wanted) -> Result<u8, DoorError> {
        let here = Here::find(at)?;
        let db = database(&here, self.db.as_deref())?;
        let text = match &self.execute {
            Some(text) => text.clone(),
            None => typed()?,
        };
        if self.write {
            return self.change(&here, &db, &text);
        }
        let statement = sql::one_read(&text).map_err(|why| refused(&text, why))?;
        let most = Most { rows: self.limit, bytes: BYTES_MAX };
        let grid = here.ledger()?.query(&db, |conn| conn.grid(statement, most)).map_err(told)?;
        if grid.cut {
            let rows = grid.rows.len();
            render::complain(&format!("note: there is more than these {rows} rows (-n, or LIMIT)"));
        }
        if self.json {
            let Grid { columns, rows, cut, .. } = grid;
            return render::json(&json!({"columns": columns, "rows": rows, "cut": cut}));
        }
        let heading: Vec<&str> = grid.columns.iter().map(String::as_str).collect();
        render::table(
            &heading,
            grid.rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
        )
    }

    fn change(&self, here: &Here, db: &crate::model::ids::Db, text: &str) -> Result<u8, DoorError> {
        let change = sql::one_change(text)
            .map_err(|why| DoorError::new("invalid", format!("not written: {why}")))?;
        let facts = here.write(db, vec![Op::Sql { text: change.text.to_owned() }])?;
        let rows = facts.iter().find_map(|fact| match fact {
            Fact::Statement { rows, .. } => Some(*rows),
            _ => None,
        });
        let rows = rows.unwrap_or(0);
        match self.json {
            true => render::json(&json!({"database": db, "table": change.table, "rows": rows})),
            false => render::line(&format!("{rows} rows of {} in {db} changed", change.table)),
        }
    }
}

fn refused(text: &str, why: String) -> DoorError {
    let error = DoorError::new("invalid", format!("not sent: {why}"));
    match sql::one_change(text) {
        Ok(_) => error.hint("--write changes rows through the town's own writer"),
        Err(_) => error.hint("one statement that only reads: 'gt dolt sql --help'"),
    }
}

/// What stands on standard input.
fn typed() -> Result<String, DoorError> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(TEXT_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| DoorError::new("usage", format!("standard input: {error}")))?;
    if text.len() as u64 > TEXT_MAX {
        let text = format!("the statement is longer than {TEXT_MAX} bytes");
        return Err(DoorError::new("usage", text));
    }
    Ok(text)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.lines().collect::<Vec<_>>().join(" / "),
        other => other.to_string(),
    }
}
