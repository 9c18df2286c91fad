//! Big bodies, a slice at a time: between two steps the shard serves others.
//!
//! A body is taken whole or not at all, and a bad line may be the last one, so the points wait here, encoded, until all
//! of the body is read: batches of about [`BATCH_BYTES`], which the shard seals and pushes one by one. That costs about
//! as much memory as the body itself, which is in memory anyway and bounded by the same limit.

use std::mem;

use crate::buf::{PADDING, Padded};
use crate::codec::content_encoding::GzipDecoder;
use crate::codec::line_protocol;
use crate::intake::{Reply, Settings};
use crate::point::Batch;
use crate::point::draft::Warn;

use super::{
    ApiError, ContentEncoding, Scratch, WritePlan, Written, check_body, check_lost, decode_error, write_echo,
};

/// How much of a body one step reads: about 100 µs of parsing and encoding.
pub const STEP_BYTES: usize = 128 * 1024;

/// A batch is given out when it has grown to this, well before the size of a commit (1 MiB). One long line can make a larger one.
pub const BATCH_BYTES: usize = 768 * 1024;

/// So many points are encoded before the batch is looked at: short lines grow sevenfold, and a step has many of them.
const RUN_POINTS: usize = 512;

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
    now_ns: i64,
    step_bytes: usize,
    stage: Stage,
    gzip: GzipDecoder,
    /// The decompressed body; padded once it is whole.
    decoded: Vec<u8>,
    /// How much of the (decompressed) body is parsed.
    at: usize,
    points: u32,
    lost_points: u32,
    lost_values: u32,
    /// The first warning, for strict requests.
    warn: Option<Warn>,
    /// Points as they are echoed.
    echo: Batch,
    batches: Vec<Batch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Decompress,
    /// `true`: what is parsed is `decoded`.
    Parse(bool),
}

impl Decoder {
    /// `now_ns` stands in for missing times: the clock at the head of the request.
    pub fn new(now_ns: i64) -> Decoder {
        Decoder::with_step(now_ns, STEP_BYTES)
    }

    /// With steps of another size.
    pub fn with_step(now_ns: i64, step_bytes: usize) -> Decoder {
        Decoder {
            now_ns,
            step_bytes,
            stage: Stage::Start,
            gzip: GzipDecoder::default(),
            decoded: Vec::new(),
            at: 0,
            points: 0,
            lost_points: 0,
            lost_values: 0,
            warn: None,
            echo: Batch::default(),
            batches: Vec::new(),
        }
    }

    /// Goes on. Always called with the same plan and body; not again after an error or `Done`.
    pub fn step(
        &mut self,
        plan: &WritePlan,
        body: Padded<'_>,
        settings: &Settings,
        scratch: &mut Scratch,
    ) -> Result<Step, Box<Reply>> {
        match self.stage {
            Stage::Start => {
                if body.is_empty() {
                    return Err(plan.refuse(&ApiError::EMPTY_BODY));
                }
                self.stage = match plan.encoding {
                    ContentEncoding::Identity => {
                        check_body(plan, &body)?;
                        Stage::Parse(false)
                    }
                    ContentEncoding::Gzip => Stage::Decompress,
                    ContentEncoding::Unknown => return Err(plan.refuse(&ApiError::DECODE_BODY_FAILED)),
                };
                Ok(Step::More)
            }
            Stage::Decompress => {
                let limit = settings.options.body_bytes_max;
                let whole = self
                    .gzip
                    .decode_some(&body, &mut self.decoded, limit, self.step_bytes)
                    .map_err(|error| plan.refuse(&decode_error(error, settings)))?;
                if whole {
                    check_body(plan, &self.decoded)?;
                    self.decoded.resize(self.decoded.len() + PADDING, 0);
                    self.stage = Stage::Parse(true);
                }
                Ok(Step::More)
            }
            Stage::Parse(decompressed) => {
                let decoded = mem::take(&mut self.decoded);
                let body = match decompressed {
                    // `decoded` was padded above.
                    true => Padded::new(&decoded, decoded.len() - PADDING).unwrap_or(body),
                    false => body,
                };
                let step = self.parse(plan, body, settings, scratch);
                self.decoded = decoded;
                step
            }
        }
    }

    /// The points, in order.
    pub fn into_batches(self) -> Vec<Batch> {
        self.batches
    }

    fn parse(
        &mut self,
        plan: &WritePlan,
        body: Padded<'_>,
        settings: &Settings,
        scratch: &mut Scratch,
    ) -> Result<Step, Box<Reply>> {
        let Scratch { tape, encoder, .. } = scratch;
        self.at = line_protocol::parse_some(body, self.at, self.step_bytes, tape)
            .map_err(|failure| plan.refuse(&ApiError::invalid_line_point(failure.message)))?;
        self.points += tape.points.len() as u32;
        self.lost_points += tape.lost_points;
        self.lost_values += tape.lost_values;
        if plan.strict || plan.echo.is_some() {
            if plan.echo.is_none() {
                self.echo.clear();
            }
            let rules = plan.rules(settings, self.now_ns, false);
            let warn = encoder.encode(body, tape, &rules, &mut self.echo);
            self.warn = self.warn.take().or(warn);
        }
        if !plan.dry {
            let rules = plan.rules(settings, self.now_ns, true);
            for first in (0..tape.points.len()).step_by(RUN_POINTS) {
                let run = first..tape.points.len().min(first + RUN_POINTS);
                if self.batches.last().is_none_or(|batch| batch.bytes.len() >= BATCH_BYTES) {
                    self.batches.push(Batch::default());
                }
                if let Some(batch) = self.batches.last_mut() {
                    encoder.encode_range(body, tape, run, &rules, batch);
                }
            }
        }
        if self.at < body.len() {
            return Ok(Step::More);
        }
        check_lost(plan, self.points as usize, self.lost_points, self.lost_values)?;
        if let Some(warn) = self.warn.take().filter(|_| plan.strict) {
            return Err(plan.refuse(&ApiError::point_got_warning(warn.text())));
        }
        let echo = plan.echo.map(|format| write_echo(format, &self.echo.bytes, settings));
        Ok(Step::Done(Written { points: self.points, echo }))
    }
}
