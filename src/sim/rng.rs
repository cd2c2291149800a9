//! Seeded randomness: one stream per subject, so that a new subject does not shift the others.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rand_chacha::rand_core::SeedableRng;

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of a subject under a seed.
    #[must_use]
    pub(super) fn new(seed: u64, subject: &str) -> Self {
        let mut hash = Hash::default();
        hash.text(subject);
        Self(ChaCha8Rng::seed_from_u64(seed ^ hash.0.rotate_left(17)))
    }

    /// A number below `bound` (at least 1).
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The bias of a remainder is below 2^-40 for the bounds used here.
        self.0.next_u64() % bound.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.saturating_sub(low).unsigned_abs() + 1) as i64
    }

    /// Whether an event of this many in a million happens.
    pub(super) fn happens(&mut self, per_million: u64) -> bool {
        per_million > 0 && self.below(1_000_000) < per_million
    }
}

/// FNV-1a: the trace's hash, and stable hashes of small things.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(pub u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// Takes in bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Takes in text and its end.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }

    /// Takes in a number.
    pub(super) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// As a 40-digit object id.
    #[must_use]
    pub(super) fn object_id(self) -> String {
        let mixed = self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        format!("{:016x}{mixed:016x}{:08x}", self.0, self.0 >> 32)
    }
}
