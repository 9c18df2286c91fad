//! Regular expressions as Go has them (RE2), run by a lazy automaton that gives up where it would take too long.
//!
//! Rust's syntax is nearly Go's and not quite: `\d`, `\w`, `\s` and `\b` are ASCII in Go, `{` may stand for itself, `[`
//! and `&&` in a class are plain, `**` is an error. So an expression is read by Go's rules, with Go's errors, and
//! written again in a form that leaves no doubt. Classes and escapes are written by their numbers.
//!
//! Time is bounded by construction: the automaton is built while it runs, in a cache of fixed size, and a search that
//! fills the cache again and again is given up. Each byte costs a bounded amount of work, however the expression is made.

use regex_automata::Input;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;

/// Memory of a compiled expression. A thousand letters of any script take some hundred KiB.
const NFA_BYTES_MAX: usize = 1 << 20;

/// Memory of the automaton that grows while it runs.
const CACHE_BYTES: usize = 4 << 20;

/// How often the cache may be filled in one search. Ordinary expressions never fill it once.
const CACHE_FILLS_MAX: usize = 16;

/// Go's bound on `{n}`.
const REPEAT_MAX: u32 = 1_000;

/// Groups inside each other; below the parser's own bound, which is not told in Go's words.
const NESTING_MAX: usize = 200;

/// The names of classes between `[:` and `:]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// A compiled expression.
#[derive(Debug)]
pub struct Pattern {
    dfa: DFA,
}

/// The search would take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooCostly;

impl Pattern {
    /// An error is in Go's words.
    pub fn new(source: &str) -> Result<Pattern, String> {
        let failed = |error: String| format!("error parsing regexp: {error}");
        let translated = Translator::new(source).run().map_err(failed)?;
        let dfa = DFA::builder()
            .syntax(syntax::Config::new().utf8(false))
            .thompson(
                thompson::Config::new()
                    .utf8(false)
                    .nfa_size_limit(Some(NFA_BYTES_MAX))
                    .which_captures(WhichCaptures::None),
            )
            .configure(
                DFA::config()
                    .cache_capacity(CACHE_BYTES)
                    .minimum_cache_clear_count(Some(CACHE_FILLS_MAX))
                    .minimum_bytes_per_state(None),
            )
            .build(&translated)
            .map_err(|_| failed(format!("expression too large: `{source}`")))?;
        Ok(Pattern { dfa })
    }

    pub fn is_in(&self, text: &str) -> Result<bool, TooCostly> {
        let mut cache = self.dfa.create_cache();
        let input = Input::new(text).earliest(true);
        let found = self.dfa.try_search_fwd(&mut cache, &input).map_err(|_| TooCostly)?;
        Ok(found.is_some())
    }
}

/// What stands before a repetition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom,
    /// A repetition, which began there.
    Repeat(usize),
}

/// Reads Go's syntax and writes Rust's.
struct Translator<'a> {
    source: &'a str,
    at: usize,
    out: String,
    open: usize,
    names: Vec<&'a str>,
    last: Last,
}

impl<'a> Translator<'a> {
    fn new(source: &'a str) -> Translator<'a> {
        let out = String::with_capacity(source.len() * 2);
        Translator { source, at: 0, out, open: 0, names: Vec::new(), last: Last::Nothing }
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn since(&self, start: usize) -> &'a str {
        self.source.get(start..self.at).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest().chars().next()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn take(&mut self, text: &str) -> bool {
        let taken = self.rest().starts_with(text);
        if taken {
            self.at += text.len();
        }
        taken
    }

    fn run(mut self) -> Result<String, String> {
        while let Some(letter) = self.rest().chars().next() {
            let start = self.at;
            match letter {
                '(' => self.group()?,
                ')' => {
                    self.at += 1;
                    self.open =
                        self.open.checked_sub(1).ok_or_else(|| format!("unexpected ): `{}`", self.source))?;
                    self.out.push(')');
                    self.last = Last::Atom;
                }
                '|' => {
                    self.at += 1;
                    self.out.push('|');
                    self.last = Last::Nothing;
                }
                '*' | '+' | '?' => {
                    self.at += 1;
                    self.out.push(letter);
                    self.repeated(start)?;
                }
                '{' => match self.counts()? {
                    Some(counts) => {
                        self.out.push_str(&counts);
                        self.repeated(start)?;
                    }
                    None => {
                        self.at = start + 1;
                        self.literal('{');
                    }
                },
                '[' => self.class()?,
                '.' | '^' | '$' => {
                    self.at += 1;
                    self.out.push(letter);
                    self.last = Last::Atom;
                }
                '\\' => self.escape()?,
                _ => {
                    self.next();
                    self.literal(letter);
                }
            }
        }
        if self.open > 0 {
            return Err(format!("missing closing ): `{}`", self.source));
        }
        Ok(self.out)
    }

    fn literal(&mut self, letter: char) {
        push_letter(letter, &mut self.out);
        self.last = Last::Atom;
    }

    /// Behind a repetition that began at `start` and has been written.
    fn repeated(&mut self, start: usize) -> Result<(), String> {
        if self.take("?") {
            self.out.push('?');
        }
        match self.last {
            Last::Repeat(first) => {
                Err(format!("invalid nested repetition operator: `{}`", self.since(first)))
            }
            Last::Nothing => Err(format!("missing argument to repetition operator: `{}`", self.since(start))),
            Last::Atom => {
                self.last = Last::Repeat(start);
                Ok(())
            }
        }
    }

    /// `{n}`, `{n,}` or `{n,m}`; `None` where the brace stands for itself.
    fn counts(&mut self) -> Result<Option<String>, String> {
        let start = self.at;
        self.at += 1;
        let Some(min) = self.count() else { return Ok(None) };
        let max = if self.take(",") {
            if self.rest().starts_with('}') { None } else { Some(self.count()) }
        } else {
            Some(Some(min))
        };
        if max == Some(None) || !self.take("}") {
            return Ok(None);
        }
        let max = max.flatten();
        if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min) {
            return Err(format!("invalid repeat count: `{}`", self.since(start)));
        }
        Ok(Some(match max {
            Some(max) => format!("{{{min},{max}}}"),
            None => format!("{{{min},}}"),
        }))
    }

    /// A number without leading zeros; one that is too large is past every bound.
    fn count(&mut self) -> Option<u32> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let text = &self.rest()[..digits];
        if text.is_empty() || (text.len() > 1 && text.starts_with('0')) {
            return None;
        }
        self.at += digits;
        Some(text.parse().unwrap_or(u32::MAX))
    }

    fn group(&mut self) -> Result<(), String> {
        let start = self.at;
        self.at += 1;
        self.last = Last::Nothing;
        self.open += 1;
        if self.open > NESTING_MAX {
            return Err(format!("expression nests too deeply: `{}`", self.source));
        }
        if !self.take("?") {
            self.out.push_str("(?:");
            return Ok(());
        }
        if self.take("P<") || self.take("<") {
            let name_at = self.at;
            let Some(end) = self.rest().find('>') else {
                return Err(format!("invalid named capture: `{}`", &self.source[start..]));
            };
            self.at += end + 1;
            let name = &self.source[name_at..name_at + end];
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(format!("invalid named capture: `{}`", self.since(start)));
            }
            if self.names.contains(&name) {
                return Err(format!("duplicate capture group name: `{name}`"));
            }
            self.names.push(name);
            self.out.push_str("(?:");
            return Ok(());
        }
        let flags_at = self.at;
        let mut negated = false;
        let mut any = false;
        loop {
            match self.next() {
                Some('i' | 'm' | 's' | 'U') => any = true,
                Some('-') if !negated => {
                    negated = true;
                    any = false;
                }
                Some(end @ (':' | ')')) if any || !negated => {
                    let flags = &self.source[flags_at..self.at - 1];
                    if end == ':' {
                        self.out.push_str("(?");
                        self.out.push_str(flags);
                        self.out.push(':');
                    } else {
                        self.open -= 1;
                        if !flags.is_empty() {
                            self.out.push_str(&format!("(?{flags})"));
                        }
                    }
                    return Ok(());
                }
                Some(_) => {
                    return Err(format!("invalid or unsupported Perl syntax: `{}`", self.since(start)));
                }
                None => return Err(format!("missing closing ): `{}`", self.source)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let start = self.at;
        self.last = Last::Atom;
        if self.take("\\Q") {
            let text = self.rest();
            let (text, skipped) = match text.find("\\E") {
                Some(end) => (&text[..end], end + 2),
                None => (text, text.len()),
            };
            self.at += skipped;
            for letter in text.chars() {
                push_letter(letter, &mut self.out);
            }
            return Ok(());
        }
        let known =
            [("\\A", "\\A"), ("\\z", "\\z"), ("\\b", "(?-u:\\b)"), ("\\B", "(?-u:\\B)"), ("\\C", "(?s-u:.)")];
        for (text, form) in known {
            if self.take(text) {
                self.out.push_str(form);
                return Ok(());
            }
        }
        if let Some(class) = self.class_escape()? {
            // ASCII also where case is ignored: letters beyond it fold into some of these.
            let fixed = class.starts_with("\\p") || class.starts_with("\\P");
            self.out.push_str(&if fixed { format!("[{class}]") } else { format!("(?-i:[{class}])") });
            return Ok(());
        }
        let letter = self.letter_escape(start)?;
        push_letter(letter, &mut self.out);
        Ok(())
    }

    /// `\d`, `\pL` and the like, as a part of a class.
    fn class_escape(&mut self) -> Result<Option<String>, String> {
        let perl = [
            ("\\d", "0-9"),
            ("\\D", "[^0-9]"),
            ("\\s", "\\t\\n\\x0C\\r\\x20"),
            ("\\S", "[^\\t\\n\\x0C\\r\\x20]"),
            ("\\w", "0-9A-Za-z_"),
            ("\\W", "[^0-9A-Za-z_]"),
        ];
        for (text, class) in perl {
            if self.take(text) {
                return Ok(Some(class.to_owned()));
            }
        }
        let start = self.at;
        let negated = self.take("\\P");
        if !negated && !self.take("\\p") {
            return Ok(None);
        }
        let name = if self.take("{") {
            let Some(end) = self.rest().find('}') else {
                return Err(format!("invalid character class range: `{}`", &self.source[start..]));
            };
            let name = &self.rest()[..end];
            self.at += end + 1;
            name
        } else {
            let name_at = self.at;
            self.next();
            self.since(name_at)
        };
        let (negated, name) = match name.strip_prefix('^') {
            Some(name) => (!negated, name),
            None => (negated, name),
        };
        let class = format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' });
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || syntax::parse(&class).is_err() {
            return Err(format!("invalid character class range: `{}`", self.since(start)));
        }
        Ok(Some(class))
    }

    /// One character behind a backslash.
    fn letter_escape(&mut self, start: usize) -> Result<char, String> {
        self.at = start + 1;
        let Some(letter) = self.next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        let octal = |byte: Option<&u8>| byte.filter(|byte| (b'0'..=b'7').contains(byte)).copied();
        let found = match letter {
            '1'..='7' if octal(self.rest().as_bytes().first()).is_none() => None,
            '0'..='7' => {
                let mut value = u32::from(letter) - u32::from('0');
                for _ in 0..2 {
                    let Some(digit) = octal(self.rest().as_bytes().first()) else { break };
                    value = value * 8 + u32::from(digit - b'0');
                    self.at += 1;
                }
                char::from_u32(value)
            }
            'x' => self.hexadecimal(),
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            plain if plain.is_ascii() && !plain.is_ascii_alphanumeric() => Some(plain),
            _ => None,
        };
        found.ok_or_else(|| format!("invalid escape sequence: `{}`", self.since(start)))
    }

    /// `41` or `{1F600}`.
    fn hexadecimal(&mut self) -> Option<char> {
        let braced = self.take("{");
        let digits = self.rest().bytes().take_while(u8::is_ascii_hexdigit).count();
        let digits = if braced { digits } else { digits.min(2) };
        let text = &self.rest()[..digits];
        let value = u32::from_str_radix(text, 16).ok();
        self.at += digits;
        let whole = if braced { digits > 0 && self.take("}") } else { digits == 2 };
        if whole { char::from_u32(value?) } else { None }
    }

    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        self.at += 1;
        self.last = Last::Atom;
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let missing = |source: &str| format!("missing closing ]: `{}`", &source[start..]);
        let mut first = true;
        loop {
            if self.rest().is_empty() {
                return Err(missing(self.source));
            }
            if !first && self.take("]") {
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if self.rest().starts_with("[:")
                && let Some(end) = self.rest().find(":]")
            {
                let name = &self.rest()[..end + 2];
                self.at += name.len();
                let known = name.trim_matches(['[', ':', ']']);
                if !POSIX.contains(&known.strip_prefix('^').unwrap_or(known)) {
                    return Err(format!("invalid character class range: `{name}`"));
                }
                self.out.push_str(name);
                continue;
            }
            if let Some(class) = self.class_escape()? {
                self.out.push_str(&class);
                continue;
            }
            let range_at = self.at;
            let low = self.class_letter().ok_or_else(|| missing(self.source))??;
            let mut high = low;
            if self.rest().starts_with('-') && self.rest().len() > 1 && !self.rest().starts_with("-]") {
                self.at += 1;
                high = self.class_letter().ok_or_else(|| missing(self.source))??;
                if high < low {
                    return Err(format!("invalid character class range: `{}`", self.since(range_at)));
                }
            }
            let range = format!("\\x{{{:X}}}-\\x{{{:X}}}", u32::from(low), u32::from(high));
            self.out.push_str(&range);
        }
    }

    /// One character in a class; `None` at the end.
    fn class_letter(&mut self) -> Option<Result<char, String>> {
        let start = self.at;
        match self.next()? {
            '\\' => Some(self.letter_escape(start)),
            letter => Some(Ok(letter)),
        }
    }
}

fn push_letter(letter: char, out: &mut String) {
    if letter.is_alphanumeric() {
        out.push(letter);
    } else {
        out.push_str(&format!("\\x{{{:X}}}", u32::from(letter)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_in(text).unwrap()
    }

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("^2..$", "200", true),
            ("^2..$", "2000", false),
            (r"\d+", "٣", false),
            (r"\D", "٣", true),
            (r"^\w+$", "é", false),
            (r"(?i)^\w$", "\u{212a}", false),
            (r"\bé", "é", false),
            (r"\Bé", "é", true),
            (r"a\sb", "a\u{a0}b", false),
            (r"[\d-]+x", "1-2x", true),
            (r"^[\W]$", "é", true),
            (r"^[^\w]$", "é", true),
            ("a{", "a{", true),
            ("a{,5}", "a{,5}", true),
            ("a{01}", "a{01}", true),
            ("^a{2,}$", "aaa", true),
            ("^a{2}?$", "aa", true),
            ("[[]", "[", true),
            ("[a&&b]", "&", true),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[^a]", "\n", true),
            ("^[+--]$", ",", true),
            ("[[:alpha:]_]", "_", true),
            ("^[[:^alpha:]]$", "é", true),
            (r"\Q.*\E+", ".**", true),
            (r"\Qa.b", "axb", false),
            (r"\p{Greek}\PL\p{^Lu}", "α1a", true),
            (r"\101\x41\x{1F600}\n", "AA😀\n", true),
            (r"\<\>\_\-", "<>_-", true),
            ("(?P<year>[0-9]{4})-(?<m>..)", "2026-11", true),
            ("(?i)STRASSE|x", "strasse", true),
            ("(?s).+(?-s:.)$", "a\nb", true),
            ("(?m)^b$", "a\nb\nc", true),
            ("(?i:A)b", "aB", false),
            ("(a|b)*?c", "ababc", true),
            ("a$", "a\n", false),
            (r"a\z", "a", true),
            ("ü # x", "ü # x", true),
        ] {
            assert_eq!(is_in(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_in_gos_words() {
        for (pattern, error) in [
            ("(", "missing closing ): `(`"),
            ("a(b", "missing closing ): `a(b`"),
            (")", "unexpected ): `)`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a|+?", "missing argument to repetition operator: `+?`"),
            ("(?i)*", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
            ("[a", "missing closing ]: `[a`"),
            ("x[", "missing closing ]: `[`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("[[:nix:]]", "invalid character class range: `[:nix:]`"),
            (r"\p{Nix}", r"invalid character class range: `\p{Nix}`"),
            (r"\p{L", r"invalid character class range: `\p{L`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            (r"\q", r"invalid escape sequence: `\q`"),
            (r"\8", r"invalid escape sequence: `\8`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\x{110000}", r"invalid escape sequence: `\x{110000}`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?P<a b>x)", "invalid named capture: `(?P<a b>`"),
            ("(?P<n>a)(?P<n>b)", "duplicate capture group name: `n`"),
        ] {
            let got = Pattern::new(pattern).map(drop);
            assert_eq!(got, Err(format!("error parsing regexp: {error}")), "{pattern}");
        }
        assert!(Pattern::new(&"(".repeat(300)).unwrap_err().contains("nests too deeply"));
        assert!(Pattern::new(r"((\pL{100}){100}){100}").unwrap_err().contains("too large"));
    }

    /// The automaton of such an expression has as many states as the text has bytes.
    #[test]
    fn a_search_is_given_up_before_it_takes_long() {
        let begun = std::time::Instant::now();
        let pattern = Pattern::new(r"(?:[ab]*a[ab]{900}c|[ab]*b[ab]{899}d)").unwrap();
        let mut seed = 1_u64;
        let text: String = (0..4_000_000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if seed >> 63 == 0 { 'a' } else { 'b' }
            })
            .collect();
        assert_eq!(pattern.is_in(&text), Err(TooCostly));
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    /// Whatever is written down as an expression is one for the engine, or is refused.
    #[test]
    fn no_expression_panics() {
        let parts = [
            "a", "(", ")", "[", "]", "{", "}", "*", "+", "?", "|", "\\", "^", "$", "-", ":", "1", ",", "\\Q",
            "\\E", "(?", "i", "\\p", "L", "[:", ":]", "é", "\\x", "&&",
        ];
        let mut seed = 7_usize;
        for _ in 0..20_000 {
            let mut pattern = String::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                pattern.push_str(parts[(seed >> 33) % parts.len()]);
            }
            if let Ok(translated) = Translator::new(&pattern).run() {
                assert!(syntax::parse(&translated).is_ok(), "{pattern} became {translated}");
            }
        }
    }
}
