//! The parsers against each other and against Go's answers.

use super::tape::NODES_MAX;
use super::*;

/// A value as text of our own, to compare and to read: strings quoted by Rust, numbers as doubles.
fn show<'a, V: Value<'a>>(value: V) -> String {
    match value.view() {
        View::Null => "null".to_owned(),
        View::Bool(value) => value.to_string(),
        View::Number(number) => match number.to_f64() {
            Some(value) => format!("{value:?}"),
            None => "overflow".to_owned(),
        },
        View::Text(text) => format!("{:?}", String::from_utf8(text.decode().into_owned()).unwrap()),
        View::Array(items) => format!("[{}]", items.map(show).collect::<Vec<_>>().join(",")),
        View::Object(members) => {
            let members = members.map(|(key, value)| {
                let key = String::from_utf8(key.decode().into_owned()).unwrap();
                format!("{key:?}:{}", show(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

fn plain(text: &[u8]) -> Option<String> {
    let mut tape = Tape::default();
    let end = tape.parse(text, 0, DEPTH_MAX).ok()?;
    text[end..].iter().all(|&byte| is_white(byte)).then(|| show(tape.root(text)))
}

fn simd(text: &[u8]) -> Option<String> {
    let (end, shown) = Simd::default().read(text, 0, |value| Some(show(value)))?;
    text[end..].iter().all(|&byte| is_white(byte)).then_some(shown)
}

/// Texts and what they say; `""`: nothing.
const TEXTS: &[(&[u8], &str)] = &[
    (b"{}", "{}"),
    (b"{ \"a\" : [ 1 , -2.5e1 , true , null ] } \n", "{\"a\":[1.0,-25.0,true,null]}"),
    (b"{\"a\":{\"b\":{}},\"a\":[[],[{}]]}", "{\"a\":{\"b\":{}},\"a\":[[],[{}]]}"),
    (b"{\"a\":-0}", "{\"a\":-0.0}"),
    (b"{\"a\":0}", "{\"a\":0.0}"),
    (b"{\"a\":-0.0e5}", "{\"a\":-0.0}"),
    (b"{\"a\":9007199254740993}", "{\"a\":9007199254740992.0}"),
    (b"{\"a\":18446744073709551615}", "{\"a\":1.8446744073709552e19}"),
    (b"{\"a\":-9223372036854775808}", "{\"a\":-9.223372036854776e18}"),
    (b"{\"a\":123456789012345678901234567890}", "{\"a\":1.2345678901234568e29}"),
    (b"{\"a\":1e400}", "{\"a\":overflow}"),
    (b"{\"a\":1e-400}", "{\"a\":0.0}"),
    (b"{\"a\":2.2250738585072011e-308}", "{\"a\":2.225073858507201e-308}"),
    (b"{\"\\u0061\\n\\/\":\"\\ud83d\\ude00\\u4e16\"}", "{\"a\\n/\":\"\u{1f600}\u{4e16}\"}"),
    (b"{\"a\":\"\\ud83d\"}", "{\"a\":\"\u{fffd}\"}"),
    (b"{\"a\":\"\\ude00\\ud83dx\"}", "{\"a\":\"\u{fffd}\u{fffd}x\"}"),
    (b"{\"a\":\"\\ud83d\\ud83d\\ude00\"}", "{\"a\":\"\u{fffd}\u{1f600}\"}"),
    (b"{\"a\":\"\\ud83d\\u0041\"}", "{\"a\":\"\u{fffd}A\"}"),
    (b"{\"a\":\"\\ud83d\\n\"}", "{\"a\":\"\u{fffd}\\n\"}"),
    (b"{\"a\":\"x\xe4\xb8\x96\xe4\xb8y\xff\"}", "{\"a\":\"x\u{4e16}\u{fffd}\u{fffd}y\u{fffd}\"}"),
    (b"{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\u{fffd}\u{fffd}\u{fffd}\"}"),
    (b"{\"a\":\"\xe4\\n\xb8\"}", "{\"a\":\"\u{fffd}\\n\u{fffd}\"}"),
    (b"{\"a\":\"\x7f\"}", "{\"a\":\"\\u{7f}\"}"),
    (b"{\"a\":\"\\u0000\"}", "{\"a\":\"\\0\"}"),
    (b"", ""),
    (b"{", ""),
    (b"{\"a\"", ""),
    (b"{\"a\":", ""),
    (b"{\"a\":1", ""),
    (b"{\"a\":1,}", ""),
    (b"{,}", ""),
    (b"{\"a\":[1,]}", ""),
    (b"{\"a\":[,1]}", ""),
    (b"{\"a\":[1}", ""),
    (b"{\"a\":[1]]}", ""),
    (b"{\"a\" 1}", ""),
    (b"{\"a\"::1}", ""),
    (b"{a:1}", ""),
    (b"{1:1}", ""),
    (b"{\"a\":01}", ""),
    (b"{\"a\":-}", ""),
    (b"{\"a\":+1}", ""),
    (b"{\"a\":.5}", ""),
    (b"{\"a\":1.}", ""),
    (b"{\"a\":1.e5}", ""),
    (b"{\"a\":1e}", ""),
    (b"{\"a\":1e+}", ""),
    (b"{\"a\":0x1}", ""),
    (b"{\"a\":1_0}", ""),
    (b"{\"a\":NaN}", ""),
    (b"{\"a\":nul}", ""),
    (b"{\"a\":nulll}", ""),
    (b"{\"a\":truefalse}", ""),
    (b"{\"a\":True}", ""),
    (b"{\"a\":\"\n\"}", ""),
    (b"{\"a\":\"\x00\"}", ""),
    (b"{\"a\":\"\\x\"}", ""),
    (b"{\"a\":\"\\u12g4\"}", ""),
    (b"{\"a\":\"\\u123\"}", ""),
    (b"{\"a\":\"\\\"}", ""),
    (b"{\"a\":'b'}", ""),
    (b"{\"a\":1}{}", ""),
    (b"{\"a\":1 2}", ""),
    (b"{\"a\":\"b\"\"c\"}", ""),
    (b"\xef\xbb\xbf{}", ""),
    (b"{\"a\":1\x00}", ""),
    (b"{\xa0}", ""),
    (b"{\x0c}", ""),
];

#[test]
fn texts_say_what_they_say_in_go() {
    for (text, expected) in TEXTS {
        let expected = (!expected.is_empty()).then_some(*expected);
        assert_eq!(plain(text).as_deref(), expected, "{}", text.escape_ascii());
        assert_eq!(check(text).is_ok(), expected.is_some(), "{}", text.escape_ascii());
        if let Some(shown) = simd(text) {
            assert_eq!(Some(&*shown), expected, "simd: {}", text.escape_ascii());
        }
    }
}

#[test]
fn simd_json_takes_what_is_ordinary() {
    for (text, expected) in &TEXTS[..9] {
        assert_eq!(simd(text).as_deref(), Some(*expected), "{}", text.escape_ascii());
    }
}

/// Recorded answers, and what Go's scanner says at the ends of tokens.
#[test]
fn errors_are_in_the_words_of_go() {
    let cases: &[(&[u8], &str)] = &[
        (b"not json", "invalid character 'o' in literal null (expecting 'u')"),
        (b"[{}] x", "invalid character 'x' after top-level value"),
        (b"[{},]", "invalid character ']' looking for beginning of value"),
        (b"   ", "unexpected end of JSON input"),
        (b"", "unexpected end of JSON input"),
        (b"\xef\xbb\xbf[]", "invalid character '\u{ef}' looking for beginning of value"),
        (b"m f=1i", "invalid character 'm' looking for beginning of value"),
        (b"{}\n{}", "invalid character '{' after top-level value"),
        (b"[{\"f\":01}]", "invalid character '1' after object key:value pair"),
        (b"[01]", "invalid character '1' after array element"),
        (b"01", "invalid character '1' after top-level value"),
        (b"[{\"f\":+1}]", "invalid character '+' looking for beginning of value"),
        (b"[{b:1}]", "invalid character 'b' looking for beginning of object key string"),
        (b"[{\"a\":1,}]", "invalid character '}' looking for beginning of object key string"),
        (b"[{\"a\" 1}]", "invalid character '1' after object key"),
        (b"[{\"a\":1]", "invalid character ']' after object key:value pair"),
        (b"[1}", "invalid character '}' after array element"),
        (b"[", "unexpected end of JSON input"),
        (b"{\"a\"", "unexpected end of JSON input"),
        (b"{\"a", "unexpected end of JSON input"),
        (b"[1", "unexpected end of JSON input"),
        (b"[tr", "invalid character ' ' in literal true (expecting 'u')"),
        (b"[fals", "invalid character ' ' in literal false (expecting 'e')"),
        (b"[nulL", "invalid character 'L' in literal null (expecting 'l')"),
        (b"[-", "invalid character ' ' in numeric literal"),
        (b"[-a", "invalid character 'a' in numeric literal"),
        (b"[1.", "invalid character ' ' after decimal point in numeric literal"),
        (b"[1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"[1e", "invalid character ' ' in exponent of numeric literal"),
        (b"[1e+]", "invalid character ']' in exponent of numeric literal"),
        (b"[\"\\", "invalid character ' ' in string escape code"),
        (b"[\"\\x", "invalid character 'x' in string escape code"),
        (b"[\"\\u12", "invalid character ' ' in \\u hexadecimal character escape"),
        (b"[\"\\u12g", "invalid character 'g' in \\u hexadecimal character escape"),
        (b"[\"\n", "invalid character '\\n' in string literal"),
        (b"[\"\x01", "invalid character '\\x01' in string literal"),
        (b"[']", "invalid character '\\'' looking for beginning of value"),
        (b"{\\", "invalid character '\\\\' looking for beginning of object key string"),
        (b"[1\"", "invalid character '\"' after array element"),
        (b"\x80", "invalid character '\\u0080' looking for beginning of value"),
        (b"\xad", "invalid character '\\u00ad' looking for beginning of value"),
        (b"\xff", "invalid character '\u{ff}' looking for beginning of value"),
        (b"\x7f", "invalid character '\\x7f' looking for beginning of value"),
        (b"\x0b", "invalid character '\\v' looking for beginning of value"),
    ];
    for (text, expected) in cases {
        let error = check(text).unwrap_err().to_string();
        assert_eq!(error, *expected, "{}", text.escape_ascii());
    }
}

#[test]
fn depth_is_bounded_where_go_bounds_it_and_nothing_recurses() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let width = open.matches(['[', '{']).count();
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth / width), close.repeat(depth / width));
        let (good, bad) = (nested(DEPTH_MAX), nested(DEPTH_MAX + 2));
        assert!(check(good.as_bytes()).is_ok(), "{open}");
        assert!(Tape::default().parse(good.as_bytes(), 0, DEPTH_MAX).is_ok(), "{open}");
        assert!(Tape::default().parse(bad.as_bytes(), 0, DEPTH_MAX).is_err(), "{open}");
        let error = check(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("exceeded max depth"), "{open}: {error}");
        // However deep it is meant to be.
        let endless = open.repeat(1_000_000);
        assert!(check(endless.as_bytes()).is_err());
        assert_eq!(Tape::default().parse(endless.as_bytes(), 0, DEPTH_MAX), Err(Malformed::Syntax));
        assert!(Simd::default().read(endless.as_bytes(), 0, |_| Some(())).is_none());
    }
}

#[test]
fn a_tape_has_a_bound() {
    let items = format!("[{}1]", "1,".repeat(NODES_MAX));
    assert_eq!(Tape::default().parse(items.as_bytes(), 0, DEPTH_MAX), Err(Malformed::TooLarge));
    let items = format!("[{}1]", "1,".repeat(NODES_MAX - 2));
    assert_eq!(Tape::default().parse(items.as_bytes(), 0, DEPTH_MAX), Ok(items.len()));
}

#[test]
fn numbers_in_strings_are_json_texts() {
    let of =
        |raw: &'static str| Number::in_string(raw.as_bytes()).map(|number| number.and_then(Number::to_i64));
    assert_eq!(of("5"), Some(Some(5)));
    assert_eq!(of(" -5\t"), Some(Some(-5)));
    assert_eq!(of("-0"), Some(Some(0)));
    assert_eq!(of("null"), Some(None));
    // A number, but none of these.
    assert_eq!(of("1.0"), Some(None));
    assert_eq!(of("9223372036854775808"), Some(None));
    for raw in ["", " ", "05", "+5", "5 5", "x", "true", "\\u0035", "5x", "NaN"] {
        assert_eq!(of(raw), None, "{raw}");
    }
    assert_eq!(Number::Text(b"18446744073709551615").to_u64(), Some(u64::MAX));
    assert_eq!(Number::Text(b"-0").to_u64(), None);
    assert_eq!(Number::Int(0).to_u64(), None);
    assert_eq!(Number::Text(b"1e400").to_f64(), None);
    assert_eq!(Number::Int(0).to_f64().map(f64::to_bits), Some((-0.0_f64).to_bits()));
}
