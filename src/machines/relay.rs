//! Carries parcels from one database to another, in order and until acknowledged (D7, I9).

use super::After;
use super::Decision;
use super::Input;
use super::Machine;
use super::limits::Limits;
use super::limits::backoff;
use crate::messages::Address;
use crate::model::effect::Outcome;
use crate::model::ids::Db;
use crate::model::ops::Op;
use crate::model::rows::Outbox;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::tx::TxExt;
use crate::model::value::Cell;

/// The relay from `src` to `dst`.
#[derive(Clone, Debug)]
pub struct Relay {
    src: Db,
    dst: Db,
    limits: Limits,
    /// The last number that is on its way, and when to send again.
    sent: Option<(i64, i64)>,
    failures: i64,
}

impl Relay {
    /// The relay of one direction.
    #[must_use]
    pub fn new(src: Db, dst: Db, limits: Limits) -> Self {
        Self { src, dst, limits, sent: None, failures: 0 }
    }

    fn send(&mut self, d: &mut Decision, rows: &[Outbox], now: i64) {
        let Some(last) = rows.last() else {
            self.sent = None;
            return;
        };
        if let Some((_, again)) = self.sent
            && now < again
        {
            d.wake(again);
            return;
        }
        let again = now + self.limits.effect_deadline_ms;
        self.sent = Some((last.seq, again));
        d.wake(again);
        d.after.push(After::Deliver {
            key: last.seq.to_string(),
            dst: self.dst.clone(),
            parcels: rows.iter().map(|row| (row.seq, row.parcel.clone())).collect(),
        });
    }
}

impl Machine for Relay {
    type View = Vec<Outbox>;

    fn address(&self) -> Address {
        Address::Relay(self.src.clone(), self.dst.clone())
    }

    fn db(&self) -> Db {
        self.src.clone()
    }

    fn actor(&self) -> String {
        "gt-relay".to_owned()
    }

    fn view(&self, tx: &mut dyn Tx) -> Result<Self::View, TxError> {
        tx.rows(&Scan {
            prefix: vec![self.dst.to_value()],
            limit: Some(self.limits.relay_batch),
            ..Scan::default()
        })
    }

    fn decide(&mut self, rows: &Vec<Outbox>, input: &Input, now: i64) -> Decision {
        let mut d = Decision::default();
        match input {
            Input::Report { key, outcome: Outcome::Delivered } => {
                self.failures = 0;
                self.sent = None;
                if let Ok(upto) = key.parse::<i64>()
                    && rows.first().is_some_and(|row| row.seq <= upto)
                {
                    d.ops.push(Op::Prune { dst: self.dst.clone(), upto });
                    // What was written meanwhile is sent once these are gone.
                    d.wake(now);
                    return d;
                }
            }
            Input::Report { .. } => {
                let (base, max) = (self.limits.effect_retry_ms, self.limits.effect_retry_max_ms);
                let again = now + backoff(base, self.failures, max);
                self.failures += 1;
                self.sent = self.sent.map(|(last, _)| (last, again));
            }
            Input::Wake | Input::Told(_) => {}
        }
        self.send(&mut d, rows, now);
        d
    }
}
