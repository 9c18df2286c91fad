//! Strings: escapes undone, and whatever is not Unicode replaced, as Go does it.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// What stands in for bytes that are no UTF-8 and for half surrogate pairs.
const REPLACEMENT: &str = "\u{fffd}";

/// The text of a string.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    bytes: &'a [u8],
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As between the quotes; `true`: there is a backslash.
    Raw(bool),
    /// Escapes undone; `true`: it is not known whether there were any.
    Decoded(bool),
}

impl<'a> Text<'a> {
    /// What stands between the quotes of a well-formed string.
    pub fn raw_form(bytes: &'a [u8], has_escapes: bool) -> Text<'a> {
        Text { bytes, form: Form::Raw(has_escapes) }
    }

    /// What a string says; `maybe_escaped`: it may have been written with escapes.
    pub fn decoded_form(text: &'a str, maybe_escaped: bool) -> Text<'a> {
        Text { bytes: text.as_bytes(), form: Form::Decoded(maybe_escaped) }
    }

    /// What it says. Always valid UTF-8.
    pub fn decode(self) -> Cow<'a, [u8]> {
        match self.form {
            Form::Decoded(_) => Cow::Borrowed(self.bytes),
            Form::Raw(false) => valid(self.bytes),
            Form::Raw(true) => Cow::Owned(unescape(self.bytes)),
        }
    }

    /// What stands between the quotes; `None` where that is not known any more.
    pub fn raw(self) -> Option<&'a [u8]> {
        (self.form != Form::Decoded(true)).then_some(self.bytes)
    }
}

impl Text<'_> {
    /// The length between the quotes, and whether there is a backslash.
    pub(super) fn extent(self) -> (usize, bool) {
        (self.bytes.len(), self.form == Form::Raw(true))
    }
}

/// Broken UTF-8 replaced, byte by byte.
fn valid(bytes: &[u8]) -> Cow<'_, [u8]> {
    if str::from_utf8(bytes).is_ok() {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + 2);
    push_valid(bytes, &mut out);
    Cow::Owned(out)
}

fn push_valid(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(REPLACEMENT.as_bytes());
        }
    }
}

/// Escapes undone. What is between two escapes is looked at as a whole, and a character cannot be cut by one: the first
/// byte of an escape is ASCII.
fn unescape(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    while let Some(at) = memchr(b'\\', bytes) {
        push_valid(&bytes[..at], &mut out);
        let mut len = 2;
        match bytes.get(at + 1).copied().unwrap_or_default() {
            b'u' => len = push_code_point(&bytes[at..], &mut out),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            other => out.push(other),
        }
        bytes = bytes.get(at + len..).unwrap_or_default();
    }
    push_valid(bytes, &mut out);
    out
}

/// Appends what the `\uXXXX` says that `bytes` begins with, or that and the one behind it; says how long that was.
fn push_code_point(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let first = code_unit(bytes).unwrap_or_default();
    let second = bytes.get(6..).and_then(code_unit);
    let units = [first, second.unwrap_or_default()];
    let (decoded, len) = match (char::from_u32(u32::from(first)), second) {
        (Some(character), _) => (character, 6),
        (None, Some(_)) => match char::decode_utf16(units).next() {
            Some(Ok(character)) => (character, 12),
            _ => (char::REPLACEMENT_CHARACTER, 6),
        },
        (None, None) => (char::REPLACEMENT_CHARACTER, 6),
    };
    out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
    len
}

fn code_unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)? as u16))
}

/// The raw text of the string that begins behind its opening quote at `start`; `None` where it is malformed. The offset
/// behind its closing quote is the end of the text and one.
pub(super) fn scan(bytes: &[u8], start: usize) -> Option<Text<'_>> {
    let mut at = start;
    let mut has_escapes = false;
    loop {
        let rest = bytes.get(at..)?;
        let found = memchr2(b'"', b'\\', rest)?;
        let piece = &rest[..found];
        if piece.iter().fold(false, |bad, &byte| bad | (byte < b' ')) {
            return None;
        }
        at += found;
        if rest[found] == b'"' {
            return Some(Text::raw_form(&bytes[start..at], has_escapes));
        }
        has_escapes = true;
        at += match rest.get(found + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => code_unit(&rest[found..]).map(|_| 6)?,
            _ => return None,
        };
    }
}
