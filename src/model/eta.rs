//! When a merge request will be decided: what this queue's cycles took, drawn again and again.
//!
//! A cycle decides up to a stack's length, or up to the first culprit; how long it takes is drawn
//! from the cycles that were observed. Drawing is deterministic: the same rows give the same
//! answer. Where nothing was observed there is no answer.

/// Futures that are drawn.
const DRAWS: usize = 400;
/// Chances are drawn as so many parts.
const PARTS: f64 = 1e6;

/// Milliseconds that observed cycles took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Those without a culprit.
    pub clean: Vec<i64>,
    /// Those with one.
    pub red: Vec<i64>,
}

/// Half of the futures, and nine of ten, do not exceed these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eta {
    /// Cycles, half.
    pub cycles_p50: i64,
    /// Cycles, nine of ten.
    pub cycles_p90: i64,
    /// Milliseconds, half.
    pub ms_p50: i64,
    /// Milliseconds, nine of ten.
    pub ms_p90: i64,
}

/// A small generator (SplitMix64): the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn one_of(&mut self, from: &[i64]) -> i64 {
        from[self.below(from.len() as u64) as usize]
    }
}

/// How many are stacked at this failure rate: as Golomb's code asks, at most `most`.
#[must_use]
pub fn stack_length(rate: f64, most: usize) -> usize {
    let stays = 1.0 - rate.clamp(0.0, 1.0);
    let (mut survives, mut length) = (stays, 1);
    while length < most && survives * (1.0 + stays) > 1.0 {
        survives *= stays;
        length += 1;
    }
    length
}

/// When the one at this place, counted from 1, is decided; `None` where no cycle was observed.
#[must_use]
pub fn eta(place: usize, rate: f64, most: usize, seen: &Observed) -> Option<Eta> {
    let either = |own: &'_ [i64], other: &'_ [i64]| -> Vec<i64> {
        if own.is_empty() { other.to_vec() } else { own.to_vec() }
    };
    let (clean, red) = (either(&seen.clean, &seen.red), either(&seen.red, &seen.clean));
    if clean.is_empty() {
        return None;
    }
    let length = stack_length(rate, most.max(1));
    let bad = (rate.clamp(0.0, 0.95) * PARTS) as u64;
    let mut draw = Draw(place as u64);
    let mut futures: Vec<(i64, i64)> = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let (mut left, mut cycles, mut ms) = (place.max(1), 0, 0);
        while left > 0 {
            let culprit = (1..=length).find(|_| draw.below(PARTS as u64) < bad);
            cycles += 1;
            ms += draw.one_of(if culprit.is_some() { &red } else { &clean });
            left = left.saturating_sub(culprit.unwrap_or(length));
        }
        futures.push((cycles, ms));
    }
    let at = |share: usize, of: fn(&(i64, i64)) -> i64| {
        let mut sorted: Vec<i64> = futures.iter().map(of).collect();
        sorted.sort_unstable();
        sorted[DRAWS * share / 100]
    };
    Some(Eta {
        cycles_p50: at(50, |f| f.0),
        cycles_p90: at(90, |f| f.0),
        ms_p50: at(50, |f| f.1),
        ms_p90: at(90, |f| f.1),
    })
}
