//! Durations as people write them: `30s`, `5m`, `250ms`, `2h`, `1d`, or plain milliseconds.

use serde_json::Value;

/// Milliseconds of a text like `30s`; `None` when it is no duration.
#[must_use]
pub fn parse_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..end].parse().ok()?;
    let unit = match text[end..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The shortest way to write milliseconds.
#[must_use]
pub fn show_ms(ms: i64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    units
        .iter()
        .find(|(_, size)| ms != 0 && ms % size == 0)
        .map_or_else(|| format!("{ms}ms"), |(unit, size)| format!("{}{unit}", ms / size))
}

/// Whether a setting of this name is a duration.
#[must_use]
pub fn is_duration(name: &str) -> bool {
    name.ends_with("_ms") || name == "timeout" || name.ends_with("_timeout") || name == "keep"
}

/// Turns the text of a duration into its milliseconds; anything else stays as it is.
#[must_use]
pub fn normal(name: &str, value: Value) -> Value {
    match &value {
        Value::String(text) if is_duration(name) => {
            parse_ms(text).map_or(value, |ms| Value::Number(ms.into()))
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::parse_ms;
    use super::show_ms;

    #[test]
    fn durations_read_and_show() {
        for (text, ms) in [("30s", 30_000), ("5m", 300_000), ("250ms", 250), ("2 h", 7_200_000)] {
            assert_eq!(parse_ms(text), Some(ms), "{text}");
        }
        for bad in ["", "s", "5 weeks", "-3s", "1.5h", "99999999999999999d"] {
            assert_eq!(parse_ms(bad), None, "{bad}");
        }
        assert_eq!(show_ms(300_000), "5m");
        assert_eq!(show_ms(1_500), "1500ms");
        assert_eq!(show_ms(0), "0ms");
    }
}
