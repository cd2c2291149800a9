//! Points in the past, as a command line names them.

use jiff::Span;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::adapters::clock;
use crate::model::past::Point;

/// Fewest characters of a hash's beginning: fewer are more likely a mistake.
const HASH_MIN: usize = 4;
/// Characters of a full hash on the embedded engine; the server's are shorter.
const HASH_MAX: usize = 40;

/// A time, `2h ago`, a commit or the beginning of one, `HEAD` or `HEAD~2`.
///
/// # Errors
/// What is understood, in words.
pub fn point(text: &str) -> Result<Point, String> {
    let now = Timestamp::from_millisecond(clock::now_ms()).unwrap_or(Timestamp::UNIX_EPOCH);
    point_at(text, now, TimeZone::system())
}

/// Two points as `A..B`; without B it is now.
///
/// # Errors
/// As [`point`].
pub fn range(text: &str) -> Result<(Point, Point), String> {
    let (from, to) = text.split_once("..").unwrap_or((text, "HEAD"));
    let to = if to.is_empty() { "HEAD" } else { to };
    Ok((point(from)?, point(to)?))
}

fn point_at(text: &str, now: Timestamp, zone: TimeZone) -> Result<Point, String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("HEAD") {
        let back = match rest.strip_prefix('~') {
            None if rest.is_empty() => Some(0),
            None => None,
            Some("") => Some(1),
            Some(number) => number.parse().ok(),
        };
        return back.map(Point::Head).ok_or_else(|| wrong(text));
    }
    if let Some(at) = time(text, now, zone) {
        return Ok(Point::Time(at.as_millisecond()));
    }
    let is_hash = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'));
    if is_hash && (HASH_MIN..=HASH_MAX).contains(&text.len()) {
        return Ok(Point::Commit(text.to_owned()));
    }
    Err(wrong(text))
}

fn wrong(text: &str) -> String {
    format!(
        "'{text}' is no point in time: use 2026-01-31T10:00, 2026-01-31, '2h ago', yesterday, \
         a commit ('bd log' lists them; {HASH_MIN} characters are enough), HEAD or HEAD~1"
    )
}

/// A time in the past; a text of digits alone is the beginning of a hash.
fn time(text: &str, now: Timestamp, zone: TimeZone) -> Option<Timestamp> {
    let local = now.to_zoned_datetime(zone.clone());
    if let Some(span) = text.strip_suffix("ago") {
        let span: Span = span.trim().parse().ok()?;
        return local.checked_sub(span).ok().map(|at| at.timestamp());
    }
    let midnight = |date: Date| {
        let start = date.to_datetime(jiff::civil::Time::midnight());
        start.to_zoned_datetime(zone.clone()).ok().map(|at| at.timestamp())
    };
    match text {
        "now" => return Some(now),
        "today" => return midnight(local.date()),
        "yesterday" => return midnight(local.date().yesterday().ok()?),
        _ if !text.contains(['-', ':']) => return None,
        _ => {}
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if text.len() <= 10 {
        return midnight(text.parse().ok()?);
    }
    let at: DateTime = text.parse().ok()?;
    at.to_zoned_datetime(zone).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::point_at;
    use super::range;
    use crate::model::past::Point;

    #[test]
    fn points_are_times_commits_or_counted_from_the_newest() {
        let now: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        let shown = |text: &str| match point_at(text, now, TimeZone::UTC) {
            Ok(Point::Time(ms)) => Timestamp::from_millisecond(ms).unwrap().to_string(),
            Ok(other) => format!("{other:?}"),
            Err(why) => why[..20.min(why.len())].to_owned(),
        };
        let table: Vec<String> = [
            "2h ago",
            "90m ago",
            "1 day ago",
            "yesterday",
            "2026-01-30",
            "2026-01-30T09:30",
            "2026-01-30 09:30:15",
            "2026-01-30T09:30:00+02:00",
            "HEAD",
            "HEAD~3",
            "HEAD^",
            "20260131",
            "6a92",
            "6a9",
            "whenever",
        ]
        .iter()
        .map(|text| format!("{text} = {}", shown(text)))
        .collect();
        insta::assert_snapshot!(table.join("\n"), @"
        2h ago = 2026-01-31T08:00:00Z
        90m ago = 2026-01-31T08:30:00Z
        1 day ago = 2026-01-30T10:00:00Z
        yesterday = 2026-01-30T00:00:00Z
        2026-01-30 = 2026-01-30T00:00:00Z
        2026-01-30T09:30 = 2026-01-30T09:30:00Z
        2026-01-30 09:30:15 = 2026-01-30T09:30:15Z
        2026-01-30T09:30:00+02:00 = 2026-01-30T07:30:00Z
        HEAD = Head(0)
        HEAD~3 = Head(3)
        HEAD^ = 'HEAD^' is no point\u{20}
        20260131 = Commit(\"20260131\")
        6a92 = Commit(\"6a92\")
        6a9 = '6a9' is no point in
        whenever = 'whenever' is no poi
        ");
    }

    #[test]
    fn a_range_ends_now_unless_it_says_otherwise() {
        let newest = Point::Head(0);
        assert_eq!(range("HEAD~2..HEAD~1"), Ok((Point::Head(2), Point::Head(1))));
        assert_eq!(range("6a92.."), Ok((Point::Commit("6a92".into()), newest.clone())));
        assert_eq!(range("6a92"), Ok((Point::Commit("6a92".into()), newest)));
        assert!(range("..").is_err());
    }
}
