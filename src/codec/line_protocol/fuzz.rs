//! What fuzzing attacks: the vector reader must say what the plain reader says, on any bytes.

use super::{Failure, Kind, Kv, PointSpan, Tape, parse_plain, parse_some_on};
use crate::buf::{PADDING, Padded};
use crate::simd::Level;

/// Budgets of pieces to read in; the last one takes the body whole.
const BUDGETS: [usize; 4] = [1, 300, 5000, usize::MAX];

/// What stands behind the body must not matter: zeros, and bytes that would continue a number, a string or a line.
const PADDINGS: [u8; 5] = [0, b'7', b'"', b'\n', b'\\'];

/// Reads `data` as a body with every instruction set of this machine, whole and in pieces, in front of changing
/// padding, and panics where the points or the failure differ from those of the plain reader. Returns whether the
/// body is good.
#[doc(hidden)]
pub fn fuzz_differential(data: &[u8]) -> bool {
    let mut tape = Tape::default();
    let mut buffer = data.to_vec();
    buffer.resize(data.len() + PADDING, 0);
    let expected = read_plain(pad(&buffer), &mut tape);
    for level in Level::available() {
        for (i, budget) in BUDGETS.into_iter().enumerate() {
            // All paddings in turn, without the product of everything.
            let padding = PADDINGS[(data.len() + i) % PADDINGS.len()];
            buffer[data.len()..].fill(padding);
            let found = read_in_pieces(level, budget, pad(&buffer), &mut tape);
            assert_eq!(
                found,
                expected,
                "{level:?}, in pieces of {budget}, padding {padding:#x}: {}",
                data.escape_ascii()
            );
        }
    }
    expected.is_ok()
}

fn pad(buffer: &[u8]) -> Padded<'_> {
    match Padded::new(buffer, buffer.len() - PADDING) {
        Some(body) => body,
        None => unreachable!("BUG: a buffer that was just padded"),
    }
}

/// The points of a body, how many points and values were lost; or its failure.
type Outcome = Result<(Vec<Point>, u32, u32), Failure>;

/// A point, free of tape and body.
#[derive(Debug, PartialEq)]
struct Point {
    name: Vec<u8>,
    tags: u32,
    kvs: Vec<(Vec<u8>, Kind, Value)>,
    time: Option<i64>,
}

#[derive(Debug, PartialEq)]
enum Value {
    Bits(u64),
    Text(Vec<u8>),
    Items(Vec<(Kind, Value)>),
}

fn read_plain(body: Padded<'_>, tape: &mut Tape) -> Outcome {
    parse_plain(body, tape)?;
    Ok((points(&body, tape), tape.lost_points, tape.lost_values))
}

fn read_in_pieces(level: Level, budget: usize, body: Padded<'_>, tape: &mut Tape) -> Outcome {
    let mut all = (Vec::new(), 0, 0);
    let mut from = 0;
    while from < body.len() {
        let next = parse_some_on(level, body, from, budget, tape).map_err(|_| super::explain(&body))?;
        assert!(next > from, "BUG: no progress at {from}");
        assert!(
            next >= body.len().min(from.saturating_add(budget)),
            "BUG: stopped at {next}, before the budget"
        );
        all.0.extend(points(&body, tape));
        all.1 += tape.lost_points;
        all.2 += tape.lost_values;
        from = next;
    }
    Ok(all)
}

fn points(body: &[u8], tape: &Tape) -> Vec<Point> {
    tape.points.iter().map(|span| point(body, tape, span)).collect()
}

fn point(body: &[u8], tape: &Tape, span: &PointSpan) -> Point {
    let kv = |kv: &Kv| {
        let value = value(body, tape, kv.kind, kv.flags & Kv::VALUE_IN_ARENA != 0, kv.value);
        (tape.key(body, kv).to_vec(), kv.kind, value)
    };
    Point {
        name: tape.name(body, span).to_vec(),
        tags: span.tags,
        kvs: tape.kvs_of(span).iter().map(kv).collect(),
        time: span.time,
    }
}

fn value(body: &[u8], tape: &Tape, kind: Kind, in_arena: bool, bits: u64) -> Value {
    match kind {
        Kind::Int | Kind::Float | Kind::Bool | Kind::Uint => Value::Bits(bits),
        Kind::Tag | Kind::Str | Kind::Bytes => Value::Text(tape.text_at(body, in_arena, bits).to_vec()),
        Kind::Array => {
            let items = tape.items_of(bits).iter();
            Value::Items(
                items
                    .map(|item| (item.kind, value(body, tape, item.kind, item.in_arena, item.value)))
                    .collect(),
            )
        }
    }
}
