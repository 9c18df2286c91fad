//! What the client knows: ranges of points, and what became of the request that carried each.

use std::fmt::Write as _;

/// What a sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// 2xx: must arrive.
    Acknowledged,
    /// 5xx: the sender keeps its data; it may or may not arrive.
    RefusedForNow,
    /// 4xx: must not arrive.
    RefusedForEver,
    /// The connection died first; it may or may not arrive.
    Unknown,
}

/// Consecutive points of one connection that went in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Run of the client.
    pub run: u32,
    /// Connection.
    pub conn: u32,
    /// First sequence number.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// What became of them.
    pub fate: Fate,
}

/// One line a range.
pub fn to_text(ranges: &[Range]) -> String {
    let mut out = String::new();
    for r in ranges {
        let _ = writeln!(out, "{} {} {} {} {}", r.run, r.conn, r.first, r.count, word(r.fate));
    }
    out
}

/// Reads [`to_text`]'s lines.
pub fn from_text(text: &str) -> Result<Vec<Range>, String> {
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [run, conn, first, count, fate] = words[..] else { return Err(format!("bad line {line:?}")) };
            let number = |w: &str| w.parse::<u32>().map_err(|e| format!("{line:?}: {e}"));
            let fate =
                FATES.into_iter().find(|f| word(*f) == fate).ok_or_else(|| format!("bad line {line:?}"))?;
            Ok(Range {
                run: number(run)?,
                conn: number(conn)?,
                first: number(first)?,
                count: number(count)?,
                fate,
            })
        })
        .collect()
}

const FATES: [Fate; 4] = [Fate::Acknowledged, Fate::RefusedForNow, Fate::RefusedForEver, Fate::Unknown];

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Acknowledged => "acknowledged",
        Fate::RefusedForNow => "refused-for-now",
        Fate::RefusedForEver => "refused-for-ever",
        Fate::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_survive_their_text() {
        let ranges: Vec<Range> = FATES
            .into_iter()
            .enumerate()
            .map(|(i, fate)| Range { run: 1, conn: 2, first: i as u32 * 10, count: 10, fate })
            .collect();
        assert_eq!(from_text(&to_text(&ranges)).unwrap(), ranges);
        assert!(from_text("1 2 3 4").is_err());
        assert!(from_text("1 2 3 4 lost").is_err());
    }
}
