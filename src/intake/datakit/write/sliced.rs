//! Big bodies, a slice at a time: between two steps the shard serves others.
//!
//! A body is taken whole or not at all, and a bad point may be the last one, so the points wait here, encoded, until all
//! of the body is read: batches of about [`BATCH_BYTES`], which the shard seals and pushes one by one. That costs about
//! as much memory as the body itself, which is in memory anyway and bounded by the same limit.

use std::mem;

use crate::buf::{PADDING, Padded};
use crate::codec::content_encoding::{self, Limits};
use crate::intake::Settings;
use crate::point::Batch;

use super::decode::{check_body, decode_error, explain};
use super::reader::{Fed, Reader};
use super::{ApiError, ContentEncoding, Scratch, Stop, WritePlan, Written};

/// How much of a body one step reads: about 100 µs of parsing and encoding.
pub const STEP_BYTES: usize = 128 * 1024;

/// A batch is given out when it has grown to this, well before the size of a commit (1 MiB). One long line can make a
/// larger one.
pub const BATCH_BYTES: usize = 768 * 1024;

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// All read: the points are in [`Decoder::into_batches`], unless the request was dry.
    Done(Written),
}

/// Decodes one body in steps.
#[derive(Debug)]
pub struct Decoder {
    step_bytes: usize,
    stage: Stage,
    decompress: content_encoding::Decoder,
    /// The decompressed body; padded once it is whole.
    decoded: Vec<u8>,
    reader: Reader,
    /// Points as they are echoed.
    echo: Batch,
    batches: Batches,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Decompress,
    /// `true`: what is read is `decoded`.
    Read(bool),
}

/// Full batches, and the one that fills.
#[derive(Debug, Default)]
struct Batches(Vec<Batch>);

impl Fed for Batches {
    fn batch(&mut self) -> Option<(&mut Batch, usize)> {
        if self.0.last().is_none_or(|batch| batch.bytes.len() >= BATCH_BYTES) {
            self.0.push(Batch::default());
        }
        let batch = self.0.last_mut()?;
        let room = BATCH_BYTES.saturating_sub(batch.bytes.len());
        Some((batch, room))
    }
}

impl Decoder {
    /// `now_ns` stands in for missing times: the clock at the head of the request.
    pub fn new(plan: &WritePlan, settings: &Settings, now_ns: i64) -> Decoder {
        Decoder::with_step(plan, settings, now_ns, STEP_BYTES)
    }

    /// With steps of another size.
    pub fn with_step(plan: &WritePlan, settings: &Settings, now_ns: i64, step_bytes: usize) -> Decoder {
        Decoder {
            step_bytes,
            stage: Stage::Start,
            decompress: content_encoding::Decoder::default(),
            decoded: Vec::new(),
            reader: Reader::new(plan, settings, now_ns),
            echo: Batch::default(),
            batches: Batches::default(),
        }
    }

    /// Goes on. Always called with the same plan and body; not again after `Done` or a refusal. After [`Stop::Bad`] there
    /// is [`Decoder::explain`]; after [`Stop::Unresolved`] another decoder, with the answers in the plan.
    pub fn step(
        &mut self,
        plan: &WritePlan,
        body: Padded<'_>,
        settings: &Settings,
        scratch: &mut Scratch,
    ) -> Result<Step, Stop> {
        match self.stage {
            Stage::Start => {
                if body.is_empty() {
                    return Err(Stop::Refused(ApiError::EMPTY_BODY));
                }
                self.stage = match plan.encoding {
                    ContentEncoding::Identity => {
                        check_body(plan, &body).map_err(Stop::Refused)?;
                        self.reader.look(plan, settings, &body);
                        Stage::Read(false)
                    }
                    ContentEncoding::Coded(encoding) => {
                        self.decompress.reset(encoding);
                        Stage::Decompress
                    }
                    ContentEncoding::Unknown => return Err(Stop::Refused(ApiError::DECODE_BODY_FAILED)),
                };
                Ok(Step::More)
            }
            Stage::Decompress => {
                let limits = Limits::new(settings.options.body_bytes_max);
                let whole = self
                    .decompress
                    .decode_some(&body, &mut self.decoded, &limits, self.step_bytes)
                    .map_err(|error| Stop::Refused(decode_error(error, settings)))?;
                if whole {
                    check_body(plan, &self.decoded).map_err(Stop::Refused)?;
                    self.reader.look(plan, settings, &self.decoded);
                    self.decoded.resize(self.decoded.len() + PADDING, 0);
                    self.stage = Stage::Read(true);
                }
                Ok(Step::More)
            }
            Stage::Read(decompressed) => {
                let decoded = mem::take(&mut self.decoded);
                let body = match decompressed {
                    // `decoded` was padded above.
                    true => Padded::new(&decoded, decoded.len() - PADDING).unwrap_or(body),
                    false => body,
                };
                let step = self.read(plan, body, settings, scratch);
                self.decoded = decoded;
                step
            }
        }
    }

    /// How large the body is, as far as is known.
    pub fn body_bytes(&self, body: &[u8]) -> usize {
        body.len().max(self.decoded.len())
    }

    /// How much its points take so far.
    pub fn points_bytes(&self) -> usize {
        self.echo.bytes.len() + self.batches.0.iter().map(|batch| batch.bytes.len()).sum::<usize>()
    }

    /// What is wrong with the body: see [`explain`].
    pub fn explain(&self, body: &[u8]) -> ApiError {
        match self.stage {
            Stage::Read(true) => explain(self.reader.format(), &self.decoded[..self.decoded.len() - PADDING]),
            _ => explain(self.reader.format(), body),
        }
    }

    /// The points, in order; no batch is empty.
    pub fn into_batches(self) -> Vec<Batch> {
        let mut batches = self.batches.0;
        // The last one may have been begun for points that did not come.
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    fn read(
        &mut self,
        plan: &WritePlan,
        body: Padded<'_>,
        settings: &Settings,
        scratch: &mut Scratch,
    ) -> Result<Step, Stop> {
        let Decoder { reader, echo, batches, .. } = self;
        match reader.read(plan, body, settings, scratch, echo, batches, self.step_bytes)? {
            false => Ok(Step::More),
            true => reader.finish(plan, settings, echo).map(Step::Done),
        }
    }
}
