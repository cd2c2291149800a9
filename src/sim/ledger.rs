//! The simulated ledger: a lane and an in-memory database each for hq and every rig.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::cast::Casting;
use super::event::Submitter;
use super::memory::MemoryDb;
use super::oracle::Oracle;
use crate::machines::lane::Lane;
use crate::machines::lane::LaneInput;
use crate::machines::lane::LaneOutput;
use crate::machines::lane::Ticket;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::Role;
use crate::model::ops::Ctx;
use crate::model::ops::Fact;
use crate::model::ops::Facts;
use crate::model::ops::Keys;
use crate::model::ops::Op;
use crate::model::ops::Refused;
use crate::model::ops::apply;
use crate::model::value::Name;

/// What a submitter is told.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Committed.
    Done,
    /// Not applied.
    Refused(Refused),
    /// Nobody knows.
    Unknown,
    /// Too many wait.
    Busy,
}

struct Submission {
    actor: String,
    ops: Vec<Op>,
    from: Submitter,
    result: Option<Result<Facts, Refused>>,
}

struct Shelf {
    memory: MemoryDb,
    keys: Keys,
    lane: Lane,
    running: Vec<Ticket>,
    due: bool,
    waiting: BTreeMap<Ticket, Submission>,
}

/// All databases of the town.
pub(super) struct Books {
    shelves: BTreeMap<Db, Shelf>,
    tickets: Ticket,
    /// Tickets whose submitter was told that they are done.
    pub(super) acked: BTreeSet<Ticket>,
    /// Tickets that never reached the database.
    pub(super) lost: BTreeSet<Ticket>,
    /// Commits that changed something, ever.
    pub(super) commits: u64,
}

impl Books {
    pub(super) fn new(casting: &Casting, now: i64) -> Self {
        let mut shelves = BTreeMap::new();
        let mut names = vec![(Db::hq(), "hq".to_owned())];
        names.extend(casting.rigs.iter().map(|(rig, prefix)| (Db::from(rig), prefix.clone())));
        for (db, prefix) in names {
            let mut ops = vec![Op::SetMeta { name: Name::from("prefix"), value: prefix.clone() }];
            match db.rig() {
                None => {
                    ops.extend(Role::ALL.iter().map(|role| Op::RegisterRole { role: *role }));
                    for who in [Identity::Mayor, Identity::Deacon, Identity::Boot] {
                        ops.push(Op::RegisterAgent { who });
                    }
                }
                Some(rig) => {
                    for who in [Identity::Witness(rig.clone()), Identity::Refinery(rig)] {
                        ops.push(Op::RegisterAgent { who });
                    }
                }
            }
            let mut shelf = Shelf {
                memory: MemoryDb::new(),
                keys: Keys::new(0, 0),
                lane: Lane::new(casting.limits.group_max, casting.limits.lane_queue_max),
                running: Vec::new(),
                due: false,
                waiting: BTreeMap::new(),
            };
            shelf.memory.begin();
            for op in ops {
                let mut ctx = Ctx { now, actor: "overseer", db: &db, keys: &mut shelf.keys };
                apply(&mut shelf.memory, &mut ctx, &op).expect("a new town is well formed");
            }
            shelf.memory.commit();
            shelves.insert(db, shelf);
        }
        Self { shelves, tickets: 0, acked: BTreeSet::new(), lost: BTreeSet::new(), commits: 0 }
    }

    fn shelf(&mut self, db: &Db) -> &mut Shelf {
        self.shelves.get_mut(db).expect("a database of this town")
    }

    pub(super) fn dbs(&self) -> Vec<Db> {
        self.shelves.keys().cloned().collect()
    }

    pub(super) fn tx(&mut self, db: &Db) -> &mut MemoryDb {
        &mut self.shelf(db).memory
    }

    pub(super) fn waiting(&self, db: &Db) -> usize {
        self.shelves.get(db).map_or(0, |shelf| shelf.waiting.len())
    }

    pub(super) fn submit(
        &mut self,
        db: &Db,
        actor: String,
        ops: Vec<Op>,
        from: Submitter,
    ) -> (Ticket, Vec<(Ticket, Reply)>) {
        self.tickets += 1;
        let ticket = self.tickets;
        self.shelf(db).waiting.insert(ticket, Submission { actor, ops, from, result: None });
        (ticket, self.step(db, &LaneInput::Submit(ticket)))
    }

    /// Steps the lane and says who is to be told what.
    pub(super) fn step(&mut self, db: &Db, input: &LaneInput) -> Vec<(Ticket, Reply)> {
        let shelf = self.shelves.get_mut(db).expect("a database of this town");
        let mut replies = Vec::new();
        for output in shelf.lane.step(input) {
            match output {
                LaneOutput::Commit(group) => {
                    shelf.running = group;
                    shelf.due = true;
                }
                LaneOutput::Ack(group) => {
                    for ticket in group {
                        self.acked.insert(ticket);
                        let result = shelf.waiting.get(&ticket).and_then(|s| s.result.clone());
                        replies.push((
                            ticket,
                            match result {
                                Some(Err(refused)) => Reply::Refused(refused),
                                Some(Ok(_)) | None => Reply::Done,
                            },
                        ));
                    }
                }
                LaneOutput::Unknown(group) => {
                    shelf.running.clear();
                    let unsettled = group.iter().filter(|ticket| {
                        shelf.waiting.get(ticket).is_some_and(|s| s.result.is_none())
                    });
                    self.lost.extend(unsettled);
                    replies.extend(group.into_iter().map(|ticket| (ticket, Reply::Unknown)));
                }
                LaneOutput::Busy(ticket) => replies.push((ticket, Reply::Busy)),
            }
        }
        replies
    }

    /// Whether a commit is to be scheduled; asks once per group.
    pub(super) fn take_due(&mut self, db: &Db) -> bool {
        std::mem::take(&mut self.shelf(db).due)
    }

    /// Who is to be told of a ticket. An answer before the commit leaves the submission in place.
    pub(super) fn submitter(
        &mut self,
        db: &Db,
        ticket: Ticket,
        reply: &Reply,
    ) -> Option<Submitter> {
        let shelf = self.shelf(db);
        let submission = shelf.waiting.get(&ticket)?;
        let from = submission.from.clone();
        if submission.result.is_some() || !matches!(reply, Reply::Done) {
            shelf.waiting.remove(&ticket);
        }
        Some(from)
    }

    /// Commits the running group; facts of each submission that was applied.
    pub(super) fn commit(&mut self, db: &Db, now: i64, oracle: &mut Oracle) -> Vec<Facts> {
        let shelf = self.shelves.get_mut(db).expect("a database of this town");
        let mut all = Vec::new();
        shelf.memory.begin();
        for ticket in std::mem::take(&mut shelf.running) {
            let Some(submission) = shelf.waiting.get_mut(&ticket) else { continue };
            let mark = shelf.memory.savepoint();
            let mut facts = Facts::new();
            let mut refused = None;
            for op in &submission.ops {
                let before = oracle.before(&mut shelf.memory, op);
                let mut ctx = Ctx { now, actor: &submission.actor, db, keys: &mut shelf.keys };
                match apply(&mut shelf.memory, &mut ctx, op) {
                    Ok(more) => {
                        oracle.applied(db, op, &before, &more);
                        facts.extend(more);
                    }
                    Err(why) => {
                        refused = Some(why);
                        break;
                    }
                }
            }
            submission.result = Some(match refused {
                Some(why) => {
                    shelf.memory.rollback_to(mark);
                    Err(why)
                }
                None => {
                    if facts.iter().any(|fact| *fact != Fact::Unchanged) {
                        all.push(facts.clone());
                    }
                    Ok(facts)
                }
            });
        }
        if shelf.memory.commit() {
            self.commits += 1;
        }
        all
    }

    /// The daemon is gone: groups in flight are lost. Returns the clients that were not answered.
    pub(super) fn crash(&mut self) -> Vec<u64> {
        let mut clients = Vec::new();
        for shelf in self.shelves.values_mut() {
            shelf.lane = shelf.lane.emptied();
            shelf.running.clear();
            shelf.due = false;
            for (ticket, submission) in std::mem::take(&mut shelf.waiting) {
                if submission.result.is_none() {
                    self.lost.insert(ticket);
                }
                if let Submitter::Client(client) = submission.from {
                    clients.push(client);
                }
            }
        }
        clients
    }
}
