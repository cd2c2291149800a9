//! Where the first culprit of a stack stands, as chances.
//!
//! Green runs do not lie: no culprit is in a green prefix. A red run lies with the chance of a
//! flake, so that each one makes the places behind it that much less likely (Bayes' rule for a
//! channel that errs in one direction only).

use super::Known;

/// Chances are kept away from certainty, so that evidence can always outweigh them.
const RISK_MIN: f64 = 1e-6;
const RISK_MAX: f64 = 0.999;

/// The chances of what is not yet cleared.
#[derive(Clone, Debug)]
pub struct Places {
    /// Number of the first place: an item counted from 1, or 0 for the target itself.
    pub first: usize,
    /// Chances in order; the last one is "no culprit in the stack". They add up to 1.
    pub weights: Vec<f64>,
}

impl Places {
    /// What is known about the places from `first` on; everything before it is cleared.
    #[must_use]
    pub fn new(known: &Known<'_>, first: usize) -> Self {
        let mut weights = Vec::with_capacity(known.risks.len() + 2 - first);
        // Every place before it survived, and each red run of a prefix before it was a flake.
        let mut carried = 1.0;
        for at in first..=known.risks.len() {
            let risk = match at {
                0 => known.base,
                _ => known.risks[at - 1],
            };
            let risk = risk.clamp(RISK_MIN, RISK_MAX);
            weights.push(carried * risk);
            carried *= 1.0 - risk;
            for seen in known.seen.iter().filter(|seen| seen.len == at) {
                for _ in 0..seen.reds {
                    carried *= known.flake;
                }
            }
        }
        weights.push(carried);
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        Self { first, weights }
    }

    /// The chance that the first culprit is not at the first place.
    #[must_use]
    pub fn others(&self) -> f64 {
        self.weights[1..].iter().sum()
    }
}
