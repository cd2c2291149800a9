//! The merge policy: one pure function from what is known of a stack to what is done next.
//!
//! Find the first culprit on prefixes. A green prefix clears everything in it; a red one says that
//! a culprit is in it, or that the run flaked. [`places`] turns the two into chances for where the
//! first culprit stands, [`code`] cuts those chances where the expected number of rounds is least,
//! [`batch`] says how far to stack. Nothing is remembered between two decisions.

pub mod batch;
pub mod code;
pub mod places;

use places::Places;

/// Red runs of the target itself before it is called red: that stops the whole queue.
pub const TARGET_REDS: usize = 2;

/// A suspect that goes back with this chance of innocence goes back in any case.
const ANY_DOUBT: f64 = 0.9;

/// Runs of one prefix that gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Length of the prefix; 0 is the target itself.
    pub len: usize,
    /// Runs that passed.
    pub greens: usize,
    /// Runs that failed.
    pub reds: usize,
}

/// What is known of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The chance of each item to be a culprit, in order; at least one.
    pub risks: &'a [f64],
    /// The chance that the target itself is red; 0 when a recent green run says that it is not.
    pub base: f64,
    /// What the prefixes have shown.
    pub seen: &'a [Seen],
    /// Prefixes that are being tested.
    pub running: &'a [usize],
    /// Runs at once.
    pub slots: usize,
    /// The chance that a run of a green tree is red.
    pub flake: f64,
    /// A suspect goes back when its chance to be innocent is at most this.
    pub doubt_max: f64,
    /// Red runs of the suspect's own prefix before it goes back, at least 1.
    pub reds_min: usize,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Start runs on the prefixes of these lengths; 0 is the target itself.
    Test(Vec<usize>),
    /// Land the prefix of this length: it is green. The search goes on behind it, on the same
    /// trees.
    Land(usize),
    /// Land what is before this item, which goes back.
    Blame {
        /// The item, counted from 1.
        item: usize,
        /// Its chance to be innocent, in millionths.
        doubt_ppm: i64,
    },
    /// The target itself is red: nobody is blamed, a person is told.
    TargetRed,
    /// The runs in progress decide.
    Wait,
}

/// The next move.
#[must_use]
pub fn next(known: &Known<'_>) -> Move {
    // Who minds no doubt takes red runs at their word, and still books what they may be worth.
    let honest = known;
    let flake = if known.doubt_max >= ANY_DOUBT { 0.0 } else { known.flake };
    let known = &Known { flake, ..*known };
    let len = known.risks.len();
    let green = green(known);
    if green == Some(len) {
        return Move::Land(len);
    }
    let first = green.map_or(0, |green| green + 1);
    let places = Places::new(known, first);
    let reds = reds(known, first);
    let wanted = if first == 0 { TARGET_REDS } else { known.reds_min.max(1) };
    let sure = places.others() <= known.doubt_max;
    if sure && reds >= wanted {
        let doubt_ppm = (Places::new(honest, first).others() * 1e6) as i64;
        return if first == 0 { Move::TargetRed } else { Move::Blame { item: first, doubt_ppm } };
    }
    if let Some(green) = green.filter(|green| *green > 0 && known.running.is_empty()) {
        return Move::Land(green);
    }
    let mut taken: Vec<usize> =
        known.running.iter().copied().filter(|at| (first..=len).contains(at)).collect();
    let free = known.slots.saturating_sub(known.running.len());
    let mut tests = Vec::new();
    // Sure of a suspect whose own prefix was not red often enough: that prefix is what is asked.
    if sure && reds > 0 && !taken.contains(&first) && free > 0 {
        tests.push(first);
        taken.push(first);
    }
    let more = free - tests.len();
    tests.extend(cuts(&places, &taken, more));
    tests.sort_unstable();
    if tests.is_empty() { Move::Wait } else { Move::Test(tests) }
}

/// The longest prefix known green; `None` when not even the target is.
#[must_use]
pub fn green(known: &Known<'_>) -> Option<usize> {
    let seen = known.seen.iter().filter(|seen| seen.greens > 0).map(|seen| seen.len).max();
    seen.or((known.base <= 0.0).then_some(0))
}

fn reds(known: &Known<'_>, len: usize) -> usize {
    known.seen.iter().filter(|seen| seen.len == len).map(|seen| seen.reds).sum()
}

/// Up to `free` new prefixes beside those being tested.
fn cuts(places: &Places, taken: &[usize], free: usize) -> Vec<usize> {
    if free == 0 {
        return Vec::new();
    }
    let (first, weights) = (places.first, &places.weights);
    if taken.is_empty() {
        return code::cuts(weights, free).iter().map(|at| first + at - 1).collect();
    }
    // Runs that go on are cuts already: the heaviest piece between them is halved, as often as
    // there are slots.
    let mut bounds: Vec<usize> = taken.iter().map(|at| at - first + 1).collect();
    bounds.extend([0, weights.len()]);
    let mut found = Vec::new();
    for _ in 0..free {
        bounds.sort_unstable();
        bounds.dedup();
        let mass = |from: usize, to: usize| weights[from..to].iter().sum::<f64>();
        let pieces = bounds.windows(2).map(|pair| (pair[0], pair[1]));
        let heaviest = pieces
            .filter(|(from, to)| {
                weights[*from..*to].iter().filter(|weight| **weight > 0.0).count() > 1
            })
            .max_by(|a, b| mass(a.0, a.1).total_cmp(&mass(b.0, b.1)));
        let Some((from, to)) = heaviest else { break };
        let Some(at) = code::cuts(&weights[from..to], 1).first().map(|at| from + at) else { break };
        bounds.push(at);
        found.push(first + at - 1);
    }
    found
}
