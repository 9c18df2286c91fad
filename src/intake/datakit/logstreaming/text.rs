//! A point a line.

use crate::codec::line_protocol::{Kind, Kv, span};

use super::{Bad, Points};

/// A line may be this long, as in DataKit; it is also the longest value of a field.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// Reads whole lines. A line ends with a line feed, before which a carriage return does not count.
pub(super) fn read(body: &[u8], from: usize, budget: usize, points: &mut Points<'_>) -> Result<usize, Bad> {
    let mut at = from;
    while at < body.len() && at - from < budget {
        let rest = &body[at..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if line.len() > LINE_BYTES_MAX {
            return Err(Bad);
        }
        if !line.is_empty() {
            message(span(at, line.len()), 0, points);
        }
        at += end + 1;
    }
    Ok(at.min(body.len()))
}

/// A point of one message.
pub(super) fn message(value: u64, value_flags: u8, points: &mut Points<'_>) {
    let first = points.tape.kvs.len();
    points.field(points.message, Kind::Str, value_flags, value);
    points.field(points.status, Kind::Str, Kv::VALUE_IN_ARENA, points.info);
    points.point(first, None);
}
