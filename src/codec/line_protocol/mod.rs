//! Line protocol, exactly as DataKit 1.84.1 reads it: bytes in, a flat [`Tape`] out.
//!
//! Two readers give the same answers. `plain` (with `scan` and `value`) knows the whole grammar and goes byte by byte;
//! `fast` reads ordinary lines with vector instructions and hands it the others. Where a line is bad the whole body is
//! read once more by the plain reader, for the report: the good path does not keep what only a report needs.

mod error;
mod fast;
mod fuzz;
mod plain;
mod scan;
mod tape;
mod value;

#[cfg(test)]
mod tests;

pub use error::Failure;
pub use fast::Bad;
#[doc(hidden)]
pub use fuzz::fuzz_differential;
pub(crate) use tape::span;
pub use tape::{Item, Kind, Kv, PointSpan, Tape};

use crate::buf::Padded;
use crate::simd::Level;

/// Bodies are shorter than this, so that offsets fit the tape. What a server takes is far below.
pub const BODY_BYTES_MAX: usize = 1 << 30;

/// Reads a whole body. Lines that are blank or comments, and points that cannot be decoded, leave nothing behind, so
/// a tape without points is no failure. After a failure the tape is of no use.
pub fn parse(body: Padded<'_>, tape: &mut Tape) -> Result<(), Failure> {
    parse_on(Level::best(), body, tape)
}

/// [`parse`] with a given instruction set, which must be one that this machine has: for tests and benchmarks.
pub fn parse_on(level: Level, body: Padded<'_>, tape: &mut Tape) -> Result<(), Failure> {
    parse_some_on(level, body, 0, usize::MAX, tape).map(|_| ()).map_err(|Bad| explain(&body))
}

/// Reads a body in pieces: whole lines from `from` on (0, or what the last call returned) until `budget` bytes are
/// read. The tape holds the points of this piece alone, with offsets in the whole body. Returns where the next piece
/// starts; the length of the body when there is none. What is wrong with a bad body is for [`explain`] to say.
pub fn parse_some(body: Padded<'_>, from: usize, budget: usize, tape: &mut Tape) -> Result<usize, Bad> {
    parse_some_on(Level::best(), body, from, budget, tape)
}

fn parse_some_on(
    level: Level,
    body: Padded<'_>,
    from: usize,
    budget: usize,
    tape: &mut Tape,
) -> Result<usize, Bad> {
    tape.clear();
    let next = fast::parse_some(level, body, from, budget, tape)?;
    tape.seal();
    Ok(next)
}

/// Reads a bad body once more, to say everything that is wrong with it: about 10 ns a byte.
pub fn explain(body: &[u8]) -> Failure {
    plain::report(body)
}

/// [`parse`] by the plain reader alone: for tests and benchmarks.
pub fn parse_plain(body: Padded<'_>, tape: &mut Tape) -> Result<(), Failure> {
    tape.clear();
    plain::parse(&body, tape)
}
