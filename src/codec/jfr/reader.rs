//! Numbers and texts of a chunk, byte by byte.

use std::borrow::Cow;

use super::Error;

const SHORT: Error = Error::Malformed("it ends in the middle");

/// What is left of an event.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Integers are in groups of seven bits; otherwise as many bytes as their kind has.
    compressed: bool,
}

/// Where a text is.
const NULL: u8 = 0;
const EMPTY: u8 = 1;
const IN_POOL: u8 = 2;
const UTF8: u8 = 3;
const CHARS: u8 = 4;
const LATIN1: u8 = 5;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], compressed: bool) -> Reader<'a> {
        Reader { bytes, at: 0, compressed }
    }

    /// How much has been read.
    pub(super) fn passed(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(len).ok_or(SHORT)?;
        let taken = self.bytes.get(self.at..end).ok_or(SHORT)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.first_chunk().copied().ok_or(SHORT)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Groups of seven bits, the lowest first; the ninth byte has eight.
    fn groups(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for index in 0..8 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Ok(value | u64::from(self.byte()?) << 56)
    }

    pub(super) fn char(&mut self) -> Result<u16, Error> {
        if self.compressed { Ok(self.groups()? as u16) } else { self.array().map(u16::from_be_bytes) }
    }

    pub(super) fn short(&mut self) -> Result<i16, Error> {
        self.char().map(|value| value as i16)
    }

    pub(super) fn int(&mut self) -> Result<i32, Error> {
        if self.compressed { Ok(self.groups()? as i32) } else { self.array().map(i32::from_be_bytes) }
    }

    pub(super) fn long(&mut self) -> Result<i64, Error> {
        if self.compressed { Ok(self.groups()? as i64) } else { self.array().map(i64::from_be_bytes) }
    }

    /// A length of something of which each item takes a byte at least.
    pub(super) fn len(&mut self) -> Result<usize, Error> {
        usize::try_from(self.int()?).ok().filter(|len| *len <= self.left()).ok_or(SHORT)
    }

    /// A text; what is none, or somewhere else, is empty.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Error> {
        match self.byte()? {
            NULL | EMPTY => Ok(Cow::Borrowed("")),
            IN_POOL => self.long().map(|_| Cow::Borrowed("")),
            UTF8 => {
                let len = self.len()?;
                self.take(len).map(String::from_utf8_lossy)
            }
            CHARS => {
                let len = self.len()?;
                let mut chars = Vec::new();
                for _ in 0..len {
                    chars.push(self.char()?);
                }
                Ok(Cow::Owned(String::from_utf16_lossy(&chars)))
            }
            LATIN1 => {
                let len = self.len()?;
                Ok(Cow::Owned(self.take(len)?.iter().map(|byte| char::from(*byte)).collect()))
            }
            _ => Err(Error::Malformed("a text of an unknown kind")),
        }
    }
}
