//! Patterns as Go's `regexp` reads them (RE2), turned into the syntax tree that the engines here are built from.
//!
//! The dialect differs from the `regex` crate's in what `\d \w \s \b` mean (ASCII), in `{` being a letter where no
//! count follows, in octal escapes, in group names that repeat, and in its error texts, which users have seen before.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition};

/// Longest pattern after expansion. The longest built-in one, an access log with IPv6 in it, is a twentieth of it.
pub const PATTERN_BYTES_MAX: usize = 128 << 10;
/// Deepest nesting of groups: parsing and compiling go as deep, on stacks of two megabytes.
const DEPTH_MAX: usize = 200;
/// Largest repeat count, alone and multiplied through nested counts: Go's.
const REPEAT_MAX: u32 = 1_000;

/// A refusal, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub what: &'static str,
    pub part: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.what, self.part)
    }
}

impl std::error::Error for Error {}

fn refuse<T>(what: &'static str, part: &str) -> Result<T, Error> {
    Err(Error { what, part: part.to_owned() })
}

/// A pattern understood.
#[derive(Debug)]
pub struct Parsed {
    pub hir: Hir,
    /// The name of each group from 1 on, in the order of their opening parentheses.
    pub names: Vec<Option<String>>,
}

/// Reads `pattern`. Groups become captures numbered from 1 in the order in which they are kept: all of them, or those
/// that `keep` names by their place in `names`.
pub fn parse(pattern: &str, keep: Option<&[usize]>) -> Result<Parsed, Error> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return refuse("expression too large", "");
    }
    let flags = Flags::default();
    let mut parser = Parser { whole: pattern, at: 0, flags, names: Vec::new(), kept: 0, keep, depth: 0 };
    let node = parser.alternation()?;
    if parser.at < pattern.len() {
        return refuse("unexpected )", pattern);
    }
    Ok(Parsed { hir: node.hir, names: parser.names })
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    fold: bool,
    multi_line: bool,
    dot_all: bool,
    swap_greed: bool,
}

/// A part of the tree with the product of the counts inside it.
struct Node {
    hir: Hir,
    repeats: u32,
}

impl Node {
    fn once(hir: Hir) -> Node {
        Node { hir, repeats: 1 }
    }
}

struct Parser<'p> {
    whole: &'p str,
    at: usize,
    flags: Flags,
    names: Vec<Option<String>>,
    kept: u32,
    keep: Option<&'p [usize]>,
    depth: usize,
}

impl<'p> Parser<'p> {
    fn rest(&self) -> &'p str {
        self.whole.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn since(&self, from: usize) -> &'p str {
        self.whole.get(from..self.at).unwrap_or("")
    }

    fn alternation(&mut self) -> Result<Node, Error> {
        let mut branches = Vec::new();
        let mut repeats = 1;
        loop {
            let branch = self.concat()?;
            repeats = repeats.max(branch.repeats);
            branches.push(branch.hir);
            if !self.eat("|") {
                break;
            }
        }
        Ok(Node { hir: Hir::alternation(branches), repeats })
    }

    fn concat(&mut self) -> Result<Node, Error> {
        let mut parts: Vec<Node> = Vec::new();
        // The last operator's text, while nothing but operators came since.
        let mut operator: Option<usize> = None;
        while let Some(c) = self.peek() {
            let from = self.at;
            match c {
                '|' | ')' => break,
                '*' | '+' | '?' => {
                    self.at += 1;
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(&mut parts, min, max, from, operator)?;
                    operator = Some(operator.unwrap_or(from));
                    continue;
                }
                '{' => {
                    if let Some((min, max)) = self.count() {
                        let fits = min.is_some_and(|min| min <= REPEAT_MAX)
                            && max.is_none_or(|max| max.is_some_and(|max| max <= REPEAT_MAX))
                            && max.flatten().is_none_or(|max| min.is_some_and(|min| min <= max));
                        let (Some(min), true) = (min, fits) else {
                            return refuse("invalid repeat count", self.since(from));
                        };
                        self.repeat(&mut parts, min, max.flatten(), from, operator)?;
                        operator = Some(operator.unwrap_or(from));
                        continue;
                    }
                    self.at += 1;
                    parts.push(self.letter('{'));
                }
                '(' => {
                    if let Some(node) = self.group()? {
                        parts.push(node);
                    }
                }
                '[' => parts.push(self.class()?),
                '^' => {
                    self.at += 1;
                    let look = if self.flags.multi_line { Look::StartLF } else { Look::Start };
                    parts.push(Node::once(Hir::look(look)));
                }
                '$' => {
                    self.at += 1;
                    let look = if self.flags.multi_line { Look::EndLF } else { Look::End };
                    parts.push(Node::once(Hir::look(look)));
                }
                '.' => {
                    self.at += 1;
                    parts.push(Node::once(Hir::class(Class::Unicode(if self.flags.dot_all {
                        ranges(&[('\0', char::MAX)])
                    } else {
                        ranges(&[('\0', '\x09'), ('\x0b', char::MAX)])
                    }))));
                }
                '\\' => self.escaped(&mut parts)?,
                c => {
                    self.bump();
                    parts.push(self.letter(c));
                }
            }
            operator = None;
        }
        let repeats = parts.iter().map(|part| part.repeats).max().unwrap_or(1);
        Ok(Node { hir: Hir::concat(parts.into_iter().map(|part| part.hir).collect()), repeats })
    }

    fn repeat(
        &mut self,
        parts: &mut Vec<Node>,
        min: u32,
        max: Option<u32>,
        from: usize,
        operator: Option<usize>,
    ) -> Result<(), Error> {
        let lazy = self.eat("?");
        if let Some(operator) = operator {
            return refuse("invalid nested repetition operator", self.since(operator));
        }
        let Some(sub) = parts.pop() else {
            return refuse("missing argument to repetition operator", self.since(from));
        };
        let counted = min >= 2 || max.is_some_and(|max| max >= 2);
        let repeats =
            if counted { sub.repeats.saturating_mul(max.unwrap_or(min).max(1)) } else { sub.repeats };
        if repeats > REPEAT_MAX {
            return refuse("invalid repeat count", self.since(from));
        }
        let greedy = lazy == self.flags.swap_greed;
        // A loop over what is only a place holds or does not: once is as good as often.
        let hir = Hir::repetition(Repetition { min, max, greedy, sub: Box::new(sub.hir) });
        parts.push(Node { hir, repeats });
        Ok(())
    }

    /// `{n}`, `{n,}` or `{n,m}`; a number of too many digits is an inner `None`. Anything else is not a count.
    fn count(&mut self) -> Option<(Option<u32>, Option<Option<u32>>)> {
        fn number(text: &str) -> Option<(Option<u32>, &str)> {
            let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
            let (digits, rest) = text.split_at(end);
            // Go takes a number with a leading zero for no number.
            if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
                return None;
            }
            Some((digits.parse().ok(), rest))
        }
        let (min, rest) = number(self.rest().strip_prefix('{')?)?;
        let (max, rest) = match rest.strip_prefix(',') {
            None => (Some(min), rest),
            Some(open) if open.starts_with('}') => (None, open),
            Some(second) => number(second).map(|(max, rest)| (Some(max), rest))?,
        };
        let rest = rest.strip_prefix('}')?;
        self.at = self.whole.len() - rest.len();
        Some((min, max))
    }

    fn letter(&self, c: char) -> Node {
        if self.flags.fold {
            let mut class = ranges(&[(c, c)]);
            class.case_fold_simple();
            return Node::once(Hir::class(Class::Unicode(class)));
        }
        let mut buffer = [0; 4];
        Node::once(Hir::literal(c.encode_utf8(&mut buffer).as_bytes()))
    }

    /// From `(` on: a group, or flags for the rest of the surrounding one (`None`).
    fn group(&mut self) -> Result<Option<Node>, Error> {
        let from = self.at;
        self.at += 1;
        let outer = self.flags;
        let mut capture = None;
        if !self.rest().starts_with('?') {
            self.names.push(None);
            capture = self.number();
        } else if self.eat("?P<") || self.eat("?<") {
            let start = self.at;
            // `(?<=` and `(?<!` look behind, which RE2 does not.
            if self.rest().starts_with(['=', '!']) && self.since(from) == "(?<" {
                self.at += 1;
                return refuse("invalid or unsupported Perl syntax", self.since(from));
            }
            let Some(end) = self.rest().find('>') else {
                return refuse("invalid named capture", self.whole.get(from..).unwrap_or(""));
            };
            self.at += end + 1;
            let name = self.whole.get(start..start + end).unwrap_or("");
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return refuse("invalid named capture", self.since(from));
            }
            self.names.push(Some(name.to_owned()));
            capture = self.number();
        } else {
            self.at += 1;
            if !self.flag_letters(from)? {
                return Ok(None);
            }
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return refuse("expression nests too deeply", "");
        }
        let inner = self.alternation()?;
        self.depth -= 1;
        if !self.eat(")") {
            return refuse("missing closing )", self.whole);
        }
        self.flags = outer;
        let hir = match capture {
            // Unnamed: the tree is asked by number, and names may repeat.
            Some(index) => Hir::capture(Capture { index, name: None, sub: Box::new(inner.hir) }),
            None => inner.hir,
        };
        Ok(Some(Node { hir, repeats: inner.repeats }))
    }

    /// The capture's number, if the group that was just opened is kept.
    fn number(&mut self) -> Option<u32> {
        let place = self.names.len() - 1;
        if self.keep.is_some_and(|keep| !keep.contains(&place)) {
            return None;
        }
        self.kept += 1;
        Some(self.kept)
    }

    /// `(?i-s)` (false) or `(?i-s:` (true).
    fn flag_letters(&mut self, from: usize) -> Result<bool, Error> {
        let mut flags = self.flags;
        let mut on = true;
        let mut any = false;
        while let Some(c) = self.bump() {
            match c {
                'i' => flags.fold = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_all = on,
                'U' => flags.swap_greed = on,
                '-' if on => {
                    on = false;
                    any = false;
                    continue;
                }
                ':' | ')' if on || any => {
                    // A group's flags end with it, where its caller puts the outer ones back.
                    self.flags = flags;
                    return Ok(c == ':');
                }
                _ => return refuse("invalid or unsupported Perl syntax", self.since(from)),
            }
            any = true;
        }
        refuse("missing closing )", self.whole)
    }

    /// From a backslash on, outside of a class.
    fn escaped(&mut self, parts: &mut Vec<Node>) -> Result<(), Error> {
        let from = self.at;
        let look = match self.rest().as_bytes().get(1) {
            Some(b'A') => Some(Look::Start),
            Some(b'z') => Some(Look::End),
            Some(b'b') => Some(Look::WordAscii),
            Some(b'B') => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.at += 2;
            parts.push(Node::once(Hir::look(look)));
            return Ok(());
        }
        if self.eat("\\Q") {
            let quoted = self.rest();
            let (text, skip) =
                quoted.find("\\E").map_or((quoted, quoted.len()), |end| (&quoted[..end], end + 2));
            parts.extend(text.chars().map(|c| self.letter(c)));
            self.at += skip;
            return Ok(());
        }
        if let Some(mut class) = self.named_class()? {
            if self.flags.fold && self.since(from).starts_with("\\p") {
                class.case_fold_simple();
            }
            parts.push(Node::once(Hir::class(Class::Unicode(class))));
            return Ok(());
        }
        let c = self.escaped_letter()?;
        parts.push(self.letter(c));
        Ok(())
    }

    /// `\d`, `\pL` and their like, if one stands here.
    fn named_class(&mut self) -> Result<Option<ClassUnicode>, Error> {
        let from = self.at;
        let Some(c) = self.rest().strip_prefix('\\').and_then(|rest| rest.chars().next()) else {
            return Ok(None);
        };
        let class = match c {
            'd' | 'D' => ranges(&[('0', '9')]),
            's' | 'S' => ranges(&[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')]),
            'w' | 'W' => ranges(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
            'p' | 'P' => {
                self.at += 2;
                return self.property(from).map(Some);
            }
            _ => return Ok(None),
        };
        self.at += 2;
        Ok(Some(if c.is_ascii_uppercase() { negated(class) } else { class }))
    }

    fn property(&mut self, from: usize) -> Result<ClassUnicode, Error> {
        let mut negate = self.since(from) == "\\P";
        let name = if self.eat("{") {
            let Some(end) = self.rest().find('}') else {
                return refuse("invalid character class range", self.whole.get(from..).unwrap_or(""));
            };
            let name = &self.rest()[..end];
            self.at += end + 1;
            name.strip_prefix('^').map_or(name, |rest| {
                negate = !negate;
                rest
            })
        } else {
            let start = self.at;
            self.bump();
            self.since(start)
        };
        let plain = !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        let tree = plain.then(|| regex_syntax::parse(&format!("\\p{{{name}}}")).ok()).flatten();
        match tree.as_ref().map(Hir::kind) {
            Some(HirKind::Class(Class::Unicode(class))) => {
                Ok(if negate { negated(class.clone()) } else { class.clone() })
            }
            _ => refuse("invalid character class range", self.since(from)),
        }
    }

    /// `\n`, `\x41`, `\012`, `\.`: one character.
    fn escaped_letter(&mut self) -> Result<char, Error> {
        let from = self.at;
        self.at += 1;
        let Some(c) = self.bump() else {
            return refuse("trailing backslash at end of expression", "");
        };
        let octal = |c: char| c.to_digit(8);
        let found = match c {
            // One digit alone would refer back to a group, which RE2 does not do.
            '1'..='7' if self.peek().and_then(octal).is_none() => None,
            '0'..='7' => {
                let mut value = octal(c).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(octal) else { break };
                    self.at += 1;
                    value = value * 8 + digit;
                }
                char::from_u32(value)
            }
            'x' => self.hex(),
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        };
        match found {
            Some(c) => Ok(c),
            None => refuse("invalid escape sequence", self.since(from)),
        }
    }

    fn hex(&mut self) -> Option<char> {
        if self.eat("{") {
            let end = self.rest().find('}')?;
            let digits = &self.rest()[..end];
            self.at += end + 1;
            let hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
            return hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten().and_then(char::from_u32);
        }
        let mut value = 0;
        for _ in 0..2 {
            value = value * 16 + self.bump()?.to_digit(16)?;
        }
        char::from_u32(value)
    }

    /// From `[` on.
    fn class(&mut self) -> Result<Node, Error> {
        let from = self.at;
        self.at += 1;
        let negate = self.eat("^");
        let mut class = ClassUnicode::empty();
        let mut first = true;
        while first || !self.rest().starts_with(']') {
            let start = self.at;
            if self.at >= self.whole.len() {
                return refuse("missing closing ]", self.whole.get(from..).unwrap_or(""));
            }
            first = false;
            if let Some(inner) = self.rest().strip_prefix("[:")
                && let Some((name, _)) = inner.split_once(":]")
            {
                self.at += name.len() + 4;
                let Some(posix) = posix(name) else {
                    return refuse("invalid character class range", self.since(start));
                };
                class.union(&posix);
                continue;
            }
            if let Some(named) = self.named_class()? {
                class.union(&named);
                continue;
            }
            let low = self.class_letter(from)?;
            let mut high = low;
            if self.rest().starts_with('-') && !self.rest().starts_with("-]") && self.rest().len() >= 2 {
                self.at += 1;
                high = self.class_letter(from)?;
                if high < low {
                    return refuse("invalid character class range", self.since(start));
                }
            }
            class.push(ClassUnicodeRange::new(low, high));
        }
        self.at += 1;
        if self.flags.fold {
            class.case_fold_simple();
        }
        Ok(Node::once(Hir::class(Class::Unicode(if negate { negated(class) } else { class }))))
    }

    fn class_letter(&mut self, class: usize) -> Result<char, Error> {
        if self.rest().starts_with('\\') {
            return self.escaped_letter();
        }
        match self.bump() {
            Some(c) => Ok(c),
            None => refuse("missing closing ]", self.whole.get(class..).unwrap_or("")),
        }
    }
}

fn ranges(pairs: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(pairs.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high)))
}

fn negated(mut class: ClassUnicode) -> ClassUnicode {
    class.negate();
    class
}

/// The inside of `[:alpha:]` or `[:^alpha:]`.
fn posix(name: &str) -> Option<ClassUnicode> {
    let (name, negate) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let class = ranges(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    });
    Some(if negate { negated(class) } else { class })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(pattern: &str) -> String {
        parse(pattern, None).map(|parsed| format!("{:?}", parsed.hir)).unwrap_err().to_string()
    }

    #[test]
    fn refusals_are_worded_as_gos() {
        for (pattern, said) in [
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("(*a)", "missing argument to repetition operator: `*`"),
            ("a|*", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}*", "invalid nested repetition operator: `{2}*`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("((a{100}){100})", "invalid repeat count: `{100}`"),
            ("[a", "missing closing ]: `[a`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            ("\\pX", "invalid character class range: `\\pX`"),
            ("\\1", "invalid escape sequence: `\\1`"),
            ("\\Z", "invalid escape sequence: `\\Z`"),
            ("\\", "trailing backslash at end of expression: ``"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?<=a)", "invalid or unsupported Perl syntax: `(?<=`"),
            ("(?P<a-b>c)", "invalid named capture: `(?P<a-b>`"),
        ] {
            assert_eq!(error(pattern), format!("error parsing regexp: {said}"), "{pattern}");
        }
        assert!(error(&"(".repeat(5_000)).contains("nests too deeply"));
        assert!(error(&"a".repeat(PATTERN_BYTES_MAX + 1)).contains("too large"));
    }

    #[test]
    fn what_the_crate_refuses_and_go_takes() {
        for pattern in [
            "%{INT:}",
            "a{,3}",
            "a{",
            "{1",
            "(?P<x>a)(?P<x>b)",
            "\\_\\'\\\"\\%",
            "[]a]",
            "[a-]",
            "[^]]",
            "\\012",
            "[[a]",
        ] {
            assert!(parse(pattern, None).is_ok(), "{pattern}");
        }
        let parsed = parse("(a)(?P<x>(b))", Some(&[1])).unwrap();
        assert_eq!(parsed.names, [None, Some("x".to_owned()), None]);
        assert_eq!(parsed.hir.properties().explicit_captures_len(), 1);
    }
}
