//! A machine that does what a test says, and the actors round it.

use std::sync::Arc;
use std::sync::Mutex;

use actix::Actor;
use actix::Addr;
use gastown::actors::effects::Stores;
use gastown::actors::host::Begin;
use gastown::actors::host::Host;
use gastown::actors::host::Wiring;
use gastown::actors::parts::Parts;
use gastown::actors::store::StoreActor;
use gastown::actors::supervisor::Adopt;
use gastown::actors::supervisor::Ended;
use gastown::actors::supervisor::GetChildren;
use gastown::actors::supervisor::Standing;
use gastown::actors::supervisor::Supervisor;
use gastown::machines::Decision;
use gastown::machines::Input;
use gastown::machines::Machine;
use gastown::machines::limits::Limits;
use gastown::machines::supervision::End;
use gastown::machines::supervision::Intensity;
use gastown::machines::supervision::Restart;
use gastown::machines::supervision::Strategy;
use gastown::messages::Address;
use gastown::model::effect::Outcome;
use gastown::model::ids::Db;
use gastown::model::tx::Tx;
use gastown::model::tx::TxError;
use tokio::sync::watch;

use crate::support::clock::T0;
use crate::support::clock::VirtualClock;
use crate::support::clock::soon;
use crate::support::fake_world::FakeWorld;
use crate::support::memory_port::MemoryPort;

/// What machines were given and when: milliseconds since the start, who, what.
pub type Log = Arc<watch::Sender<Vec<(i64, String, String)>>>;

type Act = Arc<dyn Fn(&str) + Send + Sync>;

/// A machine that notes its inputs and panics when its act does.
#[derive(Clone)]
pub struct Probe {
    who: Address,
    log: Log,
    act: Act,
}

impl Machine for Probe {
    type View = ();

    fn address(&self) -> Address {
        self.who.clone()
    }

    fn db(&self) -> Db {
        Db::hq()
    }

    fn actor(&self) -> String {
        "overseer".to_owned()
    }

    fn view(&self, _: &mut dyn Tx) -> Result<(), TxError> {
        Ok(())
    }

    fn decide(&mut self, (): &(), input: &Input, now: i64) -> Decision {
        let word = match input {
            Input::Wake => "wake",
            Input::Report { key, .. } => key.as_str(),
            Input::Told(_) => "told",
        };
        self.log.send_modify(|log| {
            log.push((now - T0, self.who.to_string(), word.to_owned()));
        });
        (self.act)(word);
        Decision::default()
    }
}

pub fn dog(name: &str) -> Address {
    Address::Dog(name.to_owned())
}

/// A supervisor over hq, and machines that are put under it.
pub struct Bench {
    pub parts: Parts,
    pub port: Arc<MemoryPort>,
    pub log: Log,
    /// Machines in the order in which they were made.
    made: Arc<Mutex<Vec<Address>>>,
    supervisor: Addr<Supervisor>,
    stores: Stores,
}

impl Bench {
    pub fn new(limits: Limits, intensity: Intensity) -> Self {
        let port = MemoryPort::new();
        let (world, _) = FakeWorld::new();
        let parts = Parts::new(VirtualClock::start(), port.clone(), Arc::new(world), limits);
        let stores = Stores::default();
        stores.put(Db::hq(), StoreActor::new(Db::hq(), parts.clone()).start());
        let supervisor = Supervisor::new(parts.clone(), stores.clone(), intensity).start();
        let (log, made) = (Arc::new(watch::Sender::default()), Arc::default());
        Self { parts, port, log, made, supervisor, stores }
    }

    /// A machine of any kind under the supervisor.
    pub fn plant<M>(&self, standing: Standing, factory: impl Fn() -> M + Send + Sync + 'static)
    where
        M: Machine + Send + Sync + Unpin + 'static,
        M::View: Send,
    {
        let who = factory().address();
        let wiring = Wiring {
            parts: self.parts.clone(),
            store: self.stores.get(&Db::hq()).unwrap(),
            stores: self.stores.clone(),
            supervisor: self.supervisor.clone().recipient::<Ended>(),
        };
        let host = Host::launch(wiring, Arc::new(factory));
        let (begin, dismiss) = (host.clone().recipient::<Begin>(), host.recipient());
        self.supervisor.do_send(Adopt { who, standing, begin, dismiss });
    }

    /// A probe, alone in its fate unless its group says otherwise.
    pub fn probe(
        &self,
        who: Address,
        (strategy, restart): (Strategy, Restart),
        act: impl Fn(&str) + Send + Sync + 'static,
    ) {
        let (log, made, act) = (self.log.clone(), self.made.clone(), Arc::new(act) as Act);
        let standing = Standing { group: "probes", strategy, restart };
        self.plant(standing, move || {
            made.lock().unwrap().push(who.clone());
            Probe { who: who.clone(), log: log.clone(), act: act.clone() }
        });
    }

    /// The machines that were made last, in order.
    pub fn made(&self, count: usize) -> Vec<Address> {
        let made = self.made.lock().unwrap();
        made[made.len() - count..].to_vec()
    }

    pub fn tell(&self, who: &Address, word: &str) {
        let input = Input::Report { key: word.to_owned(), outcome: Outcome::Stopping };
        self.parts.directory.tell(who, input);
    }

    pub async fn end(&self, who: &Address, end: End) {
        self.supervisor.send(Ended { who: who.clone(), end }).await.unwrap();
    }

    /// Starts of a child so far, and whether it is parked.
    pub async fn child(&self, who: &Address) -> (u64, bool) {
        let children = self.supervisor.send(GetChildren).await.unwrap();
        let (_, parked, starts) = children.into_iter().find(|(child, ..)| child == who).unwrap();
        (starts, parked)
    }

    /// Waits until a machine was given a word so often, and says when each time.
    pub async fn given(&self, who: &Address, word: &str, times: usize) -> Vec<i64> {
        let name = who.to_string();
        let found = |log: &Vec<(i64, String, String)>| -> Vec<i64> {
            log.iter().filter(|(_, w, t)| *w == name && t == word).map(|(at, ..)| *at).collect()
        };
        let mut log = self.log.subscribe();
        let event = log.wait_for(|log| found(log).len() >= times);
        let log = soon(&format!("{word} {times} times"), event).await.unwrap();
        found(&log)
    }

    /// Everything that was given to anybody, in order.
    pub fn words(&self) -> Vec<String> {
        self.log.borrow().iter().map(|(_, who, word)| format!("{who} {word}")).collect()
    }
}
