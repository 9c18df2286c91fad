//! A script tried over some data: points of any format go through it one by one, and what came of each is shown. For people who
//! write scripts; what is fed goes the way of [`super::hook`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use bumpalo::Bump;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    category::Category,
    draft,
    error::ScriptError,
    hook::carried,
    post::{self, StatusOptions},
    record::{Kind, Record},
    set::ScriptSet,
    text,
    value::Value,
    vm::Host,
};
use crate::buf::Padded;
use crate::codec::line_protocol::{self, Tape};
use crate::point::draft::{Draft, DraftKv, Value as Drafted};
use crate::point::encode::{
    Encoder, Hook, JsonAt, Rules, Stretch, explain_json, explain_protobuf, protobuf::ProtobufError,
};
use crate::point::{Batch, Compat, LIMITS_ONLY, Precision, check, rules};

/// What data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One point, with the text as its `message`.
    Text,
    LineProtocol,
    Json,
    Protobuf,
}

/// A script to be tried.
#[derive(Clone, Copy)]
pub struct Trial<'s> {
    pub set: &'s ScriptSet,
    /// Its place in the set.
    pub at: usize,
    pub category: Category,
    /// The name of points that are made of texts.
    pub name: &'s str,
    pub status: &'s StatusOptions,
    pub host: &'s dyn Host,
}

/// What came of one point.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// None after an error.
    pub point: Option<Shown>,
    pub create_point: Option<Vec<Shown>>,
    pub run_error: Option<ShownError>,
    /// The point as the error left it.
    #[serde(skip)]
    pub left: Option<Shown>,
}

/// A point, as people are shown it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    pub dropped: bool,
    pub name: String,
    pub tags: BTreeMap<String, String>,
    /// As Go writes JSON.
    #[serde(serialize_with = "raw")]
    pub fields: BTreeMap<String, String>,
    /// Seconds.
    pub time: i64,
    /// Nanoseconds beside them.
    pub time_ns: i64,
    #[serde(skip)]
    pub category: Option<Category>,
}

fn raw<S: serde::Serializer>(fields: &BTreeMap<String, String>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(fields.iter().map(|(key, json)| (key, RawValue::from_string(json.clone()).ok())))
}

/// An error of a script.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownError {
    pub pos_chain: Vec<ShownPlace>,
    pub error: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownPlace {
    pub file: String,
    pub ln: i64,
    pub col: i64,
    pub pos: i64,
}

impl ShownError {
    pub fn of(error: &ScriptError) -> ShownError {
        let places = error.places.iter().map(|place| ShownPlace {
            file: place.file.clone(),
            ln: place.line,
            col: place.column,
            pos: place.offset,
        });
        ShownError { pos_chain: places.collect(), error: error.message.clone() }
    }
}

impl Shown {
    fn of(record: &Record<'_>) -> Shown {
        let lossy = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let (mut tags, mut fields) = (BTreeMap::new(), BTreeMap::new());
        for entry in record.entries() {
            match entry.value {
                Value::Str(value) if entry.kind == Kind::Tag => {
                    tags.insert(lossy(entry.key), lossy(value));
                }
                value => {
                    fields.insert(lossy(entry.key), json_of(value, entry.kind));
                }
            }
        }
        Shown {
            dropped: record.dropped,
            name: lossy(record.name),
            tags,
            fields,
            time: record.time.div_euclid(NS_PER_S),
            time_ns: record.time.rem_euclid(NS_PER_S),
            category: Some(record.category),
        }
    }
}

/// What is shown of one piece of data, roughly in bytes: a script can put a long text into each of many points.
pub const SHOWN_BYTES_MAX: usize = 96 << 20;

/// What a point takes beside its texts.
const SHOWN_BYTES: usize = 256;

const NS_PER_S: i64 = 1_000_000_000;

fn json_of(value: Value<'_>, kind: Kind) -> String {
    match value {
        Value::Int(value) if kind == Kind::Uint => (value as u64).to_string(),
        // JSON has no such numbers.
        Value::Float(value) if !value.is_finite() => "null".to_owned(),
        value => {
            let mut out = Vec::new();
            // A point holds neither lists nor maps.
            let _ = text::put_json(&mut out, value, usize::MAX);
            String::from_utf8_lossy(&out).into_owned()
        }
    }
}

/// Data that cannot be read, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadData(pub String);

impl Trial<'_> {
    /// Runs the script over the points of some data. `now_ns` stands in for missing times.
    pub fn run(&self, format: Format, data: &[u8], now_ns: i64) -> Result<Vec<Tried>, BadData> {
        let trying = Trying {
            trial: *self,
            tried: RefCell::default(),
            arena: RefCell::default(),
            left: Cell::new(Some(SHOWN_BYTES_MAX)),
        };
        each(self.category, self.name, format, data, now_ns, &trying)?;
        match trying.left.get() {
            Some(_) => Ok(trying.tried.into_inner()),
            None => Err(BadData(format!("results of more than {SHOWN_BYTES_MAX} bytes"))),
        }
    }

    /// Runs it over and over on the first point of some data, until `until_ns`: how often, and how long that took.
    pub fn repeat(&self, format: Format, data: &[u8], until_ns: i64) -> Result<(u64, i64), BadData> {
        let now_ns = self.host.now_ns();
        let repeating = Repeating { trial: *self, until_ns, done: RefCell::default() };
        each(self.category, self.name, format, data, now_ns, &repeating)?;
        Ok(repeating.done.into_inner())
    }

    /// What the script has summed up over all points so far.
    pub fn finish(&self, tags: &[(String, String)]) -> Vec<Tried> {
        let Some(state) = self.set.state(self.at) else { return Vec::new() };
        state.finish(self.host.now_ns());
        let arena = Bump::new();
        let points = state.take_ready();
        let shown = points.iter().map(|point| Shown::of(&point.record(&arena, tags)));
        shown
            .map(|point| Tried { point: Some(point), create_point: None, run_error: None, left: None })
            .collect()
    }

    /// None where what is left does not do for what is to be shown.
    fn one(&self, point: &Draft<'_>, arena: &Bump, left: &mut usize) -> Option<Tried> {
        let record = draft::read(self.category, point, arena);
        let mut outcome = self.set.run(self.at, record, arena, self.host);
        let mut shown = |record: &Record<'_>| {
            let bytes =
                record.entries().map(|entry| entry.key.len() + text_bytes(entry.value)).sum::<usize>();
            *left = left.checked_sub(SHOWN_BYTES + bytes)?;
            Some(Shown::of(record))
        };
        if let Some(error) = &outcome.error {
            let left = Some(shown(&outcome.record)?);
            let run_error = Some(ShownError::of(error));
            return Some(Tried { point: None, create_point: None, run_error, left });
        }
        post::finish(&mut outcome.record, self.status, arena);
        if let Some(state) = self.set.state(self.at) {
            // For what comes later in the data.
            let _ = state.moved(&outcome.record, self.host.now_ns());
        }
        let created = outcome.record.created.iter().map(&mut shown).collect::<Option<Vec<Shown>>>()?;
        Some(Tried {
            point: Some(shown(&outcome.record)?),
            create_point: (!created.is_empty()).then_some(created),
            run_error: None,
            left: None,
        })
    }
}

fn text_bytes(value: Value<'_>) -> usize {
    // Quotes and such may take six bytes for one.
    if let Value::Str(text) = value { text.len() } else { 0 }
}

/// Has every point of some data met, as it is when it has been checked.
fn each(
    category: Category,
    name: &str,
    format: Format,
    data: &[u8],
    now_ns: i64,
    hook: &dyn Hook,
) -> Result<(), BadData> {
    let rules = Rules {
        category: carried(category).map_or(&LIMITS_ONLY, |category| rules(category, Compat::Datakit184)),
        precision: Precision::Nanos,
        now_ns,
        added_tags: None,
        time_correction: false,
        hook: Some(hook),
    };
    let mut bytes = data.to_vec();
    let body = Padded::pad(&mut bytes);
    let (mut encoder, mut batch) = (Encoder::default(), Batch::default());
    match format {
        Format::Text => {
            let message = DraftKv::field(&b"message"[..], Drafted::Str(data.into()));
            let mut draft =
                Draft { name: name.as_bytes().into(), kvs: vec![message], time: now_ns, ..Draft::default() };
            let mut warns = Vec::new();
            check::check(&mut draft, rules.category, &mut warns);
            hook.meet(&mut draft, &mut |_| ());
        }
        Format::LineProtocol => {
            let mut tape = Tape::default();
            line_protocol::parse(body, &mut tape)
                .map_err(|_| BadData(line_protocol::explain(&body).message))?;
            encoder.encode(body, &tape, &rules, &mut batch);
        }
        Format::Json => {
            let mut at = JsonAt::default();
            encoder
                .encode_json(body, &mut at, Stretch::WHOLE, &rules, &mut batch)
                .map_err(|_| BadData(explain_json(&body)))?;
        }
        Format::Protobuf => {
            let mut at = 0;
            while at < body.len() {
                encoder
                    .encode_protobuf(body, &mut at, Stretch::WHOLE, &rules, &mut batch)
                    .map_err(|_: ProtobufError| BadData(explain_protobuf(&body)))?;
            }
        }
    }
    Ok(())
}

/// Tries the script on every point. None is passed on.
struct Trying<'s> {
    trial: Trial<'s>,
    tried: RefCell<Vec<Tried>>,
    arena: RefCell<Bump>,
    /// Of what may be shown; none once that was too little.
    left: Cell<Option<usize>>,
}

impl fmt::Debug for Trying<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trying").finish_non_exhaustive()
    }
}

impl Hook for Trying<'_> {
    fn meet(&self, point: &mut Draft<'_>, _pass: &mut dyn FnMut(&mut Draft<'_>)) {
        let Some(mut left) = self.left.get() else { return };
        let mut arena = self.arena.borrow_mut();
        match self.trial.one(point, &arena, &mut left) {
            Some(tried) => {
                self.tried.borrow_mut().push(tried);
                self.left.set(Some(left));
            }
            None => self.left.set(None),
        }
        arena.reset();
    }
}

/// Runs the script on the first point alone, again and again.
struct Repeating<'s> {
    trial: Trial<'s>,
    until_ns: i64,
    /// Runs, and nanoseconds.
    done: RefCell<(u64, i64)>,
}

impl fmt::Debug for Repeating<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeating").finish_non_exhaustive()
    }
}

impl Hook for Repeating<'_> {
    fn meet(&self, point: &mut Draft<'_>, _pass: &mut dyn FnMut(&mut Draft<'_>)) {
        let mut done = self.done.borrow_mut();
        if done.0 > 0 {
            return;
        }
        let Trial { set, at, category, status, host, .. } = self.trial;
        let started = host.now_ns();
        let mut arena = Bump::new();
        loop {
            {
                let arena = &arena;
                let mut outcome = set.run(at, draft::read(category, point, arena), arena, host);
                if outcome.error.is_none() {
                    post::finish(&mut outcome.record, status, arena);
                }
            }
            arena.reset();
            done.0 += 1;
            // The clock takes as long as a small script.
            if done.0.is_multiple_of(16) && host.now_ns() >= self.until_ns || host.stopped() {
                break;
            }
        }
        done.1 = host.now_ns() - started;
    }
}
