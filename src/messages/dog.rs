//! To a dog.

use serde::Deserialize;
use serde::Serialize;

/// Orders to a dog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum DogMessage {
    /// Do your round. From the Deacon.
    Run,
}
