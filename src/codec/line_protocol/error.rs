//! Why a line was refused, and the report over a whole body, in the words of DataKit 1.84.1.

use std::fmt::Write as _;
use std::ops::Range;

/// A body with at least one bad line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The whole text, `invalid lineprotocol: …`. Bytes that are no UTF-8 have become U+FFFD, one each.
    pub message: String,
    /// Points that would have been read.
    pub points_ok: usize,
    pub points_failed: usize,
}

/// Why one line was refused. Ranges are offsets in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LineError {
    MissingMeasurement,
    MissingFields,
    MissingTagKey,
    MissingTagValue,
    InvalidTagFormat,
    DuplicateTags,
    KeyTooLong(usize),
    InvalidFieldFormat,
    MissingFieldKey,
    MissingFieldValue,
    UnbalancedQuotes,
    TailByte(u8),
    MissingClosingBracket,
    InvalidNumber,
    InvalidFloat,
    IntRange(Range<usize>),
    UintRange(Range<usize>),
    InvalidBoolean,
    InvalidValue(Range<usize>),
    BadTimestamp,
    TimeSyntax(Range<usize>),
    TimeRange(Range<usize>),
    TimeOutside,
    InvalidPoint,
}

/// The longest key part (measurement and tags as written), alone or with a field key. Longer ones are an error.
pub(super) const KEY_BYTES_MAX: usize = 65535;

/// The earliest and latest time a line may carry.
pub(super) const TIME_NS_MIN: i64 = i64::MIN + 2;
pub(super) const TIME_NS_MAX: i64 = i64::MAX - 1;

impl LineError {
    /// Appends the text of the error for the line it was found in.
    pub(super) fn write(&self, line: &[u8], out: &mut String) {
        let fixed = match self {
            LineError::MissingMeasurement => "missing measurement",
            LineError::MissingFields => "missing fields",
            LineError::MissingTagKey => "missing tag key",
            LineError::MissingTagValue => "missing tag value",
            LineError::InvalidTagFormat => "invalid tag format",
            LineError::DuplicateTags => "duplicate tags",
            LineError::InvalidFieldFormat => "invalid field format",
            LineError::MissingFieldKey => "missing field key",
            LineError::MissingFieldValue => "missing field value",
            LineError::UnbalancedQuotes => "unbalanced quotes",
            LineError::MissingClosingBracket => "missing closing bracket",
            LineError::InvalidNumber => "invalid number",
            LineError::InvalidFloat => "invalid float",
            LineError::InvalidBoolean => "invalid boolean",
            LineError::BadTimestamp => "bad timestamp",
            LineError::InvalidPoint => "point is invalid",
            LineError::KeyTooLong(bytes) => {
                let _ = write!(out, "max key length exceeded: {bytes} > {KEY_BYTES_MAX}");
                return;
            }
            LineError::TailByte(byte) => {
                let _ = write!(out, "invalid string, got tail char `{}'", char::from(*byte));
                return;
            }
            LineError::IntRange(digits) => {
                let digits = line[digits.clone()].escape_ascii();
                let _ = write!(
                    out,
                    "unable to parse integer {digits}: strconv.ParseInt: parsing \"{digits}\": value out of range"
                );
                return;
            }
            LineError::UintRange(digits) => {
                let digits = line[digits.clone()].escape_ascii();
                let _ = write!(
                    out,
                    "unable to parse unsigned {digits}: strconv.ParseUint: parsing \"{digits}\": value out of range"
                );
                return;
            }
            LineError::InvalidValue(key) => {
                out.push_str("invalid value: field-key=");
                push_lossy(out, &line[key.clone()]);
                return;
            }
            LineError::TimeSyntax(digits) => {
                let digits = line[digits.clone()].escape_ascii();
                let _ = write!(out, "strconv.ParseInt: parsing \"{digits}\": invalid syntax");
                return;
            }
            LineError::TimeRange(digits) => {
                let digits = line[digits.clone()].escape_ascii();
                let _ = write!(out, "strconv.ParseInt: parsing \"{digits}\": value out of range");
                return;
            }
            LineError::TimeOutside => {
                let _ = write!(out, "time outside range {TIME_NS_MIN} - {TIME_NS_MAX}");
                return;
            }
        };
        out.push_str(fixed);
    }
}

/// How much of the body a report repeats. Four times the longest key part: enough to see any line that is refused
/// for its length, little enough that a 64 MiB body cannot make a 64 MiB answer.
const ORIGIN_BYTES_MAX: usize = 4 * (KEY_BYTES_MAX + 1);

/// How much of one bad line a report repeats; the same bound for the same reason.
const LINE_BYTES_MAX: usize = ORIGIN_BYTES_MAX;

/// Lines are described until the report is this long; later ones are only counted.
const LINES_BYTES_MAX: usize = 2 * ORIGIN_BYTES_MAX;

/// Says after a cut how much is missing.
fn push_cut(out: &mut String, missing: usize) {
    let _ = write!(out, "... ({missing} more)");
}

/// Builds the report over a body, line by line.
pub(super) struct Report {
    message: String,
    ok: usize,
    failed: usize,
    /// Bad lines that were counted but not described.
    skipped: usize,
}

impl Report {
    pub(super) fn new() -> Report {
        Report { message: String::from("invalid lineprotocol: "), ok: 0, failed: 0, skipped: 0 }
    }

    pub(super) fn ok(&mut self) {
        self.ok += 1;
    }

    /// A bad line, its text without leading blanks and newline, and the offset it is said to be at.
    pub(super) fn failed(&mut self, line: &[u8], offset: usize, error: &LineError) {
        self.failed += 1;
        if self.message.len() > LINES_BYTES_MAX {
            self.skipped += 1;
            return;
        }
        self.message.push_str("unable to parse '");
        let shown = &line[..line.len().min(LINE_BYTES_MAX)];
        push_lossy(&mut self.message, shown);
        if shown.len() < line.len() {
            push_cut(&mut self.message, line.len() - shown.len());
        }
        let _ = write!(self.message, "'(pos: {}): ", offset + 1);
        error.write(line, &mut self.message);
        self.message.push('\n');
    }

    /// The failure of `body`. Call it only after a line has failed.
    pub(super) fn finish(mut self, body: &[u8]) -> Failure {
        debug_assert!(self.failed > 0, "BUG: a report without a bad line");
        if self.skipped > 0 {
            push_cut(&mut self.message, self.skipped);
            self.message.push('\n');
        }
        let _ = write!(
            self.message,
            "with {} point parse ok, {} points failed. Origin data: ",
            self.ok, self.failed
        );
        let shown = &body[..body.len().min(ORIGIN_BYTES_MAX)];
        push_quoted(&mut self.message, shown);
        if shown.len() < body.len() {
            push_cut(&mut self.message, body.len() - shown.len());
        }
        Failure { message: self.message, points_ok: self.ok, points_failed: self.failed }
    }
}

/// Appends bytes as text, every byte that is not part of UTF-8 as one U+FFFD.
fn push_lossy(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for _ in chunk.invalid() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Appends bytes in double quotes, escaped as Go's `%q` does it.
fn push_quoted(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_quoted_char(out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
}

fn push_quoted_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        '\0'..' ' | '\x7f' => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        _ if is_printable(c) => out.push(c),
        '\u{10000}'.. => {
            let _ = write!(out, "\\U{:08x}", c as u32);
        }
        _ => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
    }
}

/// Whether Go's `strconv.IsPrint` holds: neither a control, a format, an unassigned nor a space character. The
/// standard library knows the same classes; it tells when asked to escape a character that does not come first.
fn is_printable(c: char) -> bool {
    let mut pair = String::from("x");
    pair.push(c);
    pair.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_that_of_go() {
        let cases: [(&[u8], &str); 8] = [
            (b"a b", r#""a b""#),
            (b"\n\t\r\"\\\x00\x7f\x07", r#""\n\t\r\"\\\x00\x7f\a""#),
            ("坏的é".as_bytes(), "\"坏的é\""),
            ("e\u{301}".as_bytes(), "\"e\u{301}\""),
            ("\u{80}\u{a0}\u{200b}\u{feff}".as_bytes(), r#""\u0080\u00a0\u200b\ufeff""#),
            ("😀\u{e0001}".as_bytes(), "\"😀\\U000e0001\""),
            (b"\xff\xed\xa0\x80", r#""\xff\xed\xa0\x80""#),
            (b"", r#""""#),
        ];
        for (bytes, quoted) in cases {
            let mut out = String::new();
            push_quoted(&mut out, bytes);
            assert_eq!(out, quoted);
        }
    }

    #[test]
    fn every_broken_byte_becomes_one_replacement() {
        let mut out = String::new();
        push_lossy(&mut out, b"a\xe4\xb8b\xff");
        assert_eq!(out, "a\u{fffd}\u{fffd}b\u{fffd}");
    }

    #[test]
    fn a_report_is_bounded() {
        let body = vec![b'x'; 3 * ORIGIN_BYTES_MAX];
        let mut report = Report::new();
        for _ in 0..100 {
            report.failed(&body, 0, &LineError::MissingFields);
        }
        let failure = report.finish(&body);
        assert!(failure.message.len() < LINES_BYTES_MAX + 3 * ORIGIN_BYTES_MAX + 1024);
        assert!(failure.message.contains("with 0 point parse ok, 100 points failed"));
    }
}
