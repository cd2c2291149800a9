//! Stored databases as dogs see them: a history with a size, and what the copies hold.

use std::collections::BTreeMap;

use super::rng::Stream;
use crate::model::ids::Db;
use crate::model::upkeep::Chore;
use crate::model::upkeep::ChoreDone;
use crate::model::upkeep::Measure;

/// Bytes that a commit takes.
const COMMIT_BYTES: i64 = 20_000;
/// Bytes that the rows of an empty database take.
const EMPTY_BYTES: i64 = 100_000;

#[derive(Clone, Debug, Default)]
struct Shelf {
    dates: Vec<i64>,
    made: u64,
    copied_at: [Option<i64>; 2],
}

/// All databases.
#[derive(Clone, Debug)]
pub(super) struct Shelves {
    all: BTreeMap<Db, Shelf>,
    stream: Stream,
    now: i64,
}

impl Shelves {
    pub(super) fn new(seed: u64) -> Self {
        Self { all: BTreeMap::new(), stream: Stream::new(seed, "shelves"), now: 0 }
    }

    /// A commit was made, or time went by.
    pub(super) fn moved(&mut self, db: &Db, now: i64) {
        self.now = now;
        let shelf = self.all.entry(db.clone()).or_default();
        shelf.dates.push(now);
        shelf.made += 1;
    }

    /// What time it is for copies.
    pub(super) fn tick(&mut self, now: i64) {
        self.now = now;
    }

    /// Until when both copies hold a database; `None` where one is missing.
    pub(super) fn held_until(&self, db: &Db) -> Option<i64> {
        let [backup, archive] = self.all.get(db)?.copied_at;
        Some(backup?.min(archive?))
    }

    /// Does a chore.
    pub(super) fn keep(&mut self, db: &Db, chore: &Chore) -> ChoreDone {
        let (now, late) = (self.now, self.stream.below(3_000) as i64);
        let shelf = self.all.entry(db.clone()).or_default();
        let before = shelf.measure();
        match chore {
            Chore::Backup => shelf.copied_at[0] = Some(now),
            Chore::Archive => shelf.copied_at[1] = Some(now),
            Chore::Compact { plan } => {
                let newest_first: Vec<i64> = shelf.dates.iter().rev().copied().collect();
                let kept = plan.kept(&newest_first, now);
                shelf.dates = kept.into_iter().rev().map(|at| newest_first[at]).collect();
                shelf.made += 1;
            }
            Chore::Look | Chore::Collect | Chore::Checkup { .. } => {}
        }
        ChoreDone {
            before,
            after: shelf.measure(),
            began_at: now,
            took_ms: late,
            done: true,
            words: chore.name().to_owned(),
            findings: Vec::new(),
        }
    }
}

impl Shelf {
    fn measure(&self) -> Measure {
        let commits = i64::try_from(self.dates.len()).unwrap_or(i64::MAX);
        let bytes = EMPTY_BYTES + commits.saturating_mul(COMMIT_BYTES);
        Measure { head: format!("sim{}", self.made), commits, bytes, live: EMPTY_BYTES }
    }
}
