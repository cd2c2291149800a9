//! What a dog did, for people and programs.

use serde::Deserialize;
use serde::Serialize;

use super::rfc3339;
use crate::model::ids::Db;
use crate::model::rows::DogRun;
use crate::model::upkeep::ChoreDone;
use crate::model::upkeep::RunDetail;

/// One run of a dog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DogRunView {
    /// When.
    pub at: String,
    /// Which dog.
    pub dog: String,
    /// The database.
    pub db: Db,
    /// `backup`, `archive`, `compact`, `decay`, `checkup`.
    pub chore: String,
    /// What came of it: sizes before and after, how long it took, words.
    #[serde(flatten)]
    pub done: ChoreDone,
}

impl DogRunView {
    /// A row; `None` for one that another version wrote.
    #[must_use]
    pub fn of(row: &DogRun) -> Option<Self> {
        let RunDetail { db, chore, done } = RunDetail::parse(&row.detail)?;
        Some(Self { at: rfc3339(row.ran_at), dog: row.dog.to_string(), db, chore, done })
    }
}
