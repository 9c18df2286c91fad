//! The plain reader, first half: where lines end, and whether a line is well-formed. One byte at a time, no `unsafe`;
//! what is a line, an error or a separator is decided here, and the vector reader is held to it.
//!
//! The grammar is that of DataKit 1.84.1, whose parser looks at a line several times with slightly different ideas
//! of escaping. Where those ideas differ, the difference is kept: it decides which bodies are accepted.

use std::ops::Range;

use memchr::memchr2;

use super::error::{KEY_BYTES_MAX, LineError, TIME_NS_MAX, TIME_NS_MIN};

/// Where a line ends and where the next one starts. One byte between the two is skipped, whatever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub end: usize,
    pub next: usize,
}

/// Finds the end of the line that starts at `from`.
///
/// Newlines inside strings are data, and what is a string is guessed from the balance of `=` and `,`. A bracket
/// inside a bracket, or a closing one too many, ends the line at once, and the byte behind it is lost.
pub(super) fn split(body: &[u8], from: usize) -> Split {
    let mut i = from;
    let (mut fields, mut quoted, mut in_brackets) = (false, false, false);
    let (mut equals, mut commas) = (0usize, 0usize);
    loop {
        if quoted {
            i = next_in_string(body, i);
        }
        let Some(&byte) = body.get(i) else { break };
        if byte == b'\\' && i + 2 < body.len() {
            i += 2;
            continue;
        }
        fields |= byte == b' ';
        match byte {
            b'\n' if !quoted => break,
            _ if !fields => {}
            b'=' if !quoted => equals += 1,
            b',' if !quoted => commas += usize::from(!in_brackets),
            b'[' | b']' if !quoted => {
                let opens = byte == b'[';
                if opens == in_brackets {
                    i += 1;
                    break;
                }
                in_brackets = opens;
            }
            b'"' if equals > commas => quoted = !quoted,
            _ => {}
        }
        i += 1;
    }
    let end = i.min(body.len());
    Split { end, next: end + 1 }
}

/// The first quote or backslash at or after `i`, or the end: inside a string nothing else is looked at.
fn next_in_string(text: &[u8], i: usize) -> usize {
    let rest = text.get(i..).unwrap_or_default();
    memchr2(b'"', b'\\', rest).map_or(text.len(), |at| i + at)
}

/// The first position at or after `i` that is no blank. Tabs and NUL bytes are blank, newlines are not.
pub(super) fn skip_blanks(line: &[u8], i: usize) -> usize {
    let blanks = line.iter().skip(i).take_while(|byte| matches!(byte, b' ' | b'\t' | 0)).count();
    i + blanks
}

/// A tag as written: offsets in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawTag {
    pub key: Range<usize>,
    pub value: Range<usize>,
}

/// A well-formed line, cut into its parts: offsets in the line, nothing unescaped or converted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    pub name: Range<usize>,
    pub tags: Vec<RawTag>,
    pub fields: Range<usize>,
    pub time: Option<i64>,
}

impl Scanned {
    /// Reads a line (not blank, not a comment, without its newline). Memory is reused.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<(), LineError> {
        let key_end = self.key_part(line)?;
        if key_end > KEY_BYTES_MAX {
            return Err(LineError::KeyTooLong(key_end));
        }
        self.fields = field_part(line, key_end)?;
        for field in Fields::new(line, self.fields.clone()) {
            let (key, _) = field?;
            // A separator of four bytes counts as part of the series key.
            let bytes = key_end + 4 + key.len();
            if bytes > KEY_BYTES_MAX {
                return Err(LineError::KeyTooLong(bytes));
            }
        }
        self.time = time_part(line, self.fields.end)?;
        Ok(())
    }

    /// Measurement and tags; returns where the part ends, at a space.
    fn key_part(&mut self, line: &[u8]) -> Result<usize, LineError> {
        self.tags.clear();
        if line.first().is_none_or(|&byte| byte == b',') {
            return Err(LineError::MissingMeasurement);
        }
        let mut i = 1;
        i = find_unescaped(line, i, |byte| byte == b',' || byte == b' ').ok_or(LineError::MissingFields)?;
        self.name = 0..i;
        while line.get(i) == Some(&b',') {
            i += 1;
            let key_start = i;
            if line.get(i).is_none_or(|byte| matches!(byte, b' ' | b',' | b'=')) {
                return Err(LineError::MissingTagKey);
            }
            i = find_unescaped(line, i + 1, |byte| matches!(byte, b' ' | b',' | b'='))
                .filter(|&at| line[at] == b'=')
                .ok_or(LineError::MissingTagValue)?;
            let key = key_start..i;
            i += 1;
            let value_start = i;
            if line.get(i).is_none_or(|byte| matches!(byte, b' ' | b',')) {
                return Err(LineError::MissingTagValue);
            }
            // The first byte of a value may be anything else, even `=`.
            i = find_unescaped(line, i + 1, |byte| matches!(byte, b' ' | b',' | b'='))
                .ok_or(LineError::MissingFields)?;
            if line[i] == b'=' {
                return Err(LineError::InvalidTagFormat);
            }
            self.tags.push(RawTag { key, value: value_start..i });
        }
        if self.has_duplicate_tags(line) { Err(LineError::DuplicateTags) } else { Ok(i) }
    }

    fn has_duplicate_tags(&self, line: &[u8]) -> bool {
        let key = |tag: &RawTag| &line[tag.key.clone()];
        if self.tags.len() <= PAIRWISE_TAGS_MAX {
            let mut tags = self.tags.iter();
            return std::iter::from_fn(|| tags.next().map(|tag| (tag, tags.clone())))
                .any(|(tag, mut others)| others.any(|other| key(other) == key(tag)));
        }
        let mut keys: Vec<&[u8]> = self.tags.iter().map(key).collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// Up to this many tags are compared each with each, more are sorted.
const PAIRWISE_TAGS_MAX: usize = 16;

/// The first position from `i` on with a wanted byte that does not follow a backslash. Look-behind of one byte: a
/// backslash behind a backslash still escapes.
fn find_unescaped(line: &[u8], i: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    (i..line.len()).find(|&at| wanted(line[at]) && line[at - 1] != b'\\')
}

/// The field part behind the key part: checked, not yet cut.
fn field_part(line: &[u8], key_end: usize) -> Result<Range<usize>, LineError> {
    let start = skip_blanks(line, key_end);
    let mut i = start;
    let mut quoted = false;
    let (mut equals, mut commas) = (0usize, 0usize);
    loop {
        if quoted {
            i = next_in_string(line, i);
        }
        let Some(&byte) = line.get(i) else { break };
        let following = line.get(i + 1).copied();
        match byte {
            b'\\' if following.is_some() => i += 1,
            b'"' if equals > commas => {
                quoted = !quoted;
                if !quoted {
                    match following {
                        None | Some(b',' | b' ') => {}
                        Some(b'b') => i += 1,
                        Some(b'"') => return Err(LineError::UnbalancedQuotes),
                        Some(tail) => return Err(LineError::TailByte(tail)),
                    }
                }
            }
            _ if quoted => {}
            b'=' => {
                equals += 1;
                if matches!(line[i - 1], b' ' | b',') && line[i - 2] != b'\\' {
                    return Err(LineError::MissingFieldKey);
                }
                match following {
                    None | Some(b',' | b' ') => return Err(LineError::MissingFieldValue),
                    Some(b'"') => {}
                    Some(b'[') => {
                        let close = find_bracket(line, i + 2).ok_or(LineError::MissingClosingBracket)?;
                        // The bracket itself is looked at again, as an ordinary byte.
                        i = close;
                        continue;
                    }
                    Some(b'0'..=b'9' | b'.' | b'-' | b'N' | b'n') => {
                        i = number(line, i + 1)?;
                        continue;
                    }
                    Some(_) => {
                        i = boolean(line, i + 1)?;
                        continue;
                    }
                }
            }
            b',' => commas += 1,
            b' ' => break,
            _ => {}
        }
        i += 1;
    }
    let end = i.min(line.len());
    if quoted {
        Err(LineError::UnbalancedQuotes)
    } else if equals == 0 || commas != equals - 1 {
        Err(LineError::InvalidFieldFormat)
    } else {
        Ok(start..end)
    }
}

/// The `]` that closes an array whose inside starts at `start`. Strings are jumped over; a backslash jumps over one
/// byte, but not when it follows such a jump directly.
fn find_bracket(line: &[u8], start: usize) -> Option<usize> {
    let mut i = start;
    loop {
        if line.get(i) == Some(&b'\\') {
            i += 2;
        }
        if line.get(i) == Some(&b'"') {
            i = find_odd_escaped(line, i + 1, line.len(), b'"')? + 1;
        }
        match line.get(i) {
            Some(b']') => return Some(i),
            Some(_) => i += 1,
            None => return None,
        }
    }
}

/// The first `wanted` in `start..end` that an even number of backslashes (none before `start` counts) precedes.
pub(super) fn find_odd_escaped(line: &[u8], start: usize, end: usize, wanted: u8) -> Option<usize> {
    let mut escaped = false;
    for (i, &byte) in line.iter().enumerate().take(end).skip(start) {
        if byte == wanted && !escaped {
            return Some(i);
        }
        escaped = byte == b'\\' && !escaped;
    }
    None
}

/// The most characters a number may have before its range is looked at; from here on it is converted to see.
const INT_CHARS_UNCHECKED: usize = 19;
const UINT_CHARS_UNCHECKED: usize = 20;
const FLOAT_CHARS_UNCHECKED: usize = 25;

/// Checks the number at `start`; returns where it ends, at a comma, a space or the end of the line.
fn number(line: &[u8], start: usize) -> Result<usize, LineError> {
    let (mut int, mut uint, mut point, mut exponent) = (false, false, false, false);
    let negative = line.get(start) == Some(&b'-');
    let mut i = start + usize::from(negative);
    while let Some(&byte) = line.get(i) {
        match byte {
            b',' | b' ' => break,
            b'i' if i > start && !int && !uint => int = true,
            b'u' if i > start && !int && !uint => uint = true,
            b'.' if !point => point = true,
            b'e' | b'E' if i > start => exponent = true,
            b'+' | b'-' if matches!(line[i - 1], b'e' | b'E') => {}
            b'0'..=b'9' => {}
            _ => return Err(LineError::InvalidNumber),
        }
        i += 1;
    }
    let digits = (i - start).saturating_sub(usize::from(int) + usize::from(point) + usize::from(negative));
    if (int || uint) && (point || exponent) || digits == 0 {
        return Err(LineError::InvalidNumber);
    }
    if int || uint {
        let text = start..i - 1;
        if line[i - 1] != if int { b'i' } else { b'u' } || uint && negative {
            return Err(LineError::InvalidNumber);
        }
        if int && text.len() >= INT_CHARS_UNCHECKED && parse_int(&line[text.clone()]).is_none() {
            return Err(LineError::IntRange(text));
        }
        if uint && text.len() >= UINT_CHARS_UNCHECKED && parse_uint(&line[text.clone()]).is_none() {
            return Err(LineError::UintRange(text));
        }
    } else if (exponent || i - start >= FLOAT_CHARS_UNCHECKED) && parse_float(&line[start..i]).is_none() {
        return Err(LineError::InvalidFloat);
    }
    Ok(i)
}

/// Checks the truth value at `start`; returns where it ends.
fn boolean(line: &[u8], start: usize) -> Result<usize, LineError> {
    // The first byte belongs to the value whatever it is: it is no separator, the caller has looked.
    let rest = line.iter().skip(start + 1);
    let end = start + 1 + rest.take_while(|byte| !matches!(byte, b',' | b' ')).count();
    match line.get(start..end).and_then(parse_bool) {
        Some(_) => Ok(end),
        None => Err(LineError::InvalidBoolean),
    }
}

/// The time behind the fields, which ends the line but for spaces.
fn time_part(line: &[u8], fields_end: usize) -> Result<Option<i64>, LineError> {
    let start = skip_blanks(line, fields_end);
    let mut end = start;
    while let Some(&byte) = line.get(end) {
        match byte {
            b'\n' | b' ' => break,
            b'-' if end == start => {}
            b'0'..=b'9' => {}
            _ => return Err(LineError::BadTimestamp),
        }
        end += 1;
    }
    let text = &line[start.min(line.len())..end.min(line.len())];
    if text.is_empty() {
        // Nothing is said about what follows.
        return Ok(None);
    }
    let time = match parse_int(text) {
        Some(time) => time,
        None if text == b"-" => return Err(LineError::TimeSyntax(start..end)),
        None => return Err(LineError::TimeRange(start..end)),
    };
    if !(TIME_NS_MIN..=TIME_NS_MAX).contains(&time) {
        return Err(LineError::TimeOutside);
    }
    if line[end..].iter().any(|&byte| byte != b' ') {
        return Err(LineError::InvalidPoint);
    }
    Ok(Some(time))
}

/// Cuts a field part that [`field_part`] has passed into keys and values, as written.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    line: &'a [u8],
    rest: Range<usize>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(line: &'a [u8], fields: Range<usize>) -> Fields<'a> {
        Fields { line, rest: fields }
    }

    /// The end of the value at `start`: a comma outside quotes and brackets. Only `\"` and `\\` are escapes here.
    fn value_end(&self, start: usize) -> usize {
        let line = &self.line[..self.rest.end];
        let (mut quoted, mut nested) = (false, false);
        let mut i = start;
        loop {
            if quoted {
                i = next_in_string(line, i);
            }
            let Some(&byte) = line.get(i) else { break };
            match byte {
                b'\\' if matches!(line.get(i + 1), Some(b'"' | b'\\')) => i += 1,
                b'[' | b']' if !quoted => nested = byte == b'[',
                b'"' => quoted = !quoted,
                b',' if !quoted && !nested => break,
                _ => {}
            }
            i += 1;
        }
        i
    }
}

impl Iterator for Fields<'_> {
    /// Key and value.
    type Item = Result<(Range<usize>, Range<usize>), LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Range { start, end } = self.rest;
        if start >= end {
            return None;
        }
        // At the start of a field the byte before does not count.
        let equals = (start..end)
            .find(|&i| self.line[i] == b'=' && (i == start || self.line[i - 1] != b'\\'))
            .unwrap_or(end);
        if equals + 1 >= end {
            self.rest = end..end;
            return Some(Err(LineError::InvalidValue(start..equals)));
        }
        let value_end = self.value_end(equals + 1);
        self.rest = (value_end + 1).min(end)..end;
        Some(Ok((start..equals, equals + 1..value_end)))
    }
}

/// A decimal `i64`, sign allowed. `None`: no number, or out of range.
pub(super) fn parse_int(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A decimal `u64` without a sign.
pub(super) fn parse_uint(text: &[u8]) -> Option<u64> {
    if text.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A finite decimal float, correctly rounded. `None`: no number, or too large.
pub(super) fn parse_float(text: &[u8]) -> Option<f64> {
    fast_float2::parse::<f64, _>(text).ok().filter(|value| value.is_finite())
}

/// One of the ten spellings of a truth value.
pub(super) fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(true),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}
