//! How far to stack.
//!
//! One run at a time: stack until the stack is as likely green as not, exactly as Golomb's code
//! for the failures asks (Gallager and Van Voorhis). Several: the length whose rounds per culprit
//! are least. Above a risk of 0.38 both come to one item: serial is then the best there is.

use crate::model::exact::exp;
use crate::model::exact::ln;

/// The least and greatest risk that a length is worked out for.
const RISK_MIN: f64 = 1e-4;
const RISK_MAX: f64 = 0.9;
/// Risks differ much when the greatest is more than this many times the least.
const APART: f64 = 3.0;

/// How many of the waiting items to stack, of at most `most`. `risks` are theirs in order.
#[must_use]
pub fn batch(risks: &[f64], slots: usize, most: usize) -> usize {
    let risks = &risks[..risks.len().min(most)];
    if risks.is_empty() {
        return 0;
    }
    if slots <= 1 {
        return golomb(risks);
    }
    // The length for the mean risk, carried over to these risks by what should survive it.
    let hazard = |risk: f64| -ln(1.0 - risk.clamp(RISK_MIN, RISK_MAX));
    let mean = risks.iter().map(|risk| hazard(*risk)).sum::<f64>() / risks.len() as f64;
    let length = length(1.0 - exp(-mean), slots, risks.len());
    let wanted = length as f64 * mean - 1e-9;
    let mut sum = 0.0;
    for (at, risk) in risks.iter().enumerate() {
        sum += hazard(*risk);
        if sum >= wanted {
            return at + 1;
        }
    }
    risks.len()
}

/// The order in which to stack them: within a class, the likeliest culprits last, so that what is
/// before them lands without them. One that a stack has held back already keeps its place before
/// newer ones.
#[must_use]
pub fn order(risks: &[f64], class: &[i64], held: &[bool]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..risks.len()).collect();
    let from = held.iter().rposition(|held| *held).map_or(0, |at| at + 1);
    order[from..].sort_by(|a, b| class[*a].cmp(&class[*b]).then(risks[*a].total_cmp(&risks[*b])));
    order
}

/// The shortest stack of which survival and the survival with one more add up to at most 1; half
/// of that where risks differ much, since then the likely culprits at the end are often left out
/// of the first run.
fn golomb(risks: &[f64]) -> usize {
    let least = risks.iter().copied().fold(f64::INFINITY, f64::min);
    let most = risks.iter().copied().fold(0.0, f64::max);
    let enough = if most > APART * least { 0.5 } else { 1.0 };
    let mut survives = 1.0;
    for (at, risk) in risks.iter().enumerate() {
        survives *= 1.0 - risk.clamp(0.0, 1.0);
        let next = risks.get(at + 1).unwrap_or(risk);
        if survives * (2.0 - next.clamp(0.0, 1.0)) <= enough {
            return at + 1;
        }
    }
    risks.len()
}

/// The stack of at most `most` items of equal risk with the fewest rounds per culprit.
#[must_use]
pub fn length(risk: f64, slots: usize, most: usize) -> usize {
    let stays = 1.0 - risk;
    let ways = slots + 1;
    // Beyond this, fewer than one stack in a hundred ways is green.
    let far = ln((100 * ways) as f64) / -ln(stays);
    let most = most.min(far.ceil() as usize).max(1);
    let mut scale = vec![1.0];
    for at in 1..=most {
        scale.push(scale[at - 1] * stays);
    }
    // As `code::Even`: `best[k][n]` is at most `k + 1` pieces of `n` items.
    let mut best = vec![vec![0.0; most + 1]; ways];
    let mut mass = 1.0;
    for size in 2..=most {
        mass += scale[size - 1];
        let split = |pieces: usize, best: &[Vec<f64>]| {
            let cost = |cut: usize| best[0][cut] + scale[cut] * best[pieces - 2][size - cut];
            (1..size).map(cost).fold(f64::INFINITY, f64::min)
        };
        let whole = split(ways, &best) + mass;
        best[0][size] = whole;
        for pieces in 2..=ways {
            best[pieces - 1][size] = whole.min(split(pieces, &best));
        }
    }
    let rounds = |len: usize| (1.0 / risk + best[slots - 1][len]) / (1.0 - scale[len]);
    let mut chosen = (f64::INFINITY, 1);
    for len in 1..=most {
        let cost = rounds(len);
        if cost <= chosen.0 + 1e-12 {
            chosen = (cost, len);
        }
    }
    chosen.1
}
