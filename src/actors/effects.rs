//! Performs what a committed decision wants: verbs of the world, parcels, messages (D6).
//!
//! Each verb runs as a task of its own and answers with a report to the machine that wanted it.
//! Nothing here decides; a lost report is asked for again by the machine's driver.

use std::sync::Arc;

use actix::Addr;
use dashmap::DashMap;

use crate::actors::host::Wiring;
use crate::actors::parts::Parts;
use crate::actors::store::StoreActor;
use crate::actors::store::Submit;
use crate::actors::supervisor::Ended;
use crate::adapters::failpoint;
use crate::machines::After;
use crate::machines::Input;
use crate::machines::supervision::End;
use crate::messages::Address;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::Db;
use crate::model::ops::Op;
use crate::model::parcel::Parcel;
use crate::model::upkeep::Chore;
use crate::model::upkeep::ChoreDone;

/// The store of each database.
#[derive(Clone, Default)]
pub struct Stores(Arc<DashMap<Db, Addr<StoreActor>>>);

impl Stores {
    /// Registers a store.
    pub fn put(&self, db: Db, store: Addr<StoreActor>) {
        self.0.insert(db, store);
    }

    /// Takes a store off; it ends when nobody has it any more.
    pub fn remove(&self, db: &Db) {
        self.0.remove(db);
    }

    /// The store of a database.
    #[must_use]
    pub fn get(&self, db: &Db) -> Option<Addr<StoreActor>> {
        self.0.get(db).map(|entry| entry.value().clone())
    }
}

/// Does everything that follows a decision.
pub fn perform(wiring: &Wiring, who: &Address, after: Vec<After>) {
    if wiring.parts.is_closed() {
        return;
    }
    for one in after {
        match one {
            After::Do(effect) => act(wiring, who, effect),
            After::Deliver { key, dst, parcels } => deliver(wiring, who, key, dst, parcels),
            After::Tell(to, message) => wiring.parts.directory.tell(&to, Input::Told(message)),
            After::Wake(to) => wiring.parts.directory.wake(&to),
            After::Restart(whom) => {
                let end = End::Crash(format!("{who} found it silent"));
                wiring.supervisor.do_send(Ended { who: whom, end });
            }
        }
    }
}

fn act(wiring: &Wiring, who: &Address, effect: Effect) {
    let (parts, who) = (wiring.parts.clone(), who.clone());
    actix_rt::spawn(async move {
        let (key, name) = (effect.key(), effect.name());
        failpoint::hit("before", "effect", name);
        let outcome = match effect {
            Effect::Upkeep { db, chore } => upkeep(&parts, db, chore).await,
            other => parts.world.perform(other).await,
        };
        failpoint::hit("after", "effect", name);
        tracing::debug!(%who, %key, ?outcome, "effect");
        parts.directory.tell(&who, Input::Report { key, outcome });
    });
}

/// A chore blocks for as long as it takes: on a thread of its own, never on the arbiter.
async fn upkeep(parts: &Parts, db: Db, chore: Chore) -> Outcome {
    let (keep, clock) = (parts.keep.clone(), parts.clock.clone());
    let began = clock.now_ms();
    let job = actix_rt::task::spawn_blocking(move || keep.keep(&db, &chore, began));
    match job.await {
        Ok(Ok(done)) => {
            Outcome::Kept { done: ChoreDone { took_ms: clock.now_ms() - began, ..done } }
        }
        Ok(Err(error)) => Outcome::Failed { error },
        Err(panic) => Outcome::Failed { error: panic.to_string() },
    }
}

fn deliver(wiring: &Wiring, who: &Address, key: String, dst: Db, parcels: Vec<(i64, Parcel)>) {
    let Address::Relay(src, _) = who.clone() else {
        tracing::error!(%who, "only a relay carries parcels");
        return;
    };
    let store = wiring.stores.get(&dst);
    let (parts, who) = (wiring.parts.clone(), who.clone());
    actix_rt::spawn(async move {
        let ops =
            parcels.into_iter().map(|(seq, parcel)| Op::Deliver { src: src.clone(), seq, parcel });
        let ops: Vec<Op> = ops.collect();
        let submit = Submit { actor: "gt-relay".to_owned(), ops };
        let outcome = match store {
            None => Outcome::Failed { error: format!("no database {dst}") },
            Some(store) => match store.send(submit).await {
                Ok(Ok(_)) => Outcome::Delivered,
                Ok(Err(error)) => Outcome::Failed { error: error.to_string() },
                Err(error) => Outcome::Failed { error: error.to_string() },
            },
        };
        parts.directory.tell(&who, Input::Report { key, outcome });
    });
}
