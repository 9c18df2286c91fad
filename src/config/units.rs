//! Sizes and times as people write them.

use std::time::Duration;

/// What a size must look like, for error texts.
pub const SIZE_FORM: &str = "a size, as \"64MiB\", \"1GB\" or a number of bytes";
/// What a time must look like, for error texts.
pub const TIME_FORM: &str = "a time with its unit, as \"30s\", \"1m30s\" or \"200ms\"";

/// `64MiB`, `1.5GB`, `4096`: powers of 1024 with `i`, of 1000 without. `None`: not a size, or more than 2^63.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let unit = match unit.trim_start() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    scale(number, unit)
}

/// Go's durations: one or more numbers with a unit (`ns us µs ms s m h`) one behind another, or `0`.
pub fn parse_time(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total_ns = 0_u64;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit_ns = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total_ns = total_ns.checked_add(scale(number, unit_ns)?)?;
        rest = after;
    }
    Some(Duration::from_nanos(total_ns))
}

/// The shortest of `64MiB`, `1000B` that says exactly `bytes`.
pub fn show_size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `number` (`12`, `1.5`) times `unit`, exactly where it is whole.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let value = match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(unit)?,
        Some((_, digits)) if digits.contains('.') => return None,
        Some(_) => {
            let value = number.parse::<f64>().ok()? * unit as f64;
            if value >= i64::MAX as f64 {
                return None;
            }
            value as u64
        }
    };
    i64::try_from(value).ok().map(|_| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("1.5KiB", 1536),
            ("2TiB", 2 << 40),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1mb", "1.2.3MB", "1e3", "9999999999GiB", "1MiB2", "0x10"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        for bytes in [1, 1000, 1 << 10, 3 << 20, (1 << 30) + 1] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
        assert_eq!(show_size(32 << 20), "32MiB");
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("0", 0),
            ("200ms", 200),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("1h0m1s", 3_601_000),
        ] {
            assert_eq!(parse_time(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse_time("1µs1ns"), Some(Duration::from_nanos(1_001)));
        for text in ["", "30", "s", "1d", "1s2", "-1s", "1..5s", "99999999999999h", "1 s"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
