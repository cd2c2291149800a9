//! The simulated town: one heap of events, the real machines, lanes over in-memory databases.
//!
//! Order depends on the seed and the code only. Every hand-over between parts passes through the
//! fault plan; after every step the oracle looks at what changed.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::collections::VecDeque;

use super::cast::Cast;
use super::cast::Casting;
use super::event::Event;
use super::event::Submitter;
use super::ledger::Books;
use super::ledger::Reply;
use super::oracle::Oracle;
use super::people::People;
use super::plan::Fault;
use super::plan::Plan;
use super::rng::Hash;
use super::rng::Stream;
use super::world::World;
use crate::machines::After;
use crate::machines::Decision;
use crate::machines::Input;
use crate::machines::lane::LaneInput;
use crate::machines::lane::Ticket;
use crate::messages::Address;
use crate::messages::wakes;
use crate::model::effect::Effect;
use crate::model::effect::Outcome;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::SessionId;
use crate::model::ops::Fact;
use crate::model::ops::Facts;
use crate::model::ops::Op;
use crate::model::ops::Refused;
use crate::model::rows::Agent;
use crate::model::tx::TxExt;

/// Inputs that wait for a busy machine; more are dropped, and the rows remember.
const STASH_MAX: usize = 64;
/// Between two chances of a daemon restart or an outsider's push.
const WEATHER_EVERY_MS: i64 = 300_000;

struct Pending {
    before: Cast,
    decision: Decision,
    input: Input,
    tries: u32,
}

struct Slot {
    cast: Cast,
    birth: u64,
    pending: Option<Pending>,
    stash: VecDeque<Input>,
    timer: Option<i64>,
}

/// A simulated town.
pub(super) struct Town {
    pub(super) now: i64,
    heap: BinaryHeap<Reverse<(i64, u64)>>,
    events: BTreeMap<u64, Event>,
    order: u64,
    pub(super) casting: Casting,
    slots: BTreeMap<Address, Slot>,
    births: u64,
    life: u64,
    up: bool,
    pub(super) books: Books,
    pub(super) world: World,
    pub(super) people: People,
    pub(super) plan: Plan,
    pub(super) oracle: Oracle,
    stream: Stream,
    watchers: BTreeMap<SessionId, Vec<(Address, u64)>>,
    pub(super) trace: Hash,
    pub(super) steps: u64,
    pub(super) log: VecDeque<String>,
    pub(super) until: i64,
}

/// Lines of the last steps kept for a report.
const LOG_MAX: usize = 40;

impl Town {
    /// A town at its first moment.
    pub(super) fn new(seed: u64, casting: Casting, plan: Plan, people: People, start: i64) -> Self {
        let rigs: Vec<_> = casting.rigs.iter().map(|(rig, _)| rig.clone()).collect();
        let (slots, batch_max) = (casting.queue.slots, casting.queue.batch_max);
        let mut town = Self {
            now: start,
            heap: BinaryHeap::new(),
            events: BTreeMap::new(),
            order: 0,
            books: Books::new(&casting, start),
            casting,
            slots: BTreeMap::new(),
            births: 0,
            life: 0,
            up: false,
            world: World::new(seed, &rigs),
            people,
            plan,
            oracle: Oracle::new(slots, batch_max),
            stream: Stream::new(seed, "town"),
            watchers: BTreeMap::new(),
            trace: Hash::default(),
            steps: 0,
            log: VecDeque::new(),
            until: i64::MAX,
        };
        town.at(start, Event::Start);
        town.at(start + 1_000, Event::Person);
        town.at(start + WEATHER_EVERY_MS, Event::Weather);
        town
    }

    pub(super) fn at(&mut self, at: i64, event: Event) {
        self.order += 1;
        self.heap.push(Reverse((at.max(self.now), self.order)));
        self.events.insert(self.order, event);
    }

    /// Takes the next step; `false` when nothing is left before the end.
    pub(super) fn step(&mut self) -> bool {
        let Some(Reverse((at, order))) = self.heap.peek().copied() else { return false };
        if at > self.until {
            return false;
        }
        self.heap.pop();
        let event = self.events.remove(&order).expect("an event for every place in the heap");
        self.now = at;
        self.steps += 1;
        match event {
            Event::Deliver { to, input, life } if life == self.life && self.up => {
                self.receive(&to, input);
            }
            Event::Timer { to, at, life } if life == self.life && self.up => {
                let wanted = self.slots.get(&to).is_some_and(|slot| slot.timer == Some(at));
                if wanted {
                    self.receive(&to, Input::Wake);
                }
            }
            Event::Commit { db, life } if life == self.life && self.up => self.commit(&db),
            Event::Deliver { .. } | Event::Timer { .. } | Event::Commit { .. } => {}
            Event::Agent { session } => self.agent_acts(&session),
            Event::Person => self.person_acts(),
            Event::Retry { client } => self.client_retries(client),
            Event::Weather => self.weather(),
            Event::Start => self.start(),
        }
        true
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    fn weather(&mut self) {
        self.at(self.now + WEATHER_EVERY_MS, Event::Weather);
        if self.plan.strikes(Fault::DaemonRestart) {
            self.stop();
            let back = self.now + self.stream.between(500, 20_000);
            self.at(back, Event::Start);
        }
        let at = self.stream.below(self.casting.rigs.len() as u64) as usize;
        if self.plan.strikes(Fault::TargetMoved) {
            let rig = self.casting.rigs[at].0.clone();
            self.world.outsider(&rig);
        }
    }

    /// Everything in memory is gone; what is committed and what runs outside stays.
    fn stop(&mut self) {
        self.up = false;
        self.life += 1;
        self.slots.clear();
        self.watchers.clear();
        let lost = self.books.crash();
        for client in lost {
            let again = self.now + 5_000;
            self.at(again, Event::Retry { client });
        }
        self.oracle.after_crash(&self.books);
        self.note("daemon", "stop");
    }

    fn start(&mut self) {
        if self.up {
            return;
        }
        self.up = true;
        self.note("daemon", "start");
        let rigs: Vec<_> = self.casting.rigs.iter().map(|(rig, _)| rig.clone()).collect();
        let mut all = vec![Address::Mayor, Address::Deacon, Address::Boot];
        let mut dbs = vec![Db::hq()];
        dbs.extend(rigs.iter().map(Db::from));
        for rig in &rigs {
            all.push(Address::Dispatcher(rig.clone()));
            all.push(Address::Witness(rig.clone()));
            all.push(Address::Refinery(rig.clone()));
            let db = Db::from(rig);
            for agent in self.books.tx(&db).with::<Agent>(None, Vec::new()).unwrap_or_default() {
                if let Some(Identity::Polecat(rig, name)) = Identity::parse(agent.actor.as_str()) {
                    all.push(Address::Polecat(rig, name));
                }
            }
        }
        for src in &dbs {
            let others = dbs.iter().filter(|dst| *dst != src);
            all.extend(others.map(|dst| Address::Relay(src.clone(), dst.clone())));
        }
        for address in all {
            self.receive(&address, Input::Wake);
        }
    }

    /// Hands an input over through the faults.
    pub(super) fn send(&mut self, to: Address, input: Input, delay: i64) {
        if self.plan.strikes(Fault::MessageDropped) {
            return;
        }
        let late = self.plan.strikes(Fault::MessageDelayed);
        let extra = if late { self.stream.between(1_000, 300_000) } else { 0 };
        let life = self.life;
        if self.plan.strikes(Fault::MessageDoubled) {
            let again = self.now + delay + self.stream.between(1, 60_000);
            let (to, input) = (to.clone(), input.clone());
            self.at(again, Event::Deliver { to, input, life });
        }
        self.at(self.now + delay + extra, Event::Deliver { to, input, life });
    }

    fn slot(&mut self, address: &Address) -> &mut Slot {
        let births = &mut self.births;
        let casting = &self.casting;
        self.slots.entry(address.clone()).or_insert_with(|| {
            *births += 1;
            Slot {
                cast: casting.play(address),
                birth: *births,
                pending: None,
                stash: VecDeque::new(),
                timer: None,
            }
        })
    }

    fn receive(&mut self, to: &Address, input: Input) {
        if self.plan.strikes(Fault::MachineCrash) {
            self.restart(to);
        }
        let slot = self.slot(to);
        if slot.pending.is_some() {
            if slot.stash.len() < STASH_MAX {
                slot.stash.push_back(input);
            }
            return;
        }
        self.decide(to, input, 0);
    }

    /// A machine with an empty memory, woken once.
    fn restart(&mut self, who: &Address) {
        self.slots.remove(who);
        let life = self.life;
        self.at(self.now + 50, Event::Deliver { to: who.clone(), input: Input::Wake, life });
    }

    fn decide(&mut self, who: &Address, input: Input, tries: u32) {
        let now = self.now;
        let db = self.slot(who).cast.db();
        let mut slot = self.slots.remove(who).expect("made above");
        let before = slot.cast.clone();
        let decided = slot.cast.decide(self.books.tx(&db), &input, now);
        let decision = decided.expect("the in-memory ledger does not fail");
        self.record(who, &input, &decision);
        if decision.ops.is_empty() {
            slot.timer = decision.wake_at;
            self.slots.insert(who.clone(), slot);
            self.set_timer(who);
            self.perform(who, decision.after);
            return;
        }
        let (actor, ops, birth) = (slot.cast.actor(), decision.ops.clone(), slot.birth);
        slot.pending = Some(Pending { before, decision, input, tries });
        self.slots.insert(who.clone(), slot);
        let from = Submitter::Machine { who: who.clone(), birth };
        self.submit(&db, actor, ops, from);
    }

    fn set_timer(&mut self, who: &Address) {
        if let Some(at) = self.slots.get(who).and_then(|slot| slot.timer) {
            let (to, life) = (who.clone(), self.life);
            self.at(at, Event::Timer { to, at, life });
        }
    }

    pub(super) fn submit(&mut self, db: &Db, actor: String, ops: Vec<Op>, from: Submitter) {
        let (ticket, out) = self.books.submit(db, actor, ops, from);
        self.oracle.bound(self.books.waiting(db) <= self.casting.limits.lane_queue_max, "lane");
        self.lane(db, ticket, out);
    }

    fn lane(&mut self, db: &Db, _ticket: Ticket, out: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in out {
            self.reply(db, ticket, reply);
        }
        if self.books.take_due(db) {
            let stalled = self.plan.strikes(Fault::StoreStalled);
            let took = if stalled {
                self.stream.between(2_000, 30_000)
            } else {
                self.stream.between(1, 4)
            };
            let (db, life) = (db.clone(), self.life);
            self.at(self.now + took, Event::Commit { db, life });
        }
    }

    fn commit(&mut self, db: &Db) {
        if self.plan.strikes(Fault::GroupLost) {
            let out = self.books.step(db, &LaneInput::Unknown);
            self.oracle.after_crash(&self.books);
            self.lane(db, 0, out);
            return;
        }
        let touched = self.books.commit(db, self.now, &mut self.oracle);
        let versioned = |fact: &Fact| !matches!(fact, Fact::Ran { .. } | Fact::Nudge { .. });
        if touched.iter().flatten().any(|fact| *fact != Fact::Unchanged && versioned(fact)) {
            self.world.shelves.moved(db, self.now);
        }
        for facts in &touched {
            self.spread(db, facts);
        }
        self.oracle.look(&mut self.books, db, &touched, &self.world);
        let unknown = self.plan.strikes(Fault::CommitUnknown);
        let input = if unknown { LaneInput::Unknown } else { LaneInput::Committed };
        let out = self.books.step(db, &input);
        self.lane(db, 0, out);
    }

    /// Wakes whoever a fact concerns.
    fn spread(&mut self, db: &Db, facts: &Facts) {
        let mut all: Vec<Address> = facts.iter().flat_map(|fact| wakes(db, fact)).collect();
        all.sort();
        all.dedup();
        for to in all {
            self.send(to, Input::Wake, 1);
        }
    }

    fn reply(&mut self, db: &Db, ticket: Ticket, reply: Reply) {
        let Some(from) = self.books.submitter(db, ticket, &reply) else { return };
        match from {
            Submitter::Client(client) => self.client_answered(client, &reply),
            Submitter::Relay { who, key } => {
                let outcome = match reply {
                    Reply::Done => Outcome::Delivered,
                    Reply::Refused(refused) => Outcome::Failed { error: refused.to_string() },
                    Reply::Unknown => Outcome::Failed { error: "unknown outcome".to_owned() },
                    Reply::Busy => Outcome::Failed { error: "busy".to_owned() },
                };
                self.send(who, Input::Report { key, outcome }, 1);
            }
            Submitter::Machine { who, birth } => self.machine_answered(&who, birth, reply),
        }
    }

    fn machine_answered(&mut self, who: &Address, birth: u64, reply: Reply) {
        let Some(slot) = self.slots.get_mut(who).filter(|slot| slot.birth == birth) else { return };
        let Some(pending) = slot.pending.take() else { return };
        match reply {
            Reply::Done => {
                slot.timer = pending.decision.wake_at;
                self.set_timer(who);
                self.perform(who, pending.decision.after);
            }
            Reply::Refused(refused) => {
                slot.cast = pending.before;
                self.note(&who.to_string(), &format!("refused: {refused}"));
                let again = matches!(refused, Refused::Moved { .. } | Refused::Stale { .. });
                if again && pending.tries < self.casting.limits.redecide_max {
                    self.decide(who, pending.input, pending.tries + 1);
                } else {
                    let life = self.life;
                    let (to, input) = (who.clone(), Input::Wake);
                    self.at(self.now + 30_000, Event::Deliver { to, input, life });
                }
            }
            Reply::Unknown | Reply::Busy => {
                // Nobody knows: forget what was thought and read again.
                self.restart(who);
                return;
            }
        }
        self.unstash(who);
    }

    fn unstash(&mut self, who: &Address) {
        while let Some(slot) = self.slots.get_mut(who).filter(|slot| slot.pending.is_none()) {
            let Some(input) = slot.stash.pop_front() else { return };
            self.decide(who, input, 0);
        }
    }

    fn perform(&mut self, who: &Address, after: Vec<After>) {
        for one in after {
            match one {
                After::Do(effect) => self.act(who, &effect),
                After::Tell(to, message) => self.send(to, Input::Told(message), 1),
                After::Wake(to) => self.send(to, Input::Wake, 1),
                After::Restart(who) => self.restart(&who),
                After::Deliver { key, dst, parcels } => {
                    let src = self.slot(who).cast.db();
                    let ops = parcels.into_iter().map(|(seq, parcel)| Op::Deliver {
                        src: src.clone(),
                        seq,
                        parcel,
                    });
                    let ops: Vec<Op> = ops.collect();
                    let from = Submitter::Relay { who: who.clone(), key };
                    if self.plan.strikes(Fault::MessageDoubled) {
                        self.submit(&dst, "gt-relay".to_owned(), ops.clone(), from.clone());
                    }
                    self.submit(&dst, "gt-relay".to_owned(), ops, from);
                }
            }
        }
    }

    fn act(&mut self, who: &Address, effect: &Effect) {
        let fresh = match effect {
            Effect::Spawn(spec) => !self.world.sessions.contains_key(&spec.id),
            _ => false,
        };
        self.world.shelves.tick(self.now);
        let acted = self.world.act(effect, &mut self.plan);
        self.oracle.acted(who, effect, &acted, &self.world);
        if let Effect::Spawn(spec) = effect
            && fresh
            && self.world.sessions.contains_key(&spec.id)
        {
            let at = self.now + self.stream.between(5_000, 60_000);
            self.at(at, Event::Agent { session: spec.id.clone() });
        }
        if let Effect::Stop { session, .. } = effect {
            self.session_over(&session.clone());
        }
        match acted.outcome {
            Some(outcome) => {
                self.send(who.clone(), Input::Report { key: effect.key(), outcome }, acted.delay);
            }
            None => {
                if let Effect::Watch { session } = effect {
                    let life = self.life;
                    self.watchers.entry(session.clone()).or_default().push((who.clone(), life));
                }
            }
        }
    }

    /// Tells whoever watches that a session has ended.
    pub(super) fn session_over(&mut self, session: &SessionId) {
        let exit = self.world.sessions.get(session).and_then(|sim| sim.exit.clone());
        let Some(exit) = exit else { return };
        for (who, life) in self.watchers.remove(session).unwrap_or_default() {
            if life == self.life {
                let key = Effect::Watch { session: session.clone() }.key();
                let outcome = Outcome::Exited { exit: exit.clone() };
                self.send(who, Input::Report { key, outcome }, 100);
            }
        }
    }

    pub(super) fn note(&mut self, who: &str, what: &str) {
        self.trace.number(self.now as u64);
        self.trace.text(who);
        self.trace.text(what);
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(format!("{} {who}: {what}", self.now));
    }

    /// The trace: every delivered input with the ops and effects that followed (I14).
    fn record(&mut self, who: &Address, input: &Input, decision: &Decision) {
        let input = serde_json::to_string(input).expect("plain data always serializes");
        let decision = serde_json::to_string(decision).expect("plain data always serializes");
        self.note(&who.to_string(), &format!("{input} => {decision}"));
    }
}
