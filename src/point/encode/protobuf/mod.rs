//! From a protobuf body to `PBPoints` bytes in the open block.
//!
//! What comes in has the form of what goes out, so a point that no rule would change is not taken apart: `fast` walks
//! over it where it stands, asks of its keys and values what the rules ask, and copies it in one piece, with what is
//! added to it and its time behind. Whatever it does not know at sight goes through [`plain`]: every part read, all
//! rules in order, written anew; unknown fields are left behind there. Both give points of equal meaning.
//!
//! DataKit checks such points once, with the category's rules. Warnings and debugs that a point brings stay with it.
//! Of Go's behaviour two things are not copied: a tag that is no string (it crashes there) refuses the body, and so
//! does an array or map that cannot be read, which there whoever reads it next finds out.

mod fast;
pub mod fuzz;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::buf::Padded;
use crate::point::check::{self, FIELDS_MAX, LeftOut, TAGS_MAX};
use crate::point::draft::{Draft, DraftKv, Value, Warn};
use crate::point::pb::{self, PbError, PbField, PbPart, PbValue, PbWarn};
use crate::point::time::{Resolved, resolve_signed};
use crate::point::{Batch, quote, wire};
use crate::simd::wire as simd_wire;

use super::general::{Written, time_warn, write_with};
use super::{Encoder, GENERAL_COST, Rules, Stretch};

/// A point costs as much as this many bytes at least, however small it is: it grows by tags, defaults and a time.
const POINT_COST_BYTES: usize = 64;

/// Why a body cannot be read. Shown as Go's generated code words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtobufError {
    Wire(PbError),
    /// A field is marked as a tag and holds no string. (DataKit crashes.)
    TagNotString {
        key: Vec<u8>,
    },
}

impl std::fmt::Display for ProtobufError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProtobufError::Wire(error) => error.fmt(f),
            ProtobufError::TagNotString { key } => {
                let mut quoted = Vec::new();
                quote(key, &mut quoted);
                write!(f, "tag {} is not a string", String::from_utf8_lossy(&quoted))
            }
        }
    }
}

impl std::error::Error for ProtobufError {}

impl From<PbError> for ProtobufError {
    fn from(error: PbError) -> ProtobufError {
        ProtobufError::Wire(error)
    }
}

impl Encoder {
    /// Appends the points of a protobuf body from `at` on to `batch`, as far as `stretch` says; `at` moves on, and all
    /// is done when it has reached the end. The result is the first warning of the first point that has one. After an
    /// error the batch may hold points of the body.
    pub fn encode_protobuf(
        &mut self,
        body: Padded<'_>,
        at: &mut usize,
        stretch: Stretch,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Result<Option<Warn>, ProtobufError> {
        if rules.hook.is_some_and(|hook| !hook.spares()) {
            return self.encode_protobuf_plain(body, at, stretch, rules, batch);
        }
        // Two fields of the encoder, borrowed apart.
        let mut keys = self.keys.take().unwrap_or_default();
        let walk = Walk { at, stretch, spent: 0, first_warn: None };
        let required = self.required(rules.category);
        let result = simd_wire::run(fast::Points { body, walk, rules, required, keys: &mut keys, batch });
        self.keys = Some(keys);
        result
    }

    /// As [`Encoder::encode_protobuf`], by the plain way alone: what the fast one is tested against.
    pub fn encode_protobuf_plain(
        &mut self,
        body: Padded<'_>,
        at: &mut usize,
        stretch: Stretch,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Result<Option<Warn>, ProtobufError> {
        let floor = batch.bytes.len();
        let mut walk = Walk { at, stretch, spent: 0, first_warn: None };
        while walk.goes_on(body.len(), batch.bytes.len() - floor) {
            batch.points += walk.any(&body, rules, &mut batch.bytes)?;
        }
        Ok(walk.first_warn)
    }
}

/// How far a call has come.
struct Walk<'s> {
    at: &'s mut usize,
    stretch: Stretch,
    /// Of the stretch's budget.
    spent: usize,
    first_warn: Option<Warn>,
}

impl Walk<'_> {
    /// Whether there is another point, and it belongs to this call.
    #[inline(always)]
    fn goes_on(&self, body_len: usize, growth: usize) -> bool {
        let Stretch { budget, until, growth: growth_max } = self.stretch;
        let bounded = self.spent >= budget || *self.at >= until || growth >= growth_max;
        *self.at < body_len && (self.spent == 0 || !bounded)
    }

    #[inline(always)]
    fn pass(&mut self, bytes: usize, cost: usize) {
        *self.at += bytes;
        self.spent = self.spent.saturating_add(bytes.max(POINT_COST_BYTES).saturating_mul(cost));
    }

    /// The next field of the body, whatever it is: a point by the plain way, or one to be skipped. The result is how
    /// many points were written.
    fn any(&mut self, body: &[u8], rules: &Rules<'_>, out: &mut Vec<u8>) -> Result<u32, ProtobufError> {
        let rest = body.get(*self.at..).unwrap_or_default();
        let (point, bytes) = pb::first(rest)?;
        let mut points = 0;
        if let Some(point) = point {
            let written = plain(point, rules, out)?;
            self.first_warn = self.first_warn.take().or(written.warn);
            points = written.points;
        }
        self.pass(bytes, GENERAL_COST);
        Ok(points)
    }
}

/// What is wrong with a body: the error that reading it ends with, in Go's words. Reads it once more, about 10 ns a
/// byte, and needs nothing but the body.
pub fn explain(body: &[u8]) -> String {
    match read_through(body) {
        Err(error) => error.to_string(),
        Ok(()) => "nothing is wrong".to_owned(),
    }
}

fn read_through(mut body: &[u8]) -> Result<(), ProtobufError> {
    while !body.is_empty() {
        let (point, bytes) = pb::first(body)?;
        for part in pb::parts(point.unwrap_or_default()) {
            if let PbPart::Field(field) = part? {
                key_value(field)?;
            }
        }
        body = body.get(bytes..).unwrap_or_default();
    }
    Ok(())
}

/// Appends one point to `out`, whatever it is made of.
fn plain(bytes: &[u8], rules: &Rules<'_>, out: &mut Vec<u8>) -> Result<Written, ProtobufError> {
    let mut draft = Draft::default();
    let mut time = 0;
    let mut brought = None;
    let mut left_out = LeftOut::default();
    let (mut fields, mut tags) = (0, 0);
    for part in pb::parts(bytes) {
        match part? {
            PbPart::Name(name) => draft.name = Cow::Borrowed(name),
            PbPart::Time(given) => time = given,
            PbPart::Warn(warn) => brought = brought.or(Some(warn)),
            PbPart::Debug(_) => {}
            PbPart::Field(field) => {
                let kv = key_value(field)?;
                let (count, max, left_out) = match kv.is_tag {
                    true => (&mut tags, TAGS_MAX, &mut left_out.tags),
                    false => (&mut fields, FIELDS_MAX, &mut left_out.fields),
                };
                if *count < max {
                    *count += 1;
                    draft.kvs.push(kv);
                } else {
                    *left_out += 1;
                }
            }
        }
    }
    let mut warns = Vec::new();
    check::check_rest(&mut draft, left_out, rules.category, &mut warns);
    draft.time = match resolve_signed(time, rules.precision) {
        Resolved::Given(ns) => ns,
        Resolved::Now => rules.now_ns,
        Resolved::Negative | Resolved::OutOfRange => {
            warns.push(time_warn("is out of range", Some(time)));
            rules.now_ns
        }
    };
    draft.warns = warns;
    // Read once more rather than kept: a body may be made of warnings.
    let copy = |out: &mut Vec<u8>| pb::parts(bytes).flatten().for_each(|part| put_brought(part, out));
    let written = write_with(draft, Vec::new(), copy, rules, out);
    Ok(Written { warn: brought.map(as_warn).or(written.warn), ..written })
}

fn key_value<'a>(field: PbField<'a>) -> Result<DraftKv<'a>, ProtobufError> {
    let value = match field.value {
        PbValue::Nil => Value::Nil,
        PbValue::Int(value) => Value::Int(value),
        PbValue::Uint(value) => Value::Uint(value),
        PbValue::Float(value) => Value::Float(value),
        PbValue::Bool(value) => Value::Bool(value),
        PbValue::Bytes(value) => Value::Bytes(value.into()),
        PbValue::Any(value) => {
            pb::check_any(value)?;
            Value::Any(value.into())
        }
        PbValue::Str(value) => Value::Str(value.into()),
    };
    if field.is_tag && !matches!(value, Value::Str(_)) {
        return Err(ProtobufError::TagNotString { key: field.key.to_vec() });
    }
    Ok(DraftKv {
        key: field.key.into(),
        value,
        is_tag: field.is_tag,
        metric_type: field.metric_type,
        unit: field.unit.into(),
    })
}

/// A warning that came with a point, as strict mode reports it.
fn as_warn(warn: PbWarn<'_>) -> Warn {
    let kind = String::from_utf8_lossy(warn.kind).into_owned();
    Warn { kind: Cow::Owned(kind), message: warn.message.to_vec() }
}

/// Appends a warning or debug entry as it came, and nothing else. What is empty is left out, so that it does not grow.
fn put_brought(part: PbPart<'_>, out: &mut Vec<u8>) {
    let mut put = |tag, texts: [(u8, &[u8]); 2]| {
        wire::put_message(out, tag, |out| {
            for (tag, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
                wire::put_bytes(out, tag, text);
            }
        });
    };
    match part {
        PbPart::Warn(warn) => {
            put(wire::POINT_WARN, [(wire::WARN_TYPE, warn.kind), (wire::WARN_MESSAGE, warn.message)])
        }
        PbPart::Debug(info) => put(wire::POINT_DEBUG, [(wire::DEBUG_INFO, info), (wire::DEBUG_INFO, b"")]),
        PbPart::Name(_) | PbPart::Field(_) | PbPart::Time(_) => {}
    }
}
