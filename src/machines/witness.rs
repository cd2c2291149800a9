//! A rig's witness: finds stalled, hung and zombie workers from facts, and never gates completion.
//!
//! What it heard lives in memory, so that a restarted witness starts at "unknown" and waits a
//! whole period before it suspects anybody (D9).

use std::collections::BTreeMap;

use super::After;
use super::Decision;
use super::Input;
use super::Machine;
use super::limits::Limits;
use crate::messages::Address;
use crate::messages::DeaconMessage;
use crate::messages::Message;
use crate::messages::PolecatMessage;
use crate::messages::WitnessMessage;
use crate::model::agent::AgentState;
use crate::model::bead::Hold;
use crate::model::ids::BeadId;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::ids::RigName;
use crate::model::ids::Role;
use crate::model::ops::Op;
use crate::model::rows::Agent;
use crate::model::rows::Bead;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;

/// What was last heard of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    incarnation: i64,
    phase: &'static str,
    at: i64,
    nudged: bool,
    acted_at: Option<i64>,
}

/// One rig's witness.
#[derive(Clone, Debug)]
pub struct Witness {
    rig: RigName,
    limits: Limits,
    heard: BTreeMap<BeadId, Heard>,
    next_patrol: i64,
}

/// Every busy worker with the hold of its bead.
#[derive(Clone, Debug)]
pub struct View {
    busy: Vec<(Agent, Option<Hold>)>,
}

impl Witness {
    /// The witness of a rig.
    #[must_use]
    pub fn new(rig: RigName, limits: Limits) -> Self {
        Self { rig, limits, heard: BTreeMap::new(), next_patrol: 0 }
    }

    fn patrol(&mut self, d: &mut Decision, view: &View, now: i64) {
        let busy = &view.busy;
        self.heard.retain(|id, _| busy.iter().any(|(agent, _)| agent.id == *id));
        for (agent, hold) in busy {
            let phase = agent.state.word();
            let fresh = Heard {
                incarnation: agent.incarnation,
                phase,
                at: now,
                nudged: false,
                acted_at: None,
            };
            let heard = self.heard.entry(agent.id.clone()).or_insert_with(|| fresh.clone());
            if heard.incarnation != agent.incarnation || heard.phase != phase {
                *heard = fresh;
                continue;
            }
            if let Some(message) = judge(agent, hold.as_ref(), heard, &self.limits, now) {
                heard.acted_at = Some(now);
                let to = Address::Polecat(self.rig.clone(), agent.name.to_string());
                d.after.push(After::Tell(to, Message::Polecat(message)));
            } else if nudge_due(agent, heard, &self.limits, now) {
                heard.nudged = true;
                let text =
                    "No sign of life for a while: are you stuck? 'gt done' or 'gt mail send mayor'";
                d.ops.push(Op::SendNudge { to: agent.actor.clone(), text: text.to_owned() });
            }
        }
        let from = self.address().to_string();
        let beat = Message::Deacon(DeaconMessage::Heartbeat { from });
        d.after.push(After::Tell(Address::Deacon, beat));
    }
}

fn nudge_due(agent: &Agent, heard: &Heard, limits: &Limits, now: i64) -> bool {
    matches!(agent.state, AgentState::Working { .. })
        && !heard.nudged
        && now - heard.at >= limits.hung_after_ms
}

/// What should be done about a worker, if anything.
fn judge(
    agent: &Agent,
    hold: Option<&Hold>,
    heard: &Heard,
    limits: &Limits,
    now: i64,
) -> Option<PolecatMessage> {
    let incarnation = agent.incarnation;
    let silent = now - heard.acted_at.unwrap_or(heard.at);
    if !matches!(agent.state, AgentState::Working { .. }) {
        // Stalled: a phase that should have passed by itself.
        let stalled = silent >= limits.stalled_after_ms;
        return stalled.then_some(PolecatMessage::Recheck { incarnation });
    }
    let holds = matches!(hold, Some(Hold::Held { agent: holder, .. }) if *holder == agent.id);
    if !holds {
        // Zombie: a session whose bead is no longer its own.
        let reason = "its bead is no longer on its hook".to_owned();
        return Some(PolecatMessage::Restart { incarnation, reason });
    }
    if silent >= 2 * limits.hung_after_ms {
        let reason = format!("no sign of life for {} s", silent / 1000);
        return Some(PolecatMessage::Restart { incarnation, reason });
    }
    // A lost exit is found by asking again, which costs nothing when all is well.
    let unwatched = silent >= limits.stalled_after_ms && heard.acted_at.is_none();
    unwatched.then_some(PolecatMessage::Recheck { incarnation })
}

impl Machine for Witness {
    type View = View;

    fn address(&self) -> Address {
        Address::Witness(self.rig.clone())
    }

    fn db(&self) -> Db {
        Db::from(&self.rig)
    }

    fn actor(&self) -> String {
        Identity::Witness(self.rig.clone()).actor()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<View, TxError> {
        let mut busy = Vec::new();
        for agent in tx.with::<Agent>(None, Vec::new())? {
            let Some(work) = agent.state.work().filter(|_| agent.role == Role::Polecat) else {
                continue;
            };
            let hold = tx.find::<Bead>("by_id", &work.bead)?.map(|bead| bead.hold);
            busy.push((agent, hold));
        }
        Ok(View { busy })
    }

    fn decide(&mut self, view: &View, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        let asked = match input {
            Input::Told(Message::Witness(WitnessMessage::Progressed { agent, incarnation })) => {
                if let Some(heard) = self.heard.get_mut(agent)
                    && heard.incarnation == *incarnation
                {
                    heard.at = now;
                    heard.nudged = false;
                    heard.acted_at = None;
                }
                false
            }
            Input::Told(Message::Witness(WitnessMessage::Patrol)) => true,
            Input::Wake | Input::Report { .. } | Input::Told(_) => false,
        };
        if asked || now >= self.next_patrol {
            self.next_patrol = now + self.limits.patrol_every_ms;
            self.patrol(&mut d, view, now);
        }
        if !view.busy.is_empty() {
            d.wake(self.next_patrol);
        }
        d
    }
}
