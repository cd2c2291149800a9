//! Restart policy as a pure machine: who is started again, when, and when a person is told.
//!
//! A clean exit is not a crash; a rate limit is not a crash. More than N crashes in T park the
//! child with one escalation, and a probe after the longest back-off clears it by itself
//! (Erlang/OTP's intensity and period; the back-off is the original's restart tracker).

use std::collections::VecDeque;

use super::limits::backoff;
use crate::model::value::text_enum;

text_enum! {
    /// Which ends are followed by a start.
    Restart {
        /// Every end.
        Permanent = "permanent",
        /// Only a crash.
        Transient = "transient",
        /// None.
        Temporary = "temporary",
    }
}

text_enum! {
    /// Who goes down with a crashed child.
    Strategy {
        /// Nobody.
        OneForOne = "one-for-one",
        /// Those that were started after it.
        RestForOne = "rest-for-one",
    }
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, as it should.
    Clean,
    /// Because of a limit that passes at this time.
    Limited {
        /// Milliseconds since the epoch.
        until: i64,
    },
    /// A panic or an error.
    Crash(String),
}

/// Bounds of one child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Crashes within the period that are still answered by a start.
    pub crashes_max: usize,
    /// The period in milliseconds.
    pub period_ms: i64,
    /// First wait; doubles with each crash in the period.
    pub backoff_ms: i64,
    /// Longest wait; also the wait before a parked child is probed.
    pub backoff_max_ms: i64,
}

impl Default for Intensity {
    fn default() -> Self {
        Self { crashes_max: 5, period_ms: 15 * 60_000, backoff_ms: 50, backoff_max_ms: 10 * 60_000 }
    }
}

/// What to do about an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again then.
    StartAt(i64),
    /// Leave it ended.
    Leave,
    /// Too many crashes: tell a person once, and probe at this time.
    Park {
        /// Milliseconds since the epoch.
        probe_at: i64,
        /// Whether this is the first time, so that a person is told once.
        tell: bool,
    },
}

/// One child's record.
#[derive(Clone, Debug)]
pub struct Child {
    restart: Restart,
    intensity: Intensity,
    crashes: VecDeque<i64>,
    parked: bool,
}

impl Child {
    /// A child that has not ended yet.
    #[must_use]
    pub fn new(restart: Restart, intensity: Intensity) -> Self {
        Self { restart, intensity, crashes: VecDeque::new(), parked: false }
    }

    /// Decides on an end at `now`.
    pub fn ended(&mut self, end: &End, now: i64) -> Verdict {
        match (self.restart, end) {
            (Restart::Temporary, _) | (Restart::Transient, End::Clean) => Verdict::Leave,
            (Restart::Permanent, End::Clean) => Verdict::StartAt(now + self.intensity.backoff_ms),
            (Restart::Permanent | Restart::Transient, End::Limited { until }) => {
                Verdict::StartAt((*until).max(now))
            }
            (Restart::Permanent | Restart::Transient, End::Crash(_)) => self.crashed(now),
        }
    }

    fn crashed(&mut self, now: i64) -> Verdict {
        let from = now - self.intensity.period_ms;
        while self.crashes.front().is_some_and(|at| *at <= from) {
            self.crashes.pop_front();
        }
        self.crashes.push_back(now);
        let max = self.intensity.backoff_max_ms;
        if self.crashes.len() > self.intensity.crashes_max {
            self.crashes.pop_front();
            let tell = !std::mem::replace(&mut self.parked, true);
            return Verdict::Park { probe_at: now + max, tell };
        }
        let times = i64::try_from(self.crashes.len() - 1).unwrap_or(i64::MAX);
        Verdict::StartAt(now + backoff(self.intensity.backoff_ms, times, max))
    }

    /// The child has run for a whole period without a crash; says whether a standing escalation
    /// is to be cleared.
    pub fn settled(&mut self, now: i64) -> bool {
        let from = now - self.intensity.period_ms;
        let quiet = self.crashes.back().is_none_or(|at| *at <= from);
        quiet && std::mem::take(&mut self.parked)
    }

    /// Whether it is parked.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.parked
    }
}
