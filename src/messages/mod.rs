//! What actors say to each other: one file per addressee, closed enums of plain data.
//!
//! Messages are hints whose truth is a row: a lost one costs time, never work. The durable ones
//! (mail, merge requests, completions) are ops. Ids travel, addresses of mailboxes do not.

mod address;
mod boot;
mod deacon;
mod dog;
pub mod door;
mod mayor;
mod polecat;
mod refinery;
mod store;
pub mod views;
mod witness;

pub use address::Address;
pub use address::wakes;
pub use boot::BootMessage;
pub use deacon::DeaconMessage;
pub use dog::DogMessage;
pub use mayor::MayorMessage;
pub use polecat::PolecatMessage;
pub use refinery::QueueSettings;
pub use refinery::RefineryMessage;
pub use store::SubmitError;
pub use witness::WitnessMessage;

use serde::Deserialize;
use serde::Serialize;

/// Any message, with nobody's address: what a machine tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "to")]
pub enum Message {
    /// To a worker.
    Polecat(PolecatMessage),
    /// To a witness.
    Witness(WitnessMessage),
    /// To a refinery.
    Refinery(RefineryMessage),
    /// To the Deacon.
    Deacon(DeaconMessage),
    /// To Boot.
    Boot(BootMessage),
    /// To a dog.
    Dog(DogMessage),
    /// To the Mayor.
    Mayor(MayorMessage),
}
