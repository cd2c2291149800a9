//! Our policy as an entry: the same functions that the refinery calls.

use std::collections::BTreeSet;
use std::collections::HashMap;

use super::Act;
use super::Desk;
use super::Entry;
use super::Item;
use crate::machines::policy;
use crate::machines::policy::Known;
use crate::machines::policy::Move;
use crate::machines::policy::Seen;
use crate::model::learner::Learner;

/// How it knows risks.
#[derive(Clone, Debug)]
pub enum Wits {
    /// It is told them: of a change without traits, of a wild one, and the flake rate.
    Told {
        /// Of a change that is not wild.
        calm: f64,
        /// Of a wild one.
        wild: f64,
        /// Of runs.
        flake: f64,
    },
    /// It learns from verdicts.
    Learns(Box<Learner>),
}

/// Length of a stack, and length, green and red runs of each prefix that was tested.
type State = (usize, Vec<(usize, usize, usize)>);

/// Our policy.
#[derive(Debug)]
pub struct Ours {
    wits: Wits,
    error_max: f64,
    /// Positions in the line of what is stacked, in the order of the stack.
    stack: Vec<usize>,
    /// Changes that a stack has held back already.
    held: BTreeSet<u64>,
    seen: Vec<Seen>,
    asked: Vec<usize>,
    /// Decided changes, and the chances of innocence of those that went back.
    decided: f64,
    doubt: f64,
    /// Moves already worked out, while all risks are told and the same and nothing flakes.
    memory: HashMap<State, Move>,
    batches: HashMap<usize, usize>,
}

/// Longest stack: far beyond what any rate of the bench asks for.
const STACK_MAX: usize = 900;

impl Ours {
    /// What it knows.
    #[must_use]
    pub fn wits(&self) -> &Wits {
        &self.wits
    }

    /// The policy with what it knows and the share of innocents that it may send back.
    #[must_use]
    pub fn new(wits: Wits, error_max: f64) -> Self {
        let memory = HashMap::new();
        let (stack, seen, asked) = (Vec::new(), Vec::new(), Vec::new());
        let held = BTreeSet::new();
        let (decided, doubt) = (0.0, 0.0);
        let batches = HashMap::new();
        Self { wits, error_max, stack, held, seen, asked, decided, doubt, memory, batches }
    }

    fn risk(&self, item: &Item) -> f64 {
        match &self.wits {
            Wits::Told { calm, wild, .. } => {
                if item.traits.iter().any(|(_, value)| value == "wild") { *wild } else { *calm }
            }
            Wits::Learns(learner) => learner.risk(&item.traits),
        }
    }

    fn hear(&mut self, desk: &Desk) {
        for (len, green) in self.asked.drain(..).zip(&desk.verdicts) {
            let at = self.seen.iter().position(|seen| seen.len == len).unwrap_or(self.seen.len());
            if at == self.seen.len() {
                self.seen.push(Seen { len, greens: 0, reds: 0 });
            }
            let seen = &mut self.seen[at];
            match (green, &mut self.wits) {
                (true, Wits::Learns(learner)) => {
                    learner.green_run(if seen.greens == 0 { seen.reds } else { 0 });
                    seen.greens += 1;
                }
                (true, Wits::Told { .. }) => seen.greens += 1,
                (false, _) => seen.reds += 1,
            }
        }
    }

    fn even(&self) -> bool {
        matches!(&self.wits, Wits::Told { calm, wild, .. } if calm == wild)
    }

    fn stack(&mut self, desk: &Desk) -> Vec<f64> {
        if self.stack.is_empty() {
            let waiting = desk.line.len().min(STACK_MAX);
            let risks: Vec<f64> =
                desk.line.iter().take(waiting).map(|item| self.risk(item)).collect();
            let slots = desk.slots;
            let count = if self.even() {
                let batch = || policy::batch::batch(&risks, slots, waiting);
                *self.batches.entry(waiting).or_insert_with(batch)
            } else {
                policy::batch::batch(&risks, slots, waiting)
            };
            let held: Vec<bool> =
                desk.line.iter().take(count).map(|item| self.held.contains(&item.id)).collect();
            self.stack = policy::batch::order(&risks[..count], &vec![0; count], &held);
        }
        self.stack.iter().map(|at| self.risk(&desk.line[*at])).collect()
    }

    fn think(&mut self, desk: &Desk, risks: &[f64]) -> Move {
        let (flake, doubt_max, reds_min) = match &self.wits {
            Wits::Told { flake, .. } => (*flake, self.doubt_max(risks), 1),
            Wits::Learns(learner) => {
                (learner.flake(), learner.doubt_max(self.error_max), learner.reds_wanted())
            }
        };
        let known = Known {
            risks,
            base: 0.0,
            seen: &self.seen,
            running: &[],
            slots: desk.slots,
            flake,
            doubt_max,
            reds_min,
        };
        if !self.even() || flake > 0.0 {
            return policy::next(&known);
        }
        let mut key: Vec<_> = self.seen.iter().map(|s| (s.len, s.greens, s.reds)).collect();
        key.sort_unstable();
        let key = (risks.len(), key);
        self.memory.entry(key).or_insert_with(|| policy::next(&known)).clone()
    }

    /// As the learner's, with the mean risk known.
    fn doubt_max(&self, risks: &[f64]) -> f64 {
        let mean = risks.iter().sum::<f64>() / risks.len() as f64;
        let share = self.error_max / mean;
        let left = self.error_max * self.decided - self.doubt;
        (share + left).clamp(0.0, (2.0 * share).min(0.95))
    }

    fn settle(&mut self, desk: &Desk, land: usize, culprit: Option<i64>) -> Act {
        let gone = land + usize::from(culprit.is_some());
        self.decided += gone as f64;
        self.doubt += culprit.unwrap_or(0) as f64 / 1e6;
        if let Wits::Learns(learner) = &mut self.wits {
            for (at, place) in self.stack.iter().take(gone).enumerate() {
                let culprit = culprit.filter(|_| at == land);
                learner.decided(&desk.line[*place].traits, culprit);
            }
        }
        // What is known of longer prefixes holds for what is behind the landed one, too.
        self.seen.retain(|seen| culprit.is_none() && seen.len > land);
        for seen in &mut self.seen {
            seen.len -= land;
        }
        let stack = std::mem::take(&mut self.stack);
        for place in &stack[..gone] {
            self.held.remove(&desk.line[*place].id);
        }
        if !self.seen.is_empty() {
            let fewer = |at: &usize| stack[..gone].iter().filter(|landed| *landed < at).count();
            self.stack = stack[gone..].iter().map(|at| at - fewer(at)).collect();
        }
        let last = stack[..gone].iter().max().copied().unwrap_or(0);
        self.held.extend(stack[gone..].iter().filter(|at| **at < last).map(|at| desk.line[*at].id));
        let back = if culprit.is_some() { vec![stack[land]] } else { Vec::new() };
        Act::Settle { land: set(&stack[..land]), back }
    }
}

fn set(places: &[usize]) -> Vec<usize> {
    let mut set = places.to_vec();
    set.sort_unstable();
    set
}

impl Entry for Ours {
    fn next(&mut self, desk: &Desk) -> Act {
        self.hear(desk);
        if desk.line.is_empty() {
            return Act::Wait;
        }
        let risks = self.stack(desk);
        match self.think(desk, &risks) {
            Move::Test(lens) => {
                let sets = lens.iter().map(|len| set(&self.stack[..*len])).collect();
                self.asked = lens;
                Act::Test(sets)
            }
            Move::Land(len) => self.settle(desk, len, None),
            Move::Blame { item, doubt_ppm } => self.settle(desk, item - 1, Some(doubt_ppm)),
            Move::TargetRed | Move::Wait => Act::Wait,
        }
    }
}
