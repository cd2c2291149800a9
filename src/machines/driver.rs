//! The effect driver's memory: what is in flight, and when a failed effect may be tried again.
//!
//! A machine names the effect that its state wants at every decision; the driver lets it through
//! when it is not in flight, its deadline has passed, or its back-off is over (D6).

use std::collections::BTreeMap;

use super::After;
use super::Decision;
use super::limits::Limits;
use super::limits::backoff;
use crate::model::effect::Effect;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Flight {
    Running { deadline: Option<i64> },
    Waiting { until: i64 },
}

/// How often in a row an effect was not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tries {
    /// For whatever reason.
    all: i64,
    /// Not because somebody did not answer.
    failed: i64,
}

/// Effects in flight, by key.
#[derive(Clone, Debug, Default)]
pub struct Driver {
    flights: BTreeMap<String, (Flight, Tries)>,
}

impl Driver {
    /// Does the effect unless it is in flight or backing off. `patient` effects (a watch) have no
    /// deadline: the Witness asks again instead.
    pub fn want(&mut self, d: &mut Decision, now: i64, limits: &Limits, effect: Effect) {
        let patient = matches!(effect, Effect::Watch { .. });
        let key = effect.key();
        let tries = match self.flights.get(&key) {
            Some((Flight::Running { deadline: None }, _)) => return,
            Some((Flight::Running { deadline: Some(at) }, _)) if now < *at => {
                d.wake(*at);
                return;
            }
            Some((Flight::Waiting { until }, _)) if now < *until => {
                d.wake(*until);
                return;
            }
            Some((_, tries)) => *tries,
            None => Tries::default(),
        };
        // Gates have bounds of their own.
        let own = match &effect {
            Effect::RunGates { gates, .. } => gates.iter().map(|gate| gate.timeout_ms).sum(),
            _ => 0,
        };
        let deadline = (!patient).then_some(now + own + limits.effect_deadline_ms);
        if let Some(at) = deadline {
            d.wake(at);
        }
        self.flights.insert(key, (Flight::Running { deadline }, tries));
        d.after.push(After::Do(effect));
    }

    /// The effect has answered; whether it had been asked for.
    pub fn done(&mut self, key: &str) -> bool {
        self.flights.remove(key).is_some()
    }

    /// Subjects of effects of this verb that may still answer.
    pub fn flying<'a>(&'a self, verb: &'a str, now: i64) -> impl Iterator<Item = &'a str> {
        let due = move |flight: &Flight| match flight {
            Flight::Running { deadline } => deadline.is_none_or(|at| now < at),
            Flight::Waiting { .. } => false,
        };
        let flying = self.flights.iter().filter(move |(_, (flight, _))| due(flight));
        flying.filter_map(move |(key, _)| key.strip_prefix(verb)?.strip_prefix(' '))
    }

    /// The effect has failed; returns how often in a row, times without an answer not counted.
    pub fn failed(&mut self, key: &str, now: i64, limits: &Limits) -> i64 {
        self.again(key, now, limits, 1).failed
    }

    /// Somebody whom the effect has to ask did not answer; returns how often in a row it was not
    /// done, for whatever reason.
    pub fn unreachable(&mut self, key: &str, now: i64, limits: &Limits) -> i64 {
        self.again(key, now, limits, 0).all
    }

    fn again(&mut self, key: &str, now: i64, limits: &Limits, failed: i64) -> Tries {
        let mut tries = self.flights.get(key).map_or_else(Tries::default, |(_, tries)| *tries);
        tries.all += 1;
        tries.failed += failed;
        let wait = backoff(limits.effect_retry_ms, tries.all - 1, limits.effect_retry_max_ms);
        self.flights.insert(key.to_owned(), (Flight::Waiting { until: now + wait }, tries));
        tries
    }

    /// Forgets everything: the next decision asks the world again.
    pub fn clear(&mut self) {
        self.flights.clear();
    }
}
