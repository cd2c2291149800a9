//! Writes: each op is checked, completed with what only the town knows, and sent where it belongs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::gateway::desk::Desk;
use crate::gateway::desk::OPS_MAX;
use crate::gateway::desk::allow;
use crate::gateway::desk::caller::Caller;
use crate::gateway::desk::caller::OVERSEER;
use crate::gateway::routing;
use crate::messages::door::Answer;
use crate::messages::door::DoorError;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ops::ForeignDep;
use crate::model::ops::Op;
use crate::model::query::BeadFilter;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::tx::Scan;
use crate::model::tx::TxExt;
use crate::model::value::Name;

/// An op where it belongs.
struct Placed {
    db: Db,
    op: Op,
}

impl Desk {
    pub(super) fn write(&self, caller: &Caller, db: &Db, ops: &[Op]) -> Result<Answer, DoorError> {
        if ops.is_empty() || ops.len() > OPS_MAX {
            let text = format!("a write has 1 to {OPS_MAX} ops, this one {}", ops.len());
            return Err(DoorError::new("usage", text));
        }
        self.check_db(db)?;
        ops.iter().try_for_each(|op| allow::check(caller, op))?;
        let personal = ops.iter().any(|op| matches!(op, Op::SendMail(_) | Op::MarkMail { .. }));
        let actor = if personal { caller.address() } else { caller.author() };
        let mut placed = Vec::with_capacity(ops.len());
        for op in ops {
            placed.push(self.place(caller, db, op)?);
        }
        let home = placed[0].db.clone();
        if placed.iter().any(|one| one.db != home) {
            let text = "these changes belong to different databases";
            return Err(DoorError::new("usage", text).hint("send one write for each"));
        }
        let ops = placed.into_iter().map(|one| one.op).collect();
        let facts = self.submit(&home, actor, ops)?;
        Ok(Answer { facts, result: Value::Null })
    }

    fn place(&self, caller: &Caller, db: &Db, op: &Op) -> Result<Placed, DoorError> {
        let at = |db: Db, op: Op| Placed { db, op };
        Ok(match op {
            Op::SendMail(letter) => {
                let mut letter = letter.clone();
                letter.sender = caller.address().to_owned();
                (letter.recipient, _) = self.recipient(&letter.recipient)?;
                at(Db::hq(), Op::SendMail(letter))
            }
            Op::MarkMail { .. } => at(Db::hq(), op.clone()),
            Op::SendNudge { to, text } => {
                let (to, home) = self.recipient(to.as_str())?;
                at(home, Op::SendNudge { to: Name(to), text: text.clone() })
            }
            Op::TakeNudges { by } => {
                let (by, home) = self.recipient(by.as_str())?;
                if caller.session().is_some_and(|known| known.actor != by) {
                    let text = format!("the hints for {by} are not for {}", caller.address());
                    return Err(DoorError::new("denied", text));
                }
                at(home, Op::TakeNudges { by: Name(by) })
            }
            Op::CreateConvoy { title, owner, beads } => {
                let (owner, _) = self.recipient(owner.as_str())?;
                let ids: Vec<BeadId> = beads.iter().map(|(id, ..)| id.clone()).collect();
                let beads = self.members(&ids)?;
                let (title, owner) = (title.clone(), Name(owner));
                at(Db::hq(), Op::CreateConvoy { title, owner, beads })
            }
            Op::AddDep { bead, target, dep_type }
            | Op::AddForeignDep { bead, target, dep_type, .. } => {
                let local = routing::route(&self.books.databases(), target)? == *db;
                let (bead, target, dep_type) = (bead.clone(), target.clone(), *dep_type);
                let op = match local {
                    true => Op::AddDep { bead, target, dep_type },
                    false => {
                        let ForeignDep { target, db, closed, .. } =
                            self.foreign(target, dep_type)?;
                        Op::AddForeignDep { bead, target, dep_type, db, closed }
                    }
                };
                at(db.clone(), op)
            }
            Op::PlaceOrders { .. } if db.is_hq() => {
                let text = "hq has no workers: a bead is done in the rig whose prefix it has";
                return Err(DoorError::new("invalid", text)
                    .hint("make it there: 'bd create TITLE --rig RIG'"));
            }
            Op::Create(new) => {
                let mut new = new.clone();
                let databases = self.books.databases();
                // What a caller says of a foreign bead is not believed.
                let said = std::mem::take(&mut new.foreign_deps);
                let said = said.into_iter().map(|dep| (dep.dep_type, dep.target));
                let wanted: Vec<_> =
                    std::mem::take(&mut new.deps).into_iter().chain(said).collect();
                for (dep_type, target) in wanted {
                    if routing::route(&databases, &target)? == *db {
                        new.deps.push((dep_type, target));
                    } else {
                        new.foreign_deps.push(self.foreign(target, dep_type)?);
                    }
                }
                at(db.clone(), Op::Create(new))
            }
            other => at(db.clone(), other.clone()),
        })
    }

    /// An edge to a bead of another database, with that bead's present state.
    fn foreign(&self, target: BeadId, dep_type: DepType) -> Result<ForeignDep, DoorError> {
        let db = routing::route(&self.books.databases(), &target)?;
        let found = self.read(&db, |tx| tx.find::<Bead>("by_id", &target))?;
        let Some(found) = found else {
            return Err(DoorError::new("not_found", format!("bead '{target}' not found in {db}")));
        };
        let closed = matches!(found.status, Status::Closed | Status::Pinned);
        Ok(ForeignDep { dep_type, target, db, closed })
    }

    /// Beads for a convoy, with their rigs and whether each is closed.
    fn members(&self, ids: &[BeadId]) -> Result<Vec<(BeadId, RigName, bool)>, DoorError> {
        let databases = self.books.databases();
        let mut by_db: BTreeMap<Db, Vec<BeadId>> = BTreeMap::new();
        for id in ids {
            by_db.entry(routing::route(&databases, id)?).or_default().push(id.clone());
        }
        let mut members = Vec::new();
        for (db, wanted) in by_db {
            let Some(rig) = db.rig() else {
                return Err(DoorError::new("invalid", "a convoy tracks beads of rigs, not of hq"));
            };
            let filter = BeadFilter { ids: wanted.clone(), limit: None, ..BeadFilter::list() };
            let found = self.books.list(&db, &filter).map_err(super::unread)?;
            for id in wanted {
                let Some(bead) = found.iter().find(|bead| bead.id == id) else {
                    let text = format!("bead '{id}' not found in {db}");
                    return Err(DoorError::new("not_found", text));
                };
                members.push((id, rig.clone(), bead.status == Status::Closed));
            }
        }
        Ok(members)
    }

    /// An address in its one form, and the database of its hints.
    pub(super) fn recipient(&self, text: &str) -> Result<(String, Db), DoorError> {
        let databases = self.books.databases();
        if let Some(who) = Identity::parse(text) {
            let db = who.rig().map_or_else(Db::hq, Db::from);
            if matches!(who, Identity::Overseer | Identity::Mayor | Identity::Deacon) {
                return Ok((who.actor(), db));
            }
            let prefix = databases.iter().find(|(name, _)| *name == db).map(|(_, prefix)| prefix);
            if let Some(id) = prefix.and_then(|prefix| who.bead_id(prefix))
                && self.read(&db, |tx| tx.row::<Agent>(&id))?.is_some()
            {
                return Ok((who.actor(), db));
            }
        }
        let mut known: Vec<String> = [OVERSEER, "mayor", "deacon"].map(str::to_owned).to_vec();
        for (db, _) in &databases {
            let agents = self.read(db, |tx| tx.rows::<Agent>(&Scan::default()))?;
            known.extend(agents.into_iter().map(|agent| agent.actor.0));
        }
        let error = DoorError::new("not_found", format!("nobody here is called '{text}'"));
        let text = text.trim_end_matches('/');
        Err(match routing::nearest(text, known.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean '{near}'?")),
            None => error.hint("'gt status' lists everybody; the person is 'overseer'"),
        })
    }
}
