//! Every machine of a town behind one type, so that the simulator can hold them in one map.

use crate::machines::Decision;
use crate::machines::Input;
use crate::machines::Machine;
use crate::machines::boot::Boot;
use crate::machines::deacon::Deacon;
use crate::machines::dispatcher::Dispatcher;
use crate::machines::dog::Reaper;
use crate::machines::dog_doctor;
use crate::machines::dog_doctor::Doctor;
use crate::machines::dog_store::StoreDog;
use crate::machines::dog_store::Trade;
use crate::machines::limits::Life;
use crate::machines::limits::Limits;
use crate::machines::mayor::Mayor;
use crate::machines::polecat::Polecat;
use crate::machines::refinery::QueueSettings;
use crate::machines::refinery::Refinery;
use crate::machines::relay::Relay;
use crate::machines::witness::Witness;
use crate::messages::Address;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::tx::Tx;
use crate::model::tx::TxError;

/// What a town's machines are made from.
#[derive(Clone, Debug)]
pub(super) struct Casting {
    /// Rigs with their prefixes.
    pub rigs: Vec<(RigName, String)>,
    /// Bounds.
    pub limits: Limits,
    /// How long stored data lives.
    pub life: Life,
    /// How every queue runs.
    pub queue: QueueSettings,
}

/// Any machine.
#[derive(Clone, Debug)]
pub(super) enum Cast {
    /// A worker.
    Polecat(Polecat),
    /// A dispatcher.
    Dispatcher(Dispatcher),
    /// A refinery.
    Refinery(Refinery),
    /// A witness.
    Witness(Witness),
    /// A relay.
    Relay(Relay),
    /// The Mayor.
    Mayor(Mayor),
    /// The Deacon.
    Deacon(Deacon),
    /// Boot.
    Boot(Boot),
    /// A dog that removes rows.
    Reaper(Reaper),
    /// A dog that looks after a stored database.
    StoreDog(StoreDog),
    /// The dog that looks after all of them.
    Doctor(Doctor),
}

/// Runs an expression on whichever machine it is.
macro_rules! each {
    ($cast:expr, $machine:ident => $body:expr) => {
        match $cast {
            Cast::Polecat($machine) => $body,
            Cast::Dispatcher($machine) => $body,
            Cast::Refinery($machine) => $body,
            Cast::Witness($machine) => $body,
            Cast::Relay($machine) => $body,
            Cast::Mayor($machine) => $body,
            Cast::Deacon($machine) => $body,
            Cast::Boot($machine) => $body,
            Cast::Reaper($machine) => $body,
            Cast::StoreDog($machine) => $body,
            Cast::Doctor($machine) => $body,
        }
    };
}

impl Casting {
    fn prefix(&self, rig: &RigName) -> String {
        let found = self.rigs.iter().find(|(name, _)| name == rig);
        found.map(|(_, prefix)| prefix.clone()).unwrap_or_default()
    }

    fn dog(&self, name: &str, limits: Limits) -> Cast {
        if name == dog_doctor::NAME {
            return Cast::Doctor(Doctor::new(limits));
        }
        let life = self.life.clone();
        for trade in Trade::ALL {
            let db = name.strip_prefix(trade.word()).and_then(|rest| rest.strip_prefix('-'));
            if let Some(db) = db {
                return Cast::StoreDog(StoreDog::new(trade, Db::from(db), limits, life));
            }
        }
        let db = name.strip_prefix("reaper-").map_or_else(Db::hq, Db::from);
        Cast::Reaper(Reaper::new(name.to_owned(), db, limits, life))
    }

    /// The machine at an address, with an empty memory.
    #[must_use]
    pub(super) fn play(&self, address: &Address) -> Cast {
        let limits = self.limits.clone();
        match address {
            Address::Mayor => Cast::Mayor(Mayor),
            Address::Deacon => {
                let rigs = self.rigs.iter().map(|(rig, _)| rig.clone()).collect();
                Cast::Deacon(Deacon::new(rigs, limits))
            }
            Address::Boot => Cast::Boot(Boot::new(limits)),
            Address::Dog(name) => self.dog(name, limits),
            Address::Dispatcher(rig) => {
                Cast::Dispatcher(Dispatcher::new(rig.clone(), self.prefix(rig), limits))
            }
            Address::Witness(rig) => Cast::Witness(Witness::new(rig.clone(), limits)),
            Address::Refinery(rig) => {
                Cast::Refinery(Refinery::new(rig.clone(), self.queue.clone(), limits))
            }
            Address::Polecat(rig, name) => {
                let who = Identity::Polecat(rig.clone(), name.clone());
                let id = who.bead_id(&self.prefix(rig)).expect("a polecat has a bead");
                let target = self.queue.target.clone();
                Cast::Polecat(Polecat::new(rig.clone(), name.clone(), id, target, limits))
            }
            Address::Relay(src, dst) => Cast::Relay(Relay::new(src.clone(), dst.clone(), limits)),
        }
    }
}

impl Cast {
    /// The database of its ops.
    #[must_use]
    pub(super) fn db(&self) -> Db {
        each!(self, machine => machine.db())
    }

    /// The actor of its ops.
    #[must_use]
    pub(super) fn actor(&self) -> String {
        each!(self, machine => machine.actor())
    }

    /// Reads and decides.
    ///
    /// # Errors
    /// As the transaction.
    #[expect(clippy::let_unit_value, reason = "some machines look at no rows")]
    pub(super) fn decide(
        &mut self,
        tx: &mut dyn Tx,
        input: &Input,
        now: i64,
    ) -> Result<Decision, TxError> {
        each!(self, machine => {
            let view = machine.view(tx)?;
            Ok(machine.decide(&view, input, now))
        })
    }
}
