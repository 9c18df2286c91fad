//! Line protocol, exactly as DataKit 1.84.1 reads it: bytes in, a flat [`Tape`] out.
//!
//! Two readers give the same answers. `plain` (with `scan` and `value`) knows the whole grammar and goes byte by byte.

mod error;
mod plain;
mod scan;
mod tape;
mod value;

#[cfg(test)]
mod tests;

pub use error::Failure;
pub use tape::{Item, Kind, Kv, PointSpan, Tape};

use crate::buf::Padded;

/// Bodies are shorter than this, so that offsets fit the tape. What a server takes is far below.
pub const BODY_BYTES_MAX: usize = 1 << 30;

/// Reads a whole body. Lines that are blank or comments, and points that cannot be decoded, leave nothing behind, so
/// a tape without points is no failure. After a failure the tape is of no use.
pub fn parse(body: Padded<'_>, tape: &mut Tape) -> Result<(), Failure> {
    assert!(body.len() <= BODY_BYTES_MAX, "BUG: a body of {} bytes", body.len());
    tape.clear();
    plain::parse(&body, tape)
}
