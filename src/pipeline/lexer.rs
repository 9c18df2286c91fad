//! Script text → tokens, one at a time as the parser asks, so that of two errors the earlier one is told.
//!
//! What it takes and what it says follow the reference to the letter, its slips included: a numeric escape swallows the
//! character behind it unseen, and once a back quote was read, an escaped one passes this stage and fails in the next.

use super::error::{go_code_point, go_quote, go_quote_char};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// End of the input.
    End,
    /// End of a line.
    Line,
    /// A name, or anything between back quotes.
    Name,
    Number,
    Text,
    /// A text between three quotes.
    LongText,
    If,
    Elif,
    Else,
    For,
    In,
    Break,
    Continue,
    True,
    False,
    Nil,
    /// A word kept back: never part of a script.
    Reserved,
    Op(Op),
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    OpenBrace,
    CloseBrace,
    Comma,
    Semicolon,
    Colon,
    Dot,
}

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Assign,
    AddAssign,
    SubAssign,
    MulAssign,
    DivAssign,
    ModAssign,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Not,
}

impl Op {
    pub fn text(self) -> &'static str {
        match self {
            Op::Add => "+",
            Op::Sub => "-",
            Op::Mul => "*",
            Op::Div => "/",
            Op::Mod => "%",
            Op::Assign => "=",
            Op::AddAssign => "+=",
            Op::SubAssign => "-=",
            Op::MulAssign => "*=",
            Op::DivAssign => "/=",
            Op::ModAssign => "%=",
            Op::Eq => "==",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
            Op::And => "&&",
            Op::Or => "||",
            Op::Not => "!",
        }
    }
}

/// A token: its kind, and where its text lies.
#[derive(Clone, Copy, Debug)]
pub struct Token<'s> {
    pub kind: Kind,
    pub pos: u32,
    pub text: &'s str,
}

/// What the lexer minds, and where.
#[derive(Debug)]
pub struct LexError {
    pub pos: u32,
    pub message: String,
}

/// Characters of a token that an error repeats.
const SHOWN_CHARS: usize = 10;

impl Token<'_> {
    /// As `unexpected: …` names it.
    pub fn describe(&self) -> String {
        let shown = || {
            if self.text.len() > SHOWN_CHARS {
                let start: String = self.text.chars().take(SHOWN_CHARS).collect();
                format!("{}...", go_quote(&start))
            } else {
                go_quote(self.text)
            }
        };
        match self.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Line => "end of line \"\\n\"".to_owned(),
            Kind::Name => format!("id {}", go_quote(name_of(self.text))),
            Kind::Number => format!("number {}", shown()),
            Kind::Text => format!("string {}", shown()),
            Kind::LongText => format!("multiline string {}", shown()),
            Kind::If | Kind::Elif | Kind::Else | Kind::True | Kind::False | Kind::Nil => {
                format!("<{}>", self.text)
            }
            Kind::Op(op) => format!("<op:'{}'>", op.text()),
            _ => shown(),
        }
    }
}

/// The name a [`Kind::Name`] token stands for.
pub fn name_of(text: &str) -> &str {
    text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).unwrap_or(text)
}

pub struct Lexer<'s> {
    source: &'s str,
    at: usize,
    parens: i32,
    brackets: i32,
    braces: i32,
    back_quoted: bool,
}

impl<'s> Lexer<'s> {
    pub fn new(source: &'s str) -> Lexer<'s> {
        Lexer { source, at: 0, parens: 0, brackets: 0, braces: 0, back_quoted: false }
    }

    pub fn next(&mut self) -> Result<Token<'s>, LexError> {
        self.skip_blank();
        let start = self.at;
        let Some(char) = self.bump() else { return self.end(start) };
        let kind = match char {
            '\n' => Kind::Line,
            ',' => Kind::Comma,
            ';' => Kind::Semicolon,
            ':' => Kind::Colon,
            '.' => Kind::Dot,
            '+' => self.maybe_assign(Op::Add, Op::AddAssign),
            '-' => self.maybe_assign(Op::Sub, Op::SubAssign),
            '*' => self.maybe_assign(Op::Mul, Op::MulAssign),
            '/' => self.maybe_assign(Op::Div, Op::DivAssign),
            '%' => self.maybe_assign(Op::Mod, Op::ModAssign),
            '=' => self.maybe_assign(Op::Assign, Op::Eq),
            '!' => self.maybe_assign(Op::Not, Op::Ne),
            '<' => self.maybe_assign(Op::Lt, Op::Le),
            '>' => self.maybe_assign(Op::Gt, Op::Ge),
            '&' | '|' => self.doubled(start, char)?,
            '(' | ')' | '[' | ']' | '{' | '}' => self.bracket(char)?,
            '"' | '\'' => self.text(start, char)?,
            '`' => self.back_quote(start)?,
            '0'..='9' => self.number(start)?,
            _ if begins_name(char) => self.word(start),
            _ => return Err(error(start, format!("unexpected character: {}", go_quote_char(char)))),
        };
        Ok(self.token(kind, start))
    }

    fn token(&self, kind: Kind, start: usize) -> Token<'s> {
        Token { kind, pos: start as u32, text: self.source.get(start..self.at).unwrap_or_default() }
    }

    fn peek(&self) -> Option<char> {
        self.source.get(self.at..)?.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.bump();
        }
        found
    }

    fn skip_blank(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('#') => {
                    let rest = self.source.as_bytes().get(self.at..).unwrap_or_default();
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn end(&self, start: usize) -> Result<Token<'s>, LexError> {
        let open = [(self.parens, "parenthesis"), (self.brackets, "bracket"), (self.braces, "brace")];
        match open.iter().find(|(depth, _)| *depth > 0) {
            Some((_, name)) => Err(error(start, format!("unclosed left {name}"))),
            None => Ok(self.token(Kind::End, start)),
        }
    }

    fn maybe_assign(&mut self, alone: Op, with_equals: Op) -> Kind {
        Kind::Op(if self.accept(|char| char == '=') { with_equals } else { alone })
    }

    fn doubled(&mut self, start: usize, char: char) -> Result<Kind, LexError> {
        if !self.accept(|next| next == char) {
            // The words of the reference, which mixed them up.
            return Err(error(start, format!("unexpected character `{}' after `!'", go_quote_char(char))));
        }
        Ok(Kind::Op(if char == '&' { Op::And } else { Op::Or }))
    }

    fn bracket(&mut self, char: char) -> Result<Kind, LexError> {
        let (kind, depth, by) = match char {
            '(' => (Kind::OpenParen, &mut self.parens, 1),
            ')' => (Kind::CloseParen, &mut self.parens, -1),
            '[' => (Kind::OpenBracket, &mut self.brackets, 1),
            ']' => (Kind::CloseBracket, &mut self.brackets, -1),
            '{' => (Kind::OpenBrace, &mut self.braces, 1),
            _ => (Kind::CloseBrace, &mut self.braces, -1),
        };
        *depth += by;
        if *depth < 0 {
            let name = if char == ']' { "bracket" } else { "parenthesis" };
            // Told behind the character, which was already taken for a token.
            return Err(error(self.at, format!("unexpected right {name} {}", go_quote_char(char))));
        }
        Ok(kind)
    }

    fn text(&mut self, start: usize, quote: char) -> Result<Kind, LexError> {
        let rest = self.source.get(start..).unwrap_or_default();
        if rest.starts_with("\"\"\"") || rest.starts_with("'''") {
            return self.long_text(start);
        }
        loop {
            match self.bump() {
                None | Some('\n') => {
                    return Err(error(start, "unterminated quoted string within lexString".to_owned()));
                }
                Some('\\') => self.escape(start, quote)?,
                Some(char) if char == quote => return Ok(Kind::Text),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, start: usize, quote: char) -> Result<(), LexError> {
        let unterminated = || error(start, "escape sequence not terminated".to_owned());
        let char = self.bump().ok_or_else(unterminated)?;
        let (digits, base, max) = match char {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if char == quote || (char == '`' && self.back_quoted) => return Ok(()),
            '0'..='7' => (3, 8, 0xff),
            'x' => (2, 16, 0xff),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            _ => return Err(error(start, format!("unknown escape sequence {}", go_code_point(char)))),
        };
        let mut digit = if base == 8 { Some(char) } else { self.bump() };
        let mut value: u32 = 0;
        for _ in 0..digits {
            let char = digit.ok_or_else(unterminated)?;
            let Some(number) = char.to_digit(base) else {
                return Err(error(
                    start,
                    format!("illegal character {} in escape sequence", go_code_point(char)),
                ));
            };
            value = value.wrapping_mul(base).wrapping_add(number);
            // After the last digit this is the character that is swallowed.
            digit = self.bump();
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err(error(start, "escape sequence is an invalid Unicode code point".to_owned()));
        }
        Ok(())
    }

    fn long_text(&mut self, start: usize) -> Result<Kind, LexError> {
        self.at = start + 3;
        let mut run = 0;
        loop {
            match self.bump() {
                None => {
                    return Err(error(
                        start,
                        "unterminated quoted string within lexMultilineString".to_owned(),
                    ));
                }
                Some('"' | '\'') => run += 1,
                Some(_) => run = 0,
            }
            if run == 3 {
                return Ok(Kind::LongText);
            }
        }
    }

    fn back_quote(&mut self, start: usize) -> Result<Kind, LexError> {
        self.back_quoted = true;
        loop {
            match self.bump() {
                None => {
                    return Err(error(start, "unterminated quoted string within lexRawString".to_owned()));
                }
                Some('`') => return Ok(Kind::Name),
                Some(_) => {}
            }
        }
    }

    fn number(&mut self, start: usize) -> Result<Kind, LexError> {
        self.at = start;
        let hex = self.accept(|char| char == '0') && self.accept(|char| matches!(char, 'x' | 'X'));
        let digit = |char: char| if hex { char.is_ascii_hexdigit() } else { char.is_ascii_digit() };
        while self.accept(digit) {}
        if self.accept(|char| char == '.') {
            while self.accept(digit) {}
        }
        if self.accept(|char| matches!(char, 'e' | 'E')) {
            self.accept(|char| matches!(char, '+' | '-'));
            while self.accept(|char| char.is_ascii_digit()) {}
        }
        if self.peek().is_some_and(continues_name) {
            let text = self.source.get(start..self.at).unwrap_or_default();
            return Err(error(start, format!("bad duration: {}", go_quote(text))));
        }
        Ok(Kind::Number)
    }

    fn word(&mut self, start: usize) -> Kind {
        while self.accept(continues_name) {}
        let text = self.source.get(start..self.at).unwrap_or_default();
        keyword(text).unwrap_or(Kind::Name)
    }
}

fn error(pos: usize, message: String) -> LexError {
    LexError { pos: pos as u32, message }
}

fn begins_name(char: char) -> bool {
    char == '_' || char.is_ascii_alphabetic() || !char.is_ascii()
}

fn continues_name(char: char) -> bool {
    begins_name(char) || char.is_ascii_digit()
}

/// Longest keyword.
const KEYWORD_BYTES_MAX: usize = "identifier".len();

fn keyword(text: &str) -> Option<Kind> {
    if text.len() > KEYWORD_BYTES_MAX {
        return None;
    }
    Some(match text.to_ascii_lowercase().as_str() {
        "if" => Kind::If,
        "elif" => Kind::Elif,
        "else" => Kind::Else,
        "for" => Kind::For,
        "in" => Kind::In,
        "break" => Kind::Break,
        "continue" => Kind::Continue,
        "true" => Kind::True,
        "false" => Kind::False,
        "nil" | "null" => Kind::Nil,
        "inf" | "nan" => Kind::Number,
        "while" | "return" | "str" | "bool" | "int" | "float" | "list" | "map" | "identifier" => {
            Kind::Reserved
        }
        _ => return None,
    })
}

/// The value of a [`Kind::Text`] token, or the words for why it has none.
pub fn unquote(text: &str) -> Result<Vec<u8>, String> {
    unescape(text).ok_or_else(|| format!("error unquoting string {}: invalid syntax", go_quote(text)))
}

/// The value of a [`Kind::LongText`] token: what stands between its quotes, if they are the same.
pub fn unquote_long(text: &str) -> Result<Vec<u8>, String> {
    let inner = ["\"\"\"", "'''"].iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    match inner {
        Some(inner) if text.len() >= 6 => Ok(inner.as_bytes().to_vec()),
        _ => Err(format!("error unquoting multiline string {}: invalid syntax", go_quote(text))),
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let quote = text.chars().next()?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    if !inner.contains(['\\', quote]) {
        return Some(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        if char == quote {
            return None;
        }
        if char != '\\' {
            push_char(&mut out, char);
            continue;
        }
        let escaped = chars.next()?;
        let plain = match escaped {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            '"' | '\'' if escaped == quote => escaped as u8,
            '0'..='7' => {
                let value = digits(&mut chars, 2, 8, escaped.to_digit(8)?)?;
                u8::try_from(value).ok()?
            }
            'x' => u8::try_from(digits(&mut chars, 2, 16, 0)?).ok()?,
            'u' | 'U' => {
                let count = if escaped == 'u' { 4 } else { 8 };
                push_char(&mut out, char::from_u32(digits(&mut chars, count, 16, 0)?)?);
                continue;
            }
            _ => return None,
        };
        out.push(plain);
    }
    Some(out)
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, base: u32, first: u32) -> Option<u32> {
    let mut value = first;
    for _ in 0..count {
        value = value.checked_mul(base)?.checked_add(chars.next()?.to_digit(base)?)?;
    }
    Some(value)
}

fn push_char(out: &mut Vec<u8>, char: char) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}
