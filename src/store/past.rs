//! The past of a database: which commit stood when, and what the history no longer has.
//!
//! The oldest commit of a history is the engine's own and has no tables: what can be read begins
//! after it.

use crate::model::past::Commit;
use crate::model::past::Moment;
use crate::model::past::NoMoment;
use crate::model::past::Point;
use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;

/// The line of a commit message that says for how many commits of an earlier history it stands.
pub const STANDS_FOR: &str = "Stands-For: ";

/// Hashes that an ambiguous beginning is answered with.
const SHOWN: usize = 4;

/// The commits of a history, newest first, at most `limit`.
///
/// # Errors
/// As [`Conn::query`]; [`ConnError::Corrupt`] for a row of another shape.
pub fn log(conn: &mut dyn Conn, limit: Option<usize>) -> Result<Vec<Commit>, ConnError> {
    Ok(signed(conn, limit)?.into_iter().map(|(commit, _)| commit).collect())
}

/// As [`log`], each with the mail address of its author.
pub(super) fn signed(
    conn: &mut dyn Conn,
    limit: Option<usize>,
) -> Result<Vec<(Commit, String)>, ConnError> {
    let mut sql = "SELECT commit_hash, committer, email, CAST(date AS CHAR), message \
                   FROM dolt_log"
        .to_owned();
    if let Some(limit) = limit {
        sql.push_str(&format!(" LIMIT {limit}"));
    }
    conn.query(&sql, &[])?.into_iter().map(commit).collect()
}

fn commit(row: Vec<Value>) -> Result<(Commit, String), ConnError> {
    let text = |value| if let Value::Text(text) = value { text } else { String::new() };
    match <[Value; 5]>::try_from(row) {
        Ok([Value::Text(hash), author, mail, Value::Text(date), Value::Text(message)]) => {
            let at = millis(&date)
                .ok_or_else(|| ConnError::Corrupt(format!("commit {hash} has the date {date}")))?;
            Ok((Commit { hash, at, author: text(author), message }, text(mail)))
        }
        other => Err(ConnError::Corrupt(format!("dolt_log answered {other:?}"))),
    }
}

/// Milliseconds since the epoch of `2026-01-31 23:59:59` and what may follow it, in UTC.
fn millis(date: &str) -> Option<i64> {
    let (whole, part) = date.split_at_checked(19)?;
    let number = |from: usize, to: usize| whole.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days since 0000-03-01, as in `conn::civil`.
    let year = year - i64::from(month <= 2);
    let month = (month + 9) % 12;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    let thousandths = part.strip_prefix('.').map_or("", |part| part.get(..3).unwrap_or(part));
    let thousandths = format!("{thousandths:0<3}").parse::<i64>().ok()?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + thousandths)
}

/// The commit that a point means. A time means the newest commit that is not later, in whole
/// seconds; the beginning of a hash must be unique.
///
/// # Errors
/// The outer one is the engine's; the inner one says why there is no such moment.
pub fn resolve(conn: &mut dyn Conn, point: &Point) -> Result<Result<Moment, NoMoment>, ConnError> {
    let limit = match point {
        // The moment, what is older, and no more.
        Point::Head(back) => Some(back.saturating_add(2)),
        Point::Commit(_) | Point::Time(_) => None,
    };
    let log = log(conn, limit)?;
    Ok(pick(&log, point))
}

/// As [`resolve`], in the commits of a history, newest first.
fn pick(log: &[Commit], point: &Point) -> Result<Moment, NoMoment> {
    let readable = log.split_last().map_or(log, |(_, readable)| readable);
    let Some(oldest) = readable.last() else { return Err(NoMoment::Empty) };
    let flattened = stands_for_others(oldest);
    let too_early = || NoMoment::TooEarly { oldest: oldest.clone(), flattened };
    let exact = |commit: &Commit| Moment { commit: commit.clone(), squashed_into: None };
    match point {
        Point::Head(back) => readable.get(*back).map(exact).ok_or_else(too_early),
        Point::Commit(text) => {
            let named: Vec<&Commit> =
                log.iter().filter(|commit| commit.hash.starts_with(text.as_str())).collect();
            match named[..] {
                [one] if readable.iter().any(|commit| commit.hash == one.hash) => Ok(exact(one)),
                [_] => Err(too_early()),
                [] => Err(NoMoment::Unknown {
                    text: text.clone(),
                    oldest: Some((oldest.clone(), flattened)),
                }),
                _ => Err(NoMoment::Ambiguous {
                    text: text.clone(),
                    hashes: named.iter().take(SHOWN).map(|one| one.hash.clone()).collect(),
                }),
            }
        }
        Point::Time(ms) => {
            let second = |ms: i64| ms.div_euclid(1000);
            let found = readable.iter().position(|commit| second(commit.at) <= second(*ms));
            let at = found.ok_or_else(too_early)?;
            let commit = &readable[at];
            let next = at.checked_sub(1).map(|newer| &readable[newer]);
            let between = second(commit.at) < second(*ms);
            let squashed_into = next.filter(|next| between && stands_for_others(next)).cloned();
            Ok(Moment { commit: commit.clone(), squashed_into })
        }
    }
}

/// Whether a commit is what a compaction left of several.
fn stands_for_others(commit: &Commit) -> bool {
    commit.message.lines().any(|line| line.starts_with(STANDS_FOR))
}

#[cfg(test)]
mod tests {
    use super::STANDS_FOR;
    use super::millis;
    use super::pick;
    use crate::model::past::Commit;
    use crate::model::past::NoMoment;
    use crate::model::past::Point;
    use crate::store::conn::civil;

    fn commit(hash: &str, at: i64, message: &str) -> Commit {
        Commit { hash: hash.into(), at, author: String::new(), message: message.into() }
    }

    /// Newest first: b2 at 9 s, b1 at 5 s (squashed), a1 at 5 s, the engine's own.
    fn log() -> Vec<Commit> {
        vec![
            commit("b2", 9_000, "edit"),
            commit("b1", 7_000, &format!("edit\n\n{STANDS_FOR}3 commits\nLast-Key: 1")),
            commit("a1", 5_000, "schema 0 -> 1"),
            commit("a0", 99_000, "Initialize data repository"),
        ]
    }

    #[test]
    fn dates_are_read_as_they_are_written() {
        for ms in [0, 951_782_400_000, 1_709_251_199_000, 4_107_542_400_000] {
            let text = civil(ms).replace('T', " ");
            assert_eq!(millis(&text), Some(ms), "{text}");
            assert_eq!(millis(&format!("{text}.25")), Some(ms + 250), "{text}");
        }
        for ms in [0, 951_782_400_000, 1_709_251_199_000, 1_767_225_600_000, 4_107_542_400_000] {
            assert_eq!(millis(&civil(ms)), Some(ms));
        }
        assert_eq!(millis("2024-02-29 00:00:00.000000"), Some(1_709_164_800_000));
        assert_eq!(millis("yesterday"), None);
    }

    #[test]
    fn a_point_is_the_newest_commit_that_is_not_later() {
        let hash = |point| pick(&log(), &point).map(|moment| moment.commit.hash);
        assert_eq!(hash(Point::Head(0)), Ok("b2".into()));
        assert_eq!(hash(Point::Head(2)), Ok("a1".into()));
        assert_eq!(hash(Point::Commit("b1".into())), Ok("b1".into()));
        assert_eq!(hash(Point::Time(9_999)), Ok("b2".into()));
        assert_eq!(hash(Point::Time(8_999)), Ok("b1".into()));
        assert_eq!(hash(Point::Time(5_000)), Ok("a1".into()));
    }

    #[test]
    fn what_was_squashed_is_said() {
        let squashed = |ms| pick(&log(), &Point::Time(ms)).unwrap().squashed_into.is_some();
        assert!(squashed(6_000));
        assert!(!squashed(5_000) && !squashed(7_000) && !squashed(8_000));
    }

    #[test]
    fn what_history_does_not_hold_is_refused() {
        let early = |log: &[Commit], point| match pick(log, &point) {
            Err(NoMoment::TooEarly { oldest, flattened }) => (oldest.hash, flattened),
            other => panic!("{other:?}"),
        };
        assert_eq!(early(&log(), Point::Time(4_999)), ("a1".into(), false));
        assert_eq!(early(&log(), Point::Head(3)), ("a1".into(), false));
        assert_eq!(early(&log(), Point::Commit("a0".into())), ("a1".into(), false));
        let short = [log()[1].clone(), log()[3].clone()];
        assert_eq!(early(&short, Point::Time(4_999)), ("b1".into(), true));
        assert!(matches!(
            pick(&log(), &Point::Commit("b".into())),
            Err(NoMoment::Ambiguous { hashes, .. }) if hashes == ["b2", "b1"]
        ));
        assert!(matches!(
            pick(&log(), &Point::Commit("c".into())),
            Err(NoMoment::Unknown { oldest: Some((_, false)), .. })
        ));
        assert_eq!(pick(&log()[3..], &Point::Head(0)), Err(NoMoment::Empty));
    }
}
