//! Both readers on recorded bodies, on edge cases by name, and against each other.

mod cases;

use super::*;
use crate::codec::line_protocol::tape::unspan;

/// A tape as text: name, then key-values sorted by key, points joined by `; `.
fn show(tape: &Tape, body: &[u8]) -> String {
    let points: Vec<String> = tape.points.iter().map(|point| show_point(tape, body, point)).collect();
    points.join("; ")
}

fn show_point(tape: &Tape, body: &[u8], point: &PointSpan) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut kvs: Vec<(Vec<u8>, String)> = tape
        .kvs_of(point)
        .iter()
        .map(|kv| {
            let shown = match kv.kind {
                Kind::Array => {
                    let shown = tape.items_of(kv.value).iter();
                    let shown: Vec<String> = shown
                        .map(|item| show_value(tape, body, item.kind, item.in_arena, item.value))
                        .collect();
                    format!("[{}]", shown.join(" "))
                }
                kind => show_value(tape, body, kind, kv.flags & Kv::VALUE_IN_ARENA != 0, kv.value),
            };
            (tape.key(body, kv).to_vec(), shown)
        })
        .collect();
    kvs.sort();
    let mut out = text(tape.name(body, point));
    for (key, shown) in kvs {
        out.push_str(&format!(" {}={shown}", text(&key)));
    }
    out
}

fn show_value(tape: &Tape, body: &[u8], kind: Kind, in_arena: bool, value: u64) -> String {
    let text = || String::from_utf8_lossy(tape.text_at(body, in_arena, value)).into_owned();
    match kind {
        Kind::Tag => format!("t:{}", text()),
        Kind::Str => format!("s:{}", text()),
        Kind::Int => format!("i:{}", value as i64),
        Kind::Uint => format!("u:{value}"),
        Kind::Float => format!("f:{:?}", f64::from_bits(value)),
        Kind::Bool => format!("b:{}", value == 1),
        Kind::Bytes => {
            use base64::Engine as _;
            let (start, len) = unspan(value);
            format!("d:{}", base64::engine::general_purpose::STANDARD.encode(&tape.arena[start..start + len]))
        }
        Kind::Array => unreachable!("an array in an array"),
    }
}

/// What a reader makes of a body, as the recorded cases write it.
fn outcome(result: Result<(), Failure>, tape: &Tape, body: &[u8]) -> String {
    match result {
        Ok(()) => show(tape, body),
        Err(failure) => {
            let lines = failure.message.strip_prefix("invalid lineprotocol: ").unwrap();
            let lines = lines.split_once("\nwith ").unwrap().0;
            format!("!{lines}")
        }
    }
}

fn plain_outcome(body: &[u8]) -> String {
    let mut tape = Tape::default();
    let result = plain::parse(body, &mut tape);
    outcome(result, &tape, body)
}

#[test]
fn the_plain_reader_answers_as_datakit_did() {
    for (body, expected) in cases::RECORDED {
        assert_eq!(&plain_outcome(body), expected, "body {:?}", body.escape_ascii().to_string());
    }
}

fn fast_outcome(level: Level, body: &[u8]) -> String {
    let mut buffer = body.to_vec();
    let padded = Padded::pad(&mut buffer);
    let mut tape = Tape::default();
    let result = parse_on(level, padded, &mut tape);
    outcome(result, &tape, body)
}

#[test]
fn the_vector_reader_answers_as_datakit_did() {
    for (body, expected) in cases::RECORDED {
        for level in Level::available() {
            assert_eq!(
                &fast_outcome(level, body),
                expected,
                "{level:?} {:?}",
                body.escape_ascii().to_string()
            );
        }
    }
}

/// What the recorded bodies do not cover. Follows from the same grammar.
#[test]
fn edge_cases() {
    let long_key = |bytes: usize| format!("m,{}=v f=1i", "k".repeat(bytes - "m,=v".len()));
    let long_field = |bytes: usize| format!("m {}=1i", "k".repeat(bytes - "m".len() - 4));
    let refused = |line: &str, bytes: usize| {
        format!("!unable to parse '{line}'(pos: 1): max key length exceeded: {bytes} > 65535")
    };
    let cases: Vec<(String, String)> = vec![
        // A string with a comma as the first element: mended.
        (r#"m f=["a,b","c"] 5"#.into(), "m f=[s:a,b s:c]".into()),
        (r#"m f=["a\",b","c"]"#.into(), "m f=[s:a\",b s:c]".into()),
        // Values that look like an array and are none drop the point.
        ("m f=[1i]x\nn f=1i".into(), "n f=i:1".into()),
        ("m f=[1i]]n f=1i".into(), "! f=1i".into()),
        ("m f=[1i,,2i]\nn f=1i".into(), "n f=i:1".into()),
        // Floats in arrays are converted by other rules than floats alone.
        ("m f=[1,nan,-Inf,+5,1_0]".into(), "m f=[f:1.0 f:NaN f:-inf f:5.0 f:10.0]".into()),
        ("m f=[NaN]".into(), "m".into()),
        ("m f=[0.1,0x10]\nn f=1i".into(), "n f=i:1".into()),
        // Integers of arrays may have a sign, unsigned ones may not.
        ("m f=[+1i,-2i]".into(), "m f=[i:1 i:-2]".into()),
        ("m f=[+1u]\nn f=1i".into(), "n f=i:1".into()),
        // Base64 may contain line breaks and stray bits.
        ("m f=\"YW\nJj\"b,g=\"YR==\"b".into(), "m f=d:YWJj g=d:YQ==".into()),
        // The first byte of a tag value may be anything but a separator.
        ("m,t==x f=1i".into(), "m f=i:1 t=t:=x".into()),
        // Quotes escaped and not escaped are the same key.
        (r#"m "q"=1i,\"q\"=2i"#.into(), "m \"q\"=i:2".into()),
        (r#"m,a\,b=t a\,b=2i,c=3i"#.into(), "m a,b=t:t c=i:3".into()),
        // An escape escapes an escape's separator.
        (r"m a\\ b=1i".into(), r"!unable to parse 'm a\\ b=1i'(pos: 1): invalid field format".into()),
        // A line swallows the byte behind a surplus bracket.
        ("m f=1i]\nn f=2i".into(), "!unable to parse 'm f=1i]'(pos: 1): invalid number".into()),
        // Blanks: before a line, in the gaps, not elsewhere.
        (" \t\0m f=1i \0\t5 ".into(), "m f=i:1".into()),
        ("m \tf=1i".into(), "m f=i:1".into()),
        ("m \t=1i,g=2i".into(), "m g=i:2".into()),
        // Escaped newlines.
        ("m f=\"a\\\nb\"".into(), "m f=s:a\\\nb".into()),
        ("m\\\nn f=1i".into(), "m\\\nn f=i:1".into()),
        // Numbers at the edges of the quick conversions.
        ("m a=123456789012345i,b=-1234567890123456i,c=0.123456789012345,d=12345678901234.5".into(),
            "m a=i:123456789012345 b=i:-1234567890123456 c=f:0.123456789012345 d=f:12345678901234.5".into()),
        ("m a=-0,b=-0i,c=-0.0,d=00.10,e=1.,f=.5,g=-.5".into(),
            "m a=f:-0.0 b=i:0 c=f:-0.0 d=f:0.1 e=f:1.0 f=f:0.5 g=f:-0.5".into()),
        ("m a=999999999999999999i,b=1e22,c=9007199254740993,d=0.30000000000000004,e=5u,f=-5u".into(),
            "!unable to parse 'm a=999999999999999999i,b=1e22,c=9007199254740993,d=0.30000000000000004,e=5u,f=-5u'(pos: 1): invalid number".into()),
        ("m a=999999999999999999i,b=1e22,c=9007199254740993,d=0.30000000000000004,e=5u".into(),
            "m a=i:999999999999999999 b=f:1e22 c=f:9007199254740992.0 d=f:0.30000000000000004 e=u:5".into()),
        // The limit on keys.
        (long_key(65535 - 5), format!("m f=i:1 {}=t:v", "k".repeat(65530 - 4))),
        (long_key(65536 - 5), refused(&long_key(65536 - 5), 65536)),
        (long_key(65536), refused(&long_key(65536), 65536)),
        (long_field(65535), format!("m {}=i:1", "k".repeat(65530))),
        (long_field(65536), refused(&long_field(65536), 65536)),
    ];
    for (body, expected) in cases {
        if let Some(lost) = expected.strip_prefix("! ") {
            assert!(plain_outcome(body.as_bytes()).contains(lost), "{body}");
        } else {
            assert_eq!(plain_outcome(body.as_bytes()), expected, "{body:.100}");
        }
        fuzz_differential(body.as_bytes());
    }
}

#[test]
fn times_are_taken_as_written() {
    let time = |text: &str| {
        let mut body = format!("m f=1i {text}").into_bytes();
        let mut tape = Tape::default();
        let result = parse(Padded::pad(&mut body), &mut tape);
        result.map(|()| tape.points[0].time)
    };
    assert_eq!(time(""), Ok(None));
    for text in ["0", "7", "-5", "1710321406", "1710321406000", "1710321406000000", "1710321406000000000"] {
        assert_eq!(time(text), Ok(Some(text.parse().unwrap())), "{text}");
    }
    for text in ["9223372036854775806", "-9223372036854775806", "9219999999999999999", "123456789012345678"] {
        assert_eq!(time(text), Ok(Some(text.parse().unwrap())), "{text}");
    }
    for text in ["9223372036854775807", "-9223372036854775807", "-9223372036854775808"] {
        let message = time(text).unwrap_err().message;
        assert!(
            message.contains("): time outside range -9223372036854775806 - 9223372036854775806\n"),
            "{message}"
        );
    }
}

#[test]
fn the_report_counts_and_quotes() {
    let mut body = b"bad1\nm f=[1i,x] 1\nbad2 f=\xff\"".to_vec();
    let failure = parse(Padded::pad(&mut body), &mut Tape::default()).unwrap_err();
    assert_eq!((failure.points_ok, failure.points_failed), (1, 2));
    assert_eq!(
        failure.message,
        "invalid lineprotocol: unable to parse 'bad1'(pos: 1): missing fields\n\
         unable to parse 'bad2 f=\u{fffd}\"'(pos: 19): invalid boolean\n\
         with 1 point parse ok, 2 points failed. Origin data: \"bad1\\nm f=[1i,x] 1\\nbad2 f=\\xff\\\"\""
    );
}

#[test]
fn what_is_lost_is_counted() {
    let cases: [(&str, u32, u32); 6] = [
        ("m f=1i,g=[]", 0, 0),
        ("m f=\"!\"b", 1, 0),
        ("m f=\"YQ==\"bx,g=1", 1, 0),
        ("m f=[1i,2u]", 1, 0),
        ("m f=[1i,2.5]\nm f=[1i] 5\nm f=\"\"b", 2, 0),
        ("m f=[NaN]", 0, 1),
    ];
    for (body, points, values) in cases {
        let mut bytes = body.as_bytes().to_vec();
        let mut tape = Tape::default();
        parse(Padded::pad(&mut bytes), &mut tape).unwrap();
        assert_eq!((tape.lost_points, tape.lost_values), (points, values), "{body}");
    }
}

#[test]
fn the_arena_is_padded() {
    let mut body = br#"m f="a\"b""#.to_vec();
    let body = Padded::pad(&mut body);
    let mut tape = Tape::default();
    parse(body, &mut tape).unwrap();
    let kv = tape.kvs[0];
    assert_eq!(tape.text(&body, &kv), b"a\"b");
    assert_eq!(tape.arena.len(), 3 + crate::buf::PADDING);
}

#[test]
fn lines_longer_than_windows() {
    for len in [1 << 10, 1 << 14, 1 << 16, (1 << 20) - 8, 3 << 20] {
        let long = format!("a f=1i 1\nb s=\"{}\" 2\nc f=1i 3\n", "x\ny,".repeat(len / 4));
        fuzz_differential(long.as_bytes());
        let unended = format!("b s=\"{}", "x,y\n".repeat(len / 4));
        fuzz_differential(unended.as_bytes());
        let commas = format!("a f=1i\nb{}", ",k=v".repeat(len / 4));
        fuzz_differential(commas.as_bytes());
    }
}

#[test]
fn many_keys() {
    for keys in [10, 31, 32, 33, 34, 200, 511, 512, 513, 2000] {
        let fields: Vec<String> = (0..keys).map(|i| format!("key_number_{i}_of_many={i}i")).collect();
        let line = format!("m {} 5\n", fields.join(","));
        assert!(fuzz_differential(line.as_bytes()));
        let duplicate = format!("m {},key_number_3_of_many=\"x\",f=1 5\n", fields.join(","));
        assert!(fuzz_differential(duplicate.as_bytes()));
    }
}

#[test]
fn ordinary_lines_are_not_handed_over() {
    let lines: [(&str, usize); 14] = [
        (
            "cpu,host=a,region=us-east-1 usage=12.25,n=7i,neg=-3i,big=123456789012345678i 1700000000000000000",
            0,
        ),
        (
            "log,host=a message=\"he said \\\"x, y=z\\\"\n in C:\\\\srv [1] \\n\",ok=t,u=5u 1700000000000000000",
            0,
        ),
        ("m f=0.30000000000000004,g=1e5,h=-0.5 1710321406", 0),
        ("m f=\"\" 1710321406000", 0),
        ("m f=1", 0),
        ("", 0),
        ("m,os=a\\ b\\,\\=c f=1", 0),
        ("m,o\\ s=a f=1", 1),
        ("m,os=a\\\\b,t=b f=1", 1),
        ("m f=[1i]", 1),
        ("# c", 1),
        ("m  f=1", 1),
        ("m,q=\"x\" f=1", 1),
        ("m,q=\"x f=1", 1),
    ];
    for level in Level::available() {
        for (line, expected) in lines {
            let mut body = format!("a b=1 5\n{line}\na b=1 5\nlast f=1.5").into_bytes();
            fast::HANDED_OVER.set(0);
            parse_on(level, Padded::pad(&mut body), &mut Tape::default()).unwrap();
            assert_eq!(fast::HANDED_OVER.get(), expected, "{level:?} {line}");
        }
    }
}

#[test]
fn fingerprints_survive_their_wrap() {
    let body = "m,a=1,b=2 c=3,d=4 5\n".repeat(70_000);
    assert!(fuzz_differential(body.as_bytes()));
}

mod random;
