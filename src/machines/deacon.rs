//! The Deacon: heartbeats in memory, patrol timers, dogs. It writes nothing while nothing happens.

use std::collections::BTreeMap;

use super::After;
use super::Decision;
use super::Input;
use super::Machine;
use super::limits::Limits;
use crate::messages::Address;
use crate::messages::BootMessage;
use crate::messages::DeaconMessage;
use crate::messages::DogMessage;
use crate::messages::MayorMessage;
use crate::messages::Message;
use crate::messages::WitnessMessage;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::tx::Tx;
use crate::model::tx::TxError;

/// The town's Deacon.
#[derive(Clone, Debug)]
pub struct Deacon {
    rigs: Vec<RigName>,
    limits: Limits,
    beats: BTreeMap<String, i64>,
    next_round: i64,
    next_reaper: i64,
}

impl Deacon {
    /// The Deacon of a town with these rigs.
    #[must_use]
    pub fn new(rigs: Vec<RigName>, limits: Limits) -> Self {
        Self { rigs, limits, beats: BTreeMap::new(), next_round: 0, next_reaper: 0 }
    }

    /// Every direction between two databases: a wake-up that got lost costs one round at most.
    fn relays(&self) -> Vec<Address> {
        let dbs: Vec<Db> =
            std::iter::once(Db::hq()).chain(self.rigs.iter().map(Db::from)).collect();
        let pairs = dbs.iter().flat_map(|src| {
            let others = dbs.iter().filter(move |dst| *dst != src);
            others.map(|dst| Address::Relay(src.clone(), dst.clone()))
        });
        pairs.collect()
    }

    /// When each component was last heard of; absent is unknown, not stale.
    #[must_use]
    pub fn beats(&self) -> &BTreeMap<String, i64> {
        &self.beats
    }
}

impl Machine for Deacon {
    type View = ();

    fn address(&self) -> Address {
        Address::Deacon
    }

    fn db(&self) -> Db {
        Db::hq()
    }

    fn actor(&self) -> String {
        Identity::Deacon.actor()
    }

    fn view(&self, _tx: &mut dyn Tx) -> Result<(), TxError> {
        Ok(())
    }

    fn decide(&mut self, (): &(), input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        let asked = match input {
            Input::Told(Message::Deacon(DeaconMessage::Heartbeat { from })) => {
                self.beats.insert(from.clone(), now);
                false
            }
            Input::Told(Message::Deacon(DeaconMessage::Wake)) => true,
            Input::Wake | Input::Report { .. } | Input::Told(_) => false,
        };
        if asked || now >= self.next_round {
            self.next_round = now + self.limits.heartbeat_every_ms;
            let alive = Message::Boot(BootMessage::DeaconAlive);
            d.after.push(After::Tell(Address::Boot, alive));
            d.after.push(After::Tell(Address::Mayor, Message::Mayor(MayorMessage::ReadMail)));
            for rig in &self.rigs {
                let patrol = Message::Witness(WitnessMessage::Patrol);
                d.after.push(After::Tell(Address::Witness(rig.clone()), patrol));
                d.after.push(After::Wake(Address::Dispatcher(rig.clone())));
                d.after.push(After::Wake(Address::Refinery(rig.clone())));
            }
            d.after.extend(self.relays().into_iter().map(After::Wake));
        }
        if now >= self.next_reaper {
            self.next_reaper = now + self.limits.reaper_every_ms;
            let dogs = std::iter::once("reaper".to_owned())
                .chain(self.rigs.iter().map(|rig| format!("reaper-{rig}")));
            for name in dogs {
                d.after.push(After::Tell(Address::Dog(name), Message::Dog(DogMessage::Run)));
            }
        }
        d.wake(self.next_round.min(self.next_reaper));
        d
    }
}
