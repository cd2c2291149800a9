//! The history of a database as a list, and its age.

use crate::model::value::Value;
use crate::store::conn::Conn;
use crate::store::conn::ConnError;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its hash.
    pub hash: String,
    /// `Name <mail>`.
    pub author: String,
    /// Milliseconds since the epoch, whole seconds.
    pub date_ms: i64,
    /// The whole message.
    pub message: String,
}

/// The newest commits, newest first; `limit` of them at most.
///
/// # Errors
/// As [`Conn::query`]; [`ConnError::Corrupt`] for a line that is no commit.
pub fn newest(conn: &mut dyn Conn, limit: Option<usize>) -> Result<Vec<Entry>, ConnError> {
    let mut sql = "SELECT commit_hash, committer, email, CAST(date AS CHAR), message \
                   FROM dolt_log"
        .to_owned();
    if let Some(limit) = limit {
        sql.push_str(&format!(" LIMIT {limit}"));
    }
    let rows = conn.query(&sql, &[])?;
    rows.into_iter()
        .map(|row| entry(&row).ok_or_else(|| ConnError::Corrupt(format!("no commit: {row:?}"))))
        .collect()
}

/// How many commits lead to the newest one.
///
/// # Errors
/// As [`Conn::query`].
pub fn count(conn: &mut dyn Conn) -> Result<i64, ConnError> {
    match conn.query("SELECT COUNT(*) FROM dolt_log", &[])?.first().and_then(|row| row.first()) {
        Some(Value::Int(count)) => Ok(*count),
        other => Err(ConnError::Corrupt(format!("the number of commits is {other:?}"))),
    }
}

fn entry(row: &[Value]) -> Option<Entry> {
    let [Value::Text(hash), Value::Text(name), Value::Text(mail), date, Value::Text(message)] = row
    else {
        return None;
    };
    let date_ms = match date {
        Value::Text(text) => moment_ms(text)?,
        Value::Int(seconds) => seconds.checked_mul(1000)?,
        Value::Null => return None,
    };
    let author = format!("{name} <{mail}>");
    Some(Entry { hash: hash.clone(), author, date_ms, message: message.clone() })
}

/// Milliseconds since the epoch of `2024-01-31T23:59:59` or the same with a blank, in UTC.
fn moment_ms(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    // Days since 0000-03-01, so that a leap day ends its year (Howard Hinnant's calendar).
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::moment_ms;
    use crate::store::conn::civil;

    #[test]
    fn a_moment_reads_as_it_is_written() {
        for ms in [0, 951_782_400_000, 1_709_251_199_000, 1_767_225_600_000, 4_107_542_400_000] {
            assert_eq!(moment_ms(&civil(ms)), Some(ms));
            assert_eq!(moment_ms(&civil(ms).replace('T', " ")), Some(ms));
        }
        assert_eq!(moment_ms("2024-02-29 00:00:00.000000"), Some(1_709_164_800_000));
        assert_eq!(moment_ms("yesterday"), None);
    }
}
