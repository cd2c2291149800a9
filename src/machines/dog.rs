//! The reaper of one database: it removes hints whose time is over, and what DECAY says may go.
//!
//! What may go must be in the archive and in the backup, and must not be needed by a convoy: only
//! hq knows that, so hq's reaper tells those of the rigs. Two steps make one decay: what may go is
//! looked for in the view after the order, then removed.

use super::After;
use super::Decision;
use super::Input;
use super::Machine;
use super::dog_store;
use super::limits::Life;
use super::limits::Limits;
use crate::messages::Address;
use crate::messages::DogMessage;
use crate::messages::Message;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ops::Doomed;
use crate::model::ops::Op;
use crate::model::ops::Rules;
use crate::model::ops::doomed;
use crate::model::ops::travelling;
use crate::model::rows::Nudge;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;

/// Rows removed in one run.
const REAP_MAX: usize = 500;
/// Between two batches of one decay, in milliseconds: others come first.
const BATCH_PAUSE_MS: i64 = 1_000;

/// The reaper of one database.
#[derive(Clone, Debug)]
pub struct Reaper {
    name: String,
    db: Db,
    limits: Limits,
    life: Life,
    /// A decay that was ordered and not finished.
    rules: Option<Rules>,
}

impl Reaper {
    /// The reaper called `name` for `db`.
    #[must_use]
    pub fn new(name: String, db: Db, limits: Limits, life: Life) -> Self {
        Self { name, db, limits, life, rules: None }
    }

    fn rules(&self, spare: Vec<BeadId>, held_until: i64, now: i64) -> Rules {
        let before = |keep: i64| (now - keep).min(held_until);
        Rules {
            closed_before: before(self.life.beads_keep_ms),
            ended_before: before(self.life.ephemera_keep_ms),
            held_until,
            spare,
        }
    }

    /// Orders the decay of every database whose rows are held elsewhere.
    fn spread(&mut self, seen: &Seen, rigs: &[RigName], now: i64, d: &mut Decision) {
        let dbs = std::iter::once(Db::hq()).chain(rigs.iter().map(Db::from));
        for db in dbs {
            let held = seen.held.iter().find(|(known, _)| *known == db);
            let Some(held_until) = held.map(|(_, at)| at - self.life.copy_margin_ms) else {
                continue;
            };
            let needed = seen.travelling.iter().filter(|(known, _)| *known == db);
            let spare: Vec<BeadId> = needed.map(|(_, bead)| bead.clone()).collect();
            match db.rig() {
                None => self.rules = Some(self.rules(spare, held_until, now)),
                Some(rig) => {
                    let order = DogMessage::Decay { spare, held_until };
                    let to = Address::Dog(format!("reaper-{rig}"));
                    d.after.push(After::Tell(to, Message::Dog(order)));
                }
            }
        }
    }
}

/// What a reaper sees.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When the oldest hint was left or taken.
    oldest: Option<i64>,
    /// What may go, by the rules that are in force.
    doomed: Vec<Doomed>,
    /// In hq: until when archive and backup hold each database.
    held: Vec<(Db, i64)>,
    /// In hq: beads of convoys that have not landed.
    travelling: Vec<(Db, BeadId)>,
}

impl Machine for Reaper {
    type View = Seen;

    fn address(&self) -> Address {
        Address::Dog(self.name.clone())
    }

    fn db(&self) -> Db {
        self.db.clone()
    }

    fn actor(&self) -> String {
        Identity::Dog(self.name.clone()).actor()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<Self::View, TxError> {
        let first = tx.rows::<Nudge>(&Scan { limit: Some(1), ..Scan::default() })?;
        let mut seen = Seen {
            oldest: first.first().map(|row| row.taken_at.unwrap_or(row.sent_at)),
            ..Seen::default()
        };
        if let Some(rules) = &self.rules {
            seen.doomed = doomed(tx, rules, self.life.decay_batch)?;
        } else if self.db.is_hq() {
            seen.held = dog_store::held(tx)?;
            seen.travelling = travelling(tx)?;
        }
        Ok(seen)
    }

    fn decide(&mut self, seen: &Seen, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        let before = now - self.limits.nudge_ttl_ms;
        let ordered = self.rules.is_some();
        match input {
            Input::Told(Message::Dog(DogMessage::Run { rigs })) => {
                if seen.oldest.is_some_and(|at| at < before) {
                    d.ops.push(Op::Reap { before, limit: REAP_MAX });
                }
                if !ordered {
                    self.spread(seen, rigs, now, &mut d);
                }
            }
            Input::Told(Message::Dog(DogMessage::Decay { spare, held_until })) if !ordered => {
                self.rules = Some(self.rules(spare.clone(), *held_until, now));
            }
            Input::Wake | Input::Report { .. } | Input::Told(_) => {}
        }
        match &self.rules {
            // The rules are new: look first.
            Some(_) if !ordered => d.wake(now),
            Some(rules) if !seen.doomed.is_empty() => {
                let all = seen.doomed.clone();
                d.ops.push(Op::Decay { doomed: all, rules: rules.clone() });
                d.wake(now + BATCH_PAUSE_MS);
            }
            Some(_) => self.rules = None,
            None => {}
        }
        d
    }
}
