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
    /// When each kind of dog runs next.
    next_dogs: [i64; KINDS.len()],
}

/// The kinds of dogs, and how long after the Deacon's start each runs for the first time, in
/// milliseconds. Upkeep of stores is put off, so that a start does its work first.
const KINDS: [(Kind, i64); 5] = [
    (Kind::Reaper, 0),
    (Kind::Backup, 60_000),
    (Kind::Archive, 75_000),
    (Kind::Compactor, 90_000),
    (Kind::Doctor, 30_000),
];

/// A kind of dog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reaper,
    Backup,
    Archive,
    Compactor,
    Doctor,
}

impl Kind {
    fn every_ms(self, limits: &Limits) -> i64 {
        match self {
            Self::Reaper => limits.reaper_every_ms,
            Self::Backup => limits.backup_every_ms,
            Self::Archive => limits.archive_every_ms,
            Self::Compactor => limits.compactor_every_ms,
            Self::Doctor => limits.doctor_every_ms,
        }
    }

    /// The dogs of this kind in a town.
    fn names(self, rigs: &[RigName]) -> Vec<String> {
        let of = |word: &str| -> Vec<String> {
            let hq = [format!("{word}-hq")];
            hq.into_iter().chain(rigs.iter().map(|rig| format!("{word}-{rig}"))).collect()
        };
        match self {
            // hq's own reaper tells those of the rigs what is held elsewhere.
            Self::Reaper => std::iter::once("reaper".to_owned())
                .chain(rigs.iter().map(|rig| format!("reaper-{rig}")))
                .collect(),
            Self::Backup => of("backup"),
            Self::Archive => of("archive"),
            Self::Compactor => of("compactor"),
            Self::Doctor => vec!["doctor".to_owned()],
        }
    }
}

impl Deacon {
    /// The Deacon of a town with these rigs.
    #[must_use]
    pub fn new(rigs: Vec<RigName>, limits: Limits) -> Self {
        Self { rigs, limits, beats: BTreeMap::new(), next_round: 0, next_dogs: [0; KINDS.len()] }
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

    /// Tells the dogs whose time has come to run.
    fn send_dogs(&mut self, d: &mut Decision, now: i64) {
        for ((kind, first_ms), next) in KINDS.into_iter().zip(&mut self.next_dogs) {
            let every = kind.every_ms(&self.limits);
            if *next == 0 {
                *next = now + first_ms.min(every);
            }
            if now >= *next {
                *next = now + every;
                for name in kind.names(&self.rigs) {
                    let run = DogMessage::Run { rigs: self.rigs.clone() };
                    d.after.push(After::Tell(Address::Dog(name), Message::Dog(run)));
                }
            }
            d.wake(*next);
        }
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
        self.send_dogs(&mut d, now);
        d.wake(self.next_round);
        d
    }
}
