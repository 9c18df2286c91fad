//! What fuzzing attacks: every way to read a body must give the points that the plain reader gives, or none.

use super::explain::{NOTHING_WRONG, explain};
use super::{JsonAt, Reader};
use crate::buf::{PADDING, Padded};
use crate::point::draft::Warn;
use crate::point::encode::{Encoder, Rules, Stretch};
use crate::point::pb::{self, PbError, PbPoint};
use crate::point::{Batch, Category, Compat, GlobalTags, Precision, rules};

/// A time in the future, so that some times are corrected.
const NOW_NS: i64 = 1_800_000_000_000_000_000;

/// Bytes of a stretch; the last one takes the body whole.
const BUDGETS: [usize; 4] = [1, 100, 3000, usize::MAX];

/// What stands behind the body must not matter: zeros, and bytes that would go on with a number, a string or an array.
const PADDINGS: [u8; 6] = [0, b'7', b'"', b'}', b',', b'\\'];

/// Reads `data` with every reader, whole and in stretches, in front of changing padding, under the rules of several
/// categories, and panics where the points, the first warning or the refusal differ from those of the plain reader.
/// Returns whether the body is good.
#[doc(hidden)]
pub fn fuzz_differential(data: &[u8]) -> bool {
    let Ok(tags) = GlobalTags::new([("host", "gateway"), ("zone", "z"), ("status", "s")]) else {
        unreachable!("BUG: three tags are too many")
    };
    let mut encoder = Encoder::default();
    let mut buffer = data.to_vec();
    buffer.resize(data.len() + PADDING, 0);
    let mut good = false;
    let categories = [
        (Category::Logging, Compat::Datakit184, true),
        (Category::Metric, Compat::Documented, false),
        (Category::Tracing, Compat::Datakit184, false),
    ];
    for (round, (category, compat, feed)) in categories.into_iter().enumerate() {
        let rules = Rules {
            category: rules(category, compat),
            precision: Precision::Auto,
            now_ns: NOW_NS,
            added_tags: feed.then_some(&tags),
            time_correction: feed,
            hook: None,
        };
        let mut read = |reader, budget, round: usize| {
            // All paddings in turn, without the product of everything.
            buffer[data.len()..].fill(PADDINGS[(data.len() + round) % PADDINGS.len()]);
            outcome(&mut encoder, reader, budget, &buffer, &rules)
        };
        let expected = read(Reader::Plain, usize::MAX, round);
        good = expected.is_some();
        for reader in [Reader::All, Reader::General, Reader::Plain] {
            for (i, budget) in BUDGETS.into_iter().enumerate() {
                let found = read(reader, budget, round + i);
                assert_eq!(found, expected, "{reader:?}, in stretches of {budget}: {}", data.escape_ascii());
            }
        }
    }
    let explained = explain(data);
    assert_eq!(explained == NOTHING_WRONG, good, "{explained}: {}", data.escape_ascii());
    good
}

/// The points of a body and the first warning; `None`: refused.
pub(super) fn outcome(
    encoder: &mut Encoder,
    reader: Reader,
    budget: usize,
    buffer: &[u8],
    rules: &Rules<'_>,
) -> Option<(Vec<Point>, Option<Warn>)> {
    let Some(body) = Padded::new(buffer, buffer.len() - PADDING) else {
        unreachable!("BUG: a buffer that was just padded")
    };
    // Something is there already, as in an open block, and the capacity is tight.
    let mut batch = Batch { bytes: b"\x0a\x00".to_vec(), points: 1 };
    let mut at = JsonAt::default();
    let mut first_warn = None;
    let stretch = Stretch { budget, until: usize::MAX, growth: budget };
    while !at.is_done() {
        let (before, points) = (at, batch.points);
        let warn = encoder.encode_json_by(reader, body, &mut at, stretch, rules, &mut batch).ok()?;
        assert!(at != before, "a call without progress at {}", before.offset);
        assert!(budget != 1 || batch.points <= points + 1, "more than one point in a stretch of one byte");
        first_warn = first_warn.or(warn);
    }
    assert_eq!(at.offset(), body.len());
    match pb::points(&batch.bytes).map(|point| Point::of(&point?)).collect::<Result<Vec<_>, PbError>>() {
        Ok(points) => {
            assert_eq!(points.len(), batch.points as usize);
            Some((points, first_warn))
        }
        Err(error) => unreachable!("BUG: points that cannot be read back: {error}"),
    }
}

/// What a point says, without the order of its fields.
#[derive(Debug, PartialEq)]
pub(super) struct Point {
    name: Vec<u8>,
    time: i64,
    fields: Vec<String>,
    warns: Vec<String>,
    debugs: Vec<Vec<u8>>,
}

impl Point {
    fn of(point: &PbPoint<'_>) -> Result<Point, PbError> {
        let field = |field: Result<_, _>| Ok(format!("{:?}", field?));
        let mut fields = point.fields().map(field).collect::<Result<Vec<_>, PbError>>()?;
        fields.sort();
        let mut warns =
            point.warns().map(|warn| Ok(format!("{:?}", warn?))).collect::<Result<Vec<_>, PbError>>()?;
        warns.sort();
        let debugs = point.debugs().map(|info| Ok(info?.to_vec())).collect::<Result<Vec<_>, PbError>>()?;
        Ok(Point { name: point.name.to_vec(), time: point.time, fields, warns, debugs })
    }
}
