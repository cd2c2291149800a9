//! A bench for merge policies: one simulator, the same worlds, any policy that implements
//! [`Entry`].
//!
//! A world is a line of changes, some of them bad, and gates that may flake. Entries see the line
//! and verdicts and nothing else: what makes the verdicts is a type of its own ([`Nature`]). All
//! runs of a round take the same time. [`bound`] has what theory allows, `cargo run --release
//! --example queue_bench` the table and the plot.

pub mod bound;
pub mod entries;
mod nature;
pub mod ours;
pub mod plot;
pub mod report;

use std::collections::VecDeque;

pub use nature::Item;
pub use nature::Mix;
pub use nature::Nature;

use super::rng::Stream;

/// A policy that takes part.
pub trait Entry {
    /// What it wants next. `desk.verdicts` answers its last `Act::Test`, in order; otherwise it
    /// is empty.
    fn next(&mut self, desk: &Desk) -> Act;
}

/// What an entry sees.
#[derive(Debug, Default)]
pub struct Desk {
    /// Who waits, oldest first.
    pub line: VecDeque<Item>,
    /// Whether each set asked for was green.
    pub verdicts: Vec<bool>,
    /// Runs at once.
    pub slots: usize,
}

/// What an entry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Test each of these sets on the target: positions in the line, ascending.
    Test(Vec<Vec<usize>>),
    /// Land some and send some back; the rest stays.
    Settle {
        /// Positions that land.
        land: Vec<usize>,
        /// Positions that go back.
        back: Vec<usize>,
    },
    /// Nothing to do before somebody comes.
    Wait,
}

/// How changes come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// There are always this many in the line.
    Full(usize),
    /// So many per round on average, independent of each other.
    PerRound(f64),
}

/// One trial.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// What is random follows from it.
    pub seed: u64,
    /// Decided changes after which it ends.
    pub changes: u64,
    /// Runs at once; an entry that asks for more is counted in `Outcome::rounds` as if it had
    /// to take turns.
    pub slots: usize,
    /// How changes come.
    pub arrivals: Arrivals,
}

/// What a trial came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Decided changes.
    pub resolved: u64,
    /// Of these landed.
    pub merged: u64,
    /// Gate runs.
    pub runs: u64,
    /// Rounds in which runs were made.
    pub rounds: u64,
    /// Good changes sent back.
    pub innocent: u64,
    /// Bad changes landed.
    pub bad_landed: u64,
    /// Changes landed without a green run of exactly that set.
    pub unproven: u64,
    /// The most newer changes that landed before one that waited.
    pub overtaken: u64,
    /// Sum of the entropies of the decided changes, in bits.
    pub bits: f64,
    /// Runs and decided changes by twentieths of the trial, for the error of the mean.
    pub parts: Vec<(u64, u64)>,
    /// Rounds from arrival to decision, of those that came to an arrival line.
    pub waits: Vec<f64>,
}

impl Outcome {
    /// Gate runs per decided change.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.runs as f64 / self.resolved as f64
    }

    /// Gate runs per landed change.
    #[must_use]
    pub fn cost_merged(&self) -> f64 {
        self.runs as f64 / self.merged as f64
    }

    /// Gate runs over the bits that had to be learnt.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.runs as f64 / self.bits
    }

    /// Decided changes per round.
    #[must_use]
    pub fn pace(&self) -> f64 {
        self.resolved as f64 / self.rounds as f64
    }

    /// Standard error of [`Outcome::cost`].
    #[must_use]
    pub fn error(&self) -> f64 {
        let costs: Vec<f64> = self.parts.iter().map(|(r, n)| *r as f64 / *n as f64).collect();
        let count = costs.len() as f64;
        let mean = costs.iter().sum::<f64>() / count;
        let spread = costs.iter().map(|cost| (cost - mean) * (cost - mean)).sum::<f64>();
        (spread / (count - 1.0) / count).sqrt()
    }

    /// The wait that this share of changes did not exceed, in rounds.
    #[must_use]
    pub fn wait(&self, share: f64) -> f64 {
        let mut waits = self.waits.clone();
        waits.sort_by(f64::total_cmp);
        let at = ((waits.len() as f64 * share) as usize).min(waits.len().saturating_sub(1));
        waits.get(at).copied().unwrap_or(0.0)
    }
}

/// Lets an entry live in a world until the trial is over.
pub fn run(entry: &mut dyn Entry, nature: &Nature, trial: &Trial) -> Outcome {
    let mut stage = Stage::new(nature, trial);
    stage.arrive(0.0);
    while stage.outcome.resolved < trial.changes {
        match entry.next(&stage.desk) {
            Act::Test(sets) => stage.test(&sets),
            Act::Settle { land, back } => stage.settle(&land, &back),
            Act::Wait => stage.pass(),
        }
    }
    stage.outcome
}

/// A change in the line with what only the simulator knows.
struct Secret {
    bad: bool,
    bits: f64,
    arrived: f64,
    overtaken: u64,
}

struct Stage<'a> {
    nature: &'a Nature,
    trial: &'a Trial,
    desk: Desk,
    secrets: VecDeque<Secret>,
    people: Stream,
    flakes: Stream,
    gaps: Stream,
    made: u64,
    now: f64,
    next_at: f64,
    /// Sets that were green on the present target.
    green: Vec<Vec<usize>>,
    part: (u64, u64),
    outcome: Outcome,
}

impl<'a> Stage<'a> {
    fn new(nature: &'a Nature, trial: &'a Trial) -> Self {
        let stream = |subject: &str| Stream::new(trial.seed, subject);
        Self {
            nature,
            trial,
            desk: Desk { slots: trial.slots, ..Desk::default() },
            secrets: VecDeque::new(),
            people: stream("people"),
            flakes: stream("flakes"),
            gaps: stream("gaps"),
            made: 0,
            now: 0.0,
            next_at: 0.0,
            green: Vec::new(),
            part: (0, 0),
            outcome: Outcome::default(),
        }
    }

    fn push(&mut self, at: f64) {
        let (item, bad, risk) = self.nature.change(self.made, &mut self.people);
        self.made += 1;
        let bits = bound::entropy(risk);
        self.desk.line.push_back(item);
        self.secrets.push_back(Secret { bad, bits, arrived: at, overtaken: 0 });
    }

    /// Whoever comes until `until`.
    fn arrive(&mut self, until: f64) {
        match self.trial.arrivals {
            Arrivals::Full(depth) => {
                while self.desk.line.len() < depth {
                    self.push(until);
                }
            }
            Arrivals::PerRound(rate) => {
                while self.next_at <= until {
                    self.push(self.next_at);
                    let even = (self.gaps.below(1 << 40) as f64 + 0.5) / (1_u64 << 40) as f64;
                    self.next_at -= even.ln() / rate;
                }
            }
        }
    }

    fn test(&mut self, sets: &[Vec<usize>]) {
        assert!(!sets.is_empty() && sets.len() <= self.trial.slots, "more runs than slots");
        self.desk.verdicts.clear();
        for set in sets {
            let good = set.iter().all(|at| !self.secrets[*at].bad);
            let green = good && !self.flakes.happens(self.nature.flake_ppm);
            self.desk.verdicts.push(green);
            if green {
                self.green.push(set.clone());
            }
        }
        self.outcome.runs += sets.len() as u64;
        self.outcome.rounds += 1;
        self.part.0 += sets.len() as u64;
        self.now += 1.0;
        self.arrive(self.now);
    }

    fn pass(&mut self) {
        assert!(matches!(self.trial.arrivals, Arrivals::PerRound(_)), "a full line never waits");
        self.desk.verdicts.clear();
        self.now = self.now.max(self.next_at);
        self.arrive(self.now);
    }

    fn settle(&mut self, land: &[usize], back: &[usize]) {
        self.desk.verdicts.clear();
        if !land.is_empty() && !self.green.iter().any(|set| set == land) {
            self.outcome.unproven += land.len() as u64;
        }
        let mut gone: Vec<(usize, bool)> = land.iter().map(|at| (*at, true)).collect();
        gone.extend(back.iter().map(|at| (*at, false)));
        gone.sort_unstable();
        let stays = |at: &usize| gone.binary_search_by_key(at, |(gone, _)| *gone).is_err();
        let last = gone.last().map_or(0, |(last, _)| *last);
        for at in (0..last).filter(stays) {
            let newer = land.iter().filter(|landed| **landed > at).count() as u64;
            self.secrets[at].overtaken += newer;
        }
        for (at, landed) in gone.into_iter().rev() {
            let secret = self.secrets.remove(at).expect("a position in the line");
            self.desk.line.remove(at);
            self.outcome.merged += u64::from(landed);
            self.outcome.bad_landed += u64::from(landed && secret.bad);
            self.outcome.innocent += u64::from(!landed && !secret.bad);
            self.outcome.overtaken = self.outcome.overtaken.max(secret.overtaken);
            self.outcome.bits += secret.bits;
            self.outcome.resolved += 1;
            self.part.1 += 1;
            if matches!(self.trial.arrivals, Arrivals::PerRound(_)) {
                self.outcome.waits.push(self.now - secret.arrived);
            }
        }
        if !land.is_empty() {
            self.green.clear();
        }
        if self.part.1 * 20 >= self.trial.changes {
            self.outcome.parts.push(std::mem::take(&mut self.part));
        }
        self.arrive(self.now);
    }
}
