//! From a rule's text to words, one after another.

use super::parser::Fault;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A bare name.
    Name(Box<[u8]>),
    /// In backquotes: a name, or a pattern.
    Raw(Box<[u8]>),
    /// In single or double quotes; escapes are undone, and may have made bytes that are no UTF-8.
    Text(Box<[u8]>),
    Int(i64),
    Float(f64),
    Nil,
    Bool(bool),
    And,
    Or,
    In,
    NotIn,
    Match,
    NotMatch,
    Re,
    Identifier,
    Compare(Compare),
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Semicolon,
    Dot,
    Plus,
    Minus,
    End,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

/// Words with a meaning in the language from which this one is a part: no names unless in backquotes.
const RESERVED: [&str; 18] = [
    "as", "asc", "auto", "by", "desc", "filter", "int", "float", "limit", "link", "offset", "order",
    "slimit", "soffset", "tz", "with", "inf", "nan",
];

/// How much of a text a message repeats.
const SHOWN_CHARS: usize = 24;

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    /// Where the next word is looked for: for messages.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn fault(&self, at: usize, what: &str) -> Fault {
        let column = self.text.get(..at).map_or(0, |before| before.chars().count()) + 1;
        let rest: String = self.text.get(at..).unwrap_or_default().chars().take(SHOWN_CHARS).collect();
        Fault(format!("{what} at character {column}: {rest:?}"))
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.byte(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
                    self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
                _ => break,
            }
        }
    }

    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        self.skip_blank();
        let Some(byte) = self.byte(0) else { return Ok(Token::End) };
        let following = self.byte(1);
        let (token, len) = match byte {
            b'{' => (Token::LeftBrace, 1),
            b'}' => (Token::RightBrace, 1),
            b'(' => (Token::LeftParen, 1),
            b')' => (Token::RightParen, 1),
            b'[' => (Token::LeftBracket, 1),
            b']' => (Token::RightBracket, 1),
            b',' => (Token::Comma, 1),
            b';' => (Token::Semicolon, 1),
            b'.' => (Token::Dot, 1),
            b'+' => (Token::Plus, 1),
            b'-' => (Token::Minus, 1),
            b'=' => (Token::Compare(Compare::Eq), 1),
            b'!' if following == Some(b'=') => (Token::Compare(Compare::Ne), 2),
            b'>' if following == Some(b'=') => (Token::Compare(Compare::Ge), 2),
            b'>' => (Token::Compare(Compare::Gt), 1),
            b'<' if following == Some(b'=') => (Token::Compare(Compare::Le), 2),
            b'<' => (Token::Compare(Compare::Lt), 1),
            b'&' if following == Some(b'&') => (Token::And, 2),
            b'|' if following == Some(b'|') => (Token::Or, 2),
            b'0'..=b'9' => return self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => return self.word(),
            b'\'' | b'"' => return self.text(byte),
            b'`' => return self.raw(),
            _ => return Err(self.fault(self.at, "not a word of the language")),
        };
        self.at += len;
        Ok(token)
    }

    fn word(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.pass(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let word = self.text.get(start..self.at).unwrap_or_default();
        let lower = word.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "and" => Token::And,
            "or" => Token::Or,
            "in" => Token::In,
            "notin" | "not_in" => Token::NotIn,
            "match" => Token::Match,
            "notmatch" => Token::NotMatch,
            "re" => Token::Re,
            "identifier" => Token::Identifier,
            "nil" | "null" => Token::Nil,
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            "inf" => Token::Float(f64::INFINITY),
            "nan" => Token::Float(f64::NAN),
            lower if RESERVED.contains(&lower) => {
                return Err(self.fault(start, "a reserved word, which is a name only in backquotes"));
            }
            _ => Token::Name(word.as_bytes().into()),
        })
    }

    fn pass(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.byte(0).is_some_and(&wanted) {
            self.at += 1;
        }
        self.at - start
    }

    /// As Go reads it: `0x1f`, `017` and `12` are whole; `08`, `1.`, `1e3` and what is too large for 64 bits are not.
    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let is_hex = self.byte(0) == Some(b'0') && matches!(self.byte(1), Some(b'x' | b'X'));
        let is_digit = move |byte: u8| if is_hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
        self.at += if is_hex { 2 } else { 0 };
        self.pass(is_digit);
        if self.byte(0) == Some(b'.') {
            self.at += 1;
            self.pass(is_digit);
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(0), Some(b'+' | b'-')));
            self.pass(|byte| byte.is_ascii_digit());
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if self.byte(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(self.fault(start, "neither a number nor a name"));
        }
        if let Some(int) = go_int(text) {
            return Ok(Token::Int(int));
        }
        // The standard parser also takes what Go's does not: no digits behind an `e` is refused by both.
        match text.parse::<f64>() {
            Ok(float) if float.is_finite() && !is_hex => Ok(Token::Float(float)),
            _ => Err(self.fault(start, "not a number")),
        }
    }

    fn raw(&mut self) -> Result<Token, Fault> {
        let start = self.at + 1;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let Some(len) = memchr::memchr(b'`', rest) else {
            return Err(self.fault(self.at, "a backquote is not closed"));
        };
        self.at = start + len + 1;
        Ok(Token::Raw(rest.get(..len).unwrap_or_default().into()))
    }

    fn text(&mut self, quote: u8) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.byte(0) {
                None | Some(b'\n') => return Err(self.fault(start, "a text is not closed")),
                Some(b'\\') => self.escape(quote, &mut out)?,
                Some(byte) => {
                    self.at += 1;
                    if byte == quote {
                        return Ok(Token::Text(out.into()));
                    }
                    out.push(byte);
                }
            }
        }
    }

    /// Undoes an escape, as Go has them.
    fn escape(&mut self, quote: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
        let bad = |lexer: &Self| lexer.fault(lexer.at, "not an escape");
        let Some(kind) = self.byte(1) else { return Err(bad(self)) };
        let plain = match kind {
            b'a' => Some(0x07),
            b'b' => Some(0x08),
            b'f' => Some(0x0c),
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            b't' => Some(b'\t'),
            b'v' => Some(0x0b),
            b'\\' => Some(b'\\'),
            _ if kind == quote => Some(quote),
            _ => None,
        };
        if let Some(byte) = plain {
            out.push(byte);
            self.at += 2;
            return Ok(());
        }
        let (skipped, digits, radix) = match kind {
            b'0'..=b'7' => (1, 3, 8),
            b'x' => (2, 2, 16),
            b'u' => (2, 4, 16),
            b'U' => (2, 8, 16),
            _ => return Err(bad(self)),
        };
        let from = self.at + skipped;
        let text =
            self.text.get(from..from + digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = text.and_then(|text| u32::from_str_radix(text, radix).ok());
        let Some(code) = code else { return Err(bad(self)) };
        if matches!(kind, b'u' | b'U') {
            let Some(character) = char::from_u32(code) else { return Err(bad(self)) };
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            let Ok(byte) = u8::try_from(code) else { return Err(bad(self)) };
            out.push(byte);
        }
        self.at = from + digits;
        Ok(())
    }
}

/// `strconv.ParseInt` with base 0, of what the lexer passes to it.
fn go_int(text: &str) -> Option<i64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
        let mut lexer = Lexer::new(text);
        let mut all = Vec::new();
        loop {
            match lexer.next()? {
                Token::End => return Ok(all),
                token => all.push(token),
            }
        }
    }

    #[test]
    fn numbers_are_those_of_go() {
        for (text, token) in [
            ("0", Token::Int(0)),
            ("12", Token::Int(12)),
            ("017", Token::Int(15)),
            ("08", Token::Float(8.0)),
            ("0x1F", Token::Int(31)),
            ("9223372036854775807", Token::Int(i64::MAX)),
            ("9223372036854775808", Token::Float(9_223_372_036_854_775_808.0)),
            ("1.", Token::Float(1.0)),
            ("1.5e-3", Token::Float(0.0015)),
            ("1E2", Token::Float(100.0)),
            ("Inf", Token::Float(f64::INFINITY)),
        ] {
            assert_eq!(tokens(text), Ok(vec![token]), "{text}");
        }
        for text in ["1e", "0x", "0x1.8", "1_000", "5m", "1e999", "0b1"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_have_escapes_and_no_line_ends() {
        for (text, bytes) in [
            (r#"'a"b'"#, &b"a\"b"[..]),
            (r#""a\"b\\c\n\t\x41\101\u4e2d""#, "a\"b\\c\n\tAA中".as_bytes()),
            (r"'\xff\U0001F600'", b"\xff\xf0\x9f\x98\x80"),
            ("'北京'", "北京".as_bytes()),
        ] {
            assert_eq!(tokens(text), Ok(vec![Token::Text(bytes.into())]), "{text}");
        }
        for text in [
            r"'\q'",
            r#"'\"'"#,
            r"'\x4'",
            r"'\400'",
            r"'\ud800'",
            r"'\U00110000'",
            "'a",
            "'a\nb'",
            "'\\",
            "`a",
        ] {
            assert!(tokens(text).is_err(), "{text}");
        }
        assert_eq!(tokens("`a\\b\n.c`"), Ok(vec![Token::Raw(b"a\\b\n.c"[..].into())]));
    }

    #[test]
    fn words_have_no_case_and_names_have() {
        use Token::*;
        assert_eq!(
            tokens("AND && Or || NotIn not_in MATCH notmatch RE nil NULL True not_match # x {"),
            Ok(vec![
                And,
                And,
                Or,
                Or,
                NotIn,
                NotIn,
                Match,
                NotMatch,
                Re,
                Nil,
                Nil,
                Bool(true),
                Name(b"not_match"[..].into())
            ])
        );
        assert_eq!(tokens("Host\r# a\rb"), Ok(vec![Name(b"Host"[..].into()), Name(b"b"[..].into())]));
        for text in ["limit", "Filter", "&", "|", "!", "a:b", "中", "$", "*"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
