//! What is on the simulated town's heap, and who waits for a commit.

use crate::machines::Input;
use crate::messages::Address;
use crate::model::ids::Db;
use crate::model::ids::SessionId;

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// An input reaches a machine of this life of the daemon.
    Deliver { to: Address, input: Input, life: u64 },
    /// A machine's timer, if it is still the wanted one.
    Timer { to: Address, at: i64, life: u64 },
    /// A lane's commit is done.
    Commit { db: Db, life: u64 },
    /// A session does its next thing.
    Agent { session: SessionId },
    /// The person does something.
    Person,
    /// A client tries again.
    Retry { client: u64 },
    /// Restarts and outsiders.
    Weather,
    /// The daemon is back.
    Start,
}

/// Who submitted ops.
#[derive(Clone, Debug)]
pub(super) enum Submitter {
    /// A machine that waits for the commit, as of this life of it.
    Machine { who: Address, birth: u64 },
    /// A person or agent outside, by number.
    Client(u64),
    /// A relay's parcels; the report goes to it.
    Relay { who: Address, key: String },
}
