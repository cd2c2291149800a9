//! A rig's dispatcher: turns orders into assignments as beads get ready and workers idle (D12).

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Decision;
use super::Input;
use super::Machine;
use super::limits::Limits;
use crate::messages::Address;
use crate::model::agent::AgentState;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::Role;
use crate::model::ops::Op;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Order;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;

/// Names given to workers in turn, then `polecat-N`.
const NAMES: &[&str] = &[
    "furiosa",
    "nux",
    "slit",
    "rictus",
    "dementus",
    "capable",
    "toast",
    "dag",
    "cheedo",
    "angharad",
    "keeper",
    "valkyrie",
    "morsov",
    "ace",
    "coma",
    "doof",
    "kalashnikov",
    "immortan",
    "organic",
    "corpus",
    "prime",
    "scrotus",
    "praetorian",
    "warboy",
    "buzzard",
    "rockrider",
    "wretched",
    "milking",
    "interceptor",
    "pursuit",
];

/// One rig's dispatcher.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    rig: RigName,
    prefix: String,
    limits: Limits,
}

/// Orders with their beads, and every worker.
#[derive(Clone, Debug)]
pub struct View {
    orders: Vec<(Order, Bead)>,
    workers: Vec<Agent>,
}

impl View {
    /// Whether some worker's worktree is on this branch.
    fn has_branch(&self, branch: &str) -> bool {
        let mut work = self.workers.iter().filter_map(|worker| worker.state.work());
        work.any(|work| work.branch == branch)
    }
}

impl Dispatcher {
    /// The dispatcher of a rig whose ids start with `prefix`.
    #[must_use]
    pub fn new(rig: RigName, prefix: String, limits: Limits) -> Self {
        Self { rig, prefix, limits }
    }

    fn worker_id(&self, name: &str) -> BeadId {
        BeadId(format!("{}-{}-polecat-{name}", self.prefix, self.rig))
    }
}

/// Workers that can still be given something in this decision.
struct Pool {
    idle: BTreeSet<String>,
    known: BTreeSet<String>,
    room: usize,
}

impl Pool {
    fn of(view: &View, max: usize) -> Self {
        let known: BTreeSet<String> = view.workers.iter().map(|w| w.name.to_string()).collect();
        let idle = view.workers.iter().filter(|w| w.state == AgentState::Idle);
        Self {
            idle: idle.map(|w| w.name.to_string()).collect(),
            room: max.saturating_sub(known.len()),
            known,
        }
    }

    /// A worker for the order, and whether it is new.
    fn take(&mut self, order: &Order) -> Option<(String, bool)> {
        let wanted = order.worker.as_ref().map(ToString::to_string);
        if let Some(name) = &wanted {
            if self.idle.remove(name) {
                return Some((name.clone(), false));
            }
            if !self.known.contains(name) && self.room > 0 {
                return self.recruit(name.clone());
            }
            if order.strict {
                return None;
            }
        }
        if let Some(name) = self.idle.pop_first() {
            return Some((name, false));
        }
        if self.room == 0 {
            return None;
        }
        let fresh = (1..).map(|n| format!("polecat-{n}"));
        let names = NAMES.iter().map(|name| (*name).to_owned()).chain(fresh);
        let name = names.into_iter().find(|name| !self.known.contains(name))?;
        self.recruit(name)
    }

    fn recruit(&mut self, name: String) -> Option<(String, bool)> {
        self.room -= 1;
        self.known.insert(name.clone());
        Some((name, true))
    }
}

impl Machine for Dispatcher {
    type View = View;

    fn address(&self) -> Address {
        Address::Dispatcher(self.rig.clone())
    }

    fn db(&self) -> Db {
        Db::from(&self.rig)
    }

    fn actor(&self) -> String {
        format!("{}/dispatcher", self.rig)
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<View, TxError> {
        let mut ready: BTreeMap<(i64, i64), (Order, Bead)> = BTreeMap::new();
        for order in tx.with::<Order>(None, Vec::new())? {
            let Some(bead) = tx.find::<Bead>("by_id", &order.bead)? else { continue };
            if bead.status == Status::Open && !bead.blocked && bead.hold == Hold::Free {
                ready.insert((bead.priority, order.seq), (order, bead));
            }
        }
        let agents = tx.with::<Agent>(None, Vec::new())?;
        Ok(View {
            orders: ready.into_values().take(self.limits.dispatch_batch).collect(),
            workers: agents.into_iter().filter(|agent| agent.role == Role::Polecat).collect(),
        })
    }

    fn decide(&mut self, view: &View, _input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        let mut pool = Pool::of(view, self.limits.polecats_max);
        for (order, bead) in &view.orders {
            if let Some(until) = bead.defer_until.filter(|until| *until > now) {
                d.wake(until);
                continue;
            }
            // The earlier attempt's worktree has the branch until its worker is idle again.
            if order.branch.as_deref().is_some_and(|branch| view.has_branch(branch)) {
                continue;
            }
            let Some((name, new)) = pool.take(order) else { continue };
            let agent = self.worker_id(&name);
            if new {
                let who = Identity::Polecat(self.rig.clone(), name.clone());
                d.ops.push(Op::RegisterAgent { who });
            }
            let branch = format!("polecat/{name}-{now}");
            d.ops.push(Op::Assign { bead: bead.id.clone(), agent, branch });
        }
        d
    }
}
