//! How numbers, times and tables look to people.

use jiff::Timestamp;

/// 1234567 as `1,234,567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 frame`, `2 frames`.
pub fn count(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(value), if value == 1 { "" } else { "s" })
}

/// Bytes in binary units, one decimal.
pub fn bytes(value: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or("B");
    if unit == 0 { format!("{value} B") } else { format!("{scaled:.1} {name}") }
}

/// A wall clock time, UTC; what no calendar has is shown as its number.
pub fn time(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(|| format!("{ms} ms"), |stamp| format!("{stamp:.3}"))
}

/// How long ago: `3d 4h`, `12s`; what lies ahead is said so.
pub fn age(ms: u64, now_ms: u64) -> String {
    if ms > now_ms {
        return format!("in {}", span(ms - now_ms));
    }
    span(now_ms - ms)
}

fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Rows in columns as wide as they must be; the first row is the head. Columns of numbers stand to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let numeric = |column: usize| {
        let mut cells = rows.iter().skip(1).filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.starts_with(|first: char| first.is_ascii_digit()))
    };
    let layout: Vec<(usize, bool)> =
        (0..columns).map(|column| (width(column).unwrap_or(0), numeric(column))).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, (width, numeric)) in row.iter().zip(&layout) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            if *numeric {
                line.push_str(&format!("{cell:>width$}"));
            } else {
                line.push_str(&format!("{cell:<width$}"));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([count(1, "frame"), count(2, "frame")], ["1 frame", "2 frames"]);
        assert_eq!([bytes(7), bytes(2048), bytes(3 << 30)], ["7 B", "2.0 KiB", "3.0 GiB"]);
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(u64::MAX), "18446744073709551615 ms");
        assert_eq!([age(0, 59_999), age(0, 7_260_000)], ["59s", "2h 1m"]);
        assert_eq!([age(0, 90_000_000), age(5_000, 0)], ["1d 1h", "in 5s"]);
        let rows = [["name", "n"], ["a", "10"], ["bcdef", "7"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        assert_eq!(table(&rows), "name    n\na      10\nbcdef   7\n");
    }
}
