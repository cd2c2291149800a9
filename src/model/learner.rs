//! What verdicts have taught about a rig: how often merge requests are culprits, whose and of what
//! kind they are, how often gates flake.
//!
//! Several simple predictors run side by side: the rig's rate in the short and in the long run,
//! the record of each trait, all traits together. Each is weighed by how well it foretold what
//! came (a Bayesian mixture), so that a trait that says nothing costs nothing. Everything fades,
//! so that a changed rig is noticed. Counts are whole millionths: the row reads back as written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::exact::exp;
use super::exact::ln;
use super::rows::MergeRequest;
use super::value::json_cell;

/// One observation, in millionths.
const ONE: i64 = 1_000_000;
/// Before anything is known: one culprit in ten, weighed as ten merge requests.
const PRIOR: Count = Count { bad: ONE, all: 10 * ONE };
/// Merge requests that the rate in the short run looks back on.
const SHORT: i64 = 100;
/// The same in the long run.
const LONG: i64 = 2_000;
/// Merge requests that the record of a trait looks back on.
const RECORD: i64 = 400;
/// Merge requests of the rig's rate that a trait's record begins with.
const SHRINK: f64 = 4.0;
/// Merge requests over which a predictor's luck is remembered.
const MEMORY: i64 = 500;
/// Runs that the flake rate looks back on.
const RUNS: i64 = 2_000;
/// Runs assumed to have been honest before any was seen.
const HONEST: f64 = 10.0;
/// A flake that has faded to this counts no more.
const FADED: i64 = ONE / 20;
/// The first suspects of a rig whose red run is repeated although no flake was seen.
const AUDITS_FIRST: i64 = 4;
/// As long as suspects are fewer than this, one in [`AUDIT_OFTEN`] is audited too.
const AUDITS_MORE: i64 = 64;
/// See [`AUDITS_MORE`].
const AUDIT_OFTEN: i64 = 8;
/// Afterwards, one suspect in so many.
const AUDIT_EVERY: i64 = 32;
/// Traits on record; beyond, the one that tells least is forgotten: seen seldom, or long ago.
const RECORDS_MAX: usize = 128;
/// Merge requests without a trait after which one that had it counts no more in this.
const RECORD_AGE: i64 = 64;
/// A share of innocents that is smaller would ask for very many runs of each suspect.
const ERROR_MIN: f64 = 1e-6;
/// The budget for innocents never makes a suspect's share smaller than by this.
const SHARE_MIN: f64 = 0.01;
/// Least and greatest chance foretold.
const RISK_MIN: f64 = 0.000_5;
const RISK_MAX: f64 = 0.98;

/// Bits in the answer to "is it a culprit?": the least gate runs per decided merge request.
#[must_use]
pub fn entropy(p: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return 0.0;
    }
    -(p * p.log2() + (1.0 - p) * (1.0 - p).log2())
}

/// Bits that a run can tell when green trees are red with chance `f` and red ones never green.
#[must_use]
pub fn capacity(f: f64) -> f64 {
    if f <= 0.0 {
        return 1.0;
    }
    (1.0 + (1.0 - f) * f.powf(f / (1.0 - f))).log2()
}

/// What is known of a merge request before it is tested: `(kind, value)`, one of each kind.
pub type Traits = Vec<(&'static str, String)>;

/// Lines up to which a change is of a size; beyond the last it is large.
const SIZES: [(i64, &str); 3] = [(10, "tiny"), (100, "small"), (500, "medium")];

/// The traits of a merge request: who wrote it, which try of its bead it is, and where that is
/// known its size and the part of the project it touches most. `same` are all merge requests of
/// the bead.
#[must_use]
pub fn traits(mr: &MergeRequest, same: &[MergeRequest]) -> Traits {
    let attempt = match same.iter().filter(|other| other.seq < mr.seq).count() {
        0 => "first",
        1 => "second",
        _ => "later",
    };
    let mut traits = vec![("author", mr.author.to_string()), ("attempt", attempt.to_owned())];
    if let Some(touches) = &mr.touches {
        let size = SIZES.iter().find(|(most, _)| touches.lines <= *most);
        traits.push(("size", size.map_or("large", |(_, name)| name).to_owned()));
        traits.push(("place", touches.place.clone()));
    }
    traits
}

/// How many of how many, fading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Those that were so, in millionths.
    pub bad: i64,
    /// All, in millionths.
    pub all: i64,
}

/// What is on record of a trait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Culprits among those that had it.
    #[serde(flatten)]
    pub count: Count,
    /// How many merge requests had been decided when it was last seen.
    #[serde(default)]
    pub last: i64,
}

impl Count {
    fn see(&mut self, bad: bool, span: i64) {
        self.bad += if bad { ONE } else { 0 } - self.bad / span;
        self.all += ONE - self.all / span;
    }

    fn rate(self) -> f64 {
        self.bad as f64 / self.all.max(1) as f64
    }
}

/// What verdicts have taught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learner {
    /// Culprits in the short run.
    pub short: Count,
    /// Culprits in the long run.
    pub long: Count,
    /// Culprits by trait, `kind value`.
    pub records: BTreeMap<String, Record>,
    /// How well each predictor did, in millionths of a nat.
    pub luck: BTreeMap<String, i64>,
    /// Flaked runs among runs of green trees.
    pub flaked: Count,
    /// Chances of innocence of those that went back, among all decided.
    pub doubt: Count,
    /// Suspects so far.
    pub suspects: i64,
    /// Decided so far.
    pub decided: i64,
    /// When the first of a stack last went back, while no run that started later was green; 0 when
    /// one was. Gates that call everything red would send back the first of every stack.
    pub alone_at: i64,
}

json_cell!(Learner);

impl Default for Learner {
    fn default() -> Self {
        Self {
            short: PRIOR,
            long: PRIOR,
            records: BTreeMap::new(),
            luck: BTreeMap::new(),
            flaked: Count::default(),
            doubt: Count::default(),
            suspects: 0,
            decided: 0,
            alone_at: 0,
        }
    }
}

fn odds(chance: f64) -> f64 {
    chance / (1.0 - chance)
}

fn key(kind: &str, value: &str) -> String {
    format!("{kind} {value}")
}

impl Learner {
    /// The chance that a merge request with these traits is a culprit.
    #[must_use]
    pub fn risk(&self, traits: &Traits) -> f64 {
        let foretold = self.foretold(traits);
        let best = foretold.iter().map(|(name, _)| self.luck_of(name)).max().unwrap_or(0);
        let (mut sum, mut mass) = (0.0, 0.0);
        for (name, chance) in &foretold {
            let weight = exp((self.luck_of(name) - best) as f64 / ONE as f64);
            sum += weight * chance;
            mass += weight;
        }
        (sum / mass).clamp(RISK_MIN, RISK_MAX)
    }

    /// The chance that a run of a green tree is red; 0 while no flake is remembered.
    #[must_use]
    pub fn flake(&self) -> f64 {
        if self.flaked.bad < FADED {
            return 0.0;
        }
        self.flaked.bad as f64 / (self.flaked.all as f64 + HONEST * ONE as f64)
    }

    /// The share of culprits in the long run.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.long.rate()
    }

    /// The least gate runs per landed merge request that theory allows at these rates.
    #[must_use]
    pub fn bound(&self) -> f64 {
        entropy(self.rate()) / capacity(self.flake()) / (1.0 - self.rate()).max(RISK_MIN)
    }

    /// Red runs that the next suspect needs although no flake is known: now and then one more
    /// than necessary, since flakes show only when a red tree is run again.
    #[must_use]
    pub fn reds_wanted(&self) -> usize {
        let every = if self.suspects < AUDITS_FIRST {
            1
        } else if self.suspects < AUDITS_MORE {
            AUDIT_OFTEN
        } else {
            AUDIT_EVERY
        };
        let audit = self.suspects % every == 0;
        if audit && self.flaked.bad < FADED { 2 } else { 1 }
    }

    /// The greatest chance of innocence with which the next suspect goes back, so that at most
    /// `error_max` of all merge requests are innocent and go back: a fair share per culprit, and
    /// twice that as long as earlier ones left some over. Never nothing: no number of runs would
    /// be enough.
    #[must_use]
    pub fn doubt_max(&self, error_max: f64) -> f64 {
        let error_max = error_max.max(ERROR_MIN);
        let share = error_max / self.long.rate().max(error_max);
        let left = error_max * self.doubt.all as f64 - self.doubt.bad as f64;
        (share + left / ONE as f64).clamp(SHARE_MIN * share, (2.0 * share).min(0.95))
    }

    /// A merge request was decided by its own merit: landed, or found to be a culprit with this
    /// chance of innocence in millionths.
    pub fn decided(&mut self, traits: &Traits, culprit: Option<i64>) {
        let doubt = culprit.unwrap_or(0);
        self.doubt.bad += doubt - self.doubt.bad / LONG;
        self.doubt.all += ONE - self.doubt.all / LONG;
        let culprit = culprit.is_some();
        for (name, chance) in self.foretold(traits) {
            let chance = if culprit { chance } else { 1.0 - chance };
            let gain = (ln(chance.max(1e-6)) * ONE as f64) as i64;
            let luck = self.luck.entry(name).or_insert(0);
            *luck += gain - *luck / MEMORY;
        }
        self.short.see(culprit, SHORT);
        self.long.see(culprit, LONG);
        self.decided += 1;
        for (kind, value) in traits {
            let record = self.records.entry(key(kind, value)).or_default();
            record.count.see(culprit, RECORD);
            record.last = self.decided;
        }
        self.forget();
        self.suspects += i64::from(culprit);
    }

    /// Makes room: what was seen just now stays, so that what is new can grow.
    fn forget(&mut self) {
        let now = self.decided;
        let tells = |record: &Record| record.count.all - (now - record.last) * (ONE / RECORD_AGE);
        while self.records.len() > RECORDS_MAX {
            let older = self.records.iter().filter(|(_, record)| record.last < now);
            let least = older.min_by_key(|(_, record)| tells(record));
            let Some(least) = least.map(|(name, _)| name.clone()) else { break };
            self.records.remove(&least);
        }
    }

    /// The first of a stack has gone back at `now`, on the strength of the target's green run.
    pub fn first_returned(&mut self, now: i64) {
        self.alone_at = now;
    }

    /// A run that started then was green: the gates can tell green from red.
    pub fn saw_green(&mut self, started_at: i64) {
        if started_at >= self.alone_at {
            self.alone_at = 0;
        }
    }

    /// A run of a green tree has ended; `reds` earlier runs of the same tree were flakes.
    pub fn green_run(&mut self, reds: usize) {
        self.flaked.see(false, RUNS);
        for _ in 0..reds {
            self.flaked.see(true, RUNS);
        }
    }

    fn luck_of(&self, name: &str) -> i64 {
        self.luck.get(name).copied().unwrap_or(0)
    }

    /// What each predictor says.
    fn foretold(&self, traits: &Traits) -> Vec<(String, f64)> {
        let (short, long) = (self.short.rate(), self.long.rate());
        let mut all = vec![("short".to_owned(), short), ("long".to_owned(), long)];
        let mut together = odds(long.clamp(RISK_MIN, RISK_MAX));
        for (kind, value) in traits {
            let record = self.records.get(&key(kind, value)).copied().unwrap_or_default().count;
            let (bad, seen) = (record.bad as f64 / ONE as f64, record.all as f64 / ONE as f64);
            let chance = (bad + SHRINK * long) / (seen + SHRINK);
            let chance = chance.clamp(RISK_MIN, RISK_MAX);
            together *= odds(chance) / odds(long.clamp(RISK_MIN, RISK_MAX));
            all.push(((*kind).to_owned(), chance));
        }
        if traits.len() > 1 {
            all.push(("together".to_owned(), together / (1.0 + together)));
        }
        all
    }
}
