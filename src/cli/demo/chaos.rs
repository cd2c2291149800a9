//! Seeded moments at which something is killed.

use std::time::Duration;
use std::time::Instant;

/// Shortest and longest time between two kills of the daemon, in milliseconds after it was seen up.
pub(super) const DAEMON_MS: (u64, u64) = (20, 260);
/// The same of the server: a few seconds' worth of kills spread over the whole demo.
pub(super) const SERVER_MS: (u64, u64) = (100, 700);

/// Kills to come.
pub(super) struct Chaos {
    state: u64,
    between_ms: (u64, u64),
    left: u64,
    done: u64,
    next: Option<Instant>,
}

impl Chaos {
    pub(super) fn new(seed: u64, kills: u64, between_ms: (u64, u64)) -> Self {
        let state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { state, between_ms, left: kills, done: 0, next: None }
    }

    /// Draws the next moment, now that it is up.
    pub(super) fn arm(&mut self, now: Instant) {
        if self.left == 0 {
            self.next = None;
            return;
        }
        // Xorshift: moments need a seed, not quality.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let (low, high) = self.between_ms;
        self.next = Some(now + Duration::from_millis(low + self.state % (high - low)));
    }

    /// When the next kill is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Counts a kill.
    pub(super) fn struck(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.done += 1;
        self.next = None;
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }
}
