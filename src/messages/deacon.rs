//! To the Deacon.

use serde::Deserialize;
use serde::Serialize;

/// Facts and orders for the Deacon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum DeaconMessage {
    /// A component is alive. From every patrol.
    Heartbeat {
        /// Its address in words.
        from: String,
    },
    /// Go on patrol now. From Boot.
    Wake,
}
