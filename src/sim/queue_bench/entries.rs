//! Other policies, as their documentation or code describes them.

use std::collections::BTreeSet;

use super::super::rng::Stream;
use super::Act;
use super::Desk;
use super::Entry;
use super::nature::Nature;

fn settle(land: Vec<usize>, back: Vec<usize>) -> Act {
    Act::Settle { land, back }
}

/// One change at a time.
#[derive(Debug, Default)]
pub struct Serial;

impl Entry for Serial {
    fn next(&mut self, desk: &Desk) -> Act {
        match desk.verdicts.first() {
            _ if desk.line.is_empty() => Act::Wait,
            None => Act::Test(vec![vec![0]]),
            Some(true) => settle(vec![0], Vec::new()),
            Some(false) => settle(Vec::new(), vec![0]),
        }
    }
}

/// A batch of fixed size; when it is red, each of it alone (Dorfman; Batch4).
#[derive(Debug)]
pub struct Dorfman {
    size: usize,
    batch: usize,
    alone: Vec<bool>,
}

impl Dorfman {
    /// With this batch.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size, batch: 0, alone: Vec::new() }
    }
}

impl Entry for Dorfman {
    fn next(&mut self, desk: &Desk) -> Act {
        if desk.line.is_empty() {
            return Act::Wait;
        }
        if self.batch == 0 {
            self.batch = self.size.min(desk.line.len());
            return Act::Test(vec![(0..self.batch).collect()]);
        }
        let first = desk.verdicts.first() == Some(&true);
        let whole = std::mem::take(&mut self.batch);
        if self.alone.is_empty() && (first || whole == 1) {
            let all = (0..whole).collect();
            return if first { settle(all, Vec::new()) } else { settle(Vec::new(), all) };
        }
        self.batch = whole;
        self.alone.push(first);
        // The first answer was that of the whole.
        if self.alone.len() <= whole {
            return Act::Test(vec![vec![self.alone.len() - 1]]);
        }
        self.batch = 0;
        let alone = std::mem::take(&mut self.alone);
        let those = |green: bool| (0..whole).filter(|at| alone[at + 1] == green).collect();
        settle(those(true), those(false))
    }
}

/// A red batch is cut in two, and both halves are batches of their own (bors-ng).
#[derive(Debug)]
pub struct Halving {
    size: usize,
    /// Batches by ids of changes; the last one is next.
    batches: Vec<Vec<u64>>,
}

impl Halving {
    /// With this batch.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size, batches: Vec::new() }
    }
}

impl Entry for Halving {
    fn next(&mut self, desk: &Desk) -> Act {
        let place = |id: &u64| desk.line.iter().position(|item| item.id == *id);
        let places = |ids: &[u64]| -> Vec<usize> { ids.iter().filter_map(place).collect() };
        match (desk.verdicts.first(), self.batches.pop()) {
            (Some(true), Some(batch)) => settle(places(&batch), Vec::new()),
            (Some(false), Some(batch)) if batch.len() == 1 => settle(Vec::new(), places(&batch)),
            (Some(false), Some(batch)) => {
                let (left, right) = batch.split_at(batch.len() / 2);
                self.batches.push(right.to_vec());
                self.batches.push(left.to_vec());
                Act::Test(vec![places(left)])
            }
            (_, Some(batch)) => {
                let sets = vec![places(&batch)];
                self.batches.push(batch);
                Act::Test(sets)
            }
            (_, None) if desk.line.is_empty() => Act::Wait,
            (_, None) => {
                let batch: Vec<u64> = desk.line.iter().take(self.size).map(|i| i.id).collect();
                self.batches.push(batch);
                Act::Test(vec![(0..self.size.min(desk.line.len())).collect()])
            }
        }
    }
}

/// What the original is at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Start,
    Tip,
    Retry,
    /// The left half of this red group was asked.
    Left(Vec<usize>),
    /// This group, of which nothing was known, was asked.
    Unknown(Vec<usize>),
    Verify,
}

/// The original's Refinery: five at a time, the red tip once more, halving with inference, the
/// good ones together.
#[derive(Debug)]
pub struct Original {
    size: usize,
    phase: Phase,
    /// Groups still to look at, and whether each is known red.
    groups: Vec<(Vec<usize>, bool)>,
    good: Vec<usize>,
    bad: Vec<usize>,
}

impl Original {
    /// With this batch.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let (groups, good, bad) = (Vec::new(), Vec::new(), Vec::new());
        Self { size, phase: Phase::Start, groups, good, bad }
    }

    fn dig(&mut self) -> Act {
        while let Some((group, red)) = self.groups.pop() {
            if red && group.len() == 1 {
                self.bad.extend(group);
                continue;
            }
            let asked = if red { group[..group.len() / 2].to_vec() } else { group.clone() };
            self.phase = if red { Phase::Left(group) } else { Phase::Unknown(group) };
            return Act::Test(vec![asked]);
        }
        self.good.sort_unstable();
        self.bad.sort_unstable();
        if self.good.is_empty() || self.bad.is_empty() {
            return self.close(true);
        }
        self.phase = Phase::Verify;
        Act::Test(vec![self.good.clone()])
    }

    fn close(&mut self, land: bool) -> Act {
        self.phase = Phase::Start;
        let (good, bad) = (std::mem::take(&mut self.good), std::mem::take(&mut self.bad));
        settle(if land { good } else { Vec::new() }, bad)
    }
}

impl Entry for Original {
    fn next(&mut self, desk: &Desk) -> Act {
        if desk.line.is_empty() {
            return Act::Wait;
        }
        let all: Vec<usize> = (0..self.size.min(desk.line.len())).collect();
        let green = desk.verdicts.first() == Some(&true);
        match (std::mem::replace(&mut self.phase, Phase::Start), green) {
            (Phase::Start, _) => {
                self.phase = Phase::Tip;
                Act::Test(vec![all])
            }
            (Phase::Tip | Phase::Retry, true) => settle(all, Vec::new()),
            (Phase::Tip, false) => {
                self.phase = Phase::Retry;
                Act::Test(vec![all])
            }
            (Phase::Retry, false) => {
                self.groups.push((all, true));
                self.dig()
            }
            (Phase::Left(group), green) => {
                let (left, right) = group.split_at(group.len() / 2);
                self.groups.push((right.to_vec(), green));
                if green {
                    self.good.extend(left);
                } else {
                    self.groups.push((left.to_vec(), true));
                }
                self.dig()
            }
            (Phase::Unknown(group), true) => {
                self.good.extend(group);
                self.dig()
            }
            (Phase::Unknown(group), false) => {
                self.groups.push((group, true));
                self.dig()
            }
            (Phase::Verify, green) => self.close(green),
        }
    }
}

/// As many prefixes as there are slots, at once (merge trains).
#[derive(Debug, Default)]
pub struct Train;

impl Entry for Train {
    fn next(&mut self, desk: &Desk) -> Act {
        if desk.line.is_empty() {
            return Act::Wait;
        }
        if desk.verdicts.is_empty() {
            let window = desk.slots.min(desk.line.len());
            return Act::Test((1..=window).map(|len| (0..len).collect()).collect());
        }
        match desk.verdicts.iter().position(|green| !green) {
            Some(red) => settle((0..red).collect(), vec![red]),
            None => settle((0..desk.verdicts.len()).collect(), Vec::new()),
        }
    }
}

/// A search on prefixes by halves, with a fixed number of confirmations of the suspect.
#[derive(Debug)]
pub struct Confirming {
    batch: usize,
    times: usize,
    green: usize,
    red: Option<usize>,
    confirmed: usize,
    asked: Option<usize>,
}

impl Confirming {
    /// With this batch, confirming so many times.
    #[must_use]
    pub fn new(batch: usize, times: usize) -> Self {
        Self { batch, times, green: 0, red: None, confirmed: 0, asked: None }
    }

    fn ask(&mut self, len: usize) -> Act {
        self.asked = Some(len);
        Act::Test(vec![(0..len).collect()])
    }
}

impl Entry for Confirming {
    fn next(&mut self, desk: &Desk) -> Act {
        if desk.line.is_empty() {
            return Act::Wait;
        }
        let len = self.batch.min(desk.line.len());
        if let Some(asked) = self.asked.take() {
            let again = self.red == Some(asked);
            if desk.verdicts[0] {
                // A red run of a prefix that is green after all was a flake.
                self.green = asked;
                self.red = self.red.filter(|red| *red > asked);
                self.confirmed = 0;
            } else {
                self.confirmed = if again { self.confirmed + 1 } else { 0 };
                self.red = Some(asked);
            }
        }
        let green = self.green;
        match self.red {
            None if green == len => {
                self.green = 0;
                settle((0..len).collect(), Vec::new())
            }
            None => self.ask(len),
            Some(red) if red > green + 1 => self.ask(usize::midpoint(green, red)),
            Some(red) if self.confirmed < self.times => self.ask(red),
            Some(red) => {
                (self.green, self.red, self.confirmed) = (0, None, 0);
                settle((0..green).collect(), vec![red - 1])
            }
        }
    }
}

/// Knows every outcome, and makes runs only to prove what it says: one green run of what lands,
/// one red run of each that goes back.
#[derive(Debug)]
pub struct Oracle {
    nature: Nature,
    people: Stream,
    known: u64,
    bad: BTreeSet<u64>,
    asked: (Vec<usize>, Vec<usize>),
}

impl Oracle {
    /// The oracle of a world under a seed.
    #[must_use]
    pub fn new(nature: Nature, seed: u64) -> Self {
        let people = Stream::new(seed, "people");
        let asked = (Vec::new(), Vec::new());
        Self { nature, people, known: 0, bad: BTreeSet::new(), asked }
    }
}

impl Entry for Oracle {
    fn next(&mut self, desk: &Desk) -> Act {
        if !desk.verdicts.is_empty() {
            let (land, back) = std::mem::take(&mut self.asked);
            return settle(land, back);
        }
        let Some(last) = desk.line.back() else { return Act::Wait };
        while self.known <= last.id {
            if self.nature.change(self.known, &mut self.people).1 {
                self.bad.insert(self.known);
            }
            self.known += 1;
        }
        let is_bad = |at: &usize| self.bad.contains(&desk.line[*at].id);
        let (bad, good): (Vec<usize>, Vec<usize>) = (0..desk.line.len()).partition(is_bad);
        // With one slot, whichever waits longest is proven first.
        let lands =
            !good.is_empty() && (desk.slots > 1 || good.first() < bad.first() || bad.is_empty());
        let mut sets = Vec::new();
        if lands {
            sets.push(good.clone());
        }
        let back: Vec<usize> = bad.into_iter().take(desk.slots - sets.len()).collect();
        for culprit in &back {
            let mut set: Vec<usize> = good.iter().copied().filter(|at| at < culprit).collect();
            set.push(*culprit);
            sets.push(set);
        }
        self.asked = (if lands { good } else { Vec::new() }, back);
        Act::Test(sets)
    }
}
