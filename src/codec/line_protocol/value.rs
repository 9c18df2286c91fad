//! The plain reader, second half: from a scanned line to the tape. Unescapes, converts, drops what cannot be
//! decoded, and settles duplicate keys.
//!
//! A value that passed the scan and still cannot be decoded (bad base64, an array of mixed kinds) silently drops its
//! whole point, as DataKit does; a value of no kind (an empty array, junk behind a string) drops its field.

use std::collections::HashMap;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memchr;

use super::scan::{Fields, Scanned, find_odd_escaped, parse_bool, parse_float, parse_int, parse_uint};
use super::tape::{Item, Kind, Kv, PointSpan, Tape, span};

/// A value that cannot be decoded: its point is dropped.
#[derive(Debug)]
struct Undecodable;

/// Points of more key-values than this find their duplicates by hashing instead of by looking at each.
const LINEAR_SEARCH_MAX: usize = 32;

/// Appends the point of a scanned line to the tape. `base` is where the line starts in the body. Returns whether
/// there is a point: an undecodable value drops it.
pub(super) fn append(line: &[u8], base: usize, scanned: &Scanned, tape: &mut Tape) -> bool {
    let marks = (tape.kvs.len(), tape.items.len(), tape.arena.len());
    let mut writer = Writer { line, base, tape, first_kv: marks.0, tags: 0, index: None };
    if writer.point(scanned).is_err() {
        tape.kvs.truncate(marks.0);
        tape.items.truncate(marks.1);
        tape.arena.truncate(marks.2);
        tape.lost_points += 1;
        return false;
    }
    true
}

struct Writer<'a> {
    line: &'a [u8],
    base: usize,
    tape: &'a mut Tape,
    first_kv: usize,
    tags: usize,
    /// Keys already there, once there are many.
    index: Option<HashMap<Vec<u8>, usize>>,
}

impl Writer<'_> {
    fn point(&mut self, scanned: &Scanned) -> Result<(), Undecodable> {
        let (name, name_in_arena) = self.unescape(&scanned.name, b",\" =");
        for tag in &scanned.tags {
            let (key, key_in_arena) = self.unescape(&tag.key, b", =");
            let (value, value_in_arena) = self.unescape(&tag.value, b", =");
            self.tape.kvs.push(Kv {
                key: key.0,
                key_len: key.1 as u16,
                kind: Kind::Tag,
                flags: flags(key_in_arena, value_in_arena),
                value: span(value.0 as usize, value.1 as usize),
            });
        }
        self.tags = scanned.tags.len();
        for (key, value) in Fields::new(self.line, scanned.fields.clone()).flatten() {
            self.field(&key, &value)?;
        }
        let fields = self.tape.kvs.len() - self.first_kv - self.tags;
        self.tape.points.push(PointSpan {
            name: name.0,
            name_len: name.1,
            kv: self.first_kv as u32,
            tags: self.tags as u32,
            fields: fields as u32,
            name_in_arena,
            time: scanned.time,
        });
        Ok(())
    }

    fn field(&mut self, raw_key: &Range<usize>, raw_value: &Range<usize>) -> Result<(), Undecodable> {
        let (key, key_in_arena) = self.unescape(raw_key, b",\" =");
        if key.1 == 0 {
            return Ok(());
        }
        let Some((kind, in_arena, value)) = self.value(raw_value)? else { return Ok(()) };
        let kv = Kv { key: key.0, key_len: key.1 as u16, kind, flags: flags(key_in_arena, in_arena), value };
        match self.find(&kv) {
            None => self.tape.kvs.push(kv),
            // The tag wins over the field, the later field over the earlier one.
            Some(at) if at < self.first_kv + self.tags => {}
            Some(at) => self.tape.kvs[at] = kv,
        }
        Ok(())
    }

    /// The key-value of this point that has the key of `kv`. When there is none, `kv` is about to be pushed.
    fn find(&mut self, kv: &Kv) -> Option<usize> {
        let here = self.tape.kvs.len();
        if here - self.first_kv <= LINEAR_SEARCH_MAX {
            let key = self.key(kv);
            return (self.first_kv..here).find(|&at| self.key(&self.tape.kvs[at]) == key);
        }
        let mut index = self.index.take().unwrap_or_else(|| {
            (self.first_kv..here).map(|at| (self.key(&self.tape.kvs[at]).to_vec(), at)).collect()
        });
        let found = index.get(self.key(kv)).copied();
        if found.is_none() {
            index.insert(self.key(kv).to_vec(), here);
        }
        self.index = Some(index);
        found
    }

    fn key(&self, kv: &Kv) -> &[u8] {
        let (source, offset) = match kv.flags & Kv::KEY_IN_ARENA {
            0 => (self.line, kv.key as usize - self.base),
            _ => (&self.tape.arena[..], kv.key as usize),
        };
        &source[offset..][..usize::from(kv.key_len)]
    }

    /// Removes the backslash before each of `specials`. The text stays where it is when there is none.
    fn unescape(&mut self, raw: &Range<usize>, specials: &[u8]) -> ((u32, u32), bool) {
        let text = &self.line[raw.clone()];
        match unescape_into(text, specials, &mut self.tape.arena) {
            Some((start, len)) => ((start as u32, len as u32), true),
            None => (((self.base + raw.start) as u32, text.len() as u32), false),
        }
    }

    /// Decodes a field value; `None` for a value of no kind.
    fn value(&mut self, raw: &Range<usize>) -> Result<Option<(Kind, bool, u64)>, Undecodable> {
        let text = &self.line[raw.clone()];
        let decoded = match detect(text) {
            // Junk behind a string: DataKit loses the field without a word.
            Detected::Nothing if text.first() == Some(&b'"') => return Err(Undecodable),
            Detected::Nothing => {
                // An empty array is nothing, too, but nothing is lost with it.
                self.tape.lost_values += u32::from(text != b"[]");
                return Ok(None);
            }
            Detected::Scalar(kind) => self.scalar(kind, raw)?,
            Detected::Array(kind) => {
                let start = self.tape.items.len();
                self.array(kind, raw.start + 1..raw.end - 1)?;
                let count = self.tape.items.len() - start;
                if count == 0 {
                    return Ok(None);
                }
                (Kind::Array, false, span(start, count))
            }
        };
        Ok(Some(decoded))
    }

    fn scalar(&mut self, kind: Kind, raw: &Range<usize>) -> Result<(Kind, bool, u64), Undecodable> {
        let text = &self.line[raw.clone()];
        let without_suffix = &text[..text.len() - 1];
        let value = match kind {
            Kind::Int => parse_int(without_suffix).ok_or(Undecodable)? as u64,
            Kind::Uint => parse_uint(without_suffix).ok_or(Undecodable)?,
            Kind::Float => go_float(text).ok_or(Undecodable)?.to_bits(),
            Kind::Bool => u64::from(parse_bool(text).ok_or(Undecodable)?),
            Kind::Bytes => {
                // Shorter than `"x"b`: nothing to decode.
                let inside = raw.start + 1..raw.end.saturating_sub(2);
                if inside.is_empty() {
                    return Err(Undecodable);
                }
                return Ok((Kind::Bytes, true, self.base64(inside)?));
            }
            Kind::Str | Kind::Tag | Kind::Array => {
                let (value, in_arena) = self.string(raw.start + 1..raw.end.max(raw.start + 2) - 1);
                return Ok((Kind::Str, in_arena, value));
            }
        };
        Ok((kind, false, value))
    }

    /// The inside of a string: `\"` and `\\` lose their backslash.
    fn string(&mut self, raw: Range<usize>) -> (u64, bool) {
        match unescape_into(&self.line[raw.clone()], b"\"\\", &mut self.tape.arena) {
            Some((start, len)) => (span(start, len), true),
            None => (span(self.base + raw.start, raw.len()), false),
        }
    }

    fn base64(&mut self, raw: Range<usize>) -> Result<u64, Undecodable> {
        // Line breaks inside base64 are ignored, as Go's decoder does.
        let text: Vec<u8> =
            self.line[raw].iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let start = self.tape.arena.len();
        BASE64.decode_vec(text, &mut self.tape.arena).map_err(|_| Undecodable)?;
        Ok(span(start, self.tape.arena.len() - start))
    }

    /// Decodes the inside of an array whose first element is of `kind`.
    fn array(&mut self, kind: Kind, inside: Range<usize>) -> Result<(), Undecodable> {
        if matches!(kind, Kind::Str | Kind::Bytes) {
            return self.quoted_array(kind, inside);
        }
        let mut start = inside.start;
        while start < inside.end {
            let end = find_odd_escaped(self.line, start, inside.end, b',').unwrap_or(inside.end);
            let text = &self.line[start..end];
            // DataKit cuts the suffix off without a look, so that `[1i,23]` becomes 1 and 2. Here an element without
            // its suffix is undecodable; only `i` passes for `u`, where nothing is lost.
            let cut = text.get(..text.len().wrapping_sub(1)).ok_or(Undecodable);
            match (kind, text.last()) {
                (Kind::Int, Some(b'i')) | (Kind::Uint, Some(b'u')) | (Kind::Bool | Kind::Float, _) => {}
                (Kind::Uint, Some(b'i')) => self.tape.lost_values += 1,
                _ => return Err(Undecodable),
            }
            let value = match kind {
                Kind::Int => parse_int(cut?).ok_or(Undecodable)? as u64,
                Kind::Uint => parse_uint(cut?).ok_or(Undecodable)?,
                Kind::Bool => match text {
                    b"1" => 1,
                    b"0" => 0,
                    _ => u64::from(parse_bool(text).ok_or(Undecodable)?),
                },
                _ => go_float(text).ok_or(Undecodable)?.to_bits(),
            };
            self.tape.items.push(Item { kind, in_arena: false, value });
            start = end + 1;
        }
        Ok(())
    }

    /// Strings and bytes: what stands between quotes counts, what stands between the elements does not.
    fn quoted_array(&mut self, kind: Kind, inside: Range<usize>) -> Result<(), Undecodable> {
        let mut i = inside.start;
        while let Some(open) = find_odd_escaped(self.line, i, inside.end, b'"') {
            let Some(close) = find_odd_escaped(self.line, open + 1, inside.end, b'"') else { break };
            let (value, in_arena) = match kind {
                Kind::Bytes => (self.base64(open + 1..close)?, true),
                _ => self.string(open + 1..close),
            };
            self.tape.items.push(Item { kind, in_arena, value });
            // Behind bytes the `b` is skipped, whatever it is.
            i = close + 1 + usize::from(kind == Kind::Bytes);
        }
        Ok(())
    }
}

/// Appends `text` to the arena without the backslashes that stand before one of `specials`, and returns the offset and
/// length; `None` and nothing appended when there is no such backslash.
fn unescape_into(text: &[u8], specials: &[u8], arena: &mut Vec<u8>) -> Option<(usize, usize)> {
    let start = arena.len();
    let (mut from, mut i) = (0, 0);
    while let Some(at) = text.get(i..).and_then(|rest| memchr(b'\\', rest)) {
        let backslash = i + at;
        let escapes = text.get(backslash + 1).is_some_and(|byte| specials.contains(byte));
        if escapes {
            arena.extend_from_slice(&text[from..backslash]);
            from = backslash + 1;
        }
        // What is escaped is taken as it is, a backslash too.
        i = backslash + 1 + usize::from(escapes);
    }
    if from == 0 {
        return None;
    }
    arena.extend_from_slice(&text[from..]);
    Some((start, arena.len() - start))
}

fn flags(key_in_arena: bool, value_in_arena: bool) -> u8 {
    (u8::from(key_in_arena) * Kv::KEY_IN_ARENA) | (u8::from(value_in_arena) * Kv::VALUE_IN_ARENA)
}

/// Standard alphabet, padding required, bits behind the last byte not looked at: what Go's decoder takes.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// What a value looks like, by its first and last bytes.
#[derive(Debug, PartialEq, Eq)]
enum Detected {
    Nothing,
    Scalar(Kind),
    Array(Kind),
}

fn detect(text: &[u8]) -> Detected {
    let (Some(&first), Some(&last)) = (text.first(), text.last()) else { return Detected::Nothing };
    if matches!(text, b"NaN" | b"+Inf" | b"-Inf") {
        return Detected::Nothing;
    }
    if parse_bool(text).is_some() {
        return Detected::Scalar(Kind::Bool);
    }
    if first == b'[' && last == b']' && text.len() >= 2 {
        return match detect(first_element(&text[1..text.len() - 1])) {
            Detected::Scalar(kind) => Detected::Array(kind),
            Detected::Nothing | Detected::Array(_) => Detected::Nothing,
        };
    }
    match (first, last) {
        (b'"', b'b') => Detected::Scalar(Kind::Bytes),
        (b'"', b'"') => Detected::Scalar(Kind::Str),
        (b'"', _) => Detected::Nothing,
        (_, b'i') => Detected::Scalar(Kind::Int),
        (_, b'u') => Detected::Scalar(Kind::Uint),
        _ => Detected::Scalar(Kind::Float),
    }
}

/// The first element of an array, up to a comma that is neither escaped nor inside a string. (DataKit does not look
/// for strings here and loses arrays whose first string has a comma; that is not kept.)
fn first_element(inside: &[u8]) -> &[u8] {
    let (mut escaped, mut quoted) = (false, false);
    for (i, &byte) in inside.iter().enumerate() {
        match byte {
            b',' if !escaped && !quoted => return &inside[..i],
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    inside
}

/// Go's NaN differs from Rust's in the lowest bit.
const GO_NAN: u64 = 0x7ff8_0000_0000_0001;

/// A float as Go's `ParseFloat` takes it: besides decimals (infinite ones are out of range) a leading `+`, infinities
/// and NaN by name, and `_` between digits. Hexadecimal floats are not taken.
fn go_float(text: &[u8]) -> Option<f64> {
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if text.eq_ignore_ascii_case(b"nan") {
        return Some(f64::from_bits(GO_NAN));
    }
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
        return Some(if text[0] == b'-' { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let positive = text.strip_prefix(b"+").filter(|rest| !rest.starts_with(b"-")).unwrap_or(text);
    if !positive.contains(&b'_') {
        return parse_float(positive);
    }
    let between_digits = |i: usize| {
        let digit = |at: Option<usize>| at.and_then(|at| positive.get(at)).is_some_and(u8::is_ascii_digit);
        digit(i.checked_sub(1)) && digit(Some(i + 1))
    };
    let joined: Vec<u8> = positive.iter().copied().filter(|&byte| byte != b'_').collect();
    let allowed = positive.iter().enumerate().all(|(i, &byte)| byte != b'_' || between_digits(i));
    if allowed { parse_float(&joined) } else { None }
}
