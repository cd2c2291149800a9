//! Cutting a row of chances where the expected number of rounds is least.
//!
//! A round with `s` runs splits the row into `s + 1` pieces and says in which one the culprit is.
//! The best plan is an optimal alphabetic tree with `s + 1` branches: Golomb's code where the
//! risks are equal and one run is made at a time. Only its root is needed: the rest is planned
//! again when the answers are there.

/// Rows longer than this are cut between blocks of about equal weight.
const BLOCKS: usize = 72;
/// The same with one run at a time, where the search is quicker.
const BLOCKS_BINARY: usize = 288;
/// Two ratios of neighbours that differ by less are the same.
const SAME: f64 = 1e-9;

/// Where to cut a row for `slots` runs: each number is how many places are before the cut.
/// Fewer cuts than slots are returned when more would not help. Empty for a row of one place.
#[must_use]
pub fn cuts(weights: &[f64], slots: usize) -> Vec<usize> {
    let len = weights.iter().rposition(|weight| *weight > 0.0).map_or(0, |at| at + 1);
    let weights = &weights[..len];
    let ways = slots.saturating_add(1).min(len);
    if ways < 2 {
        return Vec::new();
    }
    if ways == len {
        return (1..len).collect();
    }
    if ways == 2 {
        let (blocks, starts) = blocks(weights, BLOCKS_BINARY);
        return vec![starts[binary(&blocks)]];
    }
    if len > BLOCKS
        && let Some(ratio) = ratio(weights)
    {
        return Even::new(weights, ratio, ways).cuts();
    }
    let (blocks, starts) = blocks(weights, BLOCKS);
    Tree::new(&blocks, ways).cuts().into_iter().map(|at| starts[at]).collect()
}

/// Neighbours joined until at most `most` blocks remain, and where each block starts.
fn blocks(weights: &[f64], most: usize) -> (Vec<f64>, Vec<usize>) {
    if weights.len() <= most {
        return (weights.to_vec(), (0..weights.len()).collect());
    }
    let share = 2.0 * weights.iter().sum::<f64>() / most as f64;
    let size = weights.len().div_ceil(most / 2);
    let (mut joined, mut starts): (Vec<f64>, Vec<usize>) = (Vec::new(), Vec::new());
    for (at, weight) in weights.iter().enumerate() {
        match (joined.last_mut(), starts.last()) {
            (Some(last), Some(start)) if *last + weight <= share && at - start < size => {
                *last += weight;
            }
            _ => {
                joined.push(*weight);
                starts.push(at);
            }
        }
    }
    (joined, starts)
}

/// The root of an optimal alphabetic tree with two branches, by Knuth's search.
fn binary(weights: &[f64]) -> usize {
    let len = weights.len();
    let sums = sums(weights);
    let mut cost = vec![0.0; len * len];
    let mut root = vec![0_usize; len * len];
    for at in 0..len {
        root[at * len + at] = at;
    }
    for size in 2..=len {
        for from in 0..=len - size {
            let last = from + size - 1;
            let (low, high) = (root[from * len + last - 1], root[(from + 1) * len + last]);
            let mut best = (f64::INFINITY, from + 1);
            for cut in low.max(from + 1)..=high.max(from + 1).min(last) {
                let both = cost[from * len + cut - 1] + cost[cut * len + last];
                if both < best.0 {
                    best = (both, cut);
                }
            }
            cost[from * len + last] = best.0 + sums[last + 1] - sums[from];
            root[from * len + last] = best.1;
        }
    }
    root[len - 1]
}

fn sums(weights: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    for weight in weights {
        sums.push(sums[sums.len() - 1] + weight);
    }
    sums
}

/// Optimal trees with many branches over every piece of a row.
struct Tree {
    len: usize,
    ways: usize,
    /// `best[k][from, to)`: the least cost of at most `k + 1` pieces.
    best: Vec<Vec<f64>>,
}

impl Tree {
    fn new(weights: &[f64], ways: usize) -> Self {
        let len = weights.len();
        let width = len + 1;
        let sums = sums(weights);
        let mut tree = Self { len, ways, best: vec![vec![0.0; width * width]; ways] };
        for size in 2..=len {
            for from in 0..=len - size {
                let to = from + size;
                let inner = tree.split(from, to, ways).0;
                let whole = inner + sums[to] - sums[from];
                tree.best[0][from * width + to] = whole;
                for pieces in 1..ways {
                    let (split, _) = tree.split(from, to, pieces + 1);
                    tree.best[pieces][from * width + to] = whole.min(split);
                }
            }
        }
        tree
    }

    fn at(&self, pieces: usize, from: usize, to: usize) -> f64 {
        self.best[pieces - 1][from * (self.len + 1) + to]
    }

    /// The least cost of at least two and at most `pieces` pieces, and where the first one ends.
    fn split(&self, from: usize, to: usize, pieces: usize) -> (f64, usize) {
        let mut best = (f64::INFINITY, from + 1);
        for cut in from + 1..to {
            let cost = self.at(1, from, cut) + self.at(pieces - 1, cut, to);
            if cost < best.0 {
                best = (cost, cut);
            }
        }
        best
    }

    fn cuts(&self) -> Vec<usize> {
        let (mut found, mut from, mut pieces) = (Vec::new(), 0, self.ways);
        while pieces > 1 && self.len - from > 1 {
            let (cost, cut) = self.split(from, self.len, pieces);
            if from > 0 && self.at(1, from, self.len) <= cost {
                break;
            }
            found.push(cut);
            from = cut;
            pieces -= 1;
        }
        found
    }
}

/// The ratio of neighbours when it is the same all along, the last place left out.
fn ratio(weights: &[f64]) -> Option<f64> {
    let body = &weights[..weights.len() - 1];
    let ratio = body[1] / body[0];
    let even = body.windows(2).all(|pair| (pair[1] / pair[0] - ratio).abs() < SAME);
    even.then_some(ratio)
}

/// Optimal trees where each place is `ratio` times as likely as the one before it: a piece costs
/// the same wherever it stands, but for its scale. The last place may have any weight.
struct Even {
    len: usize,
    ways: usize,
    /// Powers of the ratio.
    scale: Vec<f64>,
    /// `inner[k][n]`: at most `k + 1` pieces of `n` places without the last one, the first
    /// weighing 1.
    inner: Vec<Vec<f64>>,
    /// `outer[k][at]`: at most `k + 1` pieces from `at` to the end.
    outer: Vec<Vec<f64>>,
}

impl Even {
    fn new(weights: &[f64], ratio: f64, ways: usize) -> Self {
        let len = weights.len();
        let unit = weights[0];
        let mut scale = vec![1.0];
        for at in 1..=len {
            scale.push(scale[at - 1] * ratio);
        }
        let zero = vec![vec![0.0; len + 1]; ways];
        let mut even = Self { len, ways, scale, inner: zero.clone(), outer: zero };
        let ones = sums(&even.scale[..len]);
        for (size, mass) in ones.iter().enumerate().take(len).skip(2) {
            let whole = even.within(size, ways).0 + mass;
            even.inner[0][size] = whole;
            for pieces in 1..ways {
                let (split, _) = even.within(size, pieces + 1);
                even.inner[pieces][size] = whole.min(split);
            }
        }
        let last = weights[len - 1] / unit;
        for at in (0..len - 1).rev() {
            let mass = ones[len - 1] - ones[at] + last;
            let whole = even.beyond(at, ways).0 + mass;
            even.outer[0][at] = whole;
            for pieces in 1..ways {
                let (split, _) = even.beyond(at, pieces + 1);
                even.outer[pieces][at] = whole.min(split);
            }
        }
        even
    }

    fn within(&self, size: usize, pieces: usize) -> (f64, usize) {
        let mut best = (f64::INFINITY, 1);
        for cut in 1..size {
            let cost = self.inner[0][cut] + self.scale[cut] * self.inner[pieces - 2][size - cut];
            if cost < best.0 {
                best = (cost, cut);
            }
        }
        best
    }

    fn beyond(&self, at: usize, pieces: usize) -> (f64, usize) {
        let mut best = (f64::INFINITY, at + 1);
        for cut in at + 1..self.len {
            let cost = self.scale[at] * self.inner[0][cut - at] + self.outer[pieces - 2][cut];
            if cost < best.0 {
                best = (cost, cut);
            }
        }
        best
    }

    fn cuts(&self) -> Vec<usize> {
        let (mut found, mut at, mut pieces) = (Vec::new(), 0, self.ways);
        while pieces > 1 && self.len - at > 1 {
            let (cost, cut) = self.beyond(at, pieces);
            if at > 0 && self.outer[0][at] <= cost {
                break;
            }
            found.push(cut);
            at = cut;
            pieces -= 1;
        }
        found
    }
}
