//! The original source of errors: which `error` points can be given one, what is known already, and what must be asked.
//!
//! A point of the measurement `error` with an `error_stack` gets the field [`RESOLVED`], if an archive of source maps or
//! symbols was uploaded for its application, environment and version. Finding it takes files, unpacking, even external
//! programs, so it is not done here: what is not known becomes a [`Question`], the request is decoded to its end, and
//! somebody else answers ([`Answers`]) before it is decoded again. Where no archive was ever uploaded all of this is one
//! look at a flag.
//!
//! What was found is kept for the next point with the same stack. Nothing here waits: a shard that finds the memory in use
//! by another asks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

mod lru;

pub use lru::Lru;

use crate::point::check::FIELDS_MAX;
use crate::point::draft::{DraftKv, Value};
use crate::point::pb::{self, PbPart, PbPoint, PbValue};
use crate::point::{Batch, Mark, wire};

/// The measurement that has stacks.
const ERROR: &[u8] = b"error";
const STACK: &[u8] = b"error_stack";
/// The field that a resolved stack is put into.
pub const RESOLVED: &str = "error_stack_source_base64";

/// A longer stack is left as it is. SDKs send 256 KiB in all.
pub const STACK_BYTES_MAX: usize = 1 << 20;

/// Stacks of one request that are asked for, and their bytes; points beyond go without. An SDK sends 50 points at once.
const QUESTIONS_MAX: usize = 64;
const QUESTION_BYTES_MAX: usize = 4 << 20;

/// What a request's points may grow by.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Resolved stacks that are kept. An error that many users see comes with the same stack from all of them.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// Whose archive it is: a folder each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Platform {
    Web,
    Miniapp,
    Android,
    Ios,
}

impl Platform {
    pub const ALL: [Platform; 4] = [Platform::Web, Platform::Miniapp, Platform::Android, Platform::Ios];

    /// Its name in parameters, and its folder's.
    pub fn name(self) -> &'static str {
        match self {
            Platform::Web => "web",
            Platform::Miniapp => "miniapp",
            Platform::Android => "android",
            Platform::Ios => "ios",
        }
    }

    pub fn from_name(name: &str) -> Option<Platform> {
        Platform::ALL.into_iter().find(|platform| platform.name() == name)
    }

    /// The one that an SDK is for.
    pub fn of_sdk(name: &[u8]) -> Option<Platform> {
        match name {
            b"df_web_rum_sdk" => Some(Platform::Web),
            b"df_miniapp_rum_sdk" | b"df_uniapp_rum_sdk" => Some(Platform::Miniapp),
            b"df_android_rum_sdk" => Some(Platform::Android),
            b"df_ios_rum_sdk" => Some(Platform::Ios),
            _ => None,
        }
    }

    /// Where else its archives may be.
    pub fn fallback(self) -> Option<Platform> {
        (self == Platform::Miniapp).then_some(Platform::Web)
    }
}

/// The file name of an archive. It holds no `/`, whatever is asked for, and so names nothing but a file of its folder.
pub fn archive_name(app_id: &str, env: &str, version: &str) -> String {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    format!("{app_id}-{}-{}.zip", or_none(env), or_none(version)).replace('/', "__")
}

/// Tells one stack of one archive's state from all others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key(u128);

/// A stack that is to be resolved.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    pub key: Key,
    /// The folder in which the archive is.
    pub platform: Platform,
    /// Its file name.
    pub archive: Box<str>,
    /// What went wrong, where the SDK says it: `java_crash`, `native_crash`.
    pub error_type: Box<[u8]>,
    pub stack: Box<[u8]>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.stack.len();
        write!(f, "Question({}/{}, {bytes} bytes)", self.platform.name(), self.archive)
    }
}

/// The resolved stack in base64; none if there is nothing to be said.
pub type Answer = Option<Arc<[u8]>>;

/// An answer of a resolved stack.
pub fn answer(resolved: &[u8]) -> Answer {
    Some(Arc::from(STANDARD.encode(resolved).into_bytes()))
}

/// What was found for one request.
#[derive(Debug, Default)]
pub struct Answers(Mutex<HashMap<Key, Answer>>);

impl Answers {
    pub fn put(&self, key: Key, answer: Answer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer);
    }

    fn get(&self, key: Key) -> Answer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned().flatten()
    }
}

/// The archives there are: a number each that is another one when the file is another one.
pub type Archives = HashMap<(Platform, Box<str>), u64>;

#[derive(Debug)]
struct Kept {
    answer: Answer,
    /// Until when it holds.
    until_ns: i64,
}

/// What is known to all requests.
#[derive(Debug)]
pub struct Sources {
    any: AtomicBool,
    archives: ArcSwap<Archives>,
    kept: Mutex<Lru<Key, Kept>>,
    /// Two keyed hashes make a [`Key`]: nobody can choose stacks that are taken for each other.
    hashers: [RandomState; 2],
}

impl Default for Sources {
    fn default() -> Sources {
        Sources {
            any: AtomicBool::new(false),
            archives: ArcSwap::default(),
            kept: Mutex::new(Lru::new(KEPT_BYTES_MAX)),
            hashers: Default::default(),
        }
    }
}

impl Sources {
    /// Whether there is no archive at all.
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Relaxed)
    }

    /// From now on these are there.
    pub fn publish(&self, archives: Archives) {
        let any = !archives.is_empty();
        self.archives.store(Arc::new(archives));
        self.any.store(any, Ordering::Relaxed);
    }

    /// Keeps an answer until a time.
    pub fn keep(&self, key: Key, answer: Answer, until_ns: i64) {
        let bytes = answer.as_deref().map_or(0, <[u8]>::len);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(key, Kept { answer, until_ns }, bytes);
    }

    /// What is kept of it; nothing is waited for.
    pub fn known(&self, key: Key, now_ns: i64) -> Option<Answer> {
        let mut kept = self.kept.try_lock().ok()?;
        kept.get(&key).filter(|kept| kept.until_ns > now_ns).map(|kept| kept.answer.clone())
    }

    /// The folder in which an archive is, and its number.
    fn find(&self, platform: Platform, name: &str) -> Option<(Platform, u64)> {
        let archives = self.archives.load();
        let at = |platform: Platform| {
            archives.get(&(platform, Box::from(name))).map(|generation| (platform, *generation))
        };
        at(platform).or_else(|| at(platform.fallback()?))
    }

    fn question(&self, error: &Error<'_>) -> Option<Question> {
        let text = String::from_utf8_lossy;
        let archive = archive_name(&text(error.app_id), &text(error.env), &text(error.version));
        let (platform, generation) = self.find(error.platform, &archive)?;
        let parts = (platform, &archive, generation, error.error_type, error.stack);
        let [high, low] = [0, 1].map(|index: usize| u128::from(self.hashers[index].hash_one(parts)));
        Some(Question {
            key: Key(high << 64 | low),
            platform,
            archive: archive.into(),
            error_type: error.error_type.into(),
            stack: error.stack.into(),
        })
    }
}

/// What an `error` point says about itself.
struct Error<'a> {
    platform: Platform,
    app_id: &'a [u8],
    env: &'a [u8],
    version: &'a [u8],
    error_type: &'a [u8],
    stack: &'a [u8],
    /// The field is there already: it is ours to say.
    has_field: bool,
}

impl<'a> Error<'a> {
    fn of(point: &PbPoint<'a>) -> Option<Error<'a>> {
        if point.name != ERROR {
            return None;
        }
        let mut error = Error {
            platform: Platform::Web,
            app_id: b"",
            env: b"",
            version: b"",
            error_type: b"",
            stack: b"",
            has_field: false,
        };
        let (mut platform, mut fields) = (None, 0);
        for field in point.fields() {
            // What the encoder wrote can be read.
            let field = field.ok()?;
            fields += usize::from(!field.is_tag);
            error.has_field |= field.key == RESOLVED.as_bytes();
            let PbValue::Str(text) = field.value else { continue };
            match field.key {
                b"sdk_name" => platform = Platform::of_sdk(text),
                b"app_id" => error.app_id = text,
                b"env" => error.env = text,
                b"version" => error.version = text,
                b"error_type" => error.error_type = text,
                STACK if !field.is_tag => error.stack = text,
                _ => {}
            }
        }
        error.platform = platform?;
        let room = fields < FIELDS_MAX || error.has_field;
        let asks = !error.app_id.is_empty() && (1..=STACK_BYTES_MAX).contains(&error.stack.len());
        (asks && room).then_some(error)
    }
}

/// What one request asks.
#[derive(Debug, Default)]
pub struct Asked {
    questions: Vec<Question>,
    seen: HashSet<Key>,
    bytes: usize,
    answered_bytes: usize,
}

impl Asked {
    /// Gives the points that were added to a batch since `mark` what is known, and notes what is not. With `answers` nothing
    /// is noted any more: what they do not have is not to be had.
    pub fn look(
        &mut self,
        batch: &mut Batch,
        mark: Mark,
        sources: &Sources,
        answers: Option<&Answers>,
        now_ns: i64,
    ) {
        if sources.is_empty() {
            return;
        }
        let mut out: Option<Vec<u8>> = None;
        let points = batch.since(mark);
        let mut at = 0;
        while at < points.len() {
            // What the encoder wrote can be read.
            let Ok((found, bytes)) = pb::first(&points[at..]) else { return };
            let whole = &points[at..at + bytes];
            at += bytes;
            let point = found.and_then(|point| PbPoint::parse(point).ok());
            let more = point.as_ref().and_then(|point| {
                let error = Error::of(point)?;
                let answer = self.answer(&error, sources, answers, now_ns)?;
                Some((point.bytes(), error.has_field, answer))
            });
            match (more, &mut out) {
                (None, None) => {}
                (None, Some(out)) => out.extend_from_slice(whole),
                (Some((point, replaces, answer)), out) => {
                    let out = out.get_or_insert_with(|| points[..at - bytes].to_vec());
                    write_point(point, replaces, &answer, out);
                }
            }
        }
        if let Some(out) = out {
            batch.replace(mark, &out);
        }
    }

    fn answer(
        &mut self,
        error: &Error<'_>,
        sources: &Sources,
        answers: Option<&Answers>,
        now_ns: i64,
    ) -> Option<Arc<[u8]>> {
        let question = sources.question(error)?;
        let found = match (answers, sources.known(question.key, now_ns)) {
            (Some(answers), known) => answers.get(question.key).or_else(|| known.flatten()),
            (None, Some(known)) => known,
            (None, None) => {
                let bytes = self.bytes + question.stack.len();
                let room = self.questions.len() < QUESTIONS_MAX && bytes <= QUESTION_BYTES_MAX;
                if room && self.seen.insert(question.key) {
                    self.bytes = bytes;
                    self.questions.push(question);
                }
                None
            }
        }?;
        let bytes = self.answered_bytes + found.len();
        if bytes > ANSWER_BYTES_MAX {
            return None;
        }
        self.answered_bytes = bytes;
        Some(found)
    }

    /// What was asked so far.
    pub fn take(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions)
    }
}

/// Appends a point with the field, in place of one of that name.
fn write_point(point: &[u8], replaces: bool, answer: &[u8], out: &mut Vec<u8>) {
    wire::put_message(out, wire::POINTS_POINT, |out| {
        if replaces {
            write_without(point, out);
        } else {
            out.extend_from_slice(point);
        }
        DraftKv::field(RESOLVED.as_bytes(), Value::Str(answer.into())).encode(out);
    });
}

/// Appends what a point is made of but for the field.
fn write_without(point: &[u8], out: &mut Vec<u8>) {
    // What the encoder wrote can be read.
    for part in pb::parts(point).flatten() {
        match part {
            PbPart::Name(name) => wire::put_bytes(out, wire::POINT_NAME, name),
            PbPart::Time(time) => wire::put_uint(out, wire::POINT_TIME, time as u64),
            PbPart::Field(field) if field.key == RESOLVED.as_bytes() => {}
            PbPart::Field(field) => {
                let value = match field.value {
                    PbValue::Nil => Value::Nil,
                    PbValue::Int(value) => Value::Int(value),
                    PbValue::Uint(value) => Value::Uint(value),
                    PbValue::Float(value) => Value::Float(value),
                    PbValue::Bool(value) => Value::Bool(value),
                    PbValue::Bytes(value) => Value::Bytes(value.into()),
                    PbValue::Any(value) => Value::Any(value.into()),
                    PbValue::Str(value) => Value::Str(value.into()),
                };
                let (is_tag, metric_type, unit) = (field.is_tag, field.metric_type, field.unit.into());
                DraftKv { key: field.key.into(), value, is_tag, metric_type, unit }.encode(out);
            }
            PbPart::Warn(warn) => wire::put_message(out, wire::POINT_WARN, |out| {
                wire::put_bytes(out, wire::WARN_TYPE, warn.kind);
                wire::put_bytes(out, wire::WARN_MESSAGE, warn.message);
            }),
            PbPart::Debug(info) => wire::put_message(out, wire::POINT_DEBUG, |out| {
                wire::put_bytes(out, wire::DEBUG_INFO, info);
            }),
        }
    }
}

#[cfg(test)]
mod tests;
