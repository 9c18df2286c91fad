//! Requests of every protocol but DataKit's own: a body in the client's dialect, which becomes points.
//!
//! The route decides by the head and gives a [`ConvertPlan`]; the shard awaits the body and calls [`run`], which undoes
//! the compression and has the protocol's [`Convert`] read it into tapes, the form that the encoder's fast path takes.
//! What comes out is [`Converted`]: encoded points by category, none of which is anybody's until the whole body has
//! proved good. The shard makes them durable, as it does with the points of a write, and gives the protocol's answer;
//! where it cannot, [`Convert::refuse`] says so in words after which that protocol's clients come again.

mod builder;

use std::fmt;

use crate::buf::Padded;
use crate::codec::content_encoding::{self, DecodeError, Encoding, Limits, RATIO_MAX};
use crate::codec::line_protocol::{self, Tape};
use crate::http1::Head;
use crate::pipeline::hook;
use crate::point::encode::{Encoder, Rules};
use crate::point::{Batch, Category, GlobalTags, Precision, Route, rules};

use super::datakit::token::{self, Sender};
use super::hooks::Hooks;
use super::reply::{Cors, Reply};
use super::settings::{Ack, Settings};
use super::tracing::metrics::{Labels, Tally};

pub use builder::Builder;

/// What the head of a request asks for.
#[derive(Debug)]
pub struct ConvertPlan {
    /// The label in metrics: an index of `metrics::names::APIS`.
    pub api: usize,
    pub encoding: BodyEncoding,
    pub route: Route,
    /// When the answer may be given.
    pub ack: Ack,
    pub cors: Cors,
    pub job: Box<dyn Convert>,
}

/// How the body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEncoding {
    Identity,
    Coded(Encoding),
    /// Snappy's block format, which only Prometheus sends.
    Snappy,
    /// Named, and nothing we decode.
    Unknown,
}

impl BodyEncoding {
    /// What `Content-Encoding` says. Its value is a token, and tokens of HTTP have no case.
    pub fn of(head: &Head<'_>) -> BodyEncoding {
        let value = head.header("content-encoding").unwrap_or_default().trim_ascii().to_ascii_lowercase();
        match value.as_slice() {
            b"" | b"identity" => BodyEncoding::Identity,
            b"snappy" => BodyEncoding::Snappy,
            name => match str::from_utf8(name).ok().and_then(Encoding::from_name) {
                Some(encoding) => BodyEncoding::Coded(encoding),
                None => BodyEncoding::Unknown,
            },
        }
    }
}

/// A protocol's reader of one kind of body, with what its head said.
pub trait Convert: Send + Sync + fmt::Debug {
    /// Reads a whole body. The answer is given once its points are where they are to be.
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault>;

    /// The answer to a request that is not served.
    fn refuse(&self, fault: &Fault) -> Reply;
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The body is not what it is said to be, for the reason in these words.
    Malformed(String),
    /// A kind of body, or a compression, that is not known.
    Unsupported(String),
    /// More than this many bytes, as it came or decompressed, or of points.
    TooLarge(usize),
    /// Nothing is wrong with the request: it should come again, after so many seconds.
    Busy { reason: &'static str, retry_after_s: u32 },
}

impl Fault {
    pub fn malformed(what: impl Into<String>) -> Fault {
        Fault::Malformed(what.into())
    }

    /// What a person is told.
    pub fn text(&self) -> String {
        match self {
            Fault::Malformed(what) | Fault::Unsupported(what) => what.clone(),
            Fault::TooLarge(limit_bytes) => format!("the body holds more than {limit_bytes} bytes"),
            Fault::Busy { reason, .. } => (*reason).to_owned(),
        }
    }

    /// The status that HTTP has for it.
    pub fn status(&self) -> u16 {
        match self {
            Fault::Malformed(_) => 400,
            Fault::Unsupported(_) => 415,
            Fault::TooLarge(_) => 413,
            Fault::Busy { .. } => 503,
        }
    }

    /// `Retry-After`, where the request should come again.
    pub fn with_retry(&self, mut reply: Reply) -> Reply {
        if let Fault::Busy { retry_after_s, .. } = self {
            reply.headers.push(("Retry-After", retry_after_s.to_string().into()));
        }
        reply
    }
}

/// The route and level of a request that is not DataKit's: its parameters `token` and `ack` mean what they mean there.
pub fn route_and_ack(head: &Head<'_>, settings: &Settings) -> Result<(Route, Ack), Box<Reply>> {
    let token = token::of_write(head.query, Sender::Agent, settings).map_err(|error| error.reply())?;
    let ack = crate::http1::query::first(head.query, "ack");
    let ack = ack.and_then(|name| super::settings::ack_from_name(&name)).unwrap_or(settings.options.ack);
    Ok((Route { token, ..Route::default() }, ack))
}

/// A batch is given out when it has grown to this, well before the size of a commit (1 MiB).
const BATCH_BYTES: usize = 768 << 10;

/// A tape is encoded and begun anew at least this often: half of the second-level cache.
pub const TAPE_BYTES: usize = 256 << 10;

/// So many points are encoded before the batch is looked at.
const RUN_POINTS: usize = 256;

/// The points of one body may take this many times what a decompressed body may. A span brings three times its size
/// in tags, message and times; the smallest of spans fifty times.
const POINTS_GROWTH_MAX: usize = 2;

/// Points that came out of a body.
#[derive(Debug, Default)]
pub struct Converted {
    /// In order; no batch is empty.
    pub batches: Vec<(Category, Batch)>,
    /// Points that the configuration or filters do not let pass.
    pub filtered: Vec<(Category, u64)>,
    /// Points that scripts have dropped.
    pub dropped: Vec<(Category, u64)>,
}

impl Converted {
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|(_, batch)| batch.bytes.len()).sum()
    }

    pub fn points(&self) -> u64 {
        self.batches.iter().map(|(_, batch)| u64::from(batch.points)).sum()
    }
}

/// Memory that converting reuses from one body to the next. One a shard.
#[derive(Debug, Default)]
pub struct Scratch {
    encoder: Encoder,
    tape: Tape,
    body: Vec<u8>,
    decompress: content_encoding::Decoder,
    /// Batches whose points have been taken elsewhere.
    spare: Vec<Batch>,
    pub(super) datadog: super::datadog::Scratch,
    tally: Tally,
    scripts: hook::Scratch,
}

/// Spare batches above this are let go of: a large one is rare.
const SPARE_BYTES_MAX: usize = 1 << 20;

impl Scratch {
    /// Takes back a batch whose points are elsewhere.
    pub fn reuse(&mut self, mut batch: Batch) {
        if batch.bytes.capacity() <= SPARE_BYTES_MAX && self.spare.len() < crate::point::CATEGORY_COUNT {
            batch.clear();
            self.spare.push(batch);
        }
    }
}

/// What a conversion works with.
pub struct Conversion<'a> {
    pub settings: &'a Settings,
    /// One value for all points of the request.
    pub now_ns: i64,
    /// The points at hand. Given on by [`Conversion::flush`].
    pub tape: &'a mut Tape,
    pub(super) datadog: &'a mut super::datadog::Scratch,
    tally: &'a mut Tally,
    encoder: &'a mut Encoder,
    spare: &'a mut Vec<Batch>,
    out: &'a mut Converted,
    /// What points meet: for the whole body the same.
    hooks: &'a mut Hooks,
    scripts: &'a mut hook::Scratch,
    bytes: usize,
    reach: Reach,
    /// What came out is more than one call takes on.
    is_out_of_reach: bool,
}

impl Conversion<'_> {
    /// Encodes the points in the tape and begins another one. `body` is what its spans point into.
    pub fn flush(
        &mut self,
        category: Category,
        precision: Precision,
        tags: &GlobalTags,
        body: Padded<'_>,
    ) -> Result<(), Fault> {
        self.tape.seal();
        let options = &self.settings.options;
        let (tape, now_ns) = (&*self.tape, self.now_ns);
        let (out, spare, encoder) = (&mut *self.out, &mut *self.spare, &mut *self.encoder);
        let (bytes, gone) = self.hooks.with(category, None, self.settings, now_ns, self.scripts, |hook| {
            let rules = Rules {
                category: rules(category, options.compat),
                precision,
                now_ns,
                added_tags: Some(tags),
                time_correction: options.time_correction,
                hook,
            };
            let mut bytes = 0;
            for first in (0..tape.points.len()).step_by(RUN_POINTS) {
                let run = first..tape.points.len().min(first + RUN_POINTS);
                let batch = batch_of(&mut out.batches, category, spare);
                let before = batch.bytes.len();
                encoder.encode_range(body, tape, run, &rules, batch);
                bytes += batch.bytes.len() - before;
            }
            bytes
        });
        self.bytes += bytes;
        self.tape.clear();
        add(&mut self.out.filtered, category, u64::from(gone.filtered));
        add(&mut self.out.dropped, category, u64::from(gone.dropped));
        let most = options.body_bytes_max.saturating_mul(POINTS_GROWTH_MAX);
        self.is_out_of_reach = self.bytes > self.reach.points_bytes_max;
        if self.bytes > most || self.is_out_of_reach { Err(Fault::TooLarge(most)) } else { Ok(()) }
    }

    /// [`Conversion::flush`] once the tape has become long.
    pub fn flush_if_long(
        &mut self,
        category: Category,
        precision: Precision,
        tags: &GlobalTags,
        body: Padded<'_>,
    ) -> Result<(), Fault> {
        let tape = &self.tape;
        let tape_bytes = tape.arena.len() + size_of_val(tape.kvs.as_slice());
        if tape_bytes < TAPE_BYTES { Ok(()) } else { self.flush(category, precision, tags, body) }
    }

    /// Counts the span that is the last point in the tape.
    pub fn count_span(&mut self, labels: &Labels, body: &[u8]) {
        self.tally.note(labels, self.tape, body);
    }

    /// Takes back the last point in the tape, which was written when the arena had that length.
    pub fn take_back(&mut self, arena_len: usize) {
        if let Some(point) = self.tape.points.pop() {
            self.tape.kvs.truncate(point.kv as usize);
            self.tape.arena.truncate(arena_len);
        }
    }

    /// Accounts for points that are not let pass.
    pub fn filtered(&mut self, category: Category, points: u64) {
        add(&mut self.out.filtered, category, points);
    }
}

fn add(sums: &mut Vec<(Category, u64)>, category: Category, points: u64) {
    if points == 0 {
        return;
    }
    match sums.iter_mut().find(|(there, _)| *there == category) {
        Some((_, sum)) => *sum += points,
        None => sums.push((category, points)),
    }
}

fn batch_of<'b>(
    batches: &'b mut Vec<(Category, Batch)>,
    category: Category,
    spare: &mut Vec<Batch>,
) -> &'b mut Batch {
    let open = batches
        .iter()
        .rposition(|(there, _)| *there == category)
        .filter(|&index| batches[index].1.bytes.len() < BATCH_BYTES);
    let index = open.unwrap_or_else(|| {
        batches.push((category, spare.pop().unwrap_or_default()));
        batches.len() - 1
    });
    &mut batches[index].1
}

/// How much of a body one call takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Bytes after decompression.
    pub body_bytes_max: usize,
    /// Bytes of points: the smallest of spans becomes a hundred times as large.
    pub points_bytes_max: usize,
}

impl Reach {
    /// All of it, however long that takes.
    pub const WHOLE: Reach = Reach { body_bytes_max: usize::MAX, points_bytes_max: usize::MAX };
}

/// Reads a whole body. The result is the answer for when its points are where they are to be, or `None` where
/// there is more in it than `reach`, and not so much that it is refused.
pub fn run(
    plan: &ConvertPlan,
    body: Padded<'_>,
    now_ns: i64,
    settings: &Settings,
    scratch: &mut Scratch,
    reach: Reach,
) -> Result<Option<(Reply, Converted)>, Fault> {
    let mut decompressed = std::mem::take(&mut scratch.body);
    decompressed.clear();
    let result =
        decompress(plan.encoding, body, settings, scratch, &mut decompressed, reach).and_then(|body| {
            let Some(body) = body else { return Ok(None) };
            if body.len() > line_protocol::BODY_BYTES_MAX {
                return Err(Fault::TooLarge(line_protocol::BODY_BYTES_MAX));
            }
            let mut out = Converted::default();
            scratch.tape.clear();
            scratch.tally.clear();
            let mut hooks = Hooks::any(settings);
            let mut cx = Conversion {
                settings,
                now_ns,
                tape: &mut scratch.tape,
                datadog: &mut scratch.datadog,
                tally: &mut scratch.tally,
                encoder: &mut scratch.encoder,
                spare: &mut scratch.spare,
                out: &mut out,
                hooks: &mut hooks,
                scripts: &mut scratch.scripts,
                bytes: 0,
                reach,
                is_out_of_reach: false,
            };
            let reply = match plan.job.convert(body, &mut cx) {
                Ok(reply) => reply,
                Err(_) if cx.is_out_of_reach => return Ok(None),
                Err(fault) => return Err(fault),
            };
            assert!(scratch.tape.points.is_empty(), "BUG: points were left in the tape");
            let created = hooks.finish();
            out.batches.extend(created.batches);
            created
                .filtered
                .into_iter()
                .for_each(|(category, points)| add(&mut out.filtered, category, points));
            out.batches.retain(|(_, batch)| !batch.is_empty());
            if !scratch.tally.is_empty() {
                settings.remembered.spans.add(&mut scratch.tally);
            }
            Ok(Some((reply, out)))
        });
    decompressed.clear();
    decompressed.shrink_to(SPARE_BYTES_MAX);
    scratch.body = decompressed;
    result
}

fn decompress<'a>(
    encoding: BodyEncoding,
    body: Padded<'a>,
    settings: &Settings,
    scratch: &mut Scratch,
    out: &'a mut Vec<u8>,
    reach: Reach,
) -> Result<Option<Padded<'a>>, Fault> {
    let allowed = settings.options.body_bytes_max;
    let most = allowed.min(reach.body_bytes_max);
    match encoding {
        BodyEncoding::Identity => Ok(Some(body)),
        // Several clients say how they compress what they do not even send.
        _ if body.is_empty() => Ok(Some(body)),
        BodyEncoding::Coded(encoding) => {
            scratch.decompress.reset(encoding);
            match scratch.decompress.decode_all(&body, out, &Limits::new(most)) {
                Ok(()) => Ok(Some(Padded::pad(out))),
                Err(DecodeError::TooLarge) if most < allowed => Ok(None),
                Err(DecodeError::TooLarge) => {
                    Err(Fault::TooLarge(allowed.min(body.len().saturating_mul(RATIO_MAX))))
                }
                Err(DecodeError::Malformed) => {
                    Err(Fault::Malformed(format!("the body is no {}", encoding.name())))
                }
            }
        }
        BodyEncoding::Snappy => {
            let no_snappy = |_| Fault::malformed("the body is no snappy block");
            let len = snap::raw::decompress_len(&body).map_err(no_snappy)?;
            if len > allowed {
                return Err(Fault::TooLarge(allowed));
            }
            if len > most {
                return Ok(None);
            }
            // A block says itself how long it becomes, and may lie: no more than it can hold is made room for.
            if len > body.len().saturating_mul(SNAPPY_RATIO_MAX) {
                return Err(no_snappy(snap::Error::Empty));
            }
            out.resize(len, 0);
            let written = snap::raw::Decoder::new().decompress(&body, out).map_err(no_snappy)?;
            out.truncate(written);
            Ok(Some(Padded::pad(out)))
        }
        BodyEncoding::Unknown => Err(Fault::Unsupported("the Content-Encoding is not known".to_owned())),
    }
}

/// Three bytes of a snappy block become 64 at most.
const SNAPPY_RATIO_MAX: usize = 32;

#[cfg(test)]
mod tests;
