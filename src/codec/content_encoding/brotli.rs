//! brotli (RFC 7932): one stream, and nothing behind it.
//!
//! The window is at most 16 MiB, as the RFC has it; the large windows of a later format are refused. The decoder's
//! buffer grows with what comes out, so that small bodies cost little whatever window they announce. A decoder cannot
//! be used twice: each body has its own.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Malformed, Piece};

pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    written: usize,
}

impl std::fmt::Debug for Brotli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brotli").field("written", &self.written).finish_non_exhaustive()
    }
}

impl Default for Brotli {
    fn default() -> Brotli {
        let alloc = StandardAlloc::default;
        Brotli { state: BrotliState::new_strict(alloc(), alloc(), alloc()), written: 0 }
    }
}

impl Brotli {
    pub(super) fn piece(&mut self, rest: &[u8], out: &mut [u8], read_max: usize) -> Result<Piece, Malformed> {
        let input = rest.get(..read_max).unwrap_or(rest);
        let (mut input_left, mut read) = (input.len(), 0);
        let (mut room, mut written) = (out.len(), 0);
        let result = BrotliDecompressStream(
            &mut input_left,
            &mut read,
            input,
            &mut room,
            &mut written,
            out,
            &mut self.written,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultSuccess if read == rest.len() => Ok(Piece { read, written, end: true }),
            BrotliResult::NeedsMoreOutput => Ok(Piece { read, written, end: false }),
            BrotliResult::NeedsMoreInput if read < rest.len() => Ok(Piece { read, written, end: false }),
            // Bytes behind the end, an end in the middle, damage.
            BrotliResult::ResultSuccess | BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                Err(Malformed)
            }
        }
    }
}
