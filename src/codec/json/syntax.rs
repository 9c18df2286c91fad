//! What is wrong with a text, in Go's words. Reads the whole text before anything else looks at it, as Go does.

use std::fmt;

use super::{DEPTH_MAX, is_white};

/// The first thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    UnexpectedEnd,
    Character { byte: u8, context: &'static str },
}

const VALUE: &str = "looking for beginning of value";
const KEY: &str = "looking for beginning of object key string";

/// Checks the grammar of a whole text.
pub fn check(bytes: &[u8]) -> Result<(), SyntaxError> {
    let mut scanner = Scanner { bytes, at: 0, open: Vec::new() };
    scanner.descend(Expect::Value)?;
    while let Some(&innermost) = scanner.open.last() {
        let byte = scanner.visible()?;
        match (innermost, byte) {
            (b'{', b',') => scanner.descend(Expect::Key)?,
            (b'[', b',') => scanner.descend(Expect::Value)?,
            (b'{', b'}') | (b'[', b']') => drop(scanner.open.pop()),
            (b'{', _) => return Err(character(byte, "after object key:value pair")),
            _ => return Err(character(byte, "after array element")),
        }
    }
    match scanner.visible() {
        Ok(byte) => Err(character(byte, "after top-level value")),
        Err(_) => Ok(()),
    }
}

/// What may come next.
#[derive(Clone, Copy)]
enum Expect {
    Value,
    /// A value, or the end of the array that has just begun.
    Item,
    Key,
    /// A key, or the end of the object that has just begun.
    FirstKey,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The opening brackets around what is being read.
    open: Vec<u8>,
}

impl Scanner<'_> {
    /// The next byte that is not white space.
    fn visible(&mut self) -> Result<u8, SyntaxError> {
        loop {
            let byte = *self.bytes.get(self.at).ok_or(SyntaxError::UnexpectedEnd)?;
            self.at += 1;
            if !is_white(byte) {
                return Ok(byte);
            }
        }
    }

    /// The next byte of a token. At the end Go looks at a space, to see whether the token may end.
    fn within(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(b' ');
        self.at += 1;
        byte
    }

    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(b' ')
    }

    /// Down to the next scalar or the end of what has just begun: arrays and objects inside each other, by this loop.
    fn descend(&mut self, mut expect: Expect) -> Result<(), SyntaxError> {
        loop {
            let byte = self.visible()?;
            expect = match (byte, expect) {
                (b']', Expect::Item) | (b'}', Expect::FirstKey) => {
                    self.open.pop();
                    return Ok(());
                }
                (b'"', Expect::Key | Expect::FirstKey) => {
                    self.string()?;
                    match self.visible()? {
                        b':' => Expect::Value,
                        byte => return Err(character(byte, "after object key")),
                    }
                }
                (_, Expect::Key | Expect::FirstKey) => return Err(character(byte, KEY)),
                (b'{', _) => {
                    self.enter(byte)?;
                    Expect::FirstKey
                }
                (b'[', _) => {
                    self.enter(byte)?;
                    Expect::Item
                }
                (b'"', _) => return self.string(),
                (b't', _) => return self.literal(b"rue", TRUE),
                (b'f', _) => return self.literal(b"alse", FALSE),
                (b'n', _) => return self.literal(b"ull", NULL),
                (b'-' | b'0'..=b'9', _) => return self.number(byte),
                _ => return Err(character(byte, VALUE)),
            };
        }
    }

    fn enter(&mut self, bracket: u8) -> Result<(), SyntaxError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(character(bracket, "exceeded max depth"));
        }
        self.open.push(bracket);
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        loop {
            let byte = *self.bytes.get(self.at).ok_or(SyntaxError::UnexpectedEnd)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                0..b' ' => return Err(character(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.within() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    let byte = self.within();
                    if !byte.is_ascii_hexdigit() {
                        return Err(character(byte, "in \\u hexadecimal character escape"));
                    }
                }
                Ok(())
            }
            byte => Err(character(byte, "in string escape code")),
        }
    }

    fn literal(&mut self, rest: &[u8], contexts: &[&'static str]) -> Result<(), SyntaxError> {
        for (&expected, &context) in rest.iter().zip(contexts) {
            let byte = self.within();
            if byte != expected {
                return Err(character(byte, context));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<(), SyntaxError> {
        let first = if first == b'-' { self.digit("in numeric literal")? } else { first };
        if first != b'0' {
            self.digits();
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            if let b'+' | b'-' = self.peek() {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, context: &'static str) -> Result<u8, SyntaxError> {
        let byte = self.within();
        if byte.is_ascii_digit() { Ok(byte) } else { Err(character(byte, context)) }
    }

    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }
}

const TRUE: &[&str] = &[
    "in literal true (expecting 'r')",
    "in literal true (expecting 'u')",
    "in literal true (expecting 'e')",
];
const FALSE: &[&str] = &[
    "in literal false (expecting 'a')",
    "in literal false (expecting 'l')",
    "in literal false (expecting 's')",
    "in literal false (expecting 'e')",
];
const NULL: &[&str] = &[
    "in literal null (expecting 'u')",
    "in literal null (expecting 'l')",
    "in literal null (expecting 'l')",
];

fn character(byte: u8, context: &'static str) -> SyntaxError {
    SyntaxError::Character { byte, context }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SyntaxError::Character { byte, context } = *self else {
            return f.write_str("unexpected end of JSON input");
        };
        f.write_str("invalid character '")?;
        // A byte is shown as the character of that number, quoted as Go quotes.
        match byte {
            b'\'' => f.write_str("\\'"),
            b'\\' => f.write_str("\\\\"),
            0x07 => f.write_str("\\a"),
            0x08 => f.write_str("\\b"),
            0x0c => f.write_str("\\f"),
            b'\n' => f.write_str("\\n"),
            b'\r' => f.write_str("\\r"),
            b'\t' => f.write_str("\\t"),
            0x0b => f.write_str("\\v"),
            0..0x20 | 0x7f => write!(f, "\\x{byte:02x}"),
            // The soft hyphen, too, is not printed.
            0x80..=0xa0 | 0xad => write!(f, "\\u{byte:04x}"),
            _ => write!(f, "{}", char::from(byte)),
        }?;
        write!(f, "' {context}")
    }
}

impl std::error::Error for SyntaxError {}
