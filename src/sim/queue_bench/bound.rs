//! What theory allows, and what other policies cost by formula.
//!
//! `p` is the chance of a change to be bad, `q = 1 - p`, `f` that of a green tree's run to be red.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub use crate::model::learner::capacity;
pub use crate::model::learner::entropy;

/// The most changes per round with `slots` runs on prefixes: the mean gap between culprits over
/// the mean length of the best code for it, Huffman's with `slots + 1` signs.
#[must_use]
pub fn pace(p: f64, slots: usize) -> f64 {
    let ways = slots + 1;
    let mut weights = Vec::new();
    let mut weight = p;
    // What is cut off weighs nothing against the precision of the figures.
    while weight > p * 1e-13 || (weights.len() - 1) % (ways - 1) != 0 {
        weights.push(weight);
        weight *= 1.0 - p;
    }
    let mut heap: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    // Chances as integers, since floats have no total order in a heap.
    heap.extend(weights.iter().map(|w| Reverse((w * 2f64.powi(62)) as u64)));
    let mut length = 0.0;
    while heap.len() > 1 {
        let sum: u64 = (0..ways).filter_map(|_| heap.pop()).map(|Reverse(weight)| weight).sum();
        length += sum as f64 / 2f64.powi(62);
        heap.push(Reverse(sum));
    }
    1.0 / (p * length)
}

/// Runs per decided change: one whole batch, when it is red each alone.
#[must_use]
pub fn dorfman(p: f64, batch: i32) -> f64 {
    1.0 / f64::from(batch) + 1.0 - (1.0 - p).powi(batch)
}

/// Runs per decided change: a red batch of `2^depth` is cut in halves, each tested afresh.
#[must_use]
pub fn halving(p: f64, depth: u32) -> f64 {
    let q = 1.0 - p;
    let level = |d: u32| 2f64.powi(d as i32) * (1.0 - q.powi(1 << (depth - d)));
    (1.0 + 2.0 * (0..depth).map(level).sum::<f64>()) / f64::from(1_u32 << depth)
}

/// Runs for a batch of `size` of which nothing is known, halved with inference.
fn inferring(p: f64, size: i32) -> f64 {
    1.0 + (1.0 - (1.0 - p).powi(size)) * inferring_red(p, size)
}

fn inferring_red(p: f64, size: i32) -> f64 {
    if size == 1 {
        return 0.0;
    }
    let (q, half) = (1.0 - p, size / 2);
    let left_green = (q.powi(half) - q.powi(size)) / (1.0 - q.powi(size));
    let rest = size - half;
    1.0 + left_green * inferring_red(p, rest)
        + (1.0 - left_green) * (inferring_red(p, half) + inferring(p, rest))
}

/// Runs per decided change of the original: the tip is tested twice when it is red, then halved
/// with inference, and the good ones are tested together.
#[must_use]
pub fn original(p: f64, batch: i32) -> f64 {
    let all_green = (1.0 - p).powi(batch);
    let verify = 1.0 - all_green - p.powi(batch);
    (inferring(p, batch) + 1.0 - all_green + verify) / f64::from(batch)
}

/// Runs per decided change of a train that tests `window` prefixes at once.
#[must_use]
pub fn train(p: f64, window: i32) -> f64 {
    f64::from(window) * p / (1.0 - (1.0 - p).powi(window))
}

/// The best batch for a search on prefixes, and its runs per decided change.
#[must_use]
pub fn find_first(p: f64) -> (u32, f64) {
    let q = 1.0 - p;
    let batch = ((1.0 + q).ln() / -q.ln()).ceil();
    let floor = batch.log2().floor();
    let short = 2f64.powf(floor + 1.0) - batch;
    (batch as u32, p * (floor + 1.0 + q.powf(short) / (1.0 - q.powf(batch))))
}
