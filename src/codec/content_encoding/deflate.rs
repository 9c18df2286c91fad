//! deflate: RFC 1951 as it is, or inside RFC 1950, which is what the name means in HTTP.
//!
//! DataKit takes both and tells them apart by the two bytes that begin the latter. It looks at no more of the frame
//! than that: neither at the dictionary flag nor at the checksum, nor at anything else behind the last block.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Malformed, Piece};

/// RFC 1950, 2.2: method and window size, flags.
const ZLIB_HEADER_BYTES: usize = 2;

#[derive(Debug)]
pub(super) struct Deflate {
    inflate: Decompress,
    begun: bool,
}

impl Default for Deflate {
    fn default() -> Deflate {
        Deflate { inflate: Decompress::new(false), begun: false }
    }
}

impl Deflate {
    pub(super) fn reset(&mut self) {
        self.inflate.reset(false);
        self.begun = false;
    }

    pub(super) fn piece(&mut self, rest: &[u8], out: &mut [u8], read_max: usize) -> Result<Piece, Malformed> {
        if !std::mem::replace(&mut self.begun, true) && has_zlib_header(rest) {
            return Ok(Piece { read: ZLIB_HEADER_BYTES, written: 0, end: false });
        }
        let Inflated { read, written, end } = inflate(&mut self.inflate, rest, out, read_max)?;
        Ok(Piece { read, written, end })
    }
}

/// Method 8, a window of at most 32 KiB, and the check bits. No encoder begins a raw stream so: it would be a stored
/// block with bits set where there is padding.
fn has_zlib_header(input: &[u8]) -> bool {
    let Some(&header) = input.first_chunk::<ZLIB_HEADER_BYTES>() else { return false };
    header[0] & 0x8f == 8 && u16::from_be_bytes(header) % 31 == 0
}

/// What inflating came to.
pub(super) struct Inflated {
    pub(super) read: usize,
    pub(super) written: usize,
    /// Behind the last block.
    pub(super) end: bool,
}

/// Inflates on, reading at most `read_max` bytes.
pub(super) fn inflate(
    inflate: &mut Decompress,
    rest: &[u8],
    out: &mut [u8],
    read_max: usize,
) -> Result<Inflated, Malformed> {
    let input = rest.get(..read_max).unwrap_or(rest);
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, out, FlushDecompress::None).map_err(|_| Malformed)?;
    Ok(Inflated {
        read: (inflate.total_in() - read) as usize,
        written: (inflate.total_out() - written) as usize,
        end: status == Status::StreamEnd,
    })
}
