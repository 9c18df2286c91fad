//! Query strings, read as Go's `url.ParseQuery` reads them and then forgets its error: pairs are separated by `&`, a
//! pair with a `;` or a broken escape is dropped, `+` is a space, a key without `=` has an empty value.

use std::borrow::Cow;

use super::target::decode;

/// Pairs that are looked at, dropped ones included; what follows them is not read. The interfaces served take some
/// ten parameters, and the target's own bound leaves room for some thousands.
pub const PAIRS_MAX: usize = 1024;

/// One parameter, decoded. Any bytes may come out of the escapes, valid UTF-8 or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// What stood before the first `=`.
    pub key: Cow<'a, [u8]>,
    /// What stood behind it.
    pub value: Cow<'a, [u8]>,
}

impl<'a> Pair<'a> {
    /// The value as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(self) -> Cow<'a, str> {
        match self.value {
            Cow::Borrowed(value) => String::from_utf8_lossy(value),
            Cow::Owned(value) => Cow::Owned(match String::from_utf8(value) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        }
    }
}

/// The well-formed pairs of a raw query, in order. A caller that wants several parameters goes through them once.
pub fn pairs(query: &str) -> impl Iterator<Item = Pair<'_>> {
    raw_pairs(query).filter_map(|pair| {
        let (key, value) = cut(pair);
        Some(Pair { key: decode(key, true)?, value: decode(value, true)? })
    })
}

/// The first value of a parameter, as text. Later ones are ignored.
pub fn first<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    // Only what matches is decoded: keys are hardly ever escaped, and other values do not matter.
    raw_pairs(query).find_map(|pair| {
        let (key, value) = cut(pair);
        let is_plain = !key.iter().any(|byte| matches!(byte, b'%' | b'+'));
        let matches = if is_plain { key == name.as_bytes() } else { *decode(key, true)? == *name.as_bytes() };
        if !matches {
            return None;
        }
        Some(Pair { key: Cow::Borrowed(key), value: decode(value, true)? }.text())
    })
}

/// Appends `text` as `url.QueryEscape` writes it.
pub fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

fn raw_pairs(query: &str) -> impl Iterator<Item = &[u8]> {
    query
        .as_bytes()
        .split(|byte| *byte == b'&')
        .take(PAIRS_MAX)
        .filter(|pair| !pair.is_empty() && !pair.contains(&b';'))
}

fn cut(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(query: &str) -> Vec<(String, String)> {
        pairs(query)
            .map(|pair| (String::from_utf8_lossy(&pair.key).into_owned(), pair.text().into_owned()))
            .collect()
    }

    #[test]
    fn pairs_as_go_parses_them() {
        for (query, expected) in [
            ("", &[][..]),
            ("&&", &[]),
            ("a=1&b=2", &[("a", "1"), ("b", "2")]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=1", &[("", "1")]),
            ("a=1=2", &[("a", "1=2")]),
            ("a=1&a=2", &[("a", "1"), ("a", "2")]),
            ("a=1;b=2&c=3", &[("c", "3")]),
            ("a=%3B", &[("a", ";")]),
            ("a=x+y&b+c=1", &[("a", "x y"), ("b c", "1")]),
            ("a=%2B", &[("a", "+")]),
            ("a=%zz&b=1", &[("b", "1")]),
            ("%z=1&b=1", &[("b", "1")]),
            ("a=%&b=%4", &[]),
            ("%61=%62", &[("a", "b")]),
            ("a=中", &[("a", "中")]),
            ("a=%E4%B8%AD", &[("a", "中")]),
            ("a=%ff", &[("a", "\u{fffd}")]),
            ("a=%00", &[("a", "\0")]),
            ("a=1#b", &[("a", "1#b")]),
            ("?a=1", &[("?a", "1")]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(all(query), expected, "{query:?}");
        }
    }

    #[test]
    fn the_first_well_formed_value_wins() {
        assert_eq!(first("precision=s&precision=n", "precision").as_deref(), Some("s"));
        assert_eq!(first("precision=%&precision=n", "precision").as_deref(), Some("n"));
        assert_eq!(first("precision", "precision").as_deref(), Some(""));
        assert_eq!(first("Precision=s", "precision"), None);
        assert_eq!(first("pre%63ision=s", "precision").as_deref(), Some("s"));
        assert_eq!(first("a%zz=1&a+b=2", "a b").as_deref(), Some("2"));
        // A name that looks escaped is not the name it stands for.
        assert_eq!(first("a%20b=1&a+c=2", "a+c"), None);
        assert!(matches!(first("a=b", "a"), Some(Cow::Borrowed("b"))));
    }

    #[test]
    fn e12_ten_thousand_arguments_are_bounded() {
        let many = "a=1&".repeat(10_000);
        assert_eq!(pairs(&many).count(), PAIRS_MAX);
        assert_eq!(first(&format!("{}z=1", "&".repeat(PAIRS_MAX)), "z"), None);
        assert_eq!(first(&format!("{}z=1", "&".repeat(PAIRS_MAX - 1)), "z").as_deref(), Some("1"));
    }

    #[test]
    fn escaping_is_undone_by_reading() {
        let mut query = String::from("k=");
        escape("a b&c=d;e+f%g/中\u{1}~", &mut query);
        assert_eq!(query, "k=a+b%26c%3Dd%3Be%2Bf%25g%2F%E4%B8%AD%01~");
        assert_eq!(first(&query, "k").as_deref(), Some("a b&c=d;e+f%g/中\u{1}~"));
    }
}
