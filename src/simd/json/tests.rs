//! Every instruction set against the obvious way.

use proptest::prelude::*;

use super::*;
use crate::simd::wire::{Isa, Layout, Writer, run, run_plain};

const LAYOUT: Layout = Layout { field: 0x12, key: 0x0a, is_tag: [0x40, 1] };

/// What stands behind a body must not matter: zeros, and bytes that would continue a string, a number or white space.
const PADDINGS: [u8; 6] = [0, b'"', b'7', b' ', b'\\', 0xff];

/// `text` as a body in front of `padding`.
fn with_padding(text: &[u8], padding: u8) -> Vec<u8> {
    let mut buffer = text.to_vec();
    buffer.resize(text.len() + PADDING, padding);
    buffer
}

fn padded(buffer: &[u8]) -> Padded<'_> {
    Padded::new(buffer, buffer.len() - PADDING).unwrap()
}

/// What the primitives say of the start of a body.
struct Look<'a>(Padded<'a>);

impl Kernel for Look<'_> {
    type Output = (Marks, Vec<u8>, Number, Option<u64>);

    #[inline(always)]
    fn run<I: Isa>(self) -> Self::Output {
        let at = self.0.with_padding().as_ptr();
        let mut copy = vec![0; 32];
        // SAFETY: the padding alone is longer than 32 bytes.
        unsafe {
            let marks = I::copy_string(at, copy.as_mut_ptr(), b'.');
            (marks, copy, I::number(at), I::digits16(at))
        }
    }
}

fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,20}",
        "-?[0-9]{1,9}\\.[0-9]{1,9}",
        "-?[0-9]{1,12}\\.?[0-9]{0,12}([eE][+-]?[0-9]{1,3})?",
        "[0-9.eE+-]{0,20}",
        "-?(0|1)(\\.0+)?(e[0-9]{0,4})?",
        "-?922337203685477580[0-9]{0,2}",
        any::<f64>().prop_map(|value| format!("{value}")),
        (-1000.0..1000.0).prop_map(|value: f64| format!("{value:e}")),
        any::<i64>().prop_map(|value| format!("{value}")),
    ]
}

proptest! {
    #[test]
    fn all_see_the_same_in_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..70), text in number_text()) {
        for body in [bytes, text.into_bytes()] {
            for padding in PADDINGS {
                let buffer = with_padding(&body, padding);
                let (marks, copy, number, digits) = run_plain(Look(padded(&buffer)));
                let (best_marks, best_copy, best_number, best_digits) = run(Look(padded(&buffer)));
                prop_assert_eq!(marks, best_marks);
                prop_assert_eq!(&copy, &best_copy);
                prop_assert_eq!(&copy, &buffer[..32]);
                prop_assert_eq!(digits, best_digits);
                prop_assert_eq!(number.len, best_number.len);
                prop_assert_eq!(number.wrong == 0, best_number.wrong == 0);
                if number.wrong == 0 {
                    prop_assert_eq!(number, Number { wrong: 0, ..best_number });
                }
            }
        }
    }

    #[test]
    fn numbers_are_what_the_standard_library_says(text in number_text(), end in "[,}\" ]", quoted in any::<bool>()) {
        let literal = if quoted { format!("\"{text}\"") } else { text };
        for padding in PADDINGS {
            for whole in [literal.clone(), format!("{literal}{end}")] {
                let buffer = with_padding(whole.as_bytes(), padding);
                for is_int in [false, true] {
                    for time in [false, true] {
                        let take = || Take { body: padded(&buffer), is_int, time };
                        let taken = run(take());
                        prop_assert_eq!(taken, run_plain(take()));
                        let expected = expected_number(&literal, is_int || time, quoted && is_int && !time);
                        if let Some((_, len)) = taken {
                            prop_assert!(len <= whole.len());
                        }
                        // What is left is looked at by the caller: it must not be the rest of a number. (At the end of
                        // a body nothing is complete, and anything may be said.)
                        let complete = taken.filter(|(_, len)| *len == literal.len());
                        if whole != literal {
                            let bits = complete.map(|(bits, _)| bits);
                            prop_assert_eq!(bits, expected, "{} {:#x}", whole, padding);
                        }
                    }
                }
            }
        }
    }
}

/// Takes a number from the start of a body: its bits, and how long it is.
struct Take<'a> {
    body: Padded<'a>,
    is_int: bool,
    time: bool,
}

impl Kernel for Take<'_> {
    type Output = Option<(u64, usize)>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Self::Output {
        let mut cursor = Cursor::new(self.body, 0);
        let bits = if self.time { cursor.time::<I>()? as u64 } else { cursor.number::<I>(self.is_int)? };
        Some((bits, self.body.len() - cursor.left()))
    }
}

/// By serde_json's grammar and the standard library's conversions.
fn expected_number(literal: &str, is_int: bool, may_be_quoted: bool) -> Option<u64> {
    let text = if may_be_quoted { literal.strip_prefix('"')?.strip_suffix('"')? } else { literal };
    // It wants a whole document; white space is none of a number's.
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let text = text.trim();
    if !text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return None;
    }
    if is_int {
        return text.parse::<i64>().ok().filter(|value| *value != 0 || text == "0").map(|value| value as u64);
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(f64::to_bits)
}

/// One member of an object.
#[derive(Clone, Debug)]
enum Piece {
    Tag(String),
    Str(String),
    Number(u64, bool),
}

/// A body of members, read and written.
struct Script<'a> {
    body: Padded<'a>,
    pieces: &'a [(String, Piece)],
    capacity: usize,
}

/// What was written, which pieces were suspect, and whether there was anything beyond ASCII; `None` if refused.
type WrittenAll = Option<(Vec<u8>, Vec<bool>, bool)>;

impl Kernel for Script<'_> {
    type Output = WrittenAll;

    #[inline(always)]
    fn run<I: Isa>(self) -> WrittenAll {
        let mut out = Vec::with_capacity(self.capacity);
        out.extend_from_slice(b"before");
        let mut writer: Writer<'_, I> = Writer::new(&mut out, LAYOUT);
        let mut cursor = Cursor::new(self.body, 0);
        let mut suspects = Vec::new();
        let start = writer.open(0x0a);
        writer.string_field(0x0a, &mut cursor)?;
        for (_, piece) in self.pieces {
            cursor.expect(b',')?;
            let field = writer.field(&mut cursor, b':', b'.')?;
            let suspect = field.suspect();
            cursor.space();
            let more = match piece {
                Piece::Tag(_) => field.string(0x5a, &mut cursor)?.tag(),
                Piece::Str(text) => {
                    let written = field.string(0x5a, &mut cursor)?;
                    assert_eq!(written.text_len(), text.len());
                    0
                }
                Piece::Number(value, fixed) => {
                    field.number(if *fixed { 0x21 } else { 0x10 }, *value, *fixed);
                    0
                }
            };
            suspects.push(suspect | more != 0);
        }
        let high = cursor.take_high();
        assert!(!cursor.take_high());
        writer.close(start);
        writer.finish();
        (cursor.left() == 0).then_some((out, suspects, high))
    }
}

fn naive_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn naive_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    naive_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// `high` is a matter of how the pieces are written down.
fn naive(name: &str, pieces: &[(String, Piece)], high: bool) -> WrittenAll {
    let (mut point, mut suspects) = (Vec::new(), Vec::new());
    naive_bytes(0x0a, name.as_bytes(), &mut point);
    for (key, piece) in pieces {
        let mut field = Vec::new();
        naive_bytes(0x0a, key.as_bytes(), &mut field);
        let mut suspect = key.is_empty() || key.contains('.');
        match piece {
            Piece::Tag(text) | Piece::Str(text) => {
                naive_bytes(0x5a, text.as_bytes(), &mut field);
                if matches!(piece, Piece::Tag(_)) {
                    field.extend_from_slice(&[0x40, 1]);
                    suspect |= text.contains('\n') || text.ends_with('\\');
                }
            }
            Piece::Number(value, true) => {
                field.push(0x21);
                field.extend_from_slice(&value.to_le_bytes());
            }
            Piece::Number(value, false) => {
                field.push(0x10);
                naive_varint(*value, &mut field);
            }
        }
        naive_bytes(0x12, &field, &mut point);
        suspects.push(suspect);
    }
    let mut out = b"before".to_vec();
    naive_bytes(0x0a, &point, &mut out);
    Some((out, suspects, high))
}

/// A text and one of the ways to write it down.
fn literal(text: &str, style: u8) -> String {
    let mut out = String::from("\"");
    for (index, character) in text.chars().enumerate() {
        let must = matches!(character, '"' | '\\' | '\0'..='\x1f');
        let short = "\"\\/\u{8}\u{c}\n\r\t".find(character).map(|at| &"\"\\/bfnrt"[at..=at]);
        match short {
            Some(short) if style.is_multiple_of(3) && (must || index.is_multiple_of(2)) => {
                out.push_str(&format!("\\{short}"))
            }
            _ if must || (style % 5 == 1 && index.is_multiple_of(4)) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&if style.is_multiple_of(2) {
                        format!("\\u{unit:04x}")
                    } else {
                        format!("\\u{unit:04X}")
                    });
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

fn plain_text(len_max: usize) -> impl Strategy<Value = String> {
    let character = prop_oneof![30 => prop::char::range('a', 'z'), 1 => Just('.'), 1 => Just('é'), 1 => Just('日'), 1 => Just('😀')];
    let chars = prop_oneof![
        4 => proptest::collection::vec(character.clone(), 0..40),
        1 => proptest::collection::vec(character, 0..len_max),
    ];
    chars.prop_map(String::from_iter)
}

fn any_text() -> impl Strategy<Value = String> {
    let odd = prop_oneof![
        30 => prop::char::range('a', 'z'),
        2 => prop::sample::select(vec!['"', '\\', '/', '\n', '\t', '\r', '\u{8}', '\u{c}', '\0', '\x1f', '\x7f']),
        1 => any::<char>(),
    ];
    prop_oneof![
        plain_text(1200),
        proptest::collection::vec(odd.clone(), 0..40).prop_map(String::from_iter),
        proptest::collection::vec(odd, 0..900).prop_map(String::from_iter),
        "[a-z]{100,130}",
        "[a-z]{16370,16390}",
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let number = prop_oneof![any::<u64>(), (0u32..64).prop_map(|bits| u64::MAX >> bits), 0u64..200];
    prop_oneof![
        any_text().prop_map(Piece::Tag),
        any_text().prop_map(Piece::Str),
        (number, any::<bool>()).prop_map(|(value, fixed)| Piece::Number(value, fixed)),
    ]
}

proptest! {
    #[test]
    fn all_write_what_the_obvious_way_writes(
        name in plain_text(100),
        pieces in proptest::collection::vec((plain_text(300), piece()), 0..12),
        styles in proptest::collection::vec(any::<u8>(), 12),
        capacity in 0usize..2000,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = format!("\"{name}\"");
        for ((key, piece), style) in pieces.iter().zip(styles) {
            text.push_str(&format!(",\"{key}\":{}", if style.is_multiple_of(2) { " " } else { "" }));
            if let Piece::Tag(value) | Piece::Str(value) = piece {
                text.push_str(&literal(value, style));
            }
        }
        let expected = naive(&name, &pieces, !text.is_ascii());
        for padding in PADDINGS {
            let buffer = with_padding(text.as_bytes(), padding);
            let script = |buffer| Script { body: padded(buffer), pieces: &pieces, capacity };
            prop_assert_eq!(&run(script(&buffer)), &expected);
            prop_assert_eq!(&run_plain(script(&buffer)), &expected);
        }
        // A body that ends too early is refused, whatever stands behind it. (A space at the end is none of a token's.)
        let cut = cut.index(text.trim_end().len());
        for padding in PADDINGS {
            let buffer = with_padding(&text.as_bytes()[..cut], padding);
            let script = || Script { body: padded(&buffer), pieces: &pieces, capacity };
            let (best, plain) = (run(script()), run_plain(script()));
            prop_assert_eq!(&best, &plain);
            prop_assert_eq!(best, None, "{} {:#x}", &text.as_bytes()[..cut].escape_ascii(), padding);
        }
    }

    #[test]
    fn strings_are_what_serde_json_says(mut text in "[ -~]{0,70}", at in any::<prop::sample::Index>(), odd in prop::sample::select(vec![
        "\"", "\\", "\\\"", "\\u", "\\u00e9", "\\ud800", "\\ud83d\\ude00", "\\ud83d\\u0041", "\\udc00", "\\x", "\x1f", "\t", "\n", "\\u00zz", "\\u+123", "\x7f",
    ])) {
        text.insert_str(at.index(text.len() + 1), odd);
        let document = format!("\"name\",\"key\":\"{text}\"");
        let oracle: Option<String> = serde_json::from_str(&format!("\"{text}\"")).ok();
        let expected = oracle.map(|text| vec![("key".to_owned(), Piece::Str(text))]);
        // Where nothing is expected, any length may be asserted away: refused before.
        let pieces = expected.clone().unwrap_or_default();
        for padding in PADDINGS {
            let buffer = with_padding(document.as_bytes(), padding);
            let script = || Script { body: padded(&buffer), pieces: &pieces, capacity: 0 };
            let (best, plain) = (run(script()), run_plain(script()));
            prop_assert_eq!(&best, &plain);
            prop_assert_eq!(best, expected.as_ref().and_then(|pieces| naive("name", pieces, false)));
        }
    }
}

#[test]
fn lengths_of_every_width_are_closed() {
    for len in
        [0usize, 1, 31, 32, 33, 100, 117, 118, 119, 125, 127, 128, 200, 16_370, 16_383, 16_384, 2_100_000]
    {
        for key_len in [1, 32, 33, 200] {
            for tag in [false, true] {
                let (key, value) = ("k".repeat(key_len), "v".repeat(len));
                let text = format!("\"name\",\"{key}\":\"{value}\"");
                let piece = if tag { Piece::Tag(value) } else { Piece::Str(value) };
                let pieces = [(key, piece)];
                let buffer = with_padding(text.as_bytes(), 0);
                let script = || Script { body: padded(&buffer), pieces: &pieces, capacity: 0 };
                let expected = naive("name", &pieces, false);
                assert!(run(script()) == expected, "{key_len} {len}");
                assert!(run_plain(script()) == expected, "{key_len} {len}");
            }
        }
    }
}

#[test]
fn a_cursor_stays_in_its_body() {
    let buffer = with_padding(b"  ", b' ');
    let mut cursor = Cursor::new(padded(&buffer), 0);
    cursor.space();
    assert_eq!(cursor.left(), 0);
    assert_eq!(cursor.skip(1), None);
    assert_eq!(cursor.expect(b' '), None);
    let buffer = with_padding(b"tru", b'e');
    assert_eq!(Cursor::new(padded(&buffer), 0).boolean(), None);
}

#[test]
#[should_panic(expected = "BUG: a cursor at 4 of 3")]
fn a_cursor_outside_its_body_is_refused() {
    Cursor::new(padded(&with_padding(b"abc", 0)), 4);
}
