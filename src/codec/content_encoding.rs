//! Compressed bodies: gzip, member after member, with a cap on what comes out.
//!
//! The compressed body is at hand whole; what comes out is produced in steps, so that a caller with other work can stop
//! in between, and never beyond the cap, so that a bomb costs bounded memory.
//!
//! Compatible with Go's `gzip.Reader`: members follow one another without anything in between, and bytes behind the
//! last one that are no member are an error.

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Why a body could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Not gzip, cut short, or damaged.
    Malformed,
    /// More comes out than the cap allows.
    TooLarge,
}

/// What comes out is made in pieces of at least this many bytes.
const PIECE_BYTES: usize = 32 * 1024;

/// The first reservation: text shrinks about this much.
const RATIO_GUESS: usize = 5;

/// A member's fixed header, and its trailer: checksum and length.
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;

/// A gzip decoder. Reused from body to body: [`GzipDecoder::reset`] first.
#[derive(Debug)]
pub struct GzipDecoder {
    inflate: Decompress,
    crc: Crc,
    state: State,
    /// How much of the input is consumed.
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a member; the first must come.
    Header {
        first: bool,
    },
    Body,
    Trailer,
    Done,
}

impl Default for GzipDecoder {
    fn default() -> GzipDecoder {
        GzipDecoder {
            inflate: Decompress::new(false),
            crc: Crc::new(),
            state: State::Header { first: true },
            at: 0,
        }
    }
}

impl GzipDecoder {
    /// Ready for another body.
    pub fn reset(&mut self) {
        self.state = State::Header { first: true };
        self.at = 0;
    }

    /// Decompresses all of `input`.
    pub fn decode_all(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), DecodeError> {
        while !self.decode_some(input, out, bytes_max, usize::MAX)? {}
        Ok(())
    }

    /// Goes on for about `step_bytes` of input and output together; `true`: that was all. Always called with the same `input`, and
    /// with an `out` to which nobody else adds.
    pub fn decode_some(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        bytes_max: usize,
        step_bytes: usize,
    ) -> Result<bool, DecodeError> {
        let start = self.at + out.len();
        if start == 0 {
            out.reserve(input.len().saturating_mul(RATIO_GUESS).min(bytes_max.saturating_add(1)));
        }
        while self.state != State::Done {
            if self.at + out.len() - start >= step_bytes {
                return Ok(false);
            }
            self.step(input, out, bytes_max)?;
        }
        Ok(true)
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), DecodeError> {
        let rest = input.get(self.at..).unwrap_or_default();
        match self.state {
            State::Header { first: false } if rest.is_empty() => self.state = State::Done,
            State::Header { .. } => {
                self.at += header_len(rest).ok_or(DecodeError::Malformed)?;
                self.inflate.reset(false);
                self.crc.reset();
                self.state = State::Body;
            }
            State::Body => self.inflate_piece(rest, out, bytes_max)?,
            State::Trailer => {
                let trailer: &[u8; TRAILER_BYTES] = rest.first_chunk().ok_or(DecodeError::Malformed)?;
                let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
                let crc = u32::from_le_bytes([c0, c1, c2, c3]);
                let len = u32::from_le_bytes([l0, l1, l2, l3]);
                if crc != self.crc.sum() || len != self.crc.amount() {
                    return Err(DecodeError::Malformed);
                }
                self.at += TRAILER_BYTES;
                self.state = State::Header { first: false };
            }
            State::Done => {}
        }
        Ok(())
    }

    fn inflate_piece(&mut self, rest: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), DecodeError> {
        // One byte beyond the cap may be produced: that is how going beyond it is noticed.
        let room = bytes_max.saturating_add(1).saturating_sub(out.len());
        if out.capacity() - out.len() < PIECE_BYTES.min(room) {
            out.reserve(out.len().max(PIECE_BYTES).min(room));
        }
        let (len, read) = (out.len(), self.inflate.total_in());
        let status = self
            .inflate
            .decompress_vec(rest, out, FlushDecompress::None)
            .map_err(|_| DecodeError::Malformed)?;
        let consumed = (self.inflate.total_in() - read) as usize;
        self.at += consumed;
        self.crc.update(&out[len..]);
        if out.len() > bytes_max {
            return Err(DecodeError::TooLarge);
        }
        match status {
            Status::StreamEnd => self.state = State::Trailer,
            // Neither went on although there was room: the input ends in the middle.
            Status::Ok | Status::BufError if consumed == 0 && out.len() == len => {
                return Err(DecodeError::Malformed);
            }
            Status::Ok | Status::BufError => {}
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(input: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::new();
        GzipDecoder::default().decode_all(input, &mut out, bytes_max).map(|()| out)
    }

    #[test]
    fn members_follow_one_another_and_headers_may_have_everything() {
        let mut encoder = GzBuilder::new()
            .filename("a name")
            .comment("a comment")
            .extra(vec![1, 2, 3, 0, 5])
            .write(Vec::new(), Compression::best());
        encoder.write_all(b"first ").unwrap();
        let mut input = encoder.finish().unwrap();
        input.extend(gzip(b""));
        input.extend(gzip(b"second"));
        assert_eq!(decode(&input, 100).unwrap(), b"first second");
        input.push(0);
        assert_eq!(decode(&input, 100), Err(DecodeError::Malformed));
    }

    #[test]
    fn every_cut_and_every_flipped_checksum_is_noticed() {
        let whole = gzip(&b"cpu,host=a v=1i\n".repeat(40));
        for len in 0..whole.len() {
            assert_eq!(decode(&whole[..len], 10_000), Err(DecodeError::Malformed), "cut at {len}");
        }
        for at in whole.len() - TRAILER_BYTES..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged, 10_000), Err(DecodeError::Malformed), "flipped at {at}");
        }
        assert_eq!(decode(b"plain text", 100), Err(DecodeError::Malformed));
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_cap() {
        let bomb = gzip(&vec![0; 8 << 20]);
        let mut out = Vec::new();
        let result = GzipDecoder::default().decode_all(&bomb, &mut out, 100_000);
        assert_eq!(result, Err(DecodeError::TooLarge));
        assert!(out.capacity() <= 400_000, "{}", out.capacity());
        assert_eq!(decode(&gzip(&[7; 1000]), 1000).unwrap().len(), 1000);
        assert_eq!(decode(&gzip(&[7; 1001]), 1000), Err(DecodeError::TooLarge));
    }

    proptest! {
        #[test]
        fn steps_give_what_one_go_gives(
            bytes in proptest::collection::vec(0u8..4, 0..5000),
            cut in 0usize..5000,
            step in 1usize..3000,
        ) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let input = [gzip(first), gzip(second)].concat();
            let mut decoder = GzipDecoder::default();
            let mut out = Vec::new();
            while !decoder.decode_some(&input, &mut out, 10_000, step).unwrap() {}
            prop_assert_eq!(&out, &bytes);
            decoder.reset();
            out.clear();
            decoder.decode_all(&input, &mut out, 10_000).unwrap();
            prop_assert_eq!(&out, &bytes);
        }

        #[test]
        fn garbage_ends_in_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut input = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
            input.extend(bytes);
            let _ = decode(&input, 100_000);
        }
    }
}
