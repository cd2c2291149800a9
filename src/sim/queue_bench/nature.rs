//! What makes verdicts: entries never see it.

use super::super::rng::Stream;
use crate::model::learner::Traits;

/// A change as entries see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Counting from 0.
    pub id: u64,
    /// What is known of it beforehand.
    pub traits: Traits,
}

/// How bad changes come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// All alike: this many in a million.
    Even(u64),
    /// Two kinds, told apart by a trait: this many in a million are of the second, with their
    /// rates.
    Two {
        /// Share of the second kind.
        share: u64,
        /// Rate of the first kind.
        low: u64,
        /// Rate of the second.
        high: u64,
    },
    /// Alike, but the rate jumps between two values after so many changes.
    Jumps {
        /// One rate.
        low: u64,
        /// The other.
        high: u64,
        /// Changes between two jumps.
        every: u64,
    },
}

/// A world's laws.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// How bad changes come.
    pub mix: Mix,
    /// Runs of green trees that are red, in a million.
    pub flake_ppm: u64,
}

impl Nature {
    /// The next change: as seen, whether it is bad, and its chance to be.
    pub(super) fn change(&self, id: u64, stream: &mut Stream) -> (Item, bool, f64) {
        let (ppm, traits) = match self.mix {
            Mix::Even(ppm) => (ppm, Traits::new()),
            Mix::Two { share, low, high } => {
                let second = stream.happens(share);
                let word = if second { "wild" } else { "calm" };
                (if second { high } else { low }, vec![("author", word.to_owned())])
            }
            Mix::Jumps { low, high, every } => {
                (if (id / every).is_multiple_of(2) { low } else { high }, Traits::new())
            }
        };
        (Item { id, traits }, stream.happens(ppm), ppm as f64 / 1e6)
    }
}
