//! A running town: makes the tree, hands out what the door needs, and takes it down again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use actix::Actor;
use actix::Addr;

use crate::actors::boot;
use crate::actors::deacon;
use crate::actors::dispatcher;
use crate::actors::dogs;
use crate::actors::effects::Stores;
use crate::actors::host::Factory;
use crate::actors::host::Host;
use crate::actors::host::Wiring;
use crate::actors::mayor;
use crate::actors::parts::Parts;
use crate::actors::polecat;
use crate::actors::refinery;
use crate::actors::relay;
use crate::actors::store::StoreActor;
use crate::actors::supervisor::Adopt;
use crate::actors::supervisor::Disown;
use crate::actors::supervisor::Ended;
use crate::actors::supervisor::MadeBy;
use crate::actors::supervisor::Standing;
use crate::actors::supervisor::Supervisor;
use crate::actors::witness;
use crate::machines::Machine;
use crate::machines::supervision::Intensity;
use crate::machines::supervision::Restart;
use crate::machines::supervision::Strategy;
use crate::messages::Address;
use crate::messages::QueueSettings;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::rows::Agent;
use crate::model::tx::TxExt;
use crate::store::error::StoreError;
use crate::store::port::Port;

/// A rig as its actors need it.
#[derive(Clone, Debug)]
pub struct Rig {
    /// Its name.
    pub name: RigName,
    /// Prefix of its ids, without dash.
    pub prefix: String,
    /// How its queue runs.
    pub queue: QueueSettings,
}

/// The tree while it is being made.
pub(super) struct Tree {
    pub(super) parts: Parts,
    pub(super) stores: Stores,
    pub(super) supervisor: Addr<Supervisor>,
    rigs: RwLock<BTreeMap<RigName, Rig>>,
}

/// A group of the tree: who falls with whom.
pub(super) fn standing(group: &'static str, strategy: Strategy) -> Standing {
    Standing { group, strategy, restart: Restart::Permanent }
}

impl Tree {
    /// A rig with its present settings.
    pub(super) fn rig(&self, name: &RigName) -> Option<Rig> {
        self.rigs.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Puts a machine into a host and under the supervisor.
    pub(super) fn plant<M>(&self, standing: Standing, factory: Factory<M>)
    where
        M: Machine + Send + Sync + Unpin + 'static,
        M::View: Send,
    {
        let machine = factory();
        let (who, db) = (machine.address(), machine.db());
        let Some(store) = self.stores.get(&db) else {
            tracing::error!(%who, %db, "no database for this machine");
            return;
        };
        let wiring = Wiring {
            parts: self.parts.clone(),
            store,
            stores: self.stores.clone(),
            supervisor: self.supervisor.clone().recipient::<Ended>(),
        };
        let host = Host::launch(wiring, factory);
        let (begin, dismiss) = (host.clone().recipient(), host.recipient());
        self.supervisor.do_send(Adopt { who, standing, begin, dismiss });
    }

    fn open_store(&self, db: &Db) {
        let store = StoreActor::new(db.clone(), self.parts.clone()).start();
        self.stores.put(db.clone(), store);
    }

    fn plant_rig(self: &Arc<Self>, rig: &Rig) {
        dispatcher::plant(self, rig);
        witness::plant(self, rig);
        refinery::plant(self, rig);
        dogs::plant(self, &Db::from(&rig.name));
    }

    fn plant_relays(&self, dbs: &[Db]) {
        for src in dbs {
            for dst in dbs.iter().filter(|dst| *dst != src) {
                let address = Address::Relay(src.clone(), dst.clone());
                if !self.parts.directory.addresses().contains(&address) {
                    relay::plant(self, src, dst);
                }
            }
        }
    }
}

/// A running town.
pub struct Town {
    tree: Arc<Tree>,
}

impl Town {
    /// Starts the tree on the present arbiter. Every machine recovers from its rows.
    ///
    /// # Errors
    /// [`StoreError`] when the workers of a rig cannot be read.
    pub async fn start(
        parts: Parts,
        rigs: Vec<Rig>,
        intensity: Intensity,
    ) -> Result<Self, StoreError> {
        let hired = all_workers(&parts, &rigs).await?;
        let stores = Stores::default();
        let supervisor = Supervisor::new(parts.clone(), stores.clone(), intensity).start();
        let known = rigs.iter().map(|rig| (rig.name.clone(), rig.clone())).collect();
        let tree = Arc::new(Tree { parts, stores, supervisor, rigs: RwLock::new(known) });
        tree.open_store(&Db::hq());
        for rig in &rigs {
            tree.open_store(&Db::from(&rig.name));
        }
        recruit(&tree);
        mayor::plant(&tree);
        let names = rigs.iter().map(|rig| rig.name.clone()).collect();
        deacon::plant(&tree, names);
        boot::plant(&tree);
        dogs::plant(&tree, &Db::hq());
        dogs::plant_doctor(&tree);
        for rig in &rigs {
            tree.plant_rig(rig);
            for name in hired.get(&rig.name).into_iter().flatten() {
                polecat::plant(&tree, rig, name);
            }
        }
        let mut dbs = vec![Db::hq()];
        dbs.extend(rigs.iter().map(|rig| Db::from(&rig.name)));
        tree.plant_relays(&dbs);
        Ok(Self { tree })
    }

    /// The store of each database.
    #[must_use]
    pub fn stores(&self) -> Stores {
        self.tree.stores.clone()
    }

    /// The supervisor.
    #[must_use]
    pub fn supervisor(&self) -> Addr<Supervisor> {
        self.tree.supervisor.clone()
    }

    /// Adds a rig to the running town, or gives a known one its new settings.
    pub fn add_rig(&self, rig: Rig) {
        let names = {
            let mut rigs = self.tree.rigs.write().unwrap_or_else(PoisonError::into_inner);
            if rigs.insert(rig.name.clone(), rig.clone()).is_some() {
                refinery::configure(&self.tree, &rig);
                return;
            }
            rigs.keys().cloned().collect::<Vec<_>>()
        };
        self.tree.open_store(&Db::from(&rig.name));
        self.tree.plant_rig(&rig);
        let mut dbs = vec![Db::hq()];
        dbs.extend(names.iter().map(Db::from));
        self.tree.plant_relays(&dbs);
        deacon::plant(&self.tree, names);
    }

    /// Ends the machines of every rig that is not among these.
    pub fn keep_rigs(&self, keep: &[RigName]) {
        let gone: Vec<RigName> = {
            let mut rigs = self.tree.rigs.write().unwrap_or_else(PoisonError::into_inner);
            let gone = rigs.keys().filter(|name| !keep.contains(name)).cloned().collect();
            rigs.retain(|name, _| keep.contains(name));
            gone
        };
        for name in &gone {
            let db = Db::from(name);
            for address in self.tree.parts.directory.addresses() {
                if address.is_of(&db) {
                    self.tree.supervisor.do_send(Disown(address));
                }
            }
            self.tree.stores.remove(&db);
        }
        if !gone.is_empty() {
            deacon::plant(&self.tree, keep.to_vec());
        }
    }
}

/// A wake-up for a worker that has no actor yet makes it one: a new name came out of a dispatch.
fn recruit(tree: &Arc<Tree>) {
    let weak = Arc::downgrade(tree);
    let maker = move |wanted: &Address| {
        let Address::Polecat(rig, name) = wanted else {
            tracing::debug!(%wanted, "nobody makes this one");
            return;
        };
        if let Some(tree) = weak.upgrade()
            && let Some(rig) = tree.rig(rig)
        {
            polecat::plant(&tree, &rig, name);
        }
    };
    tree.supervisor.do_send(MadeBy(Box::new(maker)));
}

/// The workers of each rig, read where blocking does no harm.
async fn all_workers(
    parts: &Parts,
    rigs: &[Rig],
) -> Result<BTreeMap<RigName, Vec<String>>, StoreError> {
    let port = parts.port.clone();
    let names: Vec<RigName> = rigs.iter().map(|rig| rig.name.clone()).collect();
    let read = move || {
        let each = names.into_iter().map(|rig| {
            let workers = workers(port.as_ref(), &rig)?;
            Ok((rig, workers))
        });
        each.collect()
    };
    match actix_rt::task::spawn_blocking(read).await {
        Ok(read) => read,
        Err(panic) => {
            let source = std::io::Error::other(panic.to_string());
            Err(StoreError::io("the workers of the rigs")(source))
        }
    }
}

fn workers(port: &dyn Port, rig: &RigName) -> Result<Vec<String>, StoreError> {
    let mut agents = Ok(Vec::new());
    port.read(&Db::from(rig), &mut |tx| agents = tx.with::<Agent>(None, Vec::new()))?;
    let agents = match agents {
        Ok(agents) => agents,
        Err(error) => {
            tracing::error!(%rig, %error, "cannot read the workers");
            Vec::new()
        }
    };
    let names = agents.iter().filter_map(|agent| match Identity::parse(agent.actor.as_str()) {
        Some(Identity::Polecat(_, name)) => Some(name),
        _ => None,
    });
    Ok(names.collect())
}
