//! A change by a person's own SQL: the one way past the other ops, recorded as what it is.

use serde_json::json;

use super::Fact;
use super::Facts;
use super::Refused;
use super::derived;
use super::support;
use super::support::Ctx;
use crate::model::rows::Meta;
use crate::model::rows::TABLES;
use crate::model::sql;
use crate::model::table::Row;
use crate::model::table::Table;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::value::Kind;
use crate::model::value::Value;

/// Runs one statement on one table, checks that every cell of it still has its type, derives again
/// what follows from rows, and records it under the table's name.
pub(super) fn run(tx: &mut dyn Tx, ctx: &mut Ctx<'_>, text: &str) -> Result<Facts, Refused> {
    let change = sql::one_change(text).map_err(Refused::Invalid)?;
    let table = TABLES.iter().find(|table| table.name == change.table);
    let Some(table) = table.filter(|table| table.name != Meta::TABLE.name) else {
        return Err(Refused::Invalid(format!(
            "'{}' is no table whose rows may be changed by hand",
            change.table
        )));
    };
    let rows = tx.statement(table, change.text).map_err(|error| match error {
        TxError::Engine(text) => Refused::Invalid(text),
        other => Refused::Invalid(other.to_string()),
    })?;
    if rows == 0 {
        return Ok(vec![Fact::Unchanged]);
    }
    check_cells(tx, table)?;
    let mut facts = vec![Fact::Statement { table: table.name.to_owned(), rows }];
    facts.extend(derived::derive_again(tx)?);
    support::log(tx, ctx, table.name, "sql", &json!({"text": change.text, "rows": rows}))?;
    Ok(facts)
}

/// Refuses when a cell is of no type that its column may hold.
fn check_cells(tx: &mut dyn Tx, table: &'static Table) -> Result<(), Refused> {
    for row in tx.scan(table, &Scan::default())? {
        for (column, cell) in table.columns.iter().zip(&row) {
            let fits = match (column.kind, cell) {
                (_, Value::Null) => column.nullable,
                (Kind::Int, Value::Int(_)) | (Kind::Key | Kind::Text, Value::Text(_)) => true,
                _ => false,
            };
            if !fits {
                return Err(Refused::Invalid(format!(
                    "{}.{} would hold {cell:?}, which is not of its type",
                    table.name, column.name
                )));
            }
        }
    }
    Ok(())
}
