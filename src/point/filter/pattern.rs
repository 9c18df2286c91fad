//! Patterns as Go's `regexp` reads them, for the `regex` crate: both are linear in time and nearly the same language. What
//! is not the same is written in the other's words: `\d`, `\w`, `\s` and `\b` know ASCII alone, `[` in a class is a plain
//! character unless a class by name follows, and `\Q…\E` quotes.

use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern may take this much; one that is written by hand takes a few kilobytes.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// A pattern that is looked for anywhere in a text.
pub fn go_pattern(text: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(&translate(text)).size_limit(PATTERN_BYTES_MAX).build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("larger than {PATTERN_BYTES_MAX} bytes once compiled"),
        // Several lines with a drawing; the last says what it is.
        error => error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
    })
}

fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.char_indices().peekable();
    let mut class = Class::Outside;
    while let Some((at, character)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match (character, next) {
            ('\\', Some('Q')) if class == Class::Outside => {
                let quoted = text.get(at + 2..).unwrap_or_default();
                let quoted = quoted.split_once("\\E").map_or(quoted, |(quoted, _)| quoted);
                out.push_str(&regex::escape(quoted));
                let end = at + 2 + quoted.len() + "\\E".len();
                while chars.next_if(|(at, _)| *at < end).is_some() {}
                continue;
            }
            ('\\', Some(kind)) => {
                chars.next();
                out.push_str(&escape(kind, class != Class::Outside));
            }
            ('[', _) if class == Class::Outside => {
                class = Class::First;
                out.push('[');
                if next == Some('^') {
                    chars.next();
                    out.push('^');
                }
                continue;
            }
            ('[', Some(':')) if class != Class::Outside && names_class(text, at) => {
                let end = text.get(at..).and_then(|rest| rest.find(":]")).map_or(at, |len| at + len + 1);
                out.push_str(text.get(at..=end).unwrap_or_default());
                while chars.next_if(|(at, _)| *at <= end).is_some() {}
            }
            // First in a class it is a character.
            (']', _) if class == Class::First => out.push_str("\\]"),
            (']', _) if class == Class::Inside => {
                out.push(']');
                class = Class::Outside;
                continue;
            }
            // Operators on classes, and nested ones, there are none of.
            ('[' | '&' | '~', _) if class != Class::Outside => {
                out.push('\\');
                out.push(character);
            }
            // A range from a dash, and one to it: two dashes are an operator elsewhere.
            ('-', Some('-')) if class == Class::First => out.push_str("\\-"),
            ('-', Some('-')) if class == Class::Inside => {
                chars.next();
                out.push_str("-\\-");
            }
            _ => out.push(character),
        }
        if class == Class::First {
            class = Class::Inside;
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    /// Nothing stands in it yet.
    First,
    Inside,
}

/// Whether `[:name:]` or `[:^name:]` begins here.
fn names_class(text: &str, at: usize) -> bool {
    let name = text.get(at + 2..).and_then(|rest| rest.split_once(":]")).map_or("", |(name, _)| name);
    let name = name.strip_prefix('^').unwrap_or(name);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn escape(kind: char, in_class: bool) -> String {
    let ascii = match kind {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\f\\r ",
        'D' => return "[^0-9]".to_owned(),
        'W' => return "[^0-9A-Za-z_]".to_owned(),
        'S' => return "[^\\t\\n\\f\\r ]".to_owned(),
        'b' if !in_class => return "(?-u:\\b)".to_owned(),
        'B' if !in_class => return "(?-u:\\B)".to_owned(),
        '<' | '>' => return kind.to_string(),
        _ => return format!("\\{kind}"),
    };
    if in_class { ascii.to_owned() } else { format!("[{ascii}]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        go_pattern(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text.as_bytes())
    }

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, text, expected) in [
            ("y", "xyz", true),
            ("^y$", "xyz", false),
            (r"^\d$", "٣", false),
            (r"^\w+$", "é", false),
            (r"^[\w.]+$", "a.b_1", true),
            (r"^[^\d]$", "٣", true),
            (r"^\D$", "٣", true),
            (r"^[\D]$", "7", false),
            (r"^\s$", "\u{a0}", false),
            (r"\bé", "é", false),
            (r"\ba\b", "x a y", true),
            ("^.$", "é", true),
            ("^[一-龥]+$", "北京", true),
            (r"^\pL$", "é", true),
            ("[[]", "[", true),
            ("^[a[b]+$", "[ab", true),
            ("^[]a]+$", "]a", true),
            ("^[^]a]$", "]", false),
            ("^[[:alpha:]_]+$", "ab_", true),
            ("^[[:^alpha:]]$", "1", true),
            ("^[a&&b]+$", "&", true),
            ("^[~]$", "~", true),
            ("^[a-]+$", "-a", true),
            ("^[+--]+$", ",", true),
            ("^[--/]+$", ".", true),
            (r"^\Qa.b\E.$", "a.bc", true),
            (r"^\Qa.b", "axb", false),
            (r"\<a\>", "<a>", true),
            (r"\/", "/", true),
            ("(?i)ERROR", "an error", true),
            ("(?P<x>a)", "a", true),
            ("a{2,3}", "aa", true),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
        for pattern in ["a(", "[a", "(a{1000}){1000}", "a**b(", r"\8", "(?=a)", r"(a)\1"] {
            assert!(go_pattern(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn any_text_is_translated_without_a_panic() {
        let pieces = [
            "\\", "[", "]", "^", "Q", "E", ":", "alpha", "-", "&&", "é", "(", ")", "*", "\\Q", "\\E", "[:",
            "d",
        ];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for d in pieces {
                        translate(&[a, b, c, d].concat());
                    }
                }
            }
        }
    }
}
