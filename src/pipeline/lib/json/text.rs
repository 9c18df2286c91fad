//! Texts of JSON: where they end, and what their escapes stand for.

/// Eight bytes at a time: a bit at the top of each byte that is a quote or a backslash.
fn special(chunk: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // A byte is zero if subtracting one borrows into its top bit and that was clear.
    let zeros = |x: u64| x.wrapping_sub(ONES) & !x & TOPS;
    zeros(chunk ^ (ONES * b'"' as u64)) | zeros(chunk ^ (ONES * b'\\' as u64))
}

/// Where the text that begins at `at` ends, and whether there are escapes in it. None if it does not end or an escape is
/// none.
#[inline(always)]
pub fn end_of(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut rest = text.get(at..)?;
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let found = special(u64::from_le_bytes(*chunk));
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
        rest = behind;
    }
    match text.get(at) {
        Some(b'"') => Some((at, false)),
        _ => end_of_unusual(text, at),
    }
}

/// The same for a text with escapes, or near the end of everything.
#[cold]
fn end_of_unusual(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        let rest = text.get(at..)?;
        if let Some(chunk) = rest.first_chunk::<8>() {
            let found = special(u64::from_le_bytes(*chunk));
            if found == 0 {
                at += 8;
                continue;
            }
            at += found.trailing_zeros() as usize / 8;
        }
        match text.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' => {
                escaped = true;
                at += match text.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' => {
                        hex(text.get(at + 2..at + 6)?)?;
                        6
                    }
                    _ => return None,
                };
            }
            _ => at += 1,
        }
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// The bytes between the quotes of a text that [`end_of`] has seen. Half of a surrogate pair becomes U+FFFD.
pub fn decode(escaped: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (byte, len) = match escape.get(1) {
            Some(b'u') => {
                let (character, len) = unit(escape);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = escape.get(len..).unwrap_or_default();
                continue;
            }
            Some(b'b') => (8, 2),
            Some(b'f') => (12, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(other) => (*other, 2),
            None => (b'\\', 1),
        };
        out.push(byte);
        rest = escape.get(len..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// The character of `\uXXXX`, or of two of those that are a pair, and their length.
fn unit(escape: &[u8]) -> (char, usize) {
    let at = |from: usize| {
        let digits = escape.get(from..from + 6)?.strip_prefix(b"\\u")?;
        hex(digits)
    };
    let Some(first) = at(0) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if (0xD800..0xDC00).contains(&first)
        && let Some(second) = at(6).filter(|second| (0xDC00..0xE000).contains(second))
    {
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}
