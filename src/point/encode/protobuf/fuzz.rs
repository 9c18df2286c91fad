//! What fuzzing attacks: the fast way must say what the plain one says, on any bytes.

use crate::buf::{PADDING, Padded};
use crate::point::draft::Warn;
use crate::point::encode::{Encoder, ProtobufError, Rules, Stretch};
use crate::point::pb::{self, PbPart};
use crate::point::{Batch, Category, Compat, GlobalTags, Precision, rules};

use super::explain;

const NOW_NS: i64 = 1_800_000_000_000_000_000;

/// Each asks for something else: strings dropped; a required key, refused keys and dots; only limits.
const CATEGORIES: [Category; 3] = [Category::Metric, Category::Logging, Category::Network];

/// What stands behind the body must not matter: zeros, and bytes that would continue a varint or begin a field.
const PADDINGS: [u8; 4] = [0, 0xff, 0x12, 0x18];

/// Budgets of pieces to read in.
const BUDGETS: [usize; 3] = [1, 300, usize::MAX];

/// Encodes `data` as a body under changing rules, in pieces, in front of changing padding, and panics where the points,
/// the first warning or the error differ from those of the plain way. Returns whether the body is good.
#[doc(hidden)]
pub fn fuzz_differential(data: &[u8]) -> bool {
    let mut buffer = data.to_vec();
    buffer.resize(data.len() + PADDING, 0);
    let Ok(tags) = GlobalTags::new([("host", "gateway"), ("zone", "z"), ("status", "s")]) else {
        unreachable!("BUG: three tags are too many");
    };
    let mut good = true;
    for (i, category) in CATEGORIES.into_iter().enumerate() {
        let rules = Rules {
            category: rules(category, Compat::Datakit184),
            precision: if i == 1 { Precision::Seconds } else { Precision::Auto },
            now_ns: NOW_NS,
            added_tags: (i != 2).then_some(&tags),
            time_correction: i == 0,
            hook: None,
        };
        buffer[data.len()..].fill(PADDINGS[(data.len() + i) % PADDINGS.len()]);
        let Some(body) = Padded::new(&buffer, data.len()) else { unreachable!("BUG: padded above") };
        let budget = BUDGETS[(data.len() / 4 + i) % BUDGETS.len()];
        let plain = encode(body, &rules, usize::MAX, Encoder::encode_protobuf_plain);
        let fast = encode(body, &rules, budget, Encoder::encode_protobuf);
        assert_eq!(fast, plain, "{category:?}, in pieces of {budget}: {}", data.escape_ascii());
        good = match &plain {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(explain(data), error.to_string(), "{}", data.escape_ascii());
                false
            }
        };
    }
    good
}

type Encode = fn(
    &mut Encoder,
    Padded<'_>,
    &mut usize,
    Stretch,
    &Rules<'_>,
    &mut Batch,
) -> Result<Option<Warn>, ProtobufError>;

/// What a body comes to: its points, and the first warning.
pub(super) type Outcome = Result<(Vec<Meaning>, Option<Warn>), ProtobufError>;

pub(super) fn encode(body: Padded<'_>, rules: &Rules<'_>, budget: usize, encode: Encode) -> Outcome {
    let mut encoder = Encoder::default();
    // Something is there already, as in an open block.
    let mut batch = Batch { bytes: b"\x0a\x00".to_vec(), points: 1 };
    let (mut at, mut first_warn) = (0, None);
    while at < body.len() {
        let before = at;
        let stretch = Stretch { budget, ..Stretch::WHOLE };
        let warn = encode(&mut encoder, body, &mut at, stretch, rules, &mut batch)?;
        assert!(at > before, "BUG: no progress at {at}");
        first_warn = first_warn.or(warn);
    }
    assert_eq!(at, body.len(), "BUG: beyond the end");
    Ok((meanings(&batch), first_warn))
}

/// What a point says, without the order of its fields.
#[derive(Debug, PartialEq)]
pub(super) struct Meaning {
    pub(super) name: Vec<u8>,
    pub(super) time: i64,
    pub(super) fields: Vec<String>,
    pub(super) warns: Vec<String>,
    pub(super) debugs: Vec<Vec<u8>>,
}

/// The points of a batch, behind the one that was there before.
pub(super) fn meanings(batch: &Batch) -> Vec<Meaning> {
    let mut points = Vec::new();
    let mut rest = batch.bytes.as_slice();
    while !rest.is_empty() {
        match pb::first(rest) {
            Ok((Some(point), bytes)) => {
                points.push(meaning(point));
                rest = &rest[bytes..];
            }
            other => panic!("BUG: {other:?} in encoded points"),
        }
    }
    assert_eq!(points.len(), batch.points as usize, "BUG: points are not counted");
    points.remove(0);
    points
}

fn meaning(point: &[u8]) -> Meaning {
    let (mut fields, mut warns, mut debugs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut name, mut times) = (Vec::new(), Vec::new());
    for part in pb::parts(point) {
        match part {
            Ok(PbPart::Name(bytes)) => name = bytes.to_vec(),
            Ok(PbPart::Time(time)) => times.push(time),
            Ok(PbPart::Field(field)) => fields.push(format!("{field:?}")),
            Ok(PbPart::Warn(warn)) => warns.push(format!("{warn:?}")),
            Ok(PbPart::Debug(info)) => debugs.push(info.to_vec()),
            Err(error) => panic!("BUG: {error} in an encoded point"),
        }
    }
    fields.sort();
    assert!(times.len() <= 1, "BUG: more than one time");
    Meaning { name, time: times.first().copied().unwrap_or_default(), fields, warns, debugs }
}
