//! What only a running town can do: stop, reload, add and remove rigs, crews and workers.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::actors::effects::Stores;
use crate::actors::parts::Parts;
use crate::actors::store::Submit;
use crate::adapters::failpoint;
use crate::adapters::layout::Town;
use crate::adapters::world::RealWorld;
use crate::cli::boot::dolt::Tender;
use crate::cli::boot::verify::Verifier;
use crate::cli::town::crew;
use crate::cli::town::error::TownError;
use crate::cli::town::rig;
use crate::cli::town::rig::NewRig;
use crate::cli::town::vault::Vault;
use crate::config::registry::Registry;
use crate::gateway::books::Live;
use crate::machines::Input;
use crate::messages::Address;
use crate::messages::Message;
use crate::messages::SubmitError;
use crate::messages::WitnessMessage;
use crate::messages::door::Control;
use crate::messages::door::DoorError;
use crate::messages::door::Verify;
use crate::messages::views::VerifyView;
use crate::model::agent::AgentState;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ops::Fact;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::rows::Agent;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::store::port::HeldLedger;
use crate::store::port::Port;
use crate::store::writer::Submission;

/// Seconds that a nuke waits for the worker to come to rest.
const NUKE_S: u64 = 60;

/// What needs the arbiter.
pub(super) enum Order {
    /// Take the town down.
    Stop {
        /// Whether sessions are ended.
        sessions: bool,
    },
    /// Read the settings again.
    Reload {
        /// How many rigs there are now.
        done: oneshot::Sender<Result<usize, TownError>>,
    },
}

/// The running town's parts, for whoever answers calls on blocking threads.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) town: Town,
    pub(super) held: Arc<HeldLedger>,
    pub(super) stores: Stores,
    pub(super) world: RealWorld,
    pub(super) parts: Parts,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) runtime: Handle,
    /// Every database with the prefix of its ids, as of the last look at the registry.
    pub(super) databases: Arc<RwLock<Vec<(Db, String)>>>,
    /// The town's own server, where it has one.
    pub(super) tender: Option<Arc<Tender>>,
}

/// A new rig's database has no lane yet; what has one is written through it.
impl Vault for Keeper {
    fn has(&self, db: &Db) -> Result<bool, TownError> {
        Ok(self.held.ledger().databases()?.contains(db))
    }

    fn create(&self, db: &Db) -> Result<(), TownError> {
        Ok(self.held.ledger().create_db(db)?)
    }

    fn write(&self, db: &Db, actor: &str, ops: Vec<Op>) -> Result<Facts, TownError> {
        let actor = actor.to_owned();
        if let Some(store) = self.stores.get(db) {
            let answer = self.runtime.block_on(store.send(Submit { actor, ops }));
            return Ok(answer.unwrap_or(Err(SubmitError::Unknown))?);
        }
        let group = [Submission { actor, ops }];
        let commit = || self.held.commit(db, &group, self.parts.clock.now_ms());
        let answers = failpoint::round(group[0].ops.iter(), commit)?;
        let answer = answers.into_iter().next().unwrap_or_else(|| Ok(Facts::new()));
        Ok(answer?)
    }

    fn read<T>(
        &self,
        db: &Db,
        body: impl FnOnce(&mut dyn Tx) -> Result<T, TxError>,
    ) -> Result<T, TownError> {
        let answer = self.held.ledger().read(db, body)?;
        Ok(answer.map_err(crate::model::ops::Refused::from)?)
    }
}

/// The running town behind the door.
pub(super) struct DaemonLive {
    keeper: Keeper,
    started_ms: i64,
    verifier: Verifier,
    /// One change of rigs and crews at a time: each reads the registry, works long, and writes it
    /// back. A repeated order waits for the first and finds its work done.
    changing: Mutex<()>,
}

impl DaemonLive {
    pub(super) fn new(keeper: Keeper) -> Self {
        let started_ms = keeper.parts.clock.now_ms();
        Self { keeper, started_ms, verifier: Verifier::default(), changing: Mutex::default() }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, order: Order) -> Result<(), DoorError> {
        self.keeper.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => DoorError::new("busy", "too many orders wait; try again"),
            TrySendError::Closed(_) => DoorError::new("unavailable", "the daemon is stopping"),
        })
    }

    fn reload(&self) -> Result<usize, DoorError> {
        let (done, answer) = oneshot::channel();
        self.order(Order::Reload { done })?;
        match self.keeper.runtime.block_on(answer) {
            Ok(result) => result.map_err(|error| door_error(&error)),
            Err(_) => Err(DoorError::new("unavailable", "the daemon is stopping")),
        }
    }

    /// Releases, waits for the worker to come to rest, and forgets it.
    fn nuke(&self, rig: &RigName, name: &str) -> Result<Value, DoorError> {
        let registry = Registry::read(&self.keeper.town).map_err(|e| door_error(&e.into()))?;
        let entry = registry.rig(rig).map_err(|e| door_error(&e.into()))?;
        let who = Identity::Polecat(rig.clone(), name.to_owned());
        let Some(id) = who.bead_id(&entry.beads.prefix) else {
            return Err(DoorError::new("not_found", format!("no worker {name}")));
        };
        let db = Db::from(rig);
        let mut events = self.keeper.parts.events.subscribe();
        let agent = self.agent(&db, &id)?;
        if let Some(work) = agent.state.work().filter(|_| agent.state.holds()) {
            let release = Op::Release { bead: work.bead.clone(), reason: "nuked".to_owned() };
            self.write(&db, vec![release])?;
        }
        let late = || {
            DoorError::new("not_now", format!("{name} did not come to rest within {NUKE_S} s"))
                .hint("its state is shown by 'gt polecat status'; try again when it is idle")
        };
        let until = tokio::time::Instant::now() + Duration::from_secs(NUKE_S);
        // Rows are read outside of the waiting: a server's connection waits by a runtime of its own.
        while self.agent(&db, &id)?.state != AgentState::Idle {
            let moved = async {
                loop {
                    match events.recv().await {
                        Ok(event) => match event.fact {
                            Fact::Agent { id: other, .. } if other == id => return Ok(()),
                            _ => {}
                        },
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return Ok(()),
                        Err(error) => return Err(DoorError::new("internal", error.to_string())),
                    }
                }
            };
            let bounded = async { tokio::time::timeout_at(until, moved).await };
            self.keeper.runtime.block_on(bounded).map_err(|_| late())??;
        }
        self.write(&db, vec![Op::RemoveAgent { id: id.clone() }])?;
        Ok(json!({ "nuked": who.actor(), "id": id }))
    }

    fn agent(&self, db: &Db, id: &BeadId) -> Result<Agent, DoorError> {
        let row = Vault::read(&self.keeper, db, |tx| tx.row::<Agent>(id));
        row.map_err(|error| door_error(&error))?
            .ok_or_else(|| DoorError::new("not_found", format!("there is no worker {id}")))
    }

    fn write(&self, db: &Db, ops: Vec<Op>) -> Result<Facts, DoorError> {
        self.keeper.write(db, "overseer", ops).map_err(|error| door_error(&error))
    }
}

fn door_error(error: &TownError) -> DoorError {
    DoorError::new(error.code(), error.to_string())
}

fn view(value: &impl serde::Serialize) -> Result<Value, DoorError> {
    serde_json::to_value(value).map_err(|error| DoorError::new("internal", error.to_string()))
}

impl Live for DaemonLive {
    fn progressed(&self, rig: &RigName, agent: &BeadId, incarnation: i64) {
        let told = WitnessMessage::Progressed { agent: agent.clone(), incarnation };
        let input = Input::Told(Message::Witness(told));
        self.keeper.parts.directory.tell(&Address::Witness(rig.clone()), input);
    }

    fn control(&self, control: Control) -> Result<Value, DoorError> {
        let (town, vault) = (&self.keeper.town, &self.keeper);
        let failed = |error: TownError| door_error(&error);
        match control {
            Control::Stop { sessions } => {
                self.order(Order::Stop { sessions })?;
                Ok(json!({ "stopping": true }))
            }
            Control::Reload => Ok(json!({ "rigs": self.reload()? })),
            Control::AddRig { name, url, prefix } => {
                let _one = self.changing();
                let new = NewRig { name, url, prefix, target: None };
                let added = rig::add(town, vault, &new).map_err(failed)?;
                self.reload()?;
                view(&added)
            }
            Control::RemoveRig { name } => {
                let _one = self.changing();
                let removed = rig::remove(town, vault, &name).map_err(failed)?;
                self.reload()?;
                view(&removed)
            }
            Control::AddCrew { rig, name } => {
                let _one = self.changing();
                crew::add(town, vault, &rig, &name).map_err(failed)?;
                Ok(json!({ "added": format!("{rig}/crew/{name}") }))
            }
            Control::RemoveCrew { rig, name } => {
                let _one = self.changing();
                crew::remove(town, vault, &rig, &name).map_err(failed)?;
                Ok(json!({ "removed": format!("{rig}/crew/{name}") }))
            }
            Control::Upkeep { db, chore } => {
                let parts = &self.keeper.parts;
                let done = parts.keep.keep(&db, &chore, parts.clock.now_ms());
                view(&done.map_err(|why| DoorError::new("upkeep", why))?)
            }
            Control::Nuke { rig, name } => self.nuke(&rig, &name),
        }
    }

    fn verify(&self, wanted: &Verify, actor: &str) -> Result<VerifyView, DoorError> {
        self.verifier.verify(&self.keeper, wanted, actor)
    }

    fn stats(&self) -> Value {
        let mut stats = json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_ms": self.keeper.parts.clock.now_ms() - self.started_ms,
            "actors": self.keeper.parts.directory.addresses().len(),
            "inputs_dropped": self.keeper.parts.directory.dropped(),
        });
        if let Some(tender) = &self.keeper.tender {
            stats["server"] = tender.told();
        }
        stats
    }
}
