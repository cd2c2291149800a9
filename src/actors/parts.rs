//! What every actor of a town shares: clock, ledger, world, directory, timers, observers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio::sync::broadcast;

use crate::actors::directory::Directory;
use crate::actors::timers::Timers;
use crate::adapters::world::World;
use crate::machines::limits::Life;
use crate::machines::limits::Limits;
use crate::messages::Address;
use crate::messages::wakes;
use crate::model::ids::Db;
use crate::model::ops::Fact;
use crate::model::upkeep::Chore;
use crate::model::upkeep::ChoreDone;
use crate::store::port::Keep;
use crate::store::port::Port;

/// Wall time in milliseconds since the epoch; it never goes back.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now_ms(&self) -> i64;
}

impl Clock for crate::adapters::clock::MonotonicClock {
    fn now_ms(&self) -> i64 {
        Self::now_ms(self)
    }
}

/// Events kept for a slow listener; it is told when it missed some.
const EVENTS_MAX: usize = 1024;

/// Something that observers may want to see.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Event {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Where it became true.
    pub db: Db,
    /// What became true.
    pub fact: Fact,
}

/// No upkeep.
struct NoKeep;

impl Keep for NoKeep {
    fn keep(&self, db: &Db, chore: &Chore, _now_ms: i64) -> Result<ChoreDone, String> {
        Err(format!("this town has no upkeep: {} of {db} is not done", chore.name()))
    }
}

/// The shared parts.
#[derive(Clone)]
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The ledger.
    pub port: Arc<dyn Port>,
    /// The world.
    pub world: Arc<dyn World>,
    /// Who is where.
    pub directory: Directory,
    /// The one owner of timers.
    pub timers: Timers,
    /// Upkeep of the ledger.
    pub keep: Arc<dyn Keep>,
    /// Bounds.
    pub limits: Limits,
    /// How long stored data lives.
    pub life: Life,
    /// Facts as they become true.
    pub events: broadcast::Sender<Event>,
    closed: Arc<AtomicBool>,
}

impl Parts {
    /// Parts of a town. Must be called on the arbiter that the town will run on.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        port: Arc<dyn Port>,
        world: Arc<dyn World>,
        limits: Limits,
    ) -> Self {
        let directory = Directory::default();
        let timers = Timers::start(clock.clone(), directory.clone());
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let closed = Arc::new(AtomicBool::new(false));
        let (keep, life) = (Arc::new(NoKeep), Life::default());
        Self { clock, port, world, directory, timers, keep, limits, life, events, closed }
    }

    /// With the upkeep of the ledger. Without it every chore is answered as failed.
    #[must_use]
    pub fn with_keep(mut self, keep: Arc<dyn Keep>, life: Life) -> Self {
        (self.keep, self.life) = (keep, life);
        self
    }

    /// From now on no machine decides and no verb is done: the town is going down.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether the town is going down.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Tells observers and wakes whoever committed facts concern.
    pub fn spread(&self, db: &Db, facts: &[Fact]) {
        let at = self.clock.now_ms();
        let mut all: Vec<Address> = facts.iter().flat_map(|fact| wakes(db, fact)).collect();
        all.sort();
        all.dedup();
        for address in all {
            self.directory.wake(&address);
        }
        for fact in facts {
            // No listener is fine; a slow one learns that it lagged.
            let event = Event { at, db: db.clone(), fact: fact.clone() };
            if self.events.send(event).is_err() {
                break;
            }
        }
    }
}
