//! What stands between `{{` and `}}` in a task: variables by name, and the functions `timestamp`, `date` and `urlencode`.
//!
//! This is the part of Go's `text/template` that tasks are written in: words, texts, whole numbers, `|`, trimming with
//! `{{-` and `-}}`, comments. Conditions, loops and the rest of that language are an error and not passed over.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::layout;

/// Bytes that all texts of one request may take when they are filled in: a variable may stand in many places.
const RENDERED_BYTES_MAX: usize = 32 << 20;

/// Go's own words, which no variable can be called.
const RESERVED: [&str; 30] = [
    "and", "block", "break", "call", "continue", "define", "else", "end", "eq", "ge", "gt", "html", "if",
    "index", "js", "le", "len", "lt", "ne", "nil", "not", "or", "print", "printf", "println", "range",
    "slice", "template", "urlquery", "with",
];

/// Variables and the time.
#[derive(Debug)]
pub struct Filler {
    variables: BTreeMap<String, String>,
    now_ns: i64,
    room: Cell<usize>,
}

/// A value on its way through a pipeline.
#[derive(Clone, Debug, PartialEq)]
enum Word {
    Text(String),
    Number(i64),
    Name(String),
    Pipe,
}

impl Filler {
    pub fn new(variables: BTreeMap<String, String>, now_ns: i64) -> Filler {
        Filler { variables, now_ns, room: Cell::new(RENDERED_BYTES_MAX) }
    }

    /// `text` with everything filled in.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let filled = self.parts(text).map_err(|error| format!("parse template error: {error}"))?;
        let left = self.room.get().checked_sub(filled.len());
        self.room.set(left.ok_or_else(|| format!("the task takes more than {RENDERED_BYTES_MAX} bytes"))?);
        Ok(filled)
    }

    fn parts(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut trim = false;
        while let Some(at) = rest.find("{{") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            let before = if trim { before.trim_start() } else { before };
            let (trims_left, after) = match after.strip_prefix("- ") {
                Some(after) => (true, after),
                None => (false, after),
            };
            out.push_str(if trims_left { before.trim_end() } else { before });
            let (action, behind) = split_action(after)?;
            let (action, trims_right) = match action.strip_suffix(" -") {
                Some(action) => (action, true),
                None => (action, false),
            };
            if !is_comment(action) {
                out.push_str(&self.run(&words(action)?)?);
            }
            if out.len() > RENDERED_BYTES_MAX {
                return Err(format!("a text of more than {RENDERED_BYTES_MAX} bytes"));
            }
            trim = trims_right;
            rest = behind;
        }
        out.push_str(if trim { rest.trim_start() } else { rest });
        Ok(out)
    }

    /// The value of one action: stages, each with the value of the one before as its last argument.
    fn run(&self, words: &[Word]) -> Result<String, String> {
        let mut value: Option<Word> = None;
        for stage in words.split(|word| *word == Word::Pipe) {
            let (head, arguments) = stage.split_first().ok_or("missing value for command")?;
            let mut arguments = arguments.to_vec();
            arguments.extend(value.take());
            value = Some(self.call(head, &arguments)?);
        }
        match value {
            Some(Word::Text(text)) => Ok(text),
            Some(Word::Number(number)) => Ok(number.to_string()),
            _ => Err("missing value for command".to_owned()),
        }
    }

    fn call(&self, head: &Word, arguments: &[Word]) -> Result<Word, String> {
        let Word::Name(name) = head else {
            return match arguments {
                [] => Ok(head.clone()),
                _ => Err("unexpected operand: a text or a number takes no arguments".to_owned()),
            };
        };
        // A variable may be called like a function, and hides it, as in the reference.
        if let Some(value) = self.variables.get(name) {
            return match arguments {
                [] => Ok(Word::Text(value.clone())),
                _ => Err(format!("wrong number of args for {name}: want 0 got {}", arguments.len())),
            };
        }
        let argument = |arguments: &[Word]| match arguments {
            [Word::Text(text)] => Ok(text.clone()),
            [Word::Name(variable)] => match self.call(&Word::Name(variable.clone()), &[])? {
                Word::Text(text) => Ok(text),
                _ => Err(format!("wrong type of argument for {name}: expected string")),
            },
            [_] => Err(format!("wrong type of argument for {name}: expected string")),
            other => Err(format!("wrong number of args for {name}: want 1 got {}", other.len())),
        };
        match name.as_str() {
            "timestamp" => Ok(Word::Number(match argument(arguments)?.as_str() {
                "s" => self.now_ns.div_euclid(1_000_000_000),
                "ms" => self.now_ns.div_euclid(1_000_000),
                "us" => self.now_ns.div_euclid(1_000),
                "ns" => self.now_ns,
                _ => 0,
            })),
            "date" => {
                let format = argument(arguments)?;
                let format = match format.as_str() {
                    "rfc3339" => "2006-01-02T15:04:05Z07:00",
                    "iso8601" => "2006-01-02T15:04:05Z",
                    other => other,
                };
                Ok(Word::Text(layout::format(format, self.now_ns)))
            }
            "urlencode" => Ok(Word::Text(query_escape(&argument(arguments)?))),
            name if RESERVED.contains(&name) || name.starts_with(['.', '$']) => {
                let known = "variables, timestamp, date and urlencode";
                Err(format!("{name} is not known here, only {known}"))
            }
            name => Err(format!("variable '{name}' not defined")),
        }
    }
}

/// The inside of an action and what is behind it. A `}}` in a text does not end it.
fn split_action(text: &str) -> Result<(&str, &str), String> {
    if text.starts_with("/*") {
        let end = text.find("*/").ok_or("unclosed comment")? + 2;
        let behind = &text[end..];
        let behind = behind.strip_prefix(" -").unwrap_or(behind);
        let behind = behind.strip_prefix("}}").ok_or("comment ends before closing delimiter")?;
        return Ok((&text[..text.len() - behind.len() - 2], behind));
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at).ok_or("unterminated quoted string")?,
            b'`' => {
                let end = bytes[at + 1..].iter().position(|byte| *byte == b'`');
                at += 2 + end.ok_or("unterminated raw quoted string")?;
            }
            b'}' if bytes.get(at + 1) == Some(&b'}') => return Ok((&text[..at], &text[at + 2..])),
            _ => at += 1,
        }
    }
    Err("unclosed action".to_owned())
}

fn is_comment(action: &str) -> bool {
    let action = action.trim();
    action.starts_with("/*") && action.ends_with("*/")
}

/// The offset behind the closing quote.
fn end_of_text(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn words(action: &str) -> Result<Vec<Word>, String> {
    let bytes = action.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'|' => {
                at += 1;
                words.push(Word::Pipe);
            }
            b'"' => {
                at = end_of_text(bytes, at).ok_or("unterminated quoted string")?;
                let text = action.get(start + 1..at - 1).unwrap_or_default();
                words.push(Word::Text(unquoted(text)?));
            }
            b'`' => {
                let end = bytes[at + 1..].iter().position(|byte| *byte == b'`');
                at += 2 + end.ok_or("unterminated raw quoted string")?;
                words.push(Word::Text(action.get(start + 1..at - 1).unwrap_or_default().to_owned()));
            }
            _ => {
                let ends = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '|' | '"' | '`');
                let word = &action[start..];
                let word = &word[..word.find(ends).unwrap_or(word.len())];
                at += word.len();
                words.push(word_of(word)?);
            }
        }
    }
    Ok(words)
}

fn word_of(word: &str) -> Result<Word, String> {
    if word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
        return match word.parse() {
            Ok(number) => Ok(Word::Number(number)),
            Err(_) => Err(format!("bad number syntax: {word:?}")),
        };
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    if word.chars().all(is_name) || word.starts_with(['.', '$']) {
        return Ok(Word::Name(word.to_owned()));
    }
    Err(format!("unexpected {word:?} in command"))
}

/// Go's escapes in a quoted text.
fn unquoted(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(letter) = chars.next() {
        // A character, or how many hexadecimal digits of it follow.
        let digits: Result<char, usize> = match letter {
            '\\' => match chars.next() {
                Some('n') => Ok('\n'),
                Some('t') => Ok('\t'),
                Some('r') => Ok('\r'),
                Some(plain @ ('"' | '\\' | '\'')) => Ok(plain),
                Some('x') => Err(2),
                Some('u') => Err(4),
                Some('U') => Err(8),
                _ => Err(0),
            },
            plain => Ok(plain),
        };
        let letter = digits.or_else(|digits| {
            let text: String = chars.by_ref().take(digits).collect();
            let whole = digits > 0 && text.len() == digits;
            let code = whole.then(|| u32::from_str_radix(&text, 16).ok()).flatten();
            code.and_then(char::from_u32).ok_or_else(|| "invalid syntax in a quoted string".to_owned())
        })?;
        out.push(letter);
    }
    Ok(out)
}

/// As Go's `url.QueryEscape`: a space is `+`, unreserved characters stay, the rest goes byte by byte.
fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filler() -> Filler {
        let variables = [("host", "example.com"), ("name", "a b&c"), ("braces", "{{host}}")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Filler::new(variables.into(), 1_793_869_623_012_345_678)
    }

    #[test]
    fn texts_are_filled_in() {
        for (text, filled) in [
            ("", ""),
            ("plain } {", "plain } {"),
            ("http://{{host}}/{{ host }}", "http://example.com/example.com"),
            ("{{braces}}", "{{host}}"),
            ("{{timestamp \"s\"}} {{timestamp `ms`}}", "1793869623 1793869623012"),
            (
                "{{timestamp \"us\"}}/{{timestamp \"ns\"}}/{{timestamp \"h\"}}",
                "1793869623012345/1793869623012345678/0",
            ),
            ("{{date \"rfc3339\"}} {{date \"iso8601\"}}", "2026-11-05T09:07:03Z 2026-11-05T09:07:03Z"),
            ("{{date \"2006/01\"}}", "2026/11"),
            ("{{urlencode \"a b/ü\"}}", "a+b%2F%C3%BC"),
            ("{{urlencode name}} {{name | urlencode | urlencode}}", "a+b%26c a%2Bb%2526c"),
            ("a {{- host -}} b", "aexample.comb"),
            ("{{/* }} is a comment */}}x{{\"\\u00e9\\x41\\\"}}\\n\"}}", "xéA\"}}\n"),
            ("{{ 17 }}{{\"t\"}}{{\nhost\n}}", "17texample.com"),
        ] {
            assert_eq!(filler().fill(text).as_deref(), Ok(filled), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (text, error) in [
            ("{{nobody}}", "variable 'nobody' not defined"),
            ("{{host", "unclosed action"),
            ("{{\"host}}", "unterminated quoted string"),
            ("{{`host}}", "unterminated raw quoted string"),
            ("{{}}", "missing value for command"),
            ("{{host |}}", "missing value for command"),
            ("{{host 1}}", "wrong number of args for host: want 0 got 1"),
            ("{{timestamp}}", "wrong number of args for timestamp: want 1 got 0"),
            ("{{timestamp 5}}", "wrong type of argument for timestamp: expected string"),
            ("{{if host}}x{{end}}", "if is not known here, only variables, timestamp, date and urlencode"),
            ("{{.Field}}", ".Field is not known here, only variables, timestamp, date and urlencode"),
            ("{{\"a\" 1}}", "unexpected operand: a text or a number takes no arguments"),
            ("{{\"\\q\"}}", "invalid syntax in a quoted string"),
            ("{{\"\\ud800\"}}", "invalid syntax in a quoted string"),
            ("{{12x}}", "bad number syntax: \"12x\""),
            ("{{a(b)}}", "unexpected \"a(b)\" in command"),
        ] {
            assert_eq!(filler().fill(text), Err(format!("parse template error: {error}")), "{text}");
        }
    }

    #[test]
    fn what_is_filled_in_is_bounded() {
        let big = Filler::new([("v".to_owned(), "x".repeat(1 << 20))].into(), 0);
        assert_eq!(big.fill("{{v}}{{v}}").unwrap().len(), 2 << 20);
        assert!(big.fill(&"{{v}}".repeat(40)).unwrap_err().contains("more than"));
        let many = (0..40).map(|_| big.fill("{{v}}")).collect::<Result<Vec<_>, _>>();
        assert!(many.unwrap_err().contains("more than"));
    }
}
