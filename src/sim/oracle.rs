//! The oracle: looks at what every step changed and at nothing that the machines say of it.
//!
//! Invariants are numbered as in docs/architecture.md. Each look is counted, so that a run can
//! show that every invariant was evaluated.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::ledger::Books;
use super::memory::MemoryDb;
use super::world::Acted;
use super::world::World;
use crate::messages::Address;
use crate::model::bead::Hold;
use crate::model::bead::Status;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::Sha;
use crate::model::line;
use crate::model::line::AGE_BATCHES;
use crate::model::line::LOWEST;
use crate::model::merge::Cycle;
use crate::model::merge::MrState;
use crate::model::merge::Verdict;
use crate::model::ops::Doomed;
use crate::model::ops::Fact;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::rows::Dep;
use crate::model::rows::GateRun;
use crate::model::rows::Label;
use crate::model::rows::Landing;
use crate::model::rows::MergeRequest;
use crate::model::rows::Order;
use crate::model::rows::Outbox;
use crate::model::rows::Queue;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// Number of invariants.
pub(super) const INVARIANTS: usize = 16;

/// What was true of the rows that an op names, before it.
pub(super) struct Before {
    incarnation: Option<(i64, i64)>,
    /// Beads that a decay names.
    doomed: Vec<Last>,
}

/// The last that was seen of a bead that a decay names.
#[derive(Clone, Debug)]
struct Last {
    id: BeadId,
    closed: bool,
    changed_at: i64,
    /// An open bead that names it, or that it names.
    needed_by: Option<BeadId>,
}

/// Violations and counts.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Looks by invariant; index 0 is unused.
    pub(super) looks: [u64; INVARIANTS + 1],
    /// What was broken, in order.
    pub(super) violations: Vec<String>,
    applied: BTreeMap<(Db, Db), i64>,
    merged: BTreeSet<BeadId>,
    decayed: Vec<Last>,
    /// Merge requests that landed.
    pub(super) merges: u64,
    /// Effects done, ever.
    pub(super) effects: u64,
    /// Runs that a queue may have at once.
    slots: usize,
    /// Most merge requests in a stack.
    stack_max: usize,
    line: Line,
}

/// What the oracle remembers of those who wait to land.
#[derive(Debug, Default)]
struct Line {
    /// Newer ones that landed before it: of its class or a lower one, and batches of higher ones.
    passed: BTreeMap<BeadId, (usize, usize)>,
    /// Those that a person gave up.
    given_up: BTreeSet<BeadId>,
    /// The last landing of each queue, by its tip.
    landing: BTreeMap<RigName, Sha>,
}

impl Oracle {
    pub(super) fn new(slots: usize, stack_max: usize) -> Self {
        Self { slots, stack_max, ..Self::default() }
    }

    fn check(&mut self, invariant: usize, ok: bool, what: impl FnOnce() -> String) {
        self.looks[invariant] += 1;
        if !ok {
            self.violations.push(format!("I{invariant}: {}", what()));
        }
    }

    pub(super) fn bound(&mut self, ok: bool, what: &str) {
        self.check(13, ok, || format!("{what} is over its bound"));
    }

    pub(super) fn before(&mut self, tx: &mut MemoryDb, op: &Op) -> Before {
        let named = match op {
            Op::StartSession { agent, incarnation, .. }
            | Op::SessionStarted { agent, incarnation, .. }
            | Op::SessionEnded { agent, incarnation, .. }
            | Op::Submit { agent, incarnation, .. }
            | Op::Withdraw { agent, incarnation, .. }
            | Op::Enqueue { agent, incarnation, .. }
            | Op::Cleared { agent, incarnation, .. } => Some((agent, *incarnation)),
            _ => None,
        };
        let incarnation = named.and_then(|(agent, given)| {
            let row = tx.row::<Agent>(agent).ok().flatten()?;
            Some((given, row.incarnation))
        });
        let doomed = match op {
            Op::Decay { doomed, .. } => doomed.iter().filter_map(|one| last_of(tx, one)).collect(),
            _ => Vec::new(),
        };
        Before { incarnation, doomed }
    }

    pub(super) fn applied(&mut self, db: &Db, op: &Op, before: &Before, facts: &Facts) {
        let changed = facts.iter().any(|fact| *fact != Fact::Unchanged);
        if let Some((given, current)) = before.incarnation
            && changed
        {
            self.check(8, given == current, || {
                format!("{} for incarnation {given} was applied to {current}", op.name())
            });
        }
        for fact in facts {
            if let Fact::Decayed { beads, .. } = fact {
                let gone = before.doomed.iter().filter(|last| beads.contains(&last.id));
                self.decayed.extend(gone.cloned());
            }
        }
        if let Op::Deliver { src, seq, .. } = op
            && !facts.contains(&Fact::Unchanged)
        {
            let last = self.applied.insert((src.clone(), db.clone()), *seq);
            self.check(9, last.is_none_or(|last| last < *seq), || {
                format!("parcel {seq} from {src} was applied to {db} after {last:?}")
            });
        }
    }

    /// An answer that was given must have reached the database.
    pub(super) fn after_crash(&mut self, books: &Books) {
        let lost = books.lost.iter().find(|ticket| books.acked.contains(ticket)).copied();
        self.check(1, lost.is_none(), || {
            format!("submission {} was acknowledged and lost", lost.unwrap_or_default())
        });
    }

    pub(super) fn acted(&mut self, who: &Address, effect: &Effect, acted: &Acted, world: &World) {
        let looks = matches!(effect, Effect::Upkeep { chore, .. } if chore.only_looks());
        if !matches!(effect, Effect::Watch { .. }) && !looks {
            self.effects += 1;
        }
        let broken = acted.broken.clone();
        match effect {
            Effect::Land { .. } if acted.outcome == Some(Outcome::Landed) => {
                for invariant in [4_u8, 6] {
                    let found = broken.clone().filter(|(number, _)| *number == invariant);
                    self.check(usize::from(invariant), found.is_none(), || {
                        found.map(|(_, what)| what).unwrap_or_default()
                    });
                }
            }
            Effect::Teardown { place, .. } => {
                let live = world.sessions.values().any(|sim| {
                    let same = sim.spec.place.rig == place.rig && sim.spec.place.name == place.name;
                    same && sim.exit.is_none()
                });
                self.check(7, !live, || format!("{} was cleared under a live session", place.name));
            }
            Effect::Stop { session, .. } => {
                // One that never started has no process to signal.
                let own = world.sessions.get(session).is_none_or(|sim| {
                    let place = &sim.spec.place;
                    *who == Address::Polecat(place.rig.clone(), place.name.clone())
                });
                self.check(11, own, || format!("{who} ends {session}, which is another's"));
            }
            Effect::Spawn(spec) => {
                let twin = world.sessions.values().any(|sim| {
                    let same = sim.spec.agent == spec.agent && sim.spec.id != spec.id;
                    same && sim.exit.is_none()
                });
                self.check(2, !twin, || format!("{} lives twice", spec.agent));
            }
            _ => {}
        }
    }

    /// Merge requests that were given up and not asked for again.
    pub(super) fn given_up(&self) -> u64 {
        self.line.given_up.len() as u64
    }

    pub(super) fn look(&mut self, books: &mut Books, db: &Db, all: &[Facts], world: &World) {
        let tx = books.tx(db);
        self.look_at_decay(tx, world.shelves.held_until(db), all);
        let Some(rig) = db.rig() else { return };
        for facts in all {
            self.look_at_line(tx, &rig, facts);
        }
        for fact in all.iter().flatten() {
            match fact {
                Fact::Agent { id, .. } => self.look_at_agent(tx, id),
                Fact::Queued { mr, bead } => self.look_at_request(tx, mr, bead),
                Fact::Merged { mr, bead } => self.look_at_merge(tx, &rig, mr, bead, world),
                Fact::Returned { mr, .. } => {
                    let row = find_request(tx, mr);
                    let told = row.is_some_and(|row| row.verdict.is_some());
                    self.check(5, told, || format!("{mr} came back without a verdict"));
                }
                Fact::Queue { rig } => self.look_at_queue(tx, rig),
                _ => {}
            }
        }
    }

    /// What is gone was over, needed by nobody, and held elsewhere; what proves a landing stays.
    fn look_at_decay(&mut self, tx: &mut MemoryDb, held: Option<i64>, all: &[Facts]) {
        for last in std::mem::take(&mut self.decayed) {
            let is_held = held.is_some_and(|held| last.changed_at < held);
            self.check(15, last.closed && is_held && last.needed_by.is_none(), || {
                format!("{last:?} is gone; copies hold what is before {held:?}")
            });
        }
        if !all.iter().flatten().any(|fact| matches!(fact, Fact::Decayed { .. })) {
            return;
        }
        for landing in tx.with::<Landing>(None, Vec::new()).unwrap_or_default() {
            let proof = tx.row::<GateRun>(&landing.run).ok().flatten();
            self.check(15, proof.is_some(), || format!("{} lost its proof", landing.tip));
        }
    }

    fn look_at_agent(&mut self, tx: &mut MemoryDb, id: &BeadId) {
        let Some(agent) = tx.row::<Agent>(id).ok().flatten() else { return };
        let Some(work) = agent.state.work().filter(|_| agent.state.holds()) else { return };
        let bead = tx.find::<Bead>("by_id", &work.bead).ok().flatten();
        let own = Hold::Held { agent: id.clone(), incarnation: agent.incarnation };
        let hold = bead.map(|bead| bead.hold);
        self.check(2, hold.as_ref() == Some(&own), || {
            format!("{id} works on {} which is {hold:?}", work.bead)
        });
    }

    fn look_at_request(&mut self, tx: &mut MemoryDb, mr: &BeadId, bead: &BeadId) {
        let Some(row) = find_request(tx, mr) else { return };
        let all =
            tx.with::<MergeRequest>(Some("by_bead"), vec![bead.to_value()]).unwrap_or_default();
        let same = all.iter().filter(|other| other.head == row.head).count();
        self.check(3, same == 1, || format!("{} has {same} merge requests for {}", bead, row.head));
    }

    fn look_at_merge(
        &mut self,
        tx: &mut MemoryDb,
        rig: &RigName,
        mr: &BeadId,
        bead: &BeadId,
        world: &World,
    ) {
        self.merges += 1;
        let first = self.merged.insert(mr.clone());
        self.check(5, first, || format!("{mr} was merged twice"));
        let Some(row) = find_request(tx, mr) else { return };
        let closed = tx.find::<Bead>("by_id", bead).ok().flatten();
        let closed = closed.is_some_and(|bead| bead.status == Status::Closed);
        let landed = world.is_landed(rig, &row.head);
        self.check(6, closed && landed, || {
            format!("{mr} is called merged: bead closed {closed}, in the target {landed}")
        });
    }

    fn look_at_queue(&mut self, tx: &mut MemoryDb, rig: &RigName) {
        let Some(queue) = tx.row::<Queue>(rig).ok().flatten() else { return };
        if let Cycle::Testing { runs, .. } = &queue.cycle {
            let slots = self.slots;
            self.bound(runs.len() <= slots, "runs at once");
        }
        let Cycle::Landing { stack, green, proof, .. } = &queue.cycle else { return };
        let tip = stack.commit(*green).clone();
        if let Some(freeze) = &queue.frozen
            && self.line.landing.get(rig) != Some(&tip)
        {
            let barred = stack.items[..*green]
                .iter()
                .find(|item| find_request(tx, &item.mr).is_some_and(|row| freeze.bars(&row)));
            self.check(16, barred.is_none(), || format!("{rig} lands {barred:?}: {freeze:?}"));
        }
        self.line.landing.insert(rig.clone(), tip);
        let run = tx.row::<GateRun>(proof).ok().flatten();
        let exact = run.as_ref().is_some_and(|run| run.tree == *stack.tree(*green));
        self.check(4, exact, || format!("{rig} lands {} without proof", stack.commit(*green)));
        let passed = run.is_some_and(|run| {
            let results = &run.results.0;
            !results.is_empty() && results.iter().all(|r| r.verdict == Verdict::Passed)
        });
        self.check(10, passed, || format!("{rig} lands on gates that did not all pass"));
    }

    /// Nobody is overtaken without bound, and what a person gave up does not land.
    fn look_at_line(&mut self, tx: &mut MemoryDb, rig: &RigName, facts: &Facts) {
        let mut landed = Vec::new();
        for fact in facts {
            match fact {
                Fact::Queued { mr, .. } => drop(self.line.given_up.remove(mr)),
                Fact::Returned { mr, .. } => {
                    self.line.passed.remove(mr);
                    let row = find_request(tx, mr);
                    if row.is_some_and(|row| row.state == MrState::Rejected) {
                        self.line.given_up.insert(mr.clone());
                    }
                }
                Fact::Merged { mr, .. } => {
                    self.line.passed.remove(mr);
                    let wanted = !self.line.given_up.contains(mr);
                    self.check(16, wanted, || format!("{mr} landed although it was given up"));
                    landed.extend(find_request(tx, mr).filter(|row| !row.hotfix));
                }
                _ => {}
            }
        }
        let frozen = tx.row::<Queue>(rig).ok().flatten().is_some_and(|row| row.frozen.is_some());
        if landed.is_empty() || frozen {
            return;
        }
        let queued = vec![MrState::Queued.to_value(), false.to_value()];
        for row in tx.with::<MergeRequest>(Some("by_state"), queued).unwrap_or_default() {
            let newer = || landed.iter().filter(|other| other.seq > row.seq);
            let own = newer().filter(|other| other.priority >= row.priority).count();
            let higher = newer().any(|other| other.priority < row.priority);
            let passed = self.line.passed.entry(row.id.clone()).or_default();
            passed.0 += own;
            passed.1 += usize::from(higher);
            let (own, batches) = *passed;
            let most = (AGE_BATCHES * LOWEST) as usize + 2 * self.stack_max;
            self.check(16, own <= self.stack_max && batches <= most, || {
                format!("{} was overtaken by {own} and {batches} batches", row.id)
            });
        }
    }

    /// What must hold once everything has come to rest.
    pub(super) fn at_rest(&mut self, books: &mut Books, workers_max: usize) {
        for db in books.dbs() {
            let tx = books.tx(&db);
            let parcels = tx.with::<Outbox>(None, Vec::new()).unwrap_or_default();
            self.check(9, parcels.is_empty(), || format!("{} parcels stay in {db}", parcels.len()));
            let agents = tx.with::<Agent>(None, Vec::new()).unwrap_or_default();
            let workers =
                agents.iter().filter(|agent| agent.actor.0.contains("/polecats/")).count();
            self.bound(workers <= workers_max, "workers");
            for row in tx.with::<MergeRequest>(None, Vec::new()).unwrap_or_default() {
                let parked = parked(tx, &db);
                self.check(5, row.state != MrState::Queued || parked, || {
                    format!("{} was never decided", row.id)
                });
            }
            for bead in tx.with::<Bead>(None, Vec::new()).unwrap_or_default() {
                if bead.issue_type.is_work() && bead.convoy.is_some() {
                    self.rest_of_bead(tx, &bead);
                }
            }
        }
        self.convoys_at_rest(books);
    }

    /// An ordered bead is closed, or it waits for something that a person was told of.
    fn rest_of_bead(&mut self, tx: &mut MemoryDb, bead: &Bead) {
        let told = tx.row2::<Label>(&bead.id, &Name::from("gt:escalated")).ok().flatten();
        let waits = tx.row::<Order>(&bead.id).ok().flatten().is_some();
        let fine = bead.status == Status::Closed || told.is_some() || bead.blocked || !waits;
        self.check(3, fine, || {
            format!("{} is forgotten: {:?} {:?}", bead.id, bead.status, bead.hold)
        });
        let held = matches!(bead.hold, Hold::Held { .. });
        self.check(3, !held, || format!("{} is held for ever: {:?}", bead.id, bead.hold));
    }

    fn convoys_at_rest(&mut self, books: &mut Books) {
        let mut closed = BTreeMap::new();
        for db in books.dbs() {
            for bead in books.tx(&db).with::<Bead>(None, Vec::new()).unwrap_or_default() {
                closed.insert(bead.id.clone(), bead.status == Status::Closed);
            }
        }
        let hq = books.tx(&Db::hq());
        let convoys = hq.with::<crate::model::rows::Convoy>(None, Vec::new()).unwrap_or_default();
        for convoy in convoys {
            let members = hq
                .with::<crate::model::rows::Member>(None, vec![convoy.id.to_value()])
                .unwrap_or_default();
            let done = members.iter().all(|m| closed.get(&m.bead).copied().unwrap_or(true));
            let landed = convoy.landed_at.is_some();
            self.check(6, done == landed, || {
                format!("convoy {}: all closed {done}, landed {landed}", convoy.id)
            });
        }
    }

    pub(super) fn idle(&mut self, ok: bool, what: impl FnOnce() -> String) {
        self.check(12, ok, what);
    }

    pub(super) fn hashed(&mut self, steps: u64) {
        self.looks[14] += steps;
    }
}

fn last_of(tx: &mut MemoryDb, one: &Doomed) -> Option<Last> {
    let Doomed::Bead { id } = one else { return None };
    let bead = tx.find::<Bead>("by_id", id).ok().flatten()?;
    let key = vec![id.to_value()];
    let mut near: Vec<BeadId> = Vec::new();
    near.extend(tx.with::<Dep>(None, key.clone()).ok()?.into_iter().map(|dep| dep.target));
    near.extend(tx.with::<Dep>(Some("by_target"), key).ok()?.into_iter().map(|dep| dep.bead));
    let needed_by = near.into_iter().find(|other| {
        let bead = tx.find::<Bead>("by_id", other).ok().flatten();
        bead.is_some_and(|bead| bead.status != Status::Closed)
    });
    Some(Last {
        id: id.clone(),
        closed: bead.status == Status::Closed,
        changed_at: bead.updated_at,
        needed_by,
    })
}

fn parked(tx: &mut MemoryDb, db: &Db) -> bool {
    let queue = db.rig().and_then(|rig| tx.row::<Queue>(&rig).ok().flatten());
    queue.is_some_and(|queue| queue.parked.is_some())
}

fn find_request(tx: &mut MemoryDb, id: &BeadId) -> Option<MergeRequest> {
    line::request(tx, id).ok().flatten()
}
