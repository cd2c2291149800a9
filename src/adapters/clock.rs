//! The wall clock in the ledger's unit, and a guard for clocks that step back.
//!
//! Nothing else in this room reads the time of day.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Milliseconds since the Unix epoch; 0 for a clock set before it.
#[must_use]
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How long ago a moment of the wall clock was; nothing for one to come.
#[must_use]
pub fn age(then: SystemTime) -> Duration {
    SystemTime::now().duration_since(then).unwrap_or_default()
}

/// A wall clock that never goes back: after a step back it stands still until time catches up.
#[derive(Debug, Default)]
pub struct MonotonicClock {
    last: AtomicI64,
}

impl MonotonicClock {
    /// Milliseconds since the epoch, never less than an earlier answer of the same clock.
    pub fn now_ms(&self) -> i64 {
        self.observe(now_ms())
    }

    /// Takes a reading into account and gives the guarded time, in milliseconds.
    pub fn observe(&self, reading: i64) -> i64 {
        self.last.fetch_max(reading, Ordering::AcqRel).max(reading)
    }
}

/// A moment, for deadlines of real processes.
#[must_use]
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

/// Measures how long something took, for people.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::MonotonicClock;

    #[test]
    fn a_step_back_stands_still() {
        let clock = MonotonicClock::default();
        assert_eq!(clock.observe(50), 50);
        assert_eq!(clock.observe(20), 50);
        assert_eq!(clock.observe(51), 51);
    }
}
