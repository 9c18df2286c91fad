//! `fmt.Sprintf` of Go over the values of scripts, with its ways of saying that a verb and a value do not fit.

use super::{
    number::{Style, format_float, format_int},
    url::quoted,
};

/// Widest field and longest precision: Go's.
const WIDTH_MAX: usize = 1_000_000;
/// Longest result; what goes past it is cut. A format of a few bytes can ask for any number of them.
const OUT_BYTES_MAX: usize = 1 << 20;
/// Deepest list in a list that is written out.
const DEPTH_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub enum Arg<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'a [u8]),
    List(Vec<Arg<'a>>),
    /// Sorted by key when written.
    Map(Vec<(&'a [u8], Arg<'a>)>),
}

impl Arg<'_> {
    fn type_name(&self) -> &'static str {
        match self {
            Arg::Nil => "<nil>",
            Arg::Bool(_) => "bool",
            Arg::Int(_) => "int64",
            Arg::Float(_) => "float64",
            Arg::Str(_) => "string",
            Arg::List(_) => "[]interface {}",
            Arg::Map(_) => "map[string]interface {}",
        }
    }
}

/// Flags, width and precision of one verb.
#[derive(Debug, Default, Clone, Copy)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%#v`
    go_syntax: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Printer {
    out: Vec<u8>,
}

/// Writes `args` as `format` says.
pub fn sprintf(format: &str, args: &[Arg<'_>]) -> Vec<u8> {
    let mut printer = Printer { out: Vec::with_capacity(format.len() + 16) };
    let mut used = 0;
    // An explicit index may leave some out: then nothing is said about too many.
    let mut reordered = false;
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        printer.text(&rest.as_bytes()[..at]);
        rest = printer.verb(&rest[at + 1..], args, &mut used, &mut reordered);
        if printer.out.len() > OUT_BYTES_MAX {
            break;
        }
    }
    if printer.out.len() <= OUT_BYTES_MAX {
        printer.text(rest.as_bytes());
        if !reordered && used < args.len() {
            printer.extra(&args[used..]);
        }
    }
    printer.out.truncate(OUT_BYTES_MAX);
    printer.out
}

/// A number at the start of `text`; too large ones are `None`.
fn digits(text: &str) -> (Option<usize>, bool, &str) {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let value = text[..end].parse().ok().filter(|value| *value <= WIDTH_MAX);
    (value, end > 0, &text[end..])
}

/// `[n]` at the start of `text`: the place it names, whether one stands there, and what follows.
fn index(text: &str, count: usize) -> (Option<usize>, bool, &str) {
    let Some(inner) = text.strip_prefix('[') else { return (None, false, text) };
    let Some((number, after)) = inner.split_once(']') else { return (None, true, inner) };
    let place = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).filter(|n| *n < count);
    (place, true, after)
}

impl Printer {
    fn text(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// From behind a percent sign; what follows the verb.
    fn verb<'f>(
        &mut self,
        format: &'f str,
        args: &[Arg<'_>],
        used: &mut usize,
        reordered: &mut bool,
    ) -> &'f str {
        let mut spec = Spec::default();
        let mut rest = format;
        while let Some(flag) = rest.bytes().next() {
            match flag {
                b'#' => spec.sharp = true,
                b'0' => spec.zero = true,
                b'+' => spec.plus = true,
                b'-' => spec.minus = true,
                b' ' => spec.space = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let good = std::cell::Cell::new(true);
        let mut take_index = |rest: &mut &'f str, used: &mut usize| {
            let (place, found, after) = index(rest, args.len());
            if found {
                *rest = after;
                *reordered = true;
                match place {
                    Some(place) => *used = place,
                    None => good.set(false),
                }
            }
            found
        };
        let mut after_index = take_index(&mut rest, used);
        let star = |used: &mut usize| {
            let value = args.get(*used);
            *used = (*used + 1).min(args.len());
            match value {
                Some(Arg::Int(n)) if n.unsigned_abs() <= WIDTH_MAX as u64 => Some(*n),
                _ => None,
            }
        };
        if let Some(after) = rest.strip_prefix('*') {
            rest = after;
            match star(used) {
                Some(n) => {
                    spec.minus |= n < 0;
                    spec.width = Some(n.unsigned_abs() as usize);
                }
                None => self.text(b"%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            let (width, found, after) = digits(rest);
            if found && after_index {
                good.set(false);
            }
            if found && width.is_none() {
                self.text(b"%!(BADWIDTH)");
            }
            spec.width = width;
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            if after_index {
                good.set(false);
            }
            after_index = take_index(&mut rest, used);
            if let Some(after) = rest.strip_prefix('*') {
                rest = after;
                match star(used) {
                    Some(n) if n >= 0 => spec.precision = Some(n as usize),
                    Some(_) => {}
                    None => self.text(b"%!(BADPREC)"),
                }
                after_index = false;
            } else {
                let (precision, found, after) = digits(rest);
                spec.precision = if found { precision } else { Some(0) };
                rest = after;
            }
        }
        if !after_index {
            take_index(&mut rest, used);
        }
        let Some(verb) = rest.chars().next() else {
            self.text(b"%!(NOVERB)");
            return rest;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            self.text(b"%");
        } else if !good.get() {
            self.text(format!("%!{verb}(BADINDEX)").as_bytes());
        } else if let Some(arg) = args.get(*used) {
            *used += 1;
            if verb == 'v' {
                spec.go_syntax = spec.sharp;
                spec.sharp = false;
                spec.plus = false;
            }
            self.arg(arg, verb, spec, 0);
        } else {
            self.text(format!("%!{verb}(MISSING)").as_bytes());
        }
        rest
    }

    fn extra(&mut self, args: &[Arg<'_>]) {
        self.text(b"%!(EXTRA ");
        for (n, arg) in args.iter().enumerate() {
            if n > 0 {
                self.text(b", ");
            }
            self.text(arg.type_name().as_bytes());
            if *arg != Arg::Nil {
                self.text(b"=");
                self.arg(arg, 'v', Spec::default(), 0);
            }
        }
        self.text(b")");
    }

    fn bad(&mut self, arg: &Arg<'_>, verb: char, spec: Spec, depth: usize) {
        self.text(format!("%!{verb}({}", arg.type_name()).as_bytes());
        if *arg != Arg::Nil {
            self.text(b"=");
            self.arg(arg, 'v', spec, depth + 1);
        }
        self.text(b")");
    }

    fn arg(&mut self, arg: &Arg<'_>, verb: char, spec: Spec, depth: usize) {
        if depth > DEPTH_MAX || self.out.len() > OUT_BYTES_MAX {
            return;
        }
        if verb == 'T' {
            return self.pad(arg.type_name().as_bytes(), spec);
        }
        match arg {
            Arg::Nil if verb == 'v' || depth > 0 => self.pad(b"<nil>", spec),
            Arg::Bool(value) if matches!(verb, 't' | 'v') => self.pad(value.to_string().as_bytes(), spec),
            Arg::Int(value) => match verb {
                'v' | 'd' => self.integer(*value, 10, verb, spec),
                'b' => self.integer(*value, 2, verb, spec),
                'o' | 'O' => self.integer(*value, 8, verb, spec),
                'x' | 'X' => self.integer(*value, 16, verb, spec),
                'c' => self.pad(character(*value).to_string().as_bytes(), spec),
                'q' => {
                    let text = quoted(character(*value).to_string().as_bytes());
                    let inner = text.trim_matches('"').replace("\\\"", "\"").replace('\'', "\\'");
                    self.pad(format!("'{inner}'").as_bytes(), spec);
                }
                'U' => {
                    let places = spec.precision.unwrap_or(4).max(4);
                    let mut text = format!("U+{:0>places$X}", *value);
                    if spec.sharp && (0x20..=0x10_ffff).contains(value) {
                        text.push_str(&format!(" '{}'", character(*value)));
                    }
                    self.pad(text.as_bytes(), Spec { zero: false, ..spec });
                }
                _ => self.bad(arg, verb, spec, depth),
            },
            Arg::Float(value) => match verb {
                'v' | 'g' => self.float(*value, Style::General, spec.precision, false, spec),
                'G' => self.float(*value, Style::General, spec.precision, true, spec),
                'e' | 'E' => {
                    self.float(*value, Style::Exponent, spec.precision.or(Some(6)), verb == 'E', spec)
                }
                'f' | 'F' => self.float(*value, Style::Plain, spec.precision.or(Some(6)), false, spec),
                _ => self.bad(arg, verb, spec, depth),
            },
            Arg::Str(text) => match verb {
                'v' if spec.go_syntax => self.pad(quoted(text).as_bytes(), spec),
                'v' | 's' => self.pad(cut(text, spec.precision), spec),
                'q' => self.pad(quoted(cut(text, spec.precision)).as_bytes(), spec),
                'x' | 'X' => self.hex(text, verb == 'X', spec),
                _ => self.bad(arg, verb, spec, depth),
            },
            Arg::List(items) => {
                let (open, between, close) =
                    if spec.go_syntax { ("[]interface {}{", ", ", "}") } else { ("[", " ", "]") };
                self.text(open.as_bytes());
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        self.text(between.as_bytes());
                    }
                    self.item(item, verb, spec, depth);
                }
                self.text(close.as_bytes());
            }
            Arg::Map(pairs) => {
                let (open, between, close) =
                    if spec.go_syntax { ("map[string]interface {}{", ", ", "}") } else { ("map[", " ", "]") };
                let mut sorted: Vec<&(&[u8], Arg<'_>)> = pairs.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                self.text(open.as_bytes());
                for (n, (key, value)) in sorted.into_iter().enumerate() {
                    if n > 0 {
                        self.text(between.as_bytes());
                    }
                    self.item(&Arg::Str(key), verb, spec, depth);
                    self.text(b":");
                    self.item(value, verb, spec, depth);
                }
                self.text(close.as_bytes());
            }
            Arg::Nil | Arg::Bool(_) => self.bad(arg, verb, spec, depth),
        }
    }

    fn item(&mut self, item: &Arg<'_>, verb: char, spec: Spec, depth: usize) {
        match item {
            Arg::Nil if spec.go_syntax => self.text(b"interface {}(nil)"),
            Arg::Nil => self.text(b"<nil>"),
            item => self.arg(item, verb, spec, depth + 1),
        }
    }

    fn pad(&mut self, text: &[u8], spec: Spec) {
        let len = text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum();
        let missing = spec.width.unwrap_or(0).saturating_sub(len);
        let filler = if spec.zero && !spec.minus { b'0' } else { b' ' };
        if !spec.minus {
            self.out.extend(std::iter::repeat_n(filler, missing));
        }
        self.text(text);
        if spec.minus {
            self.out.extend(std::iter::repeat_n(filler, missing));
        }
    }

    fn integer(&mut self, value: i64, base: u32, verb: char, spec: Spec) {
        let magnitude = format_int(value, base).unwrap_or_default();
        let mut digits = magnitude.trim_start_matches('-').to_owned();
        let sign = match value {
            ..0 => "-",
            _ if spec.plus => "+",
            _ if spec.space => " ",
            _ => "",
        };
        let mut places = spec.precision.unwrap_or(0);
        if spec.precision == Some(0) && value == 0 {
            return self.pad(b"", Spec { zero: false, ..spec });
        }
        if spec.precision.is_none() && spec.zero && !spec.minus {
            places = spec.width.unwrap_or(0).saturating_sub(sign.len());
        }
        digits = format!("{digits:0>places$}");
        let mut prefix = "";
        if spec.sharp {
            prefix = match (base, verb) {
                (2, _) => "0b",
                (8, 'o') if !digits.starts_with('0') => "0",
                (16, 'X') => "0X",
                (16, _) => "0x",
                _ => "",
            };
        }
        if verb == 'O' {
            prefix = "0o";
        }
        if verb == 'X' {
            digits.make_ascii_uppercase();
        }
        self.pad(format!("{sign}{prefix}{digits}").as_bytes(), Spec { zero: false, ..spec });
    }

    fn float(&mut self, value: f64, style: Style, precision: Option<usize>, upper: bool, spec: Spec) {
        // Past what a double can have, digits are zeros; nobody asks for them.
        let text = format_float(value, style, precision.map(|precision| precision.min(1_100)));
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        let digits = if upper { digits.to_ascii_uppercase() } else { digits.to_owned() };
        let infinite = text.starts_with("+Inf");
        let sign = match (negative, spec) {
            (true, _) => "-",
            (_, Spec { plus: true, .. }) => "+",
            (_, Spec { space: true, .. }) => " ",
            _ if infinite => "+",
            _ => "",
        };
        let places = spec.width.unwrap_or(0).saturating_sub(sign.len());
        if spec.zero && !spec.minus && value.is_finite() {
            self.text(format!("{sign}{digits:0>places$}").as_bytes());
        } else {
            self.pad(format!("{sign}{digits}").as_bytes(), Spec { zero: false, ..spec });
        }
    }

    fn hex(&mut self, text: &[u8], upper: bool, spec: Spec) {
        let text = &text[..text.len().min(spec.precision.unwrap_or(usize::MAX))];
        let lead = match (spec.sharp, upper) {
            (true, true) => "0X",
            (true, false) => "0x",
            _ => "",
        };
        let mut out = String::new();
        for (n, byte) in text.iter().take(OUT_BYTES_MAX).enumerate() {
            if n > 0 && spec.space {
                out.push(' ');
            }
            if n == 0 || spec.space {
                out.push_str(lead);
            }
            out.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(out.as_bytes(), spec);
    }
}

fn character(value: i64) -> char {
    u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The first `most` characters.
fn cut(text: &[u8], most: Option<usize>) -> &[u8] {
    let Some(most) = most else { return text };
    let mut rest = text;
    for _ in 0..most {
        let Some((_, len)) = super::text::first_char(rest) else { break };
        rest = &rest[len..];
    }
    &text[..text.len() - rest.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::lib::golden_tests::{cases, literal};

    fn show(format: &str, args: &[Arg<'_>]) -> String {
        String::from_utf8_lossy(&sprintf(format, args)).into_owned()
    }

    /// The values that the recorded scripts begin with.
    fn variable(name: &str) -> Option<Arg<'static>> {
        Some(match name {
            "x" => Arg::Int(5),
            "y" => Arg::Str(b"s"),
            "z" => Arg::Float(2.5),
            "b" => Arg::Bool(true),
            "l" => Arg::List(vec![Arg::Int(1), Arg::Str(b"a")]),
            "m" => Arg::Map(vec![(b"b", Arg::Int(1)), (b"a", Arg::Int(2))]),
            "n" | "nokey" => Arg::Nil,
            "x + 1" => Arg::Int(6),
            "1e20" => Arg::Float(1e20),
            "100000.0" => Arg::Float(100_000.0),
            "\"lit\"" => Arg::Str(b"lit"),
            number => Arg::Int(number.parse().ok()?),
        })
    }

    #[test]
    fn recorded_answers() {
        let mut covered = 0;
        for case in cases("strings") {
            let Some(call) = case.script.lines().find_map(|line| line.strip_prefix("strfmt(out, ")) else {
                continue;
            };
            let Some((format, rest)) = literal(call) else { continue };
            let names = rest.trim_end_matches(')').split(',').map(str::trim).filter(|name| !name.is_empty());
            let Some(args) = names.map(variable).collect::<Option<Vec<_>>>() else { continue };
            covered += 1;
            assert_eq!(Some(show(&format, &args).as_str()), case.text("out"), "{}", case.name);
        }
        assert!(covered >= 25, "{covered}");
    }

    #[test]
    fn misfits_and_corners() {
        assert_eq!(show("%d", &[Arg::Int(1), Arg::Nil, Arg::Str(b"x")]), "1%!(EXTRA <nil>, string=x)");
        assert_eq!(show("%", &[]), "%!(NOVERB)");
        assert_eq!(show("%[2]d %[1]d", &[Arg::Int(1), Arg::Int(2)]), "2 1");
        assert_eq!(show("%[5]d", &[Arg::Int(1)]), "%!d(BADINDEX)");
        assert_eq!(show("%99999999d", &[Arg::Int(1)]), "%!(BADWIDTH)1");
        assert_eq!(
            show("%+.2f|%08.3f|%-6d|", &[Arg::Float(1.5), Arg::Float(-1.5), Arg::Int(3)]),
            "+1.50|-001.500|3     |"
        );
        assert_eq!(
            show("%x %X %#x %08b", &[Arg::Int(-255), Arg::Int(255), Arg::Int(255), Arg::Int(5)]),
            "-ff FF 0xff 00000101"
        );
        assert_eq!(
            show("%.2s|%5s|%q", &[Arg::Str("éèe".as_bytes()), Arg::Str("é".as_bytes()), Arg::Str(b"\n")]),
            "éè|    é|\"\\n\""
        );
        assert_eq!(show("%d", &[Arg::List(vec![Arg::Nil, Arg::Float(1.0)])]), "[<nil> %!d(float64=1)]");
        assert!(show(&"%900000d".repeat(20), &vec![Arg::Int(1); 20]).len() <= OUT_BYTES_MAX);
        for cut in 0..24 {
            show(&"%+-# 0[1]*.[2]*é%*.*v[%[d"[cut.min(9)..], &[Arg::Int(3), Arg::Nil]);
        }
    }
}
