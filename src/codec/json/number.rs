//! Numbers: one grammar, three readings, each as Go's `strconv` reads it.

use super::is_white;

/// A number, not yet read as anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number<'a> {
    /// As it stands in the text.
    Text(&'a [u8]),
    /// Read by simd-json. It has 0 here for `-0` only.
    Int(i64),
    Uint(u64),
    /// With a point or an exponent.
    Float(f64),
}

impl<'a> Number<'a> {
    /// `None` where it has a point or an exponent, or does not fit.
    pub fn to_i64(self) -> Option<i64> {
        match self {
            Number::Text(text) => str::from_utf8(text).ok()?.parse().ok(),
            Number::Int(value) => Some(value),
            Number::Uint(value) => i64::try_from(value).ok(),
            Number::Float(_) => None,
        }
    }

    /// As [`Number::to_i64`]; nothing with a sign is one, be it `-0`.
    pub fn to_u64(self) -> Option<u64> {
        match self {
            Number::Text(text) => str::from_utf8(text).ok()?.parse().ok(),
            Number::Uint(value) => Some(value),
            Number::Int(_) | Number::Float(_) => None,
        }
    }

    /// The nearest double; `None` past the largest.
    pub fn to_f64(self) -> Option<f64> {
        let value = match self {
            Number::Text(text) => fast_float2::parse(text).ok()?,
            Number::Int(0) => -0.0,
            Number::Int(value) => value as f64,
            Number::Uint(value) => value as f64,
            Number::Float(value) => value,
        };
        f64::is_finite(value).then_some(value)
    }

    /// The text, where there is one.
    pub fn text(self) -> &'a [u8] {
        match self {
            Number::Text(text) => text,
            Number::Int(_) | Number::Uint(_) | Number::Float(_) => b"",
        }
    }

    /// A number that stands in a string, as `jsonpb` has them: the raw text between the quotes must be a JSON text with
    /// a number and nothing else. `Some(None)` where it is `null`.
    pub fn in_string(raw: &'a [u8]) -> Option<Option<Number<'a>>> {
        let start = raw.iter().position(|&byte| !is_white(byte))?;
        let end = raw.iter().rposition(|&byte| !is_white(byte))? + 1;
        let raw = &raw[start..end];
        if raw == b"null" {
            return Some(None);
        }
        (scan(raw) == Some(raw.len())).then_some(Some(Number::Text(raw)))
    }
}

/// How long the number is that `bytes` begins with; `None` where there is none, or a broken one.
pub(super) fn scan(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits(at + 1 + usize::from(signed))?;
    }
    Some(at)
}
