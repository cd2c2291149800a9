//! Who can be spoken to, and who is woken by which fact.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ops::Fact;

/// What the names of dogs that look after one database begin with.
const KENNELS: [&str; 4] = ["reaper-", "backup-", "archive-", "compactor-"];

/// A machine of a town.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// Mail, escalations, convoys.
    Mayor,
    /// Timers and heartbeats.
    Deacon,
    /// The Deacon's watchdog.
    Boot,
    /// A dog, by name.
    Dog(String),
    /// A rig's dispatcher.
    Dispatcher(RigName),
    /// A rig's witness.
    Witness(RigName),
    /// A rig's refinery.
    Refinery(RigName),
    /// A rig's worker.
    Polecat(RigName, String),
    /// Carrier of parcels from one database to another.
    Relay(Db, Db),
}

impl Address {
    /// Whether this machine works on that rig's database.
    #[must_use]
    pub fn is_of(&self, db: &Db) -> bool {
        match self {
            Self::Mayor | Self::Deacon | Self::Boot => false,
            Self::Dog(name) => {
                KENNELS.iter().any(|kind| name.strip_prefix(kind) == Some(db.as_str()))
            }
            Self::Dispatcher(rig) | Self::Witness(rig) | Self::Refinery(rig) => {
                Db::from(rig) == *db
            }
            Self::Polecat(rig, _) => Db::from(rig) == *db,
            Self::Relay(src, dst) => src == db || dst == db,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mayor => f.write_str("mayor"),
            Self::Deacon => f.write_str("deacon"),
            Self::Boot => f.write_str("boot"),
            Self::Dog(name) => write!(f, "dog/{name}"),
            Self::Dispatcher(rig) => write!(f, "{rig}/dispatcher"),
            Self::Witness(rig) => write!(f, "{rig}/witness"),
            Self::Refinery(rig) => write!(f, "{rig}/refinery"),
            Self::Polecat(rig, name) => write!(f, "{rig}/polecats/{name}"),
            Self::Relay(src, dst) => write!(f, "relay/{src}/{dst}"),
        }
    }
}

/// Who has to look again after a fact became true in a database.
#[must_use]
pub fn wakes(db: &Db, fact: &Fact) -> Vec<Address> {
    let rig = db.rig();
    let dispatcher = || rig.clone().map(Address::Dispatcher).into_iter().collect();
    match fact {
        Fact::Ordered { .. } | Fact::Created { .. } => dispatcher(),
        // It may be work that is to be done, or work that may land.
        Fact::Unblocked { .. } => rig
            .into_iter()
            .flat_map(|r| [Address::Dispatcher(r.clone()), Address::Refinery(r)])
            .collect(),
        Fact::Agent { actor, phase, .. } => match Identity::parse(actor) {
            Some(Identity::Polecat(rig, name)) if phase == "idle" => {
                vec![Address::Dispatcher(rig.clone()), Address::Polecat(rig, name)]
            }
            Some(Identity::Polecat(rig, name)) => vec![Address::Polecat(rig, name)],
            _ => Vec::new(),
        },
        Fact::Queued { .. } | Fact::Queue { .. } => {
            rig.map(Address::Refinery).into_iter().collect()
        }
        Fact::Outbox { dst } => vec![Address::Relay(db.clone(), dst.clone())],
        Fact::Mail { to, .. } if to == "mayor" => vec![Address::Mayor],
        Fact::Changed { by, .. } if by == "edit" || by == "reopen" => dispatcher(),
        Fact::Statement { .. } => dispatcher(),
        Fact::Changed { .. }
        | Fact::Closed { .. }
        | Fact::Convoyed { .. }
        | Fact::Returned { .. }
        | Fact::Merged { .. }
        | Fact::Delivered { .. }
        | Fact::Mail { .. }
        | Fact::Nudge { .. }
        | Fact::ConvoyLanded { .. }
        | Fact::Alarm { .. }
        | Fact::Reaped { .. }
        | Fact::Decayed { .. }
        | Fact::Ran { .. }
        | Fact::Unchanged => Vec::new(),
    }
}
