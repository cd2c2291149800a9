//! To Boot.

use serde::Deserialize;
use serde::Serialize;

/// Facts for Boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum BootMessage {
    /// The Deacon has been on patrol. From the Deacon.
    DeaconAlive,
}
