//! Boot: watches the Deacon by the seed's triage (start, wake, nudge, nothing) and does no more.

use super::After;
use super::Decision;
use super::Input;
use super::Machine;
use super::limits::Limits;
use crate::messages::Address;
use crate::messages::BootMessage;
use crate::messages::DeaconMessage;
use crate::messages::Message;
use crate::model::ids::Db;
use crate::model::ids::Identity;
use crate::model::tx::Tx;
use crate::model::tx::TxError;

/// What Boot decides about the Deacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triage {
    /// Heard of lately, or not yet long enough known.
    Nothing,
    /// Silent for a while: ask it to go on patrol.
    Wake,
    /// Silent for twice as long: ask again.
    Nudge,
    /// Silent for four times as long: start it anew.
    Start,
}

/// Silence in milliseconds to a decision.
#[must_use]
pub fn triage(silent: i64, stale: i64) -> Triage {
    match silent {
        s if s < stale => Triage::Nothing,
        s if s < 2 * stale => Triage::Wake,
        s if s < 4 * stale => Triage::Nudge,
        _ => Triage::Start,
    }
}

/// The Deacon's watchdog.
#[derive(Clone, Debug)]
pub struct Boot {
    limits: Limits,
    /// When the Deacon was last heard of; unknown at first.
    heard: Option<i64>,
    /// Deacon starts asked for.
    starts: i64,
    next_look: i64,
}

impl Boot {
    /// A new watchdog: it gives the Deacon a whole period before it suspects it.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, heard: None, starts: 0, next_look: 0 }
    }
}

impl Machine for Boot {
    type View = ();

    fn address(&self) -> Address {
        Address::Boot
    }

    fn db(&self) -> Db {
        Db::hq()
    }

    fn actor(&self) -> String {
        Identity::Boot.actor()
    }

    fn view(&self, _tx: &mut dyn Tx) -> Result<(), TxError> {
        Ok(())
    }

    fn decide(&mut self, (): &(), input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        if matches!(input, Input::Told(Message::Boot(BootMessage::DeaconAlive))) {
            self.heard = Some(now);
        }
        let heard = *self.heard.get_or_insert(now);
        if now >= self.next_look {
            self.next_look = now + self.limits.deacon_stale_ms / 2;
            let wake = Message::Deacon(DeaconMessage::Wake);
            match triage(now - heard, self.limits.deacon_stale_ms) {
                Triage::Nothing => {}
                Triage::Wake | Triage::Nudge => d.after.push(After::Tell(Address::Deacon, wake)),
                Triage::Start => {
                    self.heard = Some(now);
                    self.starts += 1;
                    d.after.push(After::Restart(Address::Deacon));
                }
            }
        }
        d.wake(self.next_look);
        d
    }
}
