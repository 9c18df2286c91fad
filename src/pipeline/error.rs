//! What is wrong with a script, or went wrong in a run, and where: the place itself first, then its callers outward.

use std::fmt;

/// The place of a node that has none, as the reference counts it.
pub const NO_POS: u32 = u32::MAX;

/// A place in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the script, with `.p`.
    pub file: String,
    /// From 1; −1 where a node has no place.
    pub line: i64,
    /// Bytes, from 1.
    pub column: i64,
    /// Bytes, from 0.
    pub offset: i64,
}

/// An error of a script: found while it was read, or raised by a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    pub places: Vec<Place>,
    pub message: String,
}

/// Boxed, so that the results of every step of a run stay small.
pub type Error = Box<ScriptError>;

/// A script's name and where its lines begin: turns offsets into places.
#[derive(Clone, Debug)]
pub struct Lines {
    file: String,
    starts: Vec<u32>,
}

impl Lines {
    pub fn new(file: &str, source: &str) -> Lines {
        let after = |(at, &byte): (usize, &u8)| (byte == b'\n').then_some(at as u32 + 1);
        let starts =
            std::iter::once(0).chain(source.as_bytes().iter().enumerate().filter_map(after)).collect();
        Lines { file: file.to_owned(), starts }
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn place(&self, offset: u32) -> Place {
        if offset == NO_POS {
            return Place { file: self.file.clone(), line: -1, column: -1, offset: -1 };
        }
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = line.checked_sub(1).and_then(|at| self.starts.get(at)).copied().unwrap_or(0);
        let column = i64::from(offset - start) + 1;
        Place { file: self.file.clone(), line: line as i64, column, offset: i64::from(offset) }
    }

    /// An error at that offset.
    #[cold]
    pub fn error(&self, offset: u32, message: impl Into<String>) -> Error {
        Box::new(ScriptError { places: vec![self.place(offset)], message: message.into() })
    }

    /// The same error, seen by its caller at that offset.
    #[cold]
    pub fn called(&self, mut error: Error, offset: u32) -> Error {
        error.places.push(self.place(offset));
        error
    }
}

impl fmt::Display for ScriptError {
    /// `file:line:column: message`, then one line a caller.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, place) in self.places.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{}:{}:", place.file, place.line, place.column)?;
            if at == 0 {
                write!(f, " {}", self.message)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ScriptError {}

/// A text in double quotes, escaped as Go prints it with `%q`.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        push_escaped(&mut out, char, '"');
    }
    out.push('"');
    out
}

/// A character in single quotes, as Go prints it with `%q`.
pub fn go_quote_char(char: char) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, char, '\'');
    out.push('\'');
    out
}

/// `U+0064 'd'`, as Go prints a character with `%#U`.
pub fn go_code_point(char: char) -> String {
    let code = u32::from(char);
    if printable(char) { format!("U+{code:04X} '{char}'") } else { format!("U+{code:04X}") }
}

fn push_escaped(out: &mut String, char: char, quote: char) {
    match char {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\\' => out.push_str("\\\\"),
        _ if char == quote => {
            out.push('\\');
            out.push(char);
        }
        _ if printable(char) => out.push(char),
        _ => {
            let code = u32::from(char);
            let text = match code {
                0..=0x7f => format!("\\x{code:02x}"),
                0x80..=0xffff => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            };
            out.push_str(&text);
        }
    }
}

/// Nearly Go's `unicode.IsPrint`: controls, other white space than the blank, and the marks that Go escapes.
fn printable(char: char) -> bool {
    let format = matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    let other = matches!(char, '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    char == ' ' || !(char.is_control() || char.is_whitespace() || format || other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_places() {
        let lines = Lines::new("a.p", "x\nyz\n");
        let at = |offset| {
            let place = lines.place(offset);
            (place.line, place.column, place.offset)
        };
        assert_eq!(
            [at(0), at(1), at(2), at(3), at(5)],
            [(1, 1, 0), (1, 2, 1), (2, 1, 2), (2, 2, 3), (3, 1, 5)]
        );
        assert_eq!(at(NO_POS), (-1, -1, -1));
        let error = lines.called(lines.error(2, "bad"), 0);
        assert_eq!(error.to_string(), "a.p:2:1: bad\na.p:1:1:");
    }

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        assert_eq!(go_quote("a\"b\\\n\u{1}中\u{feff}"), "\"a\\\"b\\\\\\n\\x01中\\ufeff\"");
        assert_eq!(go_quote_char('\0'), "'\\x00'");
        assert_eq!(go_code_point('\''), "U+0027 '''");
        assert_eq!(go_code_point('\u{7}'), "U+0007");
    }
}
