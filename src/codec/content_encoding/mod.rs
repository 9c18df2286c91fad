//! Compressed bodies: gzip, deflate, brotli, zstd, with caps on what comes out.
//!
//! The compressed body is at hand whole. What comes out is produced in steps, so that a caller with other work can stop
//! in between, and never beyond the caps, so that a bomb costs bounded memory and bounded time: each piece that a
//! format's decoder works on is bounded in what it reads and in what it writes.
//!
//! What is good and what is damaged follows the readers of DataKit 1.84.1, which are Go's: gzip members and zstd frames
//! may follow one another with nothing in between, brotli is one stream, and bytes behind any of them are an error;
//! what stands behind the last deflate block is not looked at.

mod brotli;
mod deflate;
mod gzip;
#[cfg(test)]
mod tests;
mod zstd;

use crate::buf::PADDING;

/// The formats, as requests name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    /// RFC 1951, or the same inside RFC 1950.
    Deflate,
    Brotli,
    Zstd,
}

impl Encoding {
    pub const ALL: [Encoding; 4] = [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];

    /// By its name in `Content-Encoding` and in the parameter `encoding`: exactly these words (recorded).
    pub fn from_name(name: &str) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
        }
    }
}

/// Why a body could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Not what it is said to be, cut short, damaged, or (zstd) in need of too large a window.
    Malformed,
    /// More comes out than the caps allow.
    TooLarge,
}

/// How much may come out of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub bytes_max: usize,
    /// How many times its own size a body may become, once it is past [`RATIO_FREE_BYTES`].
    pub ratio_max: usize,
}

/// One line over and over shrinks a thousandfold, and deflate cannot do better than 1,032; what goes beyond was made
/// to. (Real logs and metrics: a hundredth, with zstd and brotli a 250th. Brotli and zstd bombs: up to a million.)
pub const RATIO_MAX: usize = 1_100;

/// What any body may become, however small it was: read within some tens of milliseconds.
pub const RATIO_FREE_BYTES: usize = 16 << 20;

impl Limits {
    pub fn new(bytes_max: usize) -> Limits {
        Limits { bytes_max, ratio_max: RATIO_MAX }
    }

    /// The most that may come out of `input_len` bytes.
    fn bytes_max_of(&self, input_len: usize) -> usize {
        self.bytes_max.min(input_len.saturating_mul(self.ratio_max).max(RATIO_FREE_BYTES))
    }
}

/// A decoder works on pieces of so much at most, input and output each: some tens of microseconds.
const PIECE_BYTES: usize = 64 * 1024;

/// The least by which the output grows.
const GROWTH_BYTES: usize = 32 * 1024;

/// The first reservation: text shrinks about this much.
const RATIO_GUESS: usize = 5;

/// What a piece of work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    read: usize,
    written: usize,
    /// The body ended with it.
    end: bool,
}

/// The input is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// Decodes one body after the other; [`Decoder::reset`] before each. Between bodies it keeps the contexts of the
/// formats it has met, some tens of KiB each; within one, brotli and zstd may take their window besides: 16 and 8 MiB.
#[derive(Debug, Default)]
pub struct Decoder {
    gzip: Option<Box<gzip::Gzip>>,
    deflate: Option<Box<deflate::Deflate>>,
    brotli: Option<Box<brotli::Brotli>>,
    zstd: Option<zstd::Zstd>,
    /// Of the body at hand; `None` before the first, and after one that ended or went wrong.
    encoding: Option<Encoding>,
    /// How much of the input is consumed.
    at: usize,
}

impl Decoder {
    /// Ready for a body.
    pub fn reset(&mut self, encoding: Encoding) {
        self.encoding = Some(encoding);
        self.at = 0;
        match encoding {
            Encoding::Gzip => self.gzip.get_or_insert_default().reset(),
            Encoding::Deflate => self.deflate.get_or_insert_default().reset(),
            Encoding::Brotli => self.brotli = None,
            Encoding::Zstd => self.zstd.get_or_insert_default().reset(),
        }
    }

    /// Decompresses all of `input` into `out`, which is empty.
    pub fn decode_all(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        while !self.decode_some(input, out, limits, usize::MAX)? {}
        Ok(())
    }

    /// Goes on for about `step_bytes` of input and output together; `true`: that was all. Always called with the same
    /// `input` and limits, and with an `out` that was empty at first and to which nobody else adds.
    pub fn decode_some(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        limits: &Limits,
        step_bytes: usize,
    ) -> Result<bool, DecodeError> {
        let bytes_max = limits.bytes_max_of(input.len());
        let start = self.at + out.len();
        if start == 0 {
            let guess = input.len().saturating_mul(RATIO_GUESS).min(bytes_max.saturating_add(1));
            out.reserve_exact(guess.saturating_add(PADDING));
        }
        let piece_bytes = PIECE_BYTES.min(step_bytes.max(1));
        while let Some(encoding) = self.encoding {
            if self.at + out.len() - start >= step_bytes {
                return Ok(false);
            }
            let ended = self.piece(encoding, input, out, bytes_max, piece_bytes);
            if ended != Ok(false) {
                self.release();
            }
            if ended? {
                return Ok(true);
            }
        }
        // Called again after the end or an error, or without a reset.
        Err(DecodeError::Malformed)
    }

    /// The body is over: what is large goes back, what is small stays for the next one.
    fn release(&mut self) {
        self.encoding = None;
        self.brotli = None;
        self.zstd.take_if(|zstd| zstd.is_large());
    }

    fn piece(
        &mut self,
        encoding: Encoding,
        input: &[u8],
        out: &mut Vec<u8>,
        bytes_max: usize,
        piece_bytes: usize,
    ) -> Result<bool, DecodeError> {
        let rest = input.get(self.at..).unwrap_or_default();
        // One byte beyond the cap may be produced: that is how going beyond it is noticed.
        let room = bytes_max.saturating_add(1).saturating_sub(out.len());
        let (len, want) = (out.len(), piece_bytes.min(room));
        if out.capacity() - len < want + PADDING {
            // By half and more each time; never past the cap, and with room for whoever pads what came out.
            out.reserve_exact((len / 2).max(GROWTH_BYTES).max(want).min(room) + PADDING);
        }
        out.resize(len + want, 0);
        let target = out.get_mut(len..).unwrap_or_default();
        let piece = match encoding {
            Encoding::Gzip => self.gzip.get_or_insert_default().piece(rest, target, piece_bytes),
            Encoding::Deflate => self.deflate.get_or_insert_default().piece(rest, target, piece_bytes),
            Encoding::Brotli => self.brotli.get_or_insert_default().piece(rest, target, piece_bytes),
            Encoding::Zstd => self.zstd.get_or_insert_default().piece(rest, target, piece_bytes),
        };
        out.truncate(len + piece.map_or(0, |piece| piece.written));
        let piece = piece.map_err(|Malformed| DecodeError::Malformed)?;
        self.at += piece.read;
        if out.len() > bytes_max {
            return Err(DecodeError::TooLarge);
        }
        if piece == (Piece { read: 0, written: 0, end: false }) {
            // Neither went on although there was room: the input ends in the middle.
            return Err(DecodeError::Malformed);
        }
        Ok(piece.end)
    }
}
