//! A body with readable bytes behind it.
//!
//! Vector loads fetch 16 to 64 bytes wherever a token starts, also at the very end of a body. A [`Padded`] carries
//! the proof that those loads stay inside one allocation; what the bytes behind the body are does not matter, and
//! no result may depend on them.

use std::fmt;
use std::ops::Deref;

/// How many bytes behind a body may be read: one load of the widest vector register.
pub const PADDING: usize = 64;

/// Bytes followed in memory by at least [`PADDING`] more initialised bytes. Derefs to the bytes without the padding.
#[derive(Clone, Copy)]
pub struct Padded<'a> {
    /// The bytes and everything behind them. `len + PADDING <= buffer.len()`.
    buffer: &'a [u8],
    len: usize,
}

impl<'a> Padded<'a> {
    /// The first `len` bytes of `buffer`; `None` when fewer than [`PADDING`] bytes lie behind them.
    pub fn new(buffer: &'a [u8], len: usize) -> Option<Padded<'a>> {
        let needed = len.checked_add(PADDING)?;
        (needed <= buffer.len()).then_some(Padded { buffer, len })
    }

    /// All of `bytes`, which grows by [`PADDING`] zero bytes. Shrink it back, or keep it as scratch.
    pub fn pad(bytes: &'a mut Vec<u8>) -> Padded<'a> {
        let len = bytes.len();
        bytes.resize(len + PADDING, 0);
        Padded { buffer: bytes, len }
    }

    /// The bytes without the padding, for as long as the buffer lives.
    pub fn bytes(self) -> &'a [u8] {
        &self.buffer[..self.len]
    }

    /// The bytes and everything known to be readable behind them.
    pub fn with_padding(self) -> &'a [u8] {
        self.buffer
    }
}

impl Deref for Padded<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Padded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.bytes(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_refused() {
        let buffer = [7u8; PADDING + 3];
        assert_eq!(&*Padded::new(&buffer, 3).unwrap(), [7, 7, 7]);
        assert!(Padded::new(&buffer, 4).is_none());
        assert!(Padded::new(&buffer, usize::MAX).is_none());
    }

    #[test]
    fn padding_keeps_the_bytes() {
        let mut bytes = b"abc".to_vec();
        let padded = Padded::pad(&mut bytes);
        assert_eq!(&*padded, b"abc");
        assert_eq!(padded.with_padding().len(), 3 + PADDING);
    }
}
