//! Words of the command line: statuses, types, priorities, times. Errors name what is known.

use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use jiff::Span;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::adapters::clock;
use crate::messages::door::DoorError;
use crate::model::bead::BeadType;
use crate::model::bead::DepType;
use crate::model::bead::Status;
use crate::model::ids::BeadId;
use crate::model::query::Sort;
use crate::model::value::Name;
use crate::model::value::UnknownWord;

/// Most bytes of a text that is read from a file.
const TEXT_MAX: u64 = 512 << 10;

/// A word of a closed set; `what` is what a person calls the set.
fn known<T: FromStr<Err = UnknownWord>>(what: &str, word: &str) -> Result<T, String> {
    word.parse().map_err(|error: UnknownWord| {
        format!("unknown {what} '{}'; known: {}", error.word, error.known.join(", "))
    })
}

/// 0 to 4, also as P0 to P4.
pub(super) fn priority(word: &str) -> Result<i64, String> {
    match word.trim_start_matches(['p', 'P']).parse() {
        Ok(number @ 0..=4) => Ok(number),
        _ => Err("a priority is 0 (highest) to 4 (lowest), or P0 to P4".to_owned()),
    }
}

/// A status.
pub(super) fn status(word: &str) -> Result<Status, String> {
    let word = word.trim().replace('-', "_");
    known("status", &word)
}

/// A type, also by upstream's short names.
pub(super) fn bead_type(word: &str) -> Result<BeadType, String> {
    let word = match word.trim() {
        "feat" | "enhancement" => "feature",
        "dec" | "adr" => "decision",
        "investigation" | "timebox" => "spike",
        "user-story" => "story",
        "ms" => "milestone",
        "mr" => "merge-request",
        "mol" => "molecule",
        other => other,
    };
    known("type", word)
}

/// What an edge means.
pub(super) fn dep_type(word: &str) -> Result<DepType, String> {
    known("dependency type", word.trim())
}

/// What a list is ordered by.
pub(super) fn sort(word: &str) -> Result<Sort, String> {
    known("order", word.trim())
}

/// `type:id` or a bare id, which blocks.
pub(super) fn dep(text: &str) -> Result<(DepType, BeadId), String> {
    match text.trim().split_once(':') {
        Some((word, id)) => Ok((dep_type(word)?, BeadId::from(id.trim()))),
        None => Ok((DepType::Blocks, BeadId::from(text.trim()))),
    }
}

/// A label.
pub(super) fn label(text: &str) -> Result<Name, String> {
    match text.trim() {
        "" => Err("a label is not empty".to_owned()),
        text => Ok(Name::from(text)),
    }
}

/// A time: RFC 3339, a date, `tomorrow`, or from now like `+6h`, `+1d`, `+2w`.
pub(super) fn time(text: &str) -> Result<i64, String> {
    let now = Timestamp::from_millisecond(clock::now_ms()).unwrap_or(Timestamp::UNIX_EPOCH);
    time_at(text, now, TimeZone::system())
}

/// As [`time`]; an empty text removes the time.
pub(super) fn time_or_none(text: &str) -> Result<i64, String> {
    if text.is_empty() { Ok(0) } else { time(text) }
}

fn time_at(text: &str, now: Timestamp, zone: TimeZone) -> Result<i64, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "'{text}' is no time: use +6h, +1d, +2w, tomorrow, 2026-01-31, or 2026-01-31T09:00:00Z"
        )
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let local = now.to_zoned_datetime(zone.clone());
    if let Some(span) = text.strip_prefix('+') {
        let span: Span = span.parse().map_err(|_| wrong())?;
        let at = local.checked_add(span).map_err(|_| wrong())?;
        return Ok(at.timestamp().as_millisecond());
    }
    let start = match text {
        "today" => local.date().to_datetime(jiff::civil::Time::midnight()),
        "tomorrow" => {
            let day = local.date().tomorrow().map_err(|_| wrong())?;
            day.to_datetime(jiff::civil::Time::midnight())
        }
        _ => match (text.parse::<Date>(), text.parse::<DateTime>()) {
            (Ok(date), _) if text.len() <= 10 => date.to_datetime(jiff::civil::Time::midnight()),
            (_, Ok(at)) => at,
            _ => return Err(wrong()),
        },
    };
    let at = start.to_zoned_datetime(zone).map_err(|_| wrong())?;
    Ok(at.timestamp().as_millisecond())
}

/// A text that is given, in a file, or on standard input as `-`.
pub(super) fn text(
    given: Option<String>,
    file: Option<&Path>,
) -> Result<Option<String>, DoorError> {
    let usage = |why: String| DoorError::new("usage", why);
    let mut bytes = Vec::new();
    let read = match (given.as_deref(), file) {
        (Some("-"), None) => std::io::stdin().lock().take(TEXT_MAX + 1).read_to_end(&mut bytes),
        (_, None) => return Ok(given),
        (Some(_), Some(_)) => return Err(usage("the description is given twice".to_owned())),
        (None, Some(path)) if path == Path::new("-") => {
            std::io::stdin().lock().take(TEXT_MAX + 1).read_to_end(&mut bytes)
        }
        (None, Some(path)) => std::fs::File::open(path)
            .and_then(|file| file.take(TEXT_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| usage(format!("{}: {error}", path.display())))
            .map(Ok)?,
    };
    read.map_err(|error| usage(format!("standard input: {error}")))?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err(usage(format!("the text is longer than {TEXT_MAX} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| usage("the text is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::bead_type;
    use super::dep;
    use super::priority;
    use super::status;
    use super::time_at;
    use crate::model::bead::BeadType;
    use crate::model::bead::DepType;

    #[test]
    fn words_are_understood_or_explained() {
        assert_eq!(priority("P1"), Ok(1));
        assert_eq!(priority("4"), Ok(4));
        assert!(priority("5").is_err() && priority("high").is_err());
        assert_eq!(bead_type("feat"), Ok(BeadType::Feature));
        assert_eq!(dep("gt-1"), Ok((DepType::Blocks, "gt-1".into())));
        assert_eq!(dep("related:gt-1"), Ok((DepType::Related, "gt-1".into())));
        insta::assert_snapshot!(status("doing").unwrap_err(), @"unknown status 'doing'; known: open, in_progress, blocked, hooked, deferred, pinned, closed");
    }

    #[test]
    fn times_are_absolute_or_from_now() {
        let now: Timestamp = "2026-01-30T10:00:00Z".parse().unwrap();
        let at = |text: &str| {
            time_at(text, now, TimeZone::UTC)
                .map(|ms| Timestamp::from_millisecond(ms).unwrap().to_string())
        };
        let shown: Vec<String> = [
            "+6h",
            "+1d",
            "+2w",
            "tomorrow",
            "2026-03-01",
            "2026-03-01T09:30",
            "2026-03-01T09:30:00+02:00",
        ]
        .iter()
        .map(|text| format!("{text} = {}", at(text).unwrap()))
        .collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        +6h = 2026-01-30T16:00:00Z
        +1d = 2026-01-31T10:00:00Z
        +2w = 2026-02-13T10:00:00Z
        tomorrow = 2026-01-31T00:00:00Z
        2026-03-01 = 2026-03-01T00:00:00Z
        2026-03-01T09:30 = 2026-03-01T09:30:00Z
        2026-03-01T09:30:00+02:00 = 2026-03-01T07:30:00Z
        ");
        assert!(at("soon").unwrap_err().starts_with("'soon' is no time"));
    }
}
