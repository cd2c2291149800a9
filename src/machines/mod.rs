//! Pure decisions. A machine reads rows, takes one input and says what to commit and what to do
//! afterwards; the host commits all ops in one transaction first (D4).
//!
//! A machine's own fields are memory only: what is in flight, who was last heard of. They may be
//! lost at any moment. What must survive is in the rows, which are read again before each
//! decision, so that a stale machine cannot decide; the ops compare once more.

pub mod boot;
pub mod deacon;
pub mod dispatcher;
pub mod dog;
pub mod dog_doctor;
pub mod dog_store;
pub mod driver;
pub mod lane;
pub mod limits;
pub mod mayor;
pub mod polecat;
pub mod policy;
pub mod refinery;
pub mod relay;
pub mod supervision;
pub mod witness;

use serde::Deserialize;
use serde::Serialize;

use crate::messages::Address;
use crate::messages::Message;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::Db;
use crate::model::ops::Op;
use crate::model::parcel::Parcel;
use crate::model::tx::Tx;
use crate::model::tx::TxError;

/// What a machine is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "input")]
pub enum Input {
    /// Something may have changed: read and do what is wanted.
    Wake,
    /// An effect has answered.
    Report {
        /// Its key.
        key: String,
        /// The answer.
        outcome: Outcome,
    },
    /// Somebody says something.
    Told(Message),
}

/// What happens once the ops are committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// Do this; its answer comes as a report.
    Do(Effect),
    /// Apply parcels in another database; the answer comes as a report with this key.
    Deliver {
        /// Key of the report.
        key: String,
        /// Where.
        dst: Db,
        /// Numbers and parcels, in order.
        parcels: Vec<(i64, Parcel)>,
    },
    /// Say this to somebody.
    Tell(Address, Message),
    /// Ask somebody to look again.
    Wake(Address),
    /// Start this machine anew, with an empty memory. Only Boot says it.
    Restart(Address),
}

/// One decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct Decision {
    /// To commit together, first.
    pub ops: Vec<Op>,
    /// To do afterwards.
    pub after: Vec<After>,
    /// When to look again at the latest, in milliseconds since the epoch. It replaces the
    /// earlier one; `None` waits for an event.
    pub wake_at: Option<i64>,
}

impl Decision {
    /// Looks again at `at`, or earlier if that was wanted already.
    pub fn wake(&mut self, at: i64) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// A role's decisions. `Clone`, so that a refused decision can be taken back.
pub trait Machine: Clone {
    /// The rows that it looks at.
    type View;
    /// Where it stands.
    fn address(&self) -> Address;
    /// The database of its view and its ops.
    fn db(&self) -> Db;
    /// The actor that its ops are written under.
    fn actor(&self) -> String;
    /// Reads what it looks at.
    ///
    /// # Errors
    /// As the transaction.
    fn view(&self, tx: &mut dyn Tx) -> Result<Self::View, TxError>;
    /// Decides. `now` is milliseconds since the epoch.
    fn decide(&mut self, view: &Self::View, input: &Input, now: i64) -> Decision;
}
