//! The plain reader: the whole grammar, one byte at a time. It reads what the vector reader hands over, line by line,
//! it writes the report when a body is bad, and it is what the vector reader is tested against.

use super::error::{Failure, LineError, Report};
use super::scan::{Scanned, skip_blanks, split};
use super::tape::Tape;
use super::value;

/// What was at the start of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A blank line or a comment.
    Nothing,
    /// A point; it is on the tape, or was dropped because a value could not be decoded.
    Point,
}

/// One line, read: what it was and where the next one starts (past the end of the body: there is none).
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub result: Result<Read, LineError>,
    pub next: usize,
    /// The line without leading blanks and newline; empty when there was nothing.
    text: &'a [u8],
}

/// Reads the line at `from` and appends its point to the tape, if it has one. `scanned` is memory to reuse.
pub(super) fn line<'a>(
    body: &'a [u8],
    from: usize,
    scanned: &mut Scanned,
    tape: Option<&mut Tape>,
) -> Line<'a> {
    let ends = split(body, from);
    let block = &body[from..ends.end];
    let start = skip_blanks(block, 0);
    let nothing = Line { result: Ok(Read::Nothing), next: ends.next, text: &[] };
    match block.get(start) {
        None | Some(b'#') => return nothing,
        Some(_) => {}
    }
    let text = &block[start..];
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let result = scanned.read(text).map(|()| {
        if let Some(tape) = tape {
            value::append(text, from + start, scanned, tape);
        }
        Read::Point
    });
    Line { result, next: ends.next, text }
}

/// Reads a whole body onto the tape, which must be clear. The tape is of no use after a failure.
pub(super) fn parse(body: &[u8], tape: &mut Tape) -> Result<(), Failure> {
    let mut scanned = Scanned::default();
    let mut from = 0;
    while from < body.len() {
        let line = line(body, from, &mut scanned, Some(tape));
        if line.result.is_err() {
            return Err(report(body));
        }
        from = line.next;
    }
    tape.seal();
    Ok(())
}

/// Reads a body once more to say everything that is wrong with it. At least one line must be bad.
pub(super) fn report(body: &[u8]) -> Failure {
    let mut scanned = Scanned::default();
    let mut report = Report::new();
    // Lines are located by the end of the last one that was neither blank nor a comment.
    let (mut from, mut offset) = (0, 0);
    while from < body.len() {
        let line = line(body, from, &mut scanned, None);
        from = line.next;
        match line.result {
            Ok(Read::Nothing) => continue,
            Ok(Read::Point) => report.ok(),
            Err(error) => report.failed(line.text, offset, &error),
        }
        offset = from;
    }
    report.finish(body)
}
