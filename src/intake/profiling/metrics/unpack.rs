//! Files of a profile, unpacked: gzip, zstd, LZ4 frames, or as they are. No header says which; their first bytes do.

use std::borrow::Cow;
use std::io::Read as _;

use lz4_flex::frame::FrameDecoder;

use crate::codec::content_encoding::{DecodeError, Decoder, Encoding, Limits};

/// What a file may become. A form has 32 MiB at most where nothing else is configured, and recordings of the JVM shrink to an
/// eighth.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LZ4: &[u8] = &[0x04, 0x22, 0x4d, 0x18];

/// What comes out of the decoder of LZ4 at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A file as it was before it was compressed; bounded.
pub fn unpack(body: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    unpack_within(body, UNPACKED_BYTES_MAX)
}

/// The same, with a bound of the caller's.
pub fn unpack_within(body: &[u8], bytes_max: usize) -> Result<Cow<'_, [u8]>, String> {
    let limits = Limits::new(bytes_max);
    let encoding = match body {
        body if body.starts_with(GZIP) => Encoding::Gzip,
        body if body.starts_with(ZSTD) => Encoding::Zstd,
        body if body.starts_with(LZ4) => return lz4(body, &limits).map(Cow::Owned),
        _ => return Ok(Cow::Borrowed(body)),
    };
    let mut out = Vec::new();
    let mut decoder = Decoder::default();
    decoder.reset(encoding);
    match decoder.decode_all(body, &mut out, &limits) {
        Ok(()) => Ok(Cow::Owned(out)),
        Err(DecodeError::Malformed) => Err(format!("no {} that can be read", encoding.name())),
        Err(DecodeError::TooLarge) => Err(TOO_LARGE.to_owned()),
    }
}

/// Of an error.
const TOO_LARGE: &str = "more than may be unpacked";

/// Frame after frame. The format shrinks nothing beyond a 255th, so that a bound by ratio would never be met. A frame that
/// ends between two of its blocks counts as whole: the profile in it will not be.
fn lz4(body: &[u8], limits: &Limits) -> Result<Vec<u8>, String> {
    let malformed = |_| "no lz4 that can be read".to_owned();
    let mut decoder = FrameDecoder::new(body);
    let mut out = Vec::new();
    loop {
        let len = out.len();
        let mut piece = (&mut decoder).take(PIECE_BYTES as u64);
        piece.read_to_end(&mut out).map_err(malformed)?;
        if out.len() > limits.bytes_max {
            return Err(TOO_LARGE.to_owned());
        }
        if out.len() == len && decoder.get_ref().is_empty() {
            return Ok(out);
        }
        if out.len() == len {
            // The end of a frame; another one follows, or something that is none.
            let mut next = [0];
            match decoder.read(&mut next).map_err(malformed)? {
                0 if decoder.get_ref().is_empty() => return Ok(out),
                0 => return Err("no lz4 that can be read".to_owned()),
                _ => out.push(next[0]),
            }
        }
    }
}
