//! MessagePack, read in place: a cursor over bytes that copies nothing, trusts no length and does not recurse.

use std::ops::Range;

/// Why bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsgpackError {
    /// A value goes past the end.
    UnexpectedEof,
    /// A value of another kind than what is read: its first byte.
    WrongType(u8),
    /// A number that does not fit.
    OutOfRange,
}

impl std::fmt::Display for MsgpackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MsgpackError::UnexpectedEof => f.write_str("unexpected-eof"),
            MsgpackError::WrongType(first) => write!(f, "a value of another type: {first:#04x}"),
            MsgpackError::OutOfRange => f.write_str("a number that does not fit"),
        }
    }
}

impl std::error::Error for MsgpackError {}

const NIL: u8 = 0xc0;

/// Reads values one behind the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Reads on at an offset. It is of a value; one past the end is the end.
    pub fn starting_at(bytes: &'a [u8], offset: usize) -> Reader<'a> {
        Reader { bytes, at: offset.min(bytes.len()) }
    }

    /// The offset of the next value.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes are left: no array or map holds more values.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    fn first(&mut self) -> Result<u8, MsgpackError> {
        let byte = *self.bytes.get(self.at).ok_or(MsgpackError::UnexpectedEof)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline(always)]
    fn be<const N: usize>(&mut self) -> Result<[u8; N], MsgpackError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let bytes = *rest.first_chunk::<N>().ok_or(MsgpackError::UnexpectedEof)?;
        self.at += N;
        Ok(bytes)
    }

    #[inline]
    fn len_of(&mut self, width: usize) -> Result<usize, MsgpackError> {
        Ok(match width {
            1 => usize::from(self.first()?),
            2 => usize::from(u16::from_be_bytes(self.be()?)),
            _ => u32::from_be_bytes(self.be()?) as usize,
        })
    }

    #[inline]
    fn advance(&mut self, len: usize) -> Result<Range<usize>, MsgpackError> {
        if len > self.left() {
            return Err(MsgpackError::UnexpectedEof);
        }
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }

    /// What is not inlined works on a copy: a reader whose address is never taken stays in registers.
    #[inline(always)]
    fn apart<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> T) -> T {
        let mut copy = Reader { bytes: self.bytes, at: self.at };
        let result = read(&mut copy);
        self.at = copy.at;
        result
    }

    /// Goes past a nil, if one is next.
    #[inline(always)]
    pub fn nil(&mut self) -> bool {
        let is_nil = self.bytes.get(self.at) == Some(&NIL);
        self.at += usize::from(is_nil);
        is_nil
    }

    /// How many values an array has. They may be fewer bytes than that: whoever reserves room asks [`Reader::left`].
    pub fn array(&mut self) -> Result<usize, MsgpackError> {
        match self.first()? {
            first @ 0x90..=0x9f => Ok(usize::from(first & 0x0f)),
            0xdc => self.len_of(2),
            0xdd => self.len_of(4),
            other => Err(self.wrong(other)),
        }
    }

    /// How many pairs of values a map has.
    #[inline(always)]
    pub fn map(&mut self) -> Result<usize, MsgpackError> {
        match self.bytes.get(self.at) {
            Some(first @ 0x80..=0x8f) => {
                self.at += 1;
                Ok(usize::from(first & 0x0f))
            }
            _ => self.apart(Reader::other_map),
        }
    }

    #[inline(never)]
    fn other_map(&mut self) -> Result<usize, MsgpackError> {
        match self.first()? {
            0xde => self.len_of(2),
            0xdf => self.len_of(4),
            other => Err(self.wrong(other)),
        }
    }

    /// A string or a binary: where its bytes are. Nil is an empty one.
    #[inline(always)]
    pub fn text(&mut self) -> Result<Range<usize>, MsgpackError> {
        // Most are short, and their length stands in one byte or two.
        let first = self.bytes.get(self.at).map_or(NIL, |first| *first);
        let (len, start) = match (first.wrapping_sub(0xa0), self.bytes.get(self.at + 1)) {
            (len @ ..0x20, _) => (usize::from(len), self.at + 1),
            (_, Some(len)) if first == 0xd9 => (usize::from(*len), self.at + 2),
            _ => return self.apart(Reader::other_text),
        };
        let end = start + len;
        if end > self.bytes.len() {
            return Err(MsgpackError::UnexpectedEof);
        }
        self.at = end;
        Ok(start..end)
    }

    #[inline(never)]
    fn other_text(&mut self) -> Result<Range<usize>, MsgpackError> {
        let len = match self.first()? {
            first @ 0xa0..=0xbf => usize::from(first & 0x1f),
            0xd9 | 0xc4 => self.len_of(1)?,
            0xda | 0xc5 => self.len_of(2)?,
            0xdb | 0xc6 => self.len_of(4)?,
            NIL => 0,
            other => return Err(self.wrong(other)),
        };
        self.advance(len)
    }

    /// An integer of the forms that ids, times and small numbers have.
    #[inline(always)]
    fn quick(&mut self) -> Option<u64> {
        let first = *self.bytes.get(self.at)?;
        if first < 0x80 {
            self.at += 1;
            return Some(u64::from(first));
        }
        let rest = self.bytes.get(self.at + 1..)?;
        let (value, width) = match first {
            0xcf => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            // The sign is not that of a number below zero.
            0xd3 => (u64::try_from(i64::from_be_bytes(*rest.first_chunk()?)).ok()?, 8),
            0xce => (u64::from(u32::from_be_bytes(*rest.first_chunk()?)), 4),
            _ => return None,
        };
        self.at += 1 + width;
        Some(value)
    }

    /// An integer, as a number that holds them all.
    #[inline(never)]
    fn integer(&mut self) -> Result<i128, MsgpackError> {
        Ok(match self.first()? {
            first @ 0x00..=0x7f => i128::from(first),
            first @ 0xe0..=0xff => i128::from(first as i8),
            0xcc => i128::from(self.first()?),
            0xcd => i128::from(u16::from_be_bytes(self.be()?)),
            0xce => i128::from(u32::from_be_bytes(self.be()?)),
            0xcf => i128::from(u64::from_be_bytes(self.be()?)),
            0xd0 => i128::from(self.first()? as i8),
            0xd1 => i128::from(i16::from_be_bytes(self.be()?)),
            0xd2 => i128::from(i32::from_be_bytes(self.be()?)),
            0xd3 => i128::from(i64::from_be_bytes(self.be()?)),
            NIL => 0,
            other => return Err(self.wrong(other)),
        })
    }

    /// 64 bits: an unsigned integer, or a signed one by its bits. Nil is 0.
    #[inline(always)]
    pub fn bits(&mut self) -> Result<u64, MsgpackError> {
        if let Some(value) = self.quick() {
            return Ok(value);
        }
        self.apart(Reader::integer).map(|value| value as u64)
    }

    /// A signed integer. Nil is 0.
    #[inline(always)]
    pub fn int(&mut self) -> Result<i64, MsgpackError> {
        if let Some(value) = self.quick() {
            return i64::try_from(value).map_err(|_| MsgpackError::OutOfRange);
        }
        i64::try_from(self.apart(Reader::integer)?).map_err(|_| MsgpackError::OutOfRange)
    }

    /// An unsigned integer of 32 bits.
    #[inline(always)]
    pub fn index(&mut self) -> Result<u32, MsgpackError> {
        if let Some(value) = self.quick() {
            return u32::try_from(value).map_err(|_| MsgpackError::OutOfRange);
        }
        u32::try_from(self.apart(Reader::integer)?).map_err(|_| MsgpackError::OutOfRange)
    }

    /// A double, or an integer as one. Nil is 0; a float of 32 bits is refused, as DataKit does.
    #[inline(always)]
    pub fn double(&mut self) -> Result<f64, MsgpackError> {
        if self.bytes.get(self.at) == Some(&0xcb) {
            self.at += 1;
            return Ok(f64::from_be_bytes(self.be()?));
        }
        if let Some(value) = self.quick() {
            return Ok(value as f64);
        }
        self.apart(Reader::integer).map(|value| value as f64)
    }

    /// Goes past one value, whatever is in it.
    #[inline(always)]
    pub fn skip(&mut self) -> Result<(), MsgpackError> {
        self.apart(Reader::pass)
    }

    #[inline(never)]
    fn pass(&mut self) -> Result<(), MsgpackError> {
        // Each value is a byte at least, so that this ends, however many are promised.
        let mut pending = 1u64;
        while pending > 0 {
            pending -= 1;
            let (len, inside) = match self.first()? {
                0x00..=0x7f | NIL | 0xc2 | 0xc3 | 0xe0..=0xff => (0, 0),
                first @ 0x80..=0x8f => (0, 2 * u64::from(first & 0x0f)),
                first @ 0x90..=0x9f => (0, u64::from(first & 0x0f)),
                first @ 0xa0..=0xbf => (usize::from(first & 0x1f), 0),
                0xc4 | 0xd9 => (self.len_of(1)?, 0),
                0xc5 | 0xda => (self.len_of(2)?, 0),
                0xc6 | 0xdb => (self.len_of(4)?, 0),
                // Extensions: a type, and that many bytes.
                0xc7 => (self.len_of(1)? + 1, 0),
                0xc8 => (self.len_of(2)? + 1, 0),
                0xc9 => (self.len_of(4)? + 1, 0),
                0xcc | 0xd0 => (1, 0),
                0xcd | 0xd1 | 0xd4 => (2, 0),
                0xca | 0xce | 0xd2 => (4, 0),
                0xd5 => (3, 0),
                0xd6 => (5, 0),
                0xcb | 0xcf | 0xd3 => (8, 0),
                0xd7 => (9, 0),
                0xd8 => (17, 0),
                0xdc => (0, self.len_of(2)? as u64),
                0xdd => (0, self.len_of(4)? as u64),
                0xde => (0, 2 * self.len_of(2)? as u64),
                0xdf => (0, 2 * self.len_of(4)? as u64),
                other => return Err(self.wrong(other)),
            };
            self.advance(len)?;
            pending += inside;
        }
        Ok(())
    }

    #[cold]
    fn wrong(&mut self, first: u8) -> MsgpackError {
        self.at -= 1;
        MsgpackError::WrongType(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_every_width_are_read() {
        for (bytes, value) in [
            (&[0x7f][..], 127i64),
            (&[0xff], -1),
            (&[0xcc, 0xff], 255),
            (&[0xcd, 1, 0], 256),
            (&[0xce, 1, 0, 0, 0], 1 << 24),
            (&[0xcf, 0x7f, 0, 0, 0, 0, 0, 0, 0], 0x7f00_0000_0000_0000),
            (&[0xd0, 0x80], -128),
            (&[0xd1, 0xff, 0], -256),
            (&[0xd2, 0xff, 0, 0, 0], -(1 << 24)),
            (&[0xd3, 0xff, 0, 0, 0, 0, 0, 0, 0], -(1 << 56)),
            (&[0xc0], 0),
        ] {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.int(), Ok(value), "{bytes:?}");
            assert_eq!(reader.left(), 0);
            assert_eq!(Reader::new(bytes).bits(), Ok(value as u64));
            assert_eq!(Reader::new(bytes).double(), Ok(value as f64));
        }
        let large = [0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&large).bits(), Ok(u64::MAX));
        assert_eq!(Reader::new(&large).int(), Err(MsgpackError::OutOfRange));
        assert_eq!(Reader::new(&[0xff]).index(), Err(MsgpackError::OutOfRange));
        assert_eq!(Reader::new(&[0xca, 0, 0, 0, 0]).double(), Err(MsgpackError::WrongType(0xca)));
        let half = [0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Reader::new(&half).double(), Ok(0.5));
    }

    #[test]
    fn texts_are_where_they_are() {
        for (bytes, range) in [
            (&b"\xa3abc"[..], 1..4),
            (b"\xd9\x03abc", 2..5),
            (b"\xc4\x03abc", 2..5),
            (b"\xda\x00\x03abc", 3..6),
            (b"\xc5\x00\x03abc", 3..6),
            (b"\xdb\x00\x00\x00\x03abc", 5..8),
            (b"\xc6\x00\x00\x00\x03abc", 5..8),
            (b"\xc0", 1..1),
        ] {
            assert_eq!(Reader::new(bytes).text(), Ok(range), "{bytes:?}");
        }
        assert_eq!(Reader::new(b"\xdb\xff\xff\xff\xff").text(), Err(MsgpackError::UnexpectedEof));
        assert_eq!(Reader::new(b"\x90").text(), Err(MsgpackError::WrongType(0x90)));
    }

    #[test]
    fn whatever_is_skipped_is_skipped_whole() {
        let every: [&[u8]; 26] = [
            b"\x00",
            b"\xc0",
            b"\xc2",
            b"\xe0",
            b"\x81\xa1a\x01",
            b"\x92\x01\x02",
            b"\xa1a",
            b"\xc4\x01a",
            b"\xc7\x01\x05a",
            b"\xc8\x00\x01\x05a",
            b"\xc9\x00\x00\x00\x01\x05a",
            b"\xca\0\0\0\0",
            b"\xcb\0\0\0\0\0\0\0\0",
            b"\xcc\x01",
            b"\xd1\0\0",
            b"\xd2\0\0\0\0",
            b"\xd3\0\0\0\0\0\0\0\0",
            b"\xd4\x01a",
            b"\xd5\x01ab",
            b"\xd6\x01abcd",
            b"\xd7\x01abcdefgh",
            b"\xd8\x01abcdefghabcdefgh",
            b"\xdc\x00\x01\x00",
            b"\xdd\x00\x00\x00\x01\x00",
            b"\xde\x00\x01\x00\x00",
            b"\xdf\x00\x00\x00\x01\x00\x00",
        ];
        for bytes in every {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.skip(), Ok(()), "{bytes:x?}");
            assert_eq!(reader.left(), 0, "{bytes:x?}");
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut]).skip(), Err(MsgpackError::UnexpectedEof), "{bytes:x?}");
            }
        }
        assert_eq!(Reader::new(b"\xc1").skip(), Err(MsgpackError::WrongType(0xc1)));
        // Nested a million deep, and four thousand million values promised.
        assert_eq!(Reader::new(&vec![0x91; 1 << 20]).skip(), Err(MsgpackError::UnexpectedEof));
        assert_eq!(Reader::new(b"\xdf\xff\xff\xff\xff").skip(), Err(MsgpackError::UnexpectedEof));
    }

    proptest! {
        #[test]
        fn garbage_ends_in_an_error_or_at_the_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            while reader.skip().is_ok() {}
            prop_assert!(reader.offset() <= bytes.len());
            for read in [
                |reader: &mut Reader<'_>| reader.text().map(|_| ()),
                |reader: &mut Reader<'_>| reader.double().map(|_| ()),
                |reader: &mut Reader<'_>| reader.int().map(|_| ()),
            ] {
                let mut reader = Reader::new(&bytes);
                while read(&mut reader).is_ok() {}
                prop_assert!(reader.offset() <= bytes.len());
            }
        }
    }
}
