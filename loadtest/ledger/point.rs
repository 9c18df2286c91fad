//! A ledger point: numbered by run, connection and sequence, and carrying values that follow from its number, so that
//! whoever sees it can tell whether it is whole.

use std::fmt::Write as _;

use crate::shared::random::mix;
use crate::upstream::decode::{Point, Value};

/// Measurement of every ledger point.
pub const MEASUREMENT: &str = "kgl";
/// A sequence number above this is not one of ours; it bounds the account's memory.
pub const SEQ_MAX: u32 = 1 << 26;
/// The tag that a destination refuses, where points are poisoned.
pub const POISON: &str = "kgpoison";
/// One point in so many is poisonous.
const POISON_IN: u64 = 1499;
/// Time of point 0; each next one is a microsecond later.
const TIME_BASE_NS: i64 = 1_700_000_000_000_000_000;

/// Which point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number {
    /// The client's run: one start of the load.
    pub run: u32,
    /// Connection in it.
    pub conn: u32,
    /// Place in the connection's stream, from 0.
    pub seq: u32,
}

impl Number {
    /// Whether it carries poison, in a run that has any.
    pub fn is_poisonous(self) -> bool {
        (self.check() as u64).is_multiple_of(POISON_IN)
    }

    fn check(self) -> i64 {
        mix(mix(u64::from(self.run) << 32 | u64::from(self.conn)) ^ u64::from(self.seq)) as i64
    }

    fn time(self) -> i64 {
        TIME_BASE_NS + i64::from(self.seq) * 1000
    }

    /// A text that needs every escape and more than ASCII.
    fn note(self) -> String {
        format!("n{} \"q\" \\w, =\n\u{65e5}{}", self.seq, "x".repeat((self.check() as u64 % 40) as usize))
    }
}

/// As it stands in a line.
const POISON_TAG: &str = ",kgpoison=yes";

/// Metrics may not hold strings: theirs come without the note.
fn has_note(category: &str) -> bool {
    category != "metric"
}

/// Appends the point as one line of line protocol; with poison, if it is one that has it and poison is wanted.
pub fn write(out: &mut String, category: &str, number: Number, poison: bool) {
    let Number { run, conn, seq } = number;
    let even = seq.is_multiple_of(2);
    let check = number.check();
    // Writing to a String cannot fail.
    let poison = if poison && number.is_poisonous() { POISON_TAG } else { "" };
    let _ = write!(
        out,
        "{MEASUREMENT},cat={category},conn={conn}{poison},run={run} seq={seq}i,check={check}i,half={seq}.5,even={even}"
    );
    if has_note(category) {
        let note = number.note().replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(out, ",note=\"{note}\"");
    }
    let _ = writeln!(out, " {}", number.time());
}

/// Checks a point that arrived under `category`; its number, or what is wrong with it. Keys that a gateway adds (host,
/// status, name) are not looked at.
pub fn verify(category: &str, point: &Point<'_>) -> Result<Number, String> {
    let tag = |name: &str| match find(point, name, true)? {
        Value::Text(text) => Ok(text),
        other => Err(format!("tag {name} is {other:?}")),
    };
    let small = |name: &str| tag(name)?.parse::<u32>().map_err(|e| format!("tag {name}: {e}"));
    let seq = match find(point, "seq", false)? {
        Value::Int(seq) => u32::try_from(seq).ok().filter(|seq| *seq <= SEQ_MAX).ok_or("seq out of range")?,
        other => return Err(format!("seq is {other:?}")),
    };
    let number = Number { run: small("run")?, conn: small("conn")?, seq };
    let same = |name: &str, want: Value<'_>| match find(point, name, false)? {
        got if got == want => Ok(()),
        got => Err(format!("{name} is {got:?} and not {want:?}")),
    };
    same("check", Value::Int(number.check()))?;
    same("half", Value::Float(f64::from(seq) + 0.5))?;
    same("even", Value::Bool(seq.is_multiple_of(2)))?;
    if has_note(category) {
        same("note", Value::Text(&number.note()))?;
    }
    if point.time != number.time() {
        return Err(format!("time is {} and not {}", point.time, number.time()));
    }
    if tag("cat")? != category {
        return Err(format!("it was written to {} and arrived under {category}", tag("cat")?));
    }
    Ok(number)
}

fn find<'a>(point: &Point<'a>, name: &str, tag: bool) -> Result<Value<'a>, String> {
    let mut found = point.keys.iter().filter(|key| key.name == name && key.tag == tag);
    let first = found.next().ok_or_else(|| format!("{name} is missing"))?;
    if found.next().is_some() {
        return Err(format!("{name} is there twice"));
    }
    Ok(first.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::decode::Key;

    const NUMBER: Number = Number { run: 3, conn: 7, seq: 41 };

    fn whole<'a>(note: &'a str) -> Point<'a> {
        let tag = |name, value| Key { name, tag: true, value: Value::Text(value) };
        let field = |name, value| Key { name, tag: false, value };
        Point {
            name: MEASUREMENT,
            keys: vec![
                tag("cat", "logging"),
                tag("conn", "7"),
                tag("run", "3"),
                tag("host", "added"),
                field("seq", Value::Int(41)),
                field("check", Value::Int(NUMBER.check())),
                field("half", Value::Float(41.5)),
                field("even", Value::Bool(false)),
                field("note", Value::Text(note)),
            ],
            time: NUMBER.time(),
        }
    }

    #[test]
    fn a_whole_point_is_known_and_every_change_is_seen() {
        let note = NUMBER.note();
        assert_eq!(verify("logging", &whole(&note)), Ok(NUMBER));
        assert!(verify("metric", &whole(&note)).is_err());
        for at in 0..9 {
            if at == 3 {
                continue; // Added by the gateway.
            }
            let mut missing = whole(&note);
            missing.keys.remove(at);
            assert!(verify("logging", &missing).is_err(), "key {at} missing");
            let mut twice = whole(&note);
            twice.keys.push(twice.keys[at]);
            assert!(verify("logging", &twice).is_err(), "key {at} twice");
            let mut other = whole(&note);
            other.keys[at].value = Value::Int(5);
            assert!(verify("logging", &other).is_err(), "key {at} changed");
        }
        let mut late = whole(&note);
        late.time += 1;
        assert!(verify("logging", &late).is_err());
    }

    #[test]
    fn one_point_in_many_is_poisonous_where_that_is_wanted() {
        let number = |seq| Number { run: 1, conn: 2, seq };
        let bad: Vec<u32> = (0..20_000).filter(|seq| number(*seq).is_poisonous()).collect();
        assert!((5..30).contains(&bad.len()), "{bad:?}");
        for poison in [false, true] {
            let mut line = String::new();
            write(&mut line, "metric", number(bad[0]), poison);
            assert_eq!(line.contains(POISON), poison, "{line}");
        }
    }

    #[test]
    fn lines_escape_what_must_be() {
        let mut line = String::new();
        write(&mut line, "logging", Number { run: 1, conn: 2, seq: 4 }, true);
        assert!(line.starts_with("kgl,cat=logging,conn=2,run=1 seq=4i,check="), "{line}");
        assert!(line.contains("half=4.5,even=true,note=\"n4 \\\"q\\\" \\\\w, =\n"), "{line}");
        assert!(line.ends_with(" 1700000000000004000\n"), "{line}");
    }
}
