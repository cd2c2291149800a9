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
        /// Each comes with three more traits, which tell nothing.
        silent: bool,
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
            Mix::Two { share, low, high, silent } => {
                let second = stream.happens(share);
                let word = if second { "wild" } else { "calm" };
                let mut traits = vec![("size", word.to_owned())];
                if silent {
                    let mut one_of = |many| stream.below(many).to_string();
                    traits.push(("author", one_of(20)));
                    traits.push(("attempt", one_of(3)));
                    traits.push(("place", one_of(12)));
                }
                (if second { high } else { low }, traits)
            }
            Mix::Jumps { low, high, every } => {
                (if (id / every).is_multiple_of(2) { low } else { high }, Traits::new())
            }
        };
        (Item { id, traits }, stream.happens(ppm), ppm as f64 / 1e6)
    }
}
