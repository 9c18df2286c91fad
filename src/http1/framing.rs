//! The header fields that say where a message ends and whether its connection goes on, read the same way for
//! requests and for responses.

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes follow the head. May be zero.
    Length(u64),
    /// Chunks follow the head, see [`super::body`].
    Chunked,
}

/// What an answer says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// HTTP/1.1 keeps connections open unless told otherwise: nothing is written.
    Persistent,
    /// HTTP/1.0 closes unless told otherwise: `Connection: keep-alive`.
    KeepAlive,
    /// `Connection: close`.
    Close,
}

/// Digits of a length that are read. Nineteen digits always fit `u64`, and 9.9 EB is beyond any body.
const LENGTH_DIGITS_MAX: usize = 19;

/// The value of one `Content-Length` field: digits only, no sign, no list, no space. Leading zeros are digits.
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX {
        return None;
    }
    value
        .iter()
        .try_fold(0u64, |length, byte| byte.is_ascii_digit().then(|| length * 10 + u64::from(byte - b'0')))
}

/// What one `Transfer-Encoding` field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferEncoding {
    /// Exactly `chunked`, in any case: the only coding that is served.
    Chunked,
    /// Codings that are understood to be valid and not known here, such as `gzip, chunked`.
    Unsupported,
    /// The end of the message cannot be told: empty, or `chunked` twice or not last.
    Invalid,
}

/// Reads the value of one `Transfer-Encoding` field.
pub fn transfer_encoding(value: &[u8]) -> TransferEncoding {
    if value.eq_ignore_ascii_case(b"chunked") {
        return TransferEncoding::Chunked;
    }
    let mut codings = list(value).filter(|coding| !coding.is_empty()).peekable();
    if codings.peek().is_none() {
        return TransferEncoding::Invalid;
    }
    while let Some(coding) = codings.next() {
        let last = codings.peek().is_none();
        if coding.eq_ignore_ascii_case(b"chunked") && !last {
            return TransferEncoding::Invalid;
        }
    }
    TransferEncoding::Unsupported
}

/// The elements of a comma-separated field value, trimmed. Empty elements are given too.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Without spaces and tabs at both ends.
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The tokens of all `Connection` fields of a head that matter to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTokens {
    /// `close` was named.
    pub close: bool,
    /// `keep-alive` was named.
    pub keep_alive: bool,
}

impl ConnectionTokens {
    /// Adds what one `Connection` field says.
    pub fn read(&mut self, value: &[u8]) {
        // Nearly every field is one of these two, whole.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if value.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else {
            for token in list(value) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }

    /// Whether the connection goes on after the message: `close` wins, then the version's own default.
    pub fn persistent(self, http11: bool) -> bool {
        !self.close && (http11 || self.keep_alive)
    }
}

/// Whether the line that holds `value`, a header value within `head`, ends with CR LF.
///
/// httparse also ends lines at a bare LF. It lets no control byte but HTAB into a value, so behind the value there is
/// only the white space it trimmed and then the line end itself.
pub(super) fn line_ends_with_crlf(head: &[u8], value: &[u8]) -> bool {
    let Some(start) = value.as_ptr().addr().checked_sub(head.as_ptr().addr()) else { return false };
    let mut end = start + value.len();
    loop {
        match head.get(end) {
            Some(b'\r') => return true,
            Some(b' ' | b'\t') => end += 1,
            _ => return false,
        }
    }
}

/// Bytes of a token (RFC 9110 section 5.6.2): methods, header names, coding names.
pub fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Bytes of a field value (RFC 9110 section 5.5): no control byte but HTAB.
pub fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_digits_and_nothing_else() {
        for (value, expected) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("0005", Some(5)),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("18446744073709551615", None),
            ("99999999999999999999", None),
            ("00000000000000000005", None),
            ("", None),
            ("+5", None),
            ("-5", None),
            ("0x5", None),
            ("5 ", None),
            ("5 5", None),
            ("5,5", None),
            ("5, 5", None),
            ("5;", None),
            ("5.0", None),
            ("five", None),
            ("\u{0665}", None),
        ] {
            assert_eq!(content_length(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn only_chunked_alone_is_chunked() {
        use TransferEncoding::*;
        for (value, expected) in [
            ("chunked", Chunked),
            ("Chunked", Chunked),
            ("CHUNKED", Chunked),
            ("", Invalid),
            (",", Invalid),
            (" , ", Invalid),
            ("chunked, gzip", Invalid),
            ("chunked,chunked", Invalid),
            ("chunked, identity", Invalid),
            ("gzip, chunked", Unsupported),
            ("gzip", Unsupported),
            ("identity", Unsupported),
            ("xchunked", Unsupported),
            ("chunkedx", Unsupported),
            ("chunked;q=1", Unsupported),
            ("\"chunked\"", Unsupported),
            ("chun ked", Unsupported),
            (", chunked", Unsupported),
            ("chunked,", Unsupported),
        ] {
            assert_eq!(transfer_encoding(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn connection_tokens_add_up_over_fields_and_lists() {
        for (values, http11, expected) in [
            (&[][..], true, true),
            (&[], false, false),
            (&["close"], true, false),
            (&["Close"], true, false),
            (&["keep-alive"], false, true),
            (&["Keep-Alive"], true, true),
            (&["keep-alive, close"], true, false),
            (&["keep-alive, close"], false, false),
            (&["keep-alive", "close"], true, false),
            (&["upgrade,\tkeep-alive "], false, true),
            (&["closed"], true, true),
            (&["not-close"], true, true),
            (&["TE , close,"], true, false),
        ] {
            let mut tokens = ConnectionTokens::default();
            for value in values {
                tokens.read(value.as_bytes());
            }
            assert_eq!(tokens.persistent(http11), expected, "{values:?} http11={http11}");
        }
    }

    #[test]
    fn trim_takes_both_ends_and_leaves_the_middle() {
        for (value, expected) in [("", ""), (" \t ", ""), (" a b\t", "a b"), ("a", "a"), ("\x0ba", "\x0ba")] {
            assert_eq!(trim(value.as_bytes()), expected.as_bytes());
        }
    }
}
