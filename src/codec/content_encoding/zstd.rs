//! zstd (RFC 8878), frame after frame; frames to be skipped are.

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::{Malformed, Piece};

/// Windows up to 8 MiB, which is what every decoder should support (RFC 8878, 3.1.1.1.2) and all that the content
/// encoding may ask for (RFC 9659). Compressors stay below it up to level 19; the library's own bound is 128 MiB, which
/// a few requests at a time would make a gigabyte.
pub(super) const WINDOW_LOG_MAX: u32 = 23;

/// A context that has grown past this is given back after the body: without a window it is 160 KiB large, and most
/// bodies fit into a window of as much again.
const KEPT_BYTES_MAX: usize = 1 << 20;

pub(super) struct Zstd {
    context: DCtx<'static>,
    /// Inside a frame.
    open: bool,
}

impl std::fmt::Debug for Zstd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zstd").field("bytes", &self.context.sizeof()).field("open", &self.open).finish()
    }
}

impl Default for Zstd {
    fn default() -> Zstd {
        let mut context = DCtx::create();
        let capped = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
        assert!(capped.is_ok(), "BUG: a window of {WINDOW_LOG_MAX} bits cannot be asked for");
        Zstd { context, open: true }
    }
}

impl Zstd {
    /// Ready for another body, whose first frame must come.
    pub(super) fn reset(&mut self) {
        let reset = self.context.reset(ResetDirective::SessionOnly);
        assert!(reset.is_ok(), "BUG: a decoder that cannot be reset");
        self.open = true;
    }

    pub(super) fn is_large(&self) -> bool {
        self.context.sizeof() > KEPT_BYTES_MAX
    }

    pub(super) fn piece(&mut self, rest: &[u8], out: &mut [u8], read_max: usize) -> Result<Piece, Malformed> {
        if rest.is_empty() && !self.open {
            return Ok(Piece { read: 0, written: 0, end: true });
        }
        let mut input = InBuffer::around(rest.get(..read_max).unwrap_or(rest));
        let mut output = OutBuffer::around(out);
        let hint = self.context.decompress_stream(&mut output, &mut input).map_err(|_| Malformed)?;
        self.open = hint != 0;
        Ok(Piece { read: input.pos(), written: output.pos(), end: false })
    }
}
