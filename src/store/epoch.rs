//! One daemon owns a database: a row that says which, and from which of its starts.
//!
//! The writer lock keeps two processes of one machine apart. A server can be reached from anywhere,
//! and a town can be copied: there the row decides. Every start of a daemon counts the epoch up;
//! a daemon that finds a later epoch than its own has been replaced and writes no more.

use serde::Deserialize;
use serde::Serialize;

use crate::model::rows::Meta;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Name;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;
use crate::store::sql_tx::SqlTx;

/// The row's name.
const OWNER_ROW: &str = "store.owner";

/// Who owns a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The town's id.
    pub town: String,
    /// Which start of its daemon, counting from 1.
    pub epoch: i64,
    /// The process, for people.
    pub process: u32,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (start {}, process {})", self.town, self.epoch, self.process)
    }
}

/// The owner that stands in the database.
pub(super) fn owner(tx: &mut dyn Tx) -> Result<Option<Owner>, TxError> {
    let row = tx.row::<Meta>(&Name::from(OWNER_ROW))?;
    row.map(|row| {
        serde_json::from_str(&row.value)
            .map_err(|error| TxError::Engine(format!("row {OWNER_ROW} is damaged: {error}")))
    })
    .transpose()
}

/// As [`owner`], with the engine's own failure where it fails.
pub(super) fn standing(conn: &mut dyn Conn) -> Result<Option<Owner>, ConnError> {
    let mut tx = SqlTx::reader(conn);
    let found = owner(&mut tx);
    match tx.into_failure() {
        Some(failure) => Err(failure),
        None => found.map_err(|error| ConnError::Other(error.to_string())),
    }
}

/// Makes a town the owner, one epoch later; the inner answer is another town that is it already.
pub(super) fn claim(
    tx: &mut dyn Tx,
    town: &str,
    process: u32,
) -> Result<Result<Owner, Owner>, TxError> {
    let before = owner(tx)?;
    if let Some(other) = before.as_ref().filter(|owner| owner.town != town) {
        return Ok(Err(other.clone()));
    }
    let epoch = before.as_ref().map_or(0, |owner| owner.epoch) + 1;
    let owner = Owner { town: town.to_owned(), epoch, process };
    let value = serde_json::to_string(&owner)
        .map_err(|error| TxError::Engine(format!("row {OWNER_ROW}: {error}")))?;
    let row = Meta { name: Name::from(OWNER_ROW), value };
    match before {
        Some(_) => tx.set(&row)?,
        None => tx.add(&row)?,
    }
    Ok(Ok(owner))
}
