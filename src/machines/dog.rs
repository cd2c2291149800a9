//! Dogs: upkeep of one database each. The reaper removes hints whose time is over; other dogs are
//! seats at the same table.

use super::Decision;
use super::Input;
use super::Machine;
use super::limits::Limits;
use crate::messages::Address;
use crate::messages::DogMessage;
use crate::messages::Message;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ops::Op;
use crate::model::rows::Nudge;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;

/// Rows removed in one run.
const REAP_MAX: usize = 500;

/// The reaper of one database.
#[derive(Clone, Debug)]
pub struct Reaper {
    name: String,
    db: Db,
    limits: Limits,
}

impl Reaper {
    /// The reaper called `name` for `db`.
    #[must_use]
    pub fn new(name: String, db: Db, limits: Limits) -> Self {
        Self { name, db, limits }
    }
}

impl Machine for Reaper {
    /// When the oldest hint was left or taken.
    type View = Option<i64>;

    fn address(&self) -> Address {
        Address::Dog(self.name.clone())
    }

    fn db(&self) -> Db {
        self.db.clone()
    }

    fn actor(&self) -> String {
        Identity::Dog(self.name.clone()).actor()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<Self::View, TxError> {
        let first = tx.rows::<Nudge>(&Scan { limit: Some(1), ..Scan::default() })?;
        Ok(first.first().map(|row| row.taken_at.unwrap_or(row.sent_at)))
    }

    fn decide(&mut self, oldest: &Option<i64>, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        let before = now - self.limits.nudge_ttl_ms;
        let asked = matches!(input, Input::Told(Message::Dog(DogMessage::Run)));
        if asked && oldest.is_some_and(|at| at < before) {
            d.ops.push(Op::Reap { before, limit: REAP_MAX });
        }
        d
    }
}
