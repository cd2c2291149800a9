//! To the Mayor.

use serde::Deserialize;
use serde::Serialize;

/// Orders to the Mayor; what it acts on is in its inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum MayorMessage {
    /// Look at the inbox. From the Deacon.
    ReadMail,
}
