//! gzip (RFC 1952), member after member, as Go's `gzip.Reader` reads it.

use flate2::{Crc, Decompress};

use super::deflate::{Inflated, inflate};
use super::{Malformed, Piece};

/// A member's fixed header, and its trailer: checksum and length.
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;

#[derive(Debug)]
pub(super) struct Gzip {
    inflate: Decompress,
    crc: Crc,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a member; the first must come.
    Header {
        first: bool,
    },
    Body,
    Trailer,
}

impl Default for Gzip {
    fn default() -> Gzip {
        Gzip { inflate: Decompress::new(false), crc: Crc::new(), state: State::Header { first: true } }
    }
}

impl Gzip {
    pub(super) fn reset(&mut self) {
        self.state = State::Header { first: true };
    }

    pub(super) fn piece(&mut self, rest: &[u8], out: &mut [u8], read_max: usize) -> Result<Piece, Malformed> {
        match self.state {
            State::Header { first: false } if rest.is_empty() => Ok(Piece { read: 0, written: 0, end: true }),
            State::Header { .. } => {
                let read = header_len(rest).ok_or(Malformed)?;
                self.inflate.reset(false);
                self.crc.reset();
                self.state = State::Body;
                Ok(Piece { read, written: 0, end: false })
            }
            State::Body => {
                let Inflated { read, written, end } = inflate(&mut self.inflate, rest, out, read_max)?;
                self.crc.update(out.get(..written).unwrap_or_default());
                if end {
                    self.state = State::Trailer;
                }
                Ok(Piece { read, written, end: false })
            }
            State::Trailer => {
                let trailer: &[u8; TRAILER_BYTES] = rest.first_chunk().ok_or(Malformed)?;
                let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
                let crc = u32::from_le_bytes([c0, c1, c2, c3]);
                let len = u32::from_le_bytes([l0, l1, l2, l3]);
                if crc != self.crc.sum() || len != self.crc.amount() {
                    return Err(Malformed);
                }
                self.state = State::Header { first: false };
                Ok(Piece { read: TRAILER_BYTES, written: 0, end: false })
            }
        }
    }
}

/// The length of the member header at the start of `input` (RFC 1952, 2.3); `None`: there is no whole one.
fn header_len(input: &[u8]) -> Option<usize> {
    const FHCRC: u8 = 1 << 1;
    const FEXTRA: u8 = 1 << 2;
    const FNAME: u8 = 1 << 3;
    const FCOMMENT: u8 = 1 << 4;
    let header: &[u8; HEADER_BYTES] = input.first_chunk()?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else { return None };
    let mut at = HEADER_BYTES;
    if flags & FEXTRA != 0 {
        let [low, high] = *input.get(at..)?.first_chunk()?;
        at += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for flag in [FNAME, FCOMMENT] {
        if flags & flag != 0 {
            at += memchr::memchr(0, input.get(at..)?)? + 1;
        }
    }
    if flags & FHCRC != 0 {
        let mut crc = Crc::new();
        crc.update(input.get(..at)?);
        let [low, high] = *input.get(at..)?.first_chunk()?;
        if crc.sum() as u16 != u16::from_le_bytes([low, high]) {
            return None;
        }
        at += 2;
    }
    (at <= input.len()).then_some(at)
}
