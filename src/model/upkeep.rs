//! The life of stored data, as data: what a dog may do to a database, and what came of it.

use serde::Deserialize;
use serde::Serialize;

use super::ids::Db;

/// What may be done to a database as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "chore")]
pub enum Chore {
    /// Measure it. Nothing is changed.
    Look,
    /// Copy it aside, and read the copy back.
    Backup,
    /// Bring its rows, without secrets, into the git archive.
    Archive,
    /// Make its history shorter, then free what nothing reaches any more.
    Compact {
        /// What stays.
        plan: Plan,
    },
    /// Free what nothing reaches any more.
    Collect,
    /// Look after the place where all databases are. Nothing is changed.
    Checkup {
        /// The databases that the town knows.
        known: Vec<Db>,
    },
}

impl Chore {
    /// A word for keys, logs and people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Backup => "backup",
            Self::Archive => "archive",
            Self::Compact { .. } => "compact",
            Self::Collect => "collect",
            Self::Checkup { .. } => "checkup",
        }
    }

    /// Whether nothing is changed by it, in the store or beside it.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Look | Self::Checkup { .. })
    }
}

/// Which commits a compaction keeps. The newest always stays, with its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "plan")]
pub enum Plan {
    /// The newest alone.
    Flatten,
    /// Every commit of the newest seventh of `keep_ms`, one for each 168th of it before that, none
    /// beyond it: with seven days, all of a day and then one an hour. Never more than half of
    /// `commits_max`, nor more than fit in half of `growth_max` times what the rows alone take:
    /// the bounds win over the time. Half of what a bound leaves is the newest, half is spread
    /// over the rest.
    Keep {
        /// How far back, in milliseconds.
        keep_ms: i64,
        /// Commits above which history is made shorter.
        commits_max: i64,
        /// So many times what the rows alone take is too much.
        growth_max: i64,
    },
    /// So many of the newest.
    Last {
        /// How many; at least one.
        commits: i64,
    },
}

impl Plan {
    /// Which of these commits stay, as positions, newest first. `dates` are milliseconds since the
    /// epoch, newest first.
    #[must_use]
    pub fn kept(&self, dates: &[i64], now_ms: i64) -> Vec<usize> {
        match self {
            Self::Flatten => dates.iter().take(1).enumerate().map(|(at, _)| at).collect(),
            Self::Last { commits } => {
                (0..dates.len().min(usize::try_from(*commits).unwrap_or(0).max(1))).collect()
            }
            Self::Keep { keep_ms, commits_max, .. } => {
                let bound = usize::try_from(*commits_max / 2).unwrap_or(0).max(1);
                thinned(in_time(dates, now_ms, *keep_ms), bound)
            }
        }
    }
}

/// At most so many: the newer half as it is, of the rest some that are evenly apart, the last too.
fn thinned(kept: Vec<usize>, bound: usize) -> Vec<usize> {
    if kept.len() <= bound {
        return kept;
    }
    let newest = bound.div_ceil(2);
    let (rest, left) = (bound - newest, kept.len() - newest);
    let spread = (1..=rest).map(|at| kept[newest + at * left / rest - 1]);
    kept[..newest].iter().copied().chain(spread).collect()
}

/// All that is new, then the last of each stretch, then the one that the kept time begins with.
fn in_time(dates: &[i64], now_ms: i64, keep_ms: i64) -> Vec<usize> {
    let (fine_ms, stretch_ms) = ((keep_ms / 7).max(1), (keep_ms / 168).max(1));
    let mut kept = Vec::new();
    let mut stretch = None;
    for (at, date) in dates.iter().enumerate() {
        let age = now_ms - date;
        if age >= keep_ms {
            // What stood when the kept time began.
            kept.push(at);
            break;
        }
        let own = date.div_euclid(stretch_ms);
        if at == 0 || age < fine_ms || stretch != Some(own) {
            kept.push(at);
        }
        stretch = Some(own);
    }
    kept
}

/// How big a database is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// The newest commit.
    pub head: String,
    /// How many commits lead to it.
    pub commits: i64,
    /// Bytes on disk; 0 where they cannot be seen.
    pub bytes: i64,
    /// Bytes that the rows alone would take; 0 where nobody has tried.
    #[serde(default)]
    pub live: i64,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong, always in the same words: the name of the alarm.
    pub condition: String,
    /// This time's words.
    pub words: String,
}

/// What came of a chore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoreDone {
    /// Before it.
    pub before: Measure,
    /// After it.
    pub after: Measure,
    /// When it began, in milliseconds since the epoch: what was committed before is in it.
    pub began_at: i64,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// Whether it was done; else nothing was changed, and the words say why.
    pub done: bool,
    /// What was done, for people.
    pub words: String,
    /// What is wrong now; what is not named is not wrong any more.
    pub findings: Vec<Finding>,
}

/// One run of a dog, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDetail {
    /// The database.
    pub db: Db,
    /// The chore's word.
    pub chore: String,
    /// What came of it.
    #[serde(flatten)]
    pub done: ChoreDone,
}

impl RunDetail {
    /// As it stands in its row.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Of a row; `None` for one that another version wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn a_day_is_kept_whole_then_the_last_of_each_hour_then_one_to_begin_with() {
        let now = 100 * DAY;
        // Every ten minutes for ten days, newest first.
        let dates: Vec<i64> = (0..10 * 144).map(|at| now - at * HOUR / 6).collect();
        let plan = Plan::Keep { keep_ms: 7 * DAY, commits_max: 10_000, growth_max: 8 };
        let kept = plan.kept(&dates, now);
        assert_eq!(kept[..144], (0..144).collect::<Vec<_>>()[..]);
        assert_eq!(kept.len(), 144 + 6 * 24 + 1);
        let ages: Vec<i64> = kept.iter().map(|at| now - dates[*at]).collect();
        assert_eq!(*ages.last().unwrap(), 7 * DAY);
        assert!(ages[145..].windows(2).all(|pair| pair[1] - pair[0] <= HOUR), "{ages:?}");
    }

    #[test]
    fn the_bound_wins_over_the_time() {
        let now = 10 * DAY;
        let dates: Vec<i64> = (0..5_000).map(|at| now - at).collect();
        let plan = Plan::Keep { keep_ms: 7 * DAY, commits_max: 2_000, growth_max: 8 };
        let kept = plan.kept(&dates, now);
        assert_eq!(kept.len(), 1_000);
        assert_eq!(kept[..500], (0..500).collect::<Vec<_>>()[..]);
        assert_eq!(kept[500..].windows(2).map(|pair| pair[1] - pair[0]).max(), Some(9));
        assert_eq!(kept.last(), Some(&4_999), "what stood at the beginning");
        let one = Plan::Keep { keep_ms: 7 * DAY, commits_max: 1, growth_max: 8 };
        assert_eq!(one.kept(&dates, now), vec![0]);
        assert_eq!(Plan::Flatten.kept(&dates, now), vec![0]);
        assert_eq!(Plan::Last { commits: 3 }.kept(&dates, now), vec![0, 1, 2]);
        assert_eq!(Plan::Last { commits: 0 }.kept(&dates, now), vec![0]);
        assert!(Plan::Flatten.kept(&[], now).is_empty());
    }
}
