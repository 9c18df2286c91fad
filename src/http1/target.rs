//! Request targets and hosts: the four forms of RFC 9112 section 3.2, the authority, and percent escapes.
//!
//! A path is decoded once, here, and the route is decided on the result, as Go's net/url does: any `%XX` is a byte,
//! `%2F` and `%00` included, `+` stays, dot segments stay. What Go takes beyond the RFC is taken here too: bytes of
//! UTF-8 and `#` stand for themselves.

use std::borrow::Cow;

/// A target, split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// As written, still escaped. `*` for the asterisk form, `/` where an absolute form names none.
    pub path: &'a str,
    /// Behind the first `?`, still escaped; empty when there is none.
    pub query: &'a str,
}

/// Splits a target of origin, absolute or (where `asterisk` allows it) asterisk form; `None` when it is none of them.
pub fn split(target: &str, asterisk: bool) -> Option<Parts<'_>> {
    let rest = match target.as_bytes().first()? {
        b'/' => target,
        b'*' => return (asterisk && target == "*").then_some(Parts { path: "*", query: "" }),
        _ => absolute(target)?,
    };
    let (path, query) = match memchr::memchr(b'?', rest.as_bytes()) {
        Some(mark) => (&rest[..mark], &rest[mark + 1..]),
        None => (rest, ""),
    };
    let path = if path.is_empty() { "/" } else { path };
    escapes_are_whole(path.as_bytes()).then_some(Parts { path, query })
}

/// Path and query of `http://host/path?query`. Its host takes the place of the Host header, so it is checked like one.
fn absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = memchr::memchr2(b'/', b'?', rest.as_bytes()).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    (!authority.is_empty() && host_is_valid(authority.as_bytes())).then_some(rest)
}

/// Whether `value` may stand in a Host header: `uri-host [":" port]`, or nothing. User information may not.
pub fn host_is_valid(value: &[u8]) -> bool {
    let (host_ok, port) = if let [b'[', rest @ ..] = value {
        let Some(end) = memchr::memchr(b']', rest) else { return false };
        (end > 0 && rest[..end].iter().all(|byte| is_literal_byte(*byte)), &rest[end + 1..])
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        (value[..end].iter().all(|byte| HOST_BYTES[usize::from(*byte)]), &value[end..])
    };
    let port_ok = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_ok && port_ok
}

/// `unreserved / pct-encoded / sub-delims` of RFC 3986: what a registered name or an IPv4 address is made of.
static HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' | b'%'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        byte += 1;
    }
    table
};

/// Inside brackets: an IPv6 address, perhaps with a zone, or an address of a later version.
fn is_literal_byte(byte: u8) -> bool {
    byte == b':' || HOST_BYTES[usize::from(byte)]
}

/// Whether every `%` is followed by two hex digits.
fn escapes_are_whole(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path)
        .all(|at| matches!(path.get(at + 1..at + 3), Some([high, low]) if hex(*high, *low).is_some()))
}

/// The bytes that a raw path stands for; `None` where an escape is broken, which [`split`] refuses beforehand.
///
/// Borrowed when nothing is escaped, which is every ordinary request. The result may hold any byte, NUL included.
pub fn decode_path(path: &str) -> Option<Cow<'_, [u8]>> {
    decode(path.as_bytes(), false)
}

/// Percent-decodes `text`, and takes `+` for a space if asked to; `None` where an escape is broken.
pub(super) fn decode(text: &[u8], plus_is_space: bool) -> Option<Cow<'_, [u8]>> {
    let special = |byte: u8| byte == b'%' || (plus_is_space && byte == b'+');
    let Some(first) = text.iter().position(|byte| special(*byte)) else { return Some(Cow::Borrowed(text)) };
    let mut decoded = Vec::with_capacity(text.len());
    let (plain, mut rest) = text.split_at(first);
    decoded.extend_from_slice(plain);
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match *byte {
            b'%' => {
                let [high, low, tail @ ..] = rest else { return None };
                decoded.push(hex(*high, *low)?);
                rest = tail;
            }
            b'+' if plus_is_space => decoded.push(b' '),
            plain => decoded.push(plain),
        }
    }
    Some(Cow::Owned(decoded))
}

/// The byte that two hex digits stand for.
fn hex(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// The value of one hex digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_every_form() {
        for (target, expected) in [
            ("/", Some(("/", ""))),
            ("/v1/write/metric", Some(("/v1/write/metric", ""))),
            ("/v1/write/metric?precision=s", Some(("/v1/write/metric", "precision=s"))),
            ("/a?b?c", Some(("/a", "b?c"))),
            ("/?", Some(("/", ""))),
            ("//v1/ping", Some(("//v1/ping", ""))),
            ("/a/../b", Some(("/a/../b", ""))),
            ("/a%2e%2e%00", Some(("/a%2e%2e%00", ""))),
            ("/a#b", Some(("/a#b", ""))),
            ("/文?x=中", Some(("/文", "x=中"))),
            ("/a?%zz", Some(("/a", "%zz"))),
            ("/a%", None),
            ("/a%2", None),
            ("/a%zz", None),
            ("/a%2?b", None),
            ("http://h/p?q=1", Some(("/p", "q=1"))),
            ("HTTP://h:80/p", Some(("/p", ""))),
            ("https://h", Some(("/", ""))),
            ("http://h?q=1", Some(("/", "q=1"))),
            ("http://[::1]:9529/p", Some(("/p", ""))),
            ("http://u@h/p", None),
            ("http:///p", None),
            ("http:/h/p", None),
            ("ftp://h/p", None),
            ("://h/p", None),
            ("v1/ping", None),
            ("h:80", None),
            ("?a=b", None),
            ("", None),
            ("**", None),
        ] {
            let expected = expected.map(|(path, query)| Parts { path, query });
            assert_eq!(split(target, false), expected, "{target:?}");
            assert_eq!(split(target, true), expected, "{target:?}");
        }
        assert_eq!(split("*", false), None);
        assert_eq!(split("*", true), Some(Parts { path: "*", query: "" }));
    }

    #[test]
    fn hosts() {
        for valid in [
            "",
            "h",
            "localhost:9529",
            "127.0.0.1",
            "127.0.0.1:80",
            "h:",
            "[::1]",
            "[::1]:80",
            "[fe80::1%25eth0]:80",
            "a_b.example.com",
            "a,b",
            "%41",
            "xn--fiq228c",
        ] {
            assert!(host_is_valid(valid.as_bytes()), "{valid:?}");
        }
        for invalid in [
            "a b",
            "a/b",
            "u@h",
            "h?x",
            "h#x",
            "h:80x",
            "h:8 0",
            "h:+80",
            "h:80:80",
            "::1",
            "[::1",
            "[]",
            "::1]",
            "[::1]80",
            "[::1]x:80",
            "[a/b]",
            "h\\x",
            "\"h\"",
            "<h>",
            "h\x7f",
            "中",
        ] {
            assert!(!host_is_valid(invalid.as_bytes()), "{invalid:?}");
        }
    }

    #[test]
    fn paths_are_decoded_as_go_does() {
        for (path, expected) in [
            ("/v1/ping", Some(&b"/v1/ping"[..])),
            ("/v1/%70ing", Some(b"/v1/ping")),
            ("/%2e%2e/%2F", Some(b"/..//")),
            ("/a%00b", Some(b"/a\0b")),
            ("/%c0%ae", Some(b"/\xc0\xae")),
            ("/a+b", Some(b"/a+b")),
            ("/%41%4a%4F", Some(b"/AJO")),
            ("/a;b=c", Some(b"/a;b=c")),
            ("/%252e", Some(b"/%2e")),
            ("/%", None),
            ("/%4", None),
            ("/%4g", None),
            ("/%+4", None),
        ] {
            assert_eq!(decode_path(path).as_deref(), expected, "{path:?}");
        }
        assert!(matches!(decode_path("/v1/ping"), Some(Cow::Borrowed(_))));
    }
}
