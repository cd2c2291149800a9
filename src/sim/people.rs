//! Everybody outside the town: a person who files and slings, and the agents in the sessions.

use std::collections::BTreeMap;

use super::event::Event;
use super::event::Submitter;
use super::ledger::Reply;
use super::plan::Fault;
use super::rng::Hash;
use super::rng::Stream;
use super::town::Town;
use crate::machines::Input;
use crate::messages::Address;
use crate::messages::Message;
use crate::messages::WitnessMessage;
use crate::model::agent::Exit;
use crate::model::agent::Submission;
use crate::model::bead::DepType;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::RigName;
use crate::model::ids::SessionId;
use crate::model::ids::Sha;
use crate::model::line::HOTFIX;
use crate::model::mail::MailKind;
use crate::model::mail::Priority;
use crate::model::merge::MrState;
use crate::model::ops::NewBead;
use crate::model::ops::Op;
use crate::model::parcel::Letter;
use crate::model::rows::MergeRequest;
use crate::model::rows::Queue;
use crate::model::tx::TxExt;
use crate::model::value::Cell;
use crate::model::value::Name;

/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;

/// A submission from outside that is asked for until it is answered.
#[derive(Clone, Debug)]
struct Client {
    db: Db,
    actor: String,
    ops: Vec<Op>,
    session: Option<SessionId>,
}

/// Where a session's script stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Work,
    Fail,
    Hang,
    Lie,
    Leave,
    Gone,
}

/// Everybody outside.
#[derive(Debug)]
pub(super) struct People {
    stream: Stream,
    clients: BTreeMap<u64, Client>,
    scripts: BTreeMap<SessionId, Script>,
    next: u64,
    filed: BTreeMap<Db, u64>,
    /// Milliseconds between two visits of the person.
    pause_ms: i64,
    /// The person has gone home.
    pub quiet: bool,
}

impl People {
    /// People under a seed; the person comes about every `pause_ms`.
    #[must_use]
    pub(super) fn new(seed: u64, pause_ms: i64) -> Self {
        Self {
            stream: Stream::new(seed, "people"),
            clients: BTreeMap::new(),
            scripts: BTreeMap::new(),
            next: 0,
            filed: BTreeMap::new(),
            pause_ms,
            quiet: false,
        }
    }

    /// Whether nobody waits for an answer.
    #[must_use]
    pub(super) fn is_idle(&self) -> bool {
        self.clients.is_empty()
    }

    /// Beads filed so far.
    #[must_use]
    pub(super) fn filed(&self) -> u64 {
        self.filed.values().sum()
    }
}

impl Town {
    pub(super) fn person_acts(&mut self) {
        self.person_unparks();
        self.person_thaws();
        if self.people.quiet {
            self.at(self.now + HOUR_MS, Event::Person);
            return;
        }
        let pause =
            self.people.stream.between(self.people.pause_ms / 2, self.people.pause_ms * 3 / 2);
        self.at(self.now + pause, Event::Person);
        let at = self.people.stream.below(self.casting.rigs.len() as u64) as usize;
        let (rig, prefix) = self.casting.rigs[at].clone();
        let db = Db::from(&rig);
        let count = 1 + self.people.stream.below(3);
        let mut ops = Vec::new();
        let mut beads = Vec::new();
        for _ in 0..count {
            let number = self.people.filed.entry(db.clone()).or_default();
            *number += 1;
            let number = *number;
            let id = BeadId(format!("{prefix}-w{number}"));
            let priority = self.people.stream.below(5) as i64;
            let mut deps = Vec::new();
            if number > 3 && self.people.stream.happens(250_000) {
                let back = 1 + self.people.stream.below(3);
                deps.push((DepType::Blocks, BeadId(format!("{prefix}-w{}", number - back))));
            }
            ops.push(Op::Create(NewBead {
                id: Some(id.clone()),
                title: format!("work {number}"),
                priority: Some(priority),
                deps,
                ..NewBead::default()
            }));
            beads.push(id);
        }
        ops.push(Op::PlaceOrders { beads, worker: None, preset: None, convoy: None });
        self.ask(db.clone(), "overseer".to_owned(), ops, None);
        if self.people.stream.happens(100_000) {
            self.person_meddles(&db, &prefix);
        }
        if self.people.stream.happens(80_000) {
            self.person_at_the_queue(&rig);
        }
    }

    /// A parked queue is looked at and let go on.
    fn person_unparks(&mut self) {
        for (rig, _) in self.casting.rigs.clone() {
            let db = Db::from(&rig);
            let queue = self.books.tx(&db).row::<Queue>(&rig).ok().flatten();
            if queue.is_some_and(|queue| queue.parked.is_some()) {
                let go_on = Op::ParkQueue { rig, reason: None };
                self.ask(db, "overseer".to_owned(), vec![go_on], None);
            }
        }
    }

    /// A frozen queue is let go on after a while.
    fn person_thaws(&mut self) {
        for (rig, _) in self.casting.rigs.clone() {
            let db = Db::from(&rig);
            let queue = self.books.tx(&db).row::<Queue>(&rig).ok().flatten();
            let frozen = queue.is_some_and(|queue| queue.frozen.is_some());
            if frozen && (self.people.quiet || self.people.stream.happens(200_000)) {
                let thaw = Op::FreezeQueue { rig, reason: None, allow: None };
                self.ask(db, "overseer".to_owned(), vec![thaw], None);
            }
        }
    }

    /// Something that waits to land is put first or given up, or nothing may land for a while.
    fn person_at_the_queue(&mut self, rig: &RigName) {
        let db = Db::from(rig);
        let reason = "a person's word".to_owned();
        let op = if self.people.stream.happens(300_000) {
            let allow = self.people.stream.below(7) as i64 - 2;
            let allow = Some(allow).filter(|class| *class >= HOTFIX);
            Op::FreezeQueue { rig: rig.clone(), reason: Some(reason), allow }
        } else {
            let queued = vec![MrState::Queued.to_value()];
            let waiting = self.books.tx(&db).with::<MergeRequest>(Some("by_state"), queued);
            let waiting = waiting.unwrap_or_default();
            let at = self.people.stream.below(waiting.len().max(1) as u64) as usize;
            let Some(mr) = waiting.get(at) else { return };
            match self.people.stream.happens(500_000) {
                true => Op::Hotfix { id: mr.id.clone(), reason },
                false => Op::Close { id: mr.bead.clone(), reason },
            }
        };
        self.ask(db, "overseer".to_owned(), vec![op], None);
    }

    /// A release, a mail and a hint now and then.
    fn person_meddles(&mut self, db: &Db, prefix: &str) {
        let filed = self.people.filed.get(db).copied().unwrap_or(1);
        let number = 1 + self.people.stream.below(filed);
        let bead = BeadId(format!("{prefix}-w{number}"));
        let release = Op::Release { bead: bead.clone(), reason: "changed my mind".to_owned() };
        let again = Op::PlaceOrders { beads: vec![bead], worker: None, preset: None, convoy: None };
        self.ask(db.clone(), "overseer".to_owned(), vec![release, again], None);
        let letter = Letter {
            sender: "overseer".to_owned(),
            recipient: "mayor".to_owned(),
            kind: MailKind::Help,
            subject: "how is it going".to_owned(),
            body: String::new(),
            priority: Priority::Normal,
            thread: None,
        };
        self.ask(Db::hq(), "overseer".to_owned(), vec![Op::SendMail(letter)], None);
        let to = Name(format!("{db}/polecats/furiosa"));
        let hint = Op::SendNudge { to, text: "hurry".to_owned() };
        self.ask(db.clone(), "overseer".to_owned(), vec![hint], None);
    }

    fn ask(&mut self, db: Db, actor: String, ops: Vec<Op>, session: Option<SessionId>) {
        self.people.next += 1;
        let client = self.people.next;
        self.people.clients.insert(client, Client { db, actor, ops, session });
        self.client_retries(client);
    }

    pub(super) fn client_retries(&mut self, number: u64) {
        let Some(client) = self.people.clients.get(&number).cloned() else { return };
        if self.is_up() {
            self.submit(&client.db, client.actor, client.ops, Submitter::Client(number));
        } else {
            self.at(self.now + 10_000, Event::Retry { client: number });
        }
    }

    pub(super) fn client_answered(&mut self, number: u64, reply: &Reply) {
        if matches!(reply, Reply::Unknown | Reply::Busy) {
            self.at(self.now + 5_000, Event::Retry { client: number });
            return;
        }
        let Some(client) = self.people.clients.remove(&number) else { return };
        // Submitted or refused: either way there is nothing more to do in this session.
        if let Some(session) = client.session {
            self.people.scripts.insert(session.clone(), Script::Leave);
            let later = self.now + self.people.stream.between(1_000, 10_000);
            self.at(later, Event::Agent { session });
        }
    }

    pub(super) fn agent_acts(&mut self, session: &SessionId) {
        let Some(sim) = self.world.sessions.get(session).cloned() else { return };
        let script = self.people.scripts.get(session).copied();
        let stale = script == Some(Script::Gone);
        if sim.exit.is_some() && !stale {
            return;
        }
        match script {
            None => self.agent_begins(session),
            Some(Script::Work) => {
                let paired = self.people.stream.happens(60_000);
                let pair = paired.then(|| self.people.filed() / 8);
                let head = self.world.work(&sim.spec.place, pair);
                self.agent_done(session, head);
            }
            Some(Script::Lie | Script::Gone) => {
                let mut hash = Hash::default();
                hash.text(session.as_str());
                self.agent_done(session, Sha(hash.object_id()));
            }
            Some(Script::Fail) => {
                self.agent_leaves(session, Exit::Code(1));
                if self.plan.strikes(Fault::AgentStale) {
                    self.people.scripts.insert(session.clone(), Script::Gone);
                    let later = self.now + self.people.stream.between(60_000, 3_600_000);
                    self.at(later, Event::Agent { session: session.clone() });
                }
            }
            Some(Script::Leave) => self.agent_leaves(session, Exit::Code(0)),
            Some(Script::Hang) => {}
        }
    }

    fn agent_begins(&mut self, session: &SessionId) {
        let Some(sim) = self.world.sessions.get(session) else { return };
        let (place, agent) = (sim.spec.place.clone(), sim.spec.agent.clone());
        let script = if self.plan.strikes(Fault::AgentHung) {
            Script::Hang
        } else if self.plan.strikes(Fault::AgentFailed) {
            Script::Fail
        } else if self.plan.strikes(Fault::AgentLied) {
            Script::Lie
        } else {
            Script::Work
        };
        self.people.scripts.insert(session.clone(), script);
        let alive = WitnessMessage::Progressed { agent, incarnation: place.incarnation };
        let to = Address::Witness(place.rig);
        self.send(to, Input::Told(Message::Witness(alive)), 1);
        let done = self.now + self.people.stream.between(120_000, 1_500_000);
        self.at(done, Event::Agent { session: session.clone() });
    }

    fn agent_done(&mut self, session: &SessionId, head: Sha) {
        let Some(sim) = self.world.sessions.get(session).cloned() else { return };
        let submit = Op::Submit {
            agent: sim.spec.agent.clone(),
            incarnation: sim.spec.place.incarnation,
            submission: Submission { head, no_change: None },
        };
        let db = Db::from(&sim.spec.place.rig);
        self.ask(db, sim.spec.actor, vec![submit], Some(session.clone()));
    }

    fn agent_leaves(&mut self, session: &SessionId, exit: Exit) {
        if let Some(sim) = self.world.sessions.get_mut(session) {
            sim.exit.get_or_insert(exit);
        }
        self.session_over(session);
    }
}
