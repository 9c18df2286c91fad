//! Every instruction set against the obvious way.

use proptest::prelude::*;

use super::*;

const LAYOUT: Layout = Layout { field: 0x12, key: 0x0a, is_tag: [0x40, 1] };

/// One field to write.
#[derive(Clone, Debug)]
enum Piece {
    Tag(Vec<u8>, Vec<u8>),
    Str(Vec<u8>, Vec<u8>),
    Number(Vec<u8>, u64, bool),
}

struct Script<'a> {
    pieces: &'a [Piece],
    unwanted: u8,
    capacity: usize,
}

/// What was written, whether each piece was suspect, and the filter bits of the keys.
type Written = (Vec<u8>, Vec<bool>, Vec<u32>);

impl Kernel for Script<'_> {
    type Output = Written;

    #[inline(always)]
    fn run<I: Isa>(self) -> Written {
        let (mut body, mut spans) = (Vec::new(), Vec::new());
        let mut add = |bytes: &[u8]| {
            spans.push((body.len(), bytes.len()));
            body.extend_from_slice(bytes);
        };
        for piece in self.pieces {
            match piece {
                Piece::Tag(key, value) | Piece::Str(key, value) => {
                    add(key);
                    add(value);
                }
                Piece::Number(key, ..) => add(key),
            }
        }
        let body = Padded::pad(&mut body);
        let sources = Sources::new(body, body);
        let mut texts = spans.into_iter().map(|(at, len)| sources.text(at % 2 == 1, at, len));
        let mut out = Vec::with_capacity(self.capacity);
        out.extend_from_slice(b"before");
        let mut writer: Writer<'_, I> = Writer::new(&mut out, LAYOUT);
        let (mut suspects, mut filters) = (Vec::new(), Vec::new());
        let start = writer.open(0x0a);
        for piece in self.pieces {
            let key = texts.next().unwrap();
            filters.push(key.filter::<I>());
            let suspect = match piece {
                Piece::Tag(..) => writer.text::<true>(key, 0x5a, texts.next().unwrap(), self.unwanted),
                Piece::Str(..) => writer.text::<false>(key, 0x5a, texts.next().unwrap(), self.unwanted),
                Piece::Number(_, value, fixed) => {
                    writer.number(key, if *fixed { 0x21 } else { 0x10 }, *value, *fixed, self.unwanted)
                }
            };
            suspects.push(suspect != 0);
        }
        writer.close(start);
        // A message that is taken back leaves nothing.
        let position = writer.position();
        writer.open(0x0a);
        writer.bytes(&[7; 300]);
        writer.rewind(position);
        writer.varint_field(0x18, 300);
        writer.finish();
        (out, suspects, filters)
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

fn naive(script: &Script<'_>) -> Written {
    let (mut point, mut suspect_list, mut filters) = (Vec::new(), Vec::new(), Vec::new());
    for piece in script.pieces {
        let mut field = Vec::new();
        let bad = |text: &[u8], unwanted: u8| {
            text.is_empty()
                || text.ends_with(b"\\")
                || text.iter().any(|&byte| byte == b'\n' || byte == unwanted)
        };
        let (Piece::Tag(key, _) | Piece::Str(key, _) | Piece::Number(key, ..)) = piece;
        naive_bytes(0x0a, key, &mut field);
        let mut suspect = bad(key, script.unwanted);
        match piece {
            Piece::Tag(_, value) => {
                naive_bytes(0x5a, value, &mut field);
                field.extend_from_slice(&[0x40, 1]);
                suspect |= bad(value, b'\n');
            }
            Piece::Str(_, value) => naive_bytes(0x5a, value, &mut field),
            Piece::Number(_, value, true) => {
                field.push(0x21);
                field.extend_from_slice(&value.to_le_bytes());
            }
            Piece::Number(_, value, false) => {
                field.push(0x10);
                naive_varint(*value, &mut field);
            }
        }
        naive_bytes(0x12, &field, &mut point);
        suspect_list.push(suspect);
        filters.push(key_filter(key));
    }
    let mut out = b"before".to_vec();
    naive_bytes(0x0a, &point, &mut out);
    out.extend_from_slice(&[0x18, 0xac, 0x02]);
    (out, suspect_list, filters)
}

fn text(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![20 => b'a'..=b'z', 1 => Just(b'.'), 1 => Just(b'\\'), 1 => Just(b'\n'), 1 => any::<u8>()];
    prop_oneof![4 => proptest::collection::vec(byte.clone(), 0..40), 1 => proptest::collection::vec(byte, 0..len_max)]
}

fn piece() -> impl Strategy<Value = Piece> {
    let number = prop_oneof![any::<u64>(), (0u32..64).prop_map(|bits| u64::MAX >> bits), 0u64..200];
    prop_oneof![
        (text(300), text(1200)).prop_map(|(key, value)| Piece::Tag(key, value)),
        (text(300), text(1200)).prop_map(|(key, value)| Piece::Str(key, value)),
        (text(300), number, any::<bool>()).prop_map(|(key, value, fixed)| Piece::Number(key, value, fixed)),
    ]
}

proptest! {
    #[test]
    fn all_write_what_the_obvious_way_writes(
        pieces in proptest::collection::vec(piece(), 0..30),
        unwanted in prop_oneof![Just(b'.'), Just(b'\n')],
        capacity in 0usize..2000,
    ) {
        let script = || Script { pieces: &pieces, unwanted, capacity };
        let (bytes, suspects, filters) = naive(&script());
        for (name, written) in [("plain", run_plain(script())), ("best", run(script()))] {
            prop_assert_eq!(&written.0, &bytes, "{}", name);
            prop_assert_eq!(&written.1, &suspects, "{}", name);
            prop_assert_eq!(&written.2, &filters, "{}", name);
        }
    }
}

#[test]
fn lengths_of_every_width_are_closed() {
    for len in [0usize, 1, 110, 123, 124, 125, 126, 127, 128, 200, 16_370, 16_383, 16_384, 20_000, 2_100_000]
    {
        let pieces = [Piece::Str(b"k".to_vec(), vec![b'v'; len])];
        let script = || Script { pieces: &pieces, unwanted: b'.', capacity: 0 };
        assert_eq!(run(script()), naive(&script()), "{len}");
        assert_eq!(run_plain(script()), naive(&script()), "{len}");
    }
}

#[test]
#[should_panic(expected = "BUG: a span")]
fn a_span_outside_its_source_is_refused() {
    let mut body = b"abc".to_vec();
    let body = Padded::pad(&mut body);
    Sources::new(body, body).text(false, 2, 2);
}
