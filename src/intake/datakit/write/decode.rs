//! A whole body in one go, straight into an open block; and what is said about a body that is bad.

use std::fmt::Write as _;

use crate::buf::Padded;
use crate::codec::content_encoding::{DecodeError, Limits, RATIO_MAX};
use crate::codec::line_protocol;
use crate::intake::Settings;
use crate::limits::{DIRECT_BODY_BYTES_MAX, DIRECT_HOOKED_BYTES_MAX};
use crate::point::Batch;
use crate::point::encode::{GENERAL_COST, explain_json, explain_protobuf};

use super::super::logstreaming;
use super::super::rum::sources::Question;
use super::reader::{Fed, Reader, Scratch, Stop};
use super::{ApiError, BodyFormat, ContentEncoding, WritePlan, Written};

/// A block takes this much from one body. Lines grow by half when they become points, but a body of nothing but tiny
/// points grows fiftyfold: that one goes the way of big bodies.
const GROWTH_BYTES_MAX: usize = 2 * DIRECT_BODY_BYTES_MAX;

/// Of a larger body than [`DIRECT_HOOKED_BYTES_MAX`] scripts run over so much in one go: twice that, so that what was small before
/// it was decompressed is seldom begun anew.
const SCRIPTED_BYTES_MAX: usize = 2 * DIRECT_HOOKED_BYTES_MAX;

// What has no script is decoded in one go whatever there is beside it.
const _: () = assert!(SCRIPTED_BYTES_MAX * GENERAL_COST >= DIRECT_BODY_BYTES_MAX);

/// About as many lines.
const SCRIPTED_LINES_MAX: u64 = 256;

/// Points are sent back for bodies up to this size. An echo is for people who look at it; it may be ten times as long as
/// the body, and its memory is accounted for nowhere else.
const ECHO_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How a body went.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    Written(Written),
    /// There is more in it than one go should do: a [`super::Decoder`] must take it. The batch is as it was.
    InSteps,
    /// Errors in it can be given their original source: it is to be decoded again with the answers in its plan. The batch
    /// is as it was.
    Unresolved(Vec<Question>),
}

/// Decodes a whole body into `batch`. After an error, and after a dry run, the batch is as it was.
pub fn decode(
    plan: &WritePlan,
    body: Padded<'_>,
    now_ns: i64,
    settings: &Settings,
    scratch: &mut Scratch,
    batch: &mut Batch,
) -> Result<Decoded, ApiError> {
    // Of a stream nothing is what there was to say; every other write without a body is a mistake.
    if body.is_empty() && plan.stream.is_some() {
        return Ok(Decoded::Written(Written::default()));
    }
    let mark = batch.mark();
    // Taken out, so that the rest of the scratch can be lent.
    let mut decompressed = std::mem::take(&mut scratch.body);
    let result = decompress(plan, body, settings, scratch, &mut decompressed)
        .and_then(|body| read_whole(plan, body, now_ns, settings, scratch, batch));
    scratch.body = decompressed;
    if result.is_err() {
        batch.rollback(mark);
    }
    match result {
        Ok(written) => Ok(Decoded::Written(written)),
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::TooMuch) => Ok(Decoded::InSteps),
        Err(Stop::Unresolved(questions)) => Ok(Decoded::Unresolved(questions)),
        // Refused inside, where the body is at hand.
        Err(Stop::Bad) => Err(ApiError::DECODE_BODY_FAILED),
    }
}

/// The body itself, or what it is when decompressed.
fn decompress<'a>(
    plan: &WritePlan,
    body: Padded<'a>,
    settings: &Settings,
    scratch: &mut Scratch,
    out: &'a mut Vec<u8>,
) -> Result<Padded<'a>, Stop> {
    if body.is_empty() {
        return Err(Stop::Refused(ApiError::EMPTY_BODY));
    }
    match plan.encoding {
        ContentEncoding::Identity => Ok(body),
        ContentEncoding::Coded(encoding) => {
            out.clear();
            scratch.decompress.reset(encoding);
            let most = settings.options.body_bytes_max.min(DIRECT_BODY_BYTES_MAX);
            match scratch.decompress.decode_all(&body, out, &Limits::new(most)) {
                Ok(()) => Ok(Padded::pad(out)),
                // Whether it is too much or a bomb is found out elsewhere.
                Err(DecodeError::TooLarge) if most < settings.options.body_bytes_max => Err(Stop::TooMuch),
                Err(error) => Err(Stop::Refused(decode_error(error, settings))),
            }
        }
        ContentEncoding::Unknown => Err(Stop::Refused(ApiError::DECODE_BODY_FAILED)),
    }
}

fn read_whole(
    plan: &WritePlan,
    body: Padded<'_>,
    now_ns: i64,
    settings: &Settings,
    scratch: &mut Scratch,
    batch: &mut Batch,
) -> Result<Written, Stop> {
    check_body(plan, &body).map_err(Stop::Refused)?;
    let bytes_max = batch.bytes.len() + GROWTH_BYTES_MAX;
    let mut echo = std::mem::take(&mut scratch.echo);
    echo.clear();
    let mut reader = Reader::new(plan, settings, now_ns);
    reader.look(plan, settings, &body);
    let mut budget = usize::MAX;
    if reader.spares(plan) && body.len() > DIRECT_HOOKED_BYTES_MAX {
        budget = SCRIPTED_BYTES_MAX * GENERAL_COST;
        reader = reader.with_scripted_max(SCRIPTED_LINES_MAX);
    }
    let mut one = One { batch, bytes_max };
    let result = match reader.read(plan, body, settings, scratch, &mut echo, &mut one, budget) {
        Ok(true) => reader.finish(plan, settings, &echo),
        Ok(false) => Err(Stop::TooMuch),
        // Small enough to be read again at once.
        Err(Stop::Bad) => Err(Stop::Refused(explain(reader.format(), &body))),
        Err(stop) => Err(stop),
    };
    scratch.echo = echo;
    result
}

/// Everything goes into one batch, up to a bound.
struct One<'a> {
    batch: &'a mut Batch,
    bytes_max: usize,
}

impl Fed for One<'_> {
    fn batch(&mut self) -> Option<(&mut Batch, usize)> {
        let room = self.bytes_max.checked_sub(self.batch.bytes.len() + 1)?;
        Some((self.batch, room + 1))
    }
}

/// What can be said about a decompressed body before it is read.
pub(super) fn check_body(plan: &WritePlan, body: &[u8]) -> Result<(), ApiError> {
    if body.len() > line_protocol::BODY_BYTES_MAX {
        return Err(ApiError::body_too_large(line_protocol::BODY_BYTES_MAX));
    }
    if plan.echo.is_some() && body.len() > ECHO_BODY_BYTES_MAX {
        let mut error = ApiError::body_too_large(ECHO_BODY_BYTES_MAX);
        error.message.push_str(", too large for an echo");
        return Err(error);
    }
    match plan.format {
        BodyFormat::LineProtocol if body.is_empty() && plan.stream.is_none() => {
            Err(ApiError::invalid_line_point("empty data".to_owned()))
        }
        _ => Ok(()),
    }
}

pub(super) fn decode_error(error: DecodeError, settings: &Settings) -> ApiError {
    match error {
        DecodeError::Malformed => ApiError::DECODE_BODY_FAILED,
        DecodeError::TooLarge => {
            let mut error = ApiError::body_too_large(settings.options.body_bytes_max);
            let _ = write!(error.message, ", or {RATIO_MAX} times as large as it came");
            error
        }
    }
}

/// Reads a bad body once more, to say what is wrong with it. That takes about 10 ns a byte and needs nothing but the
/// body: whoever has a large one does it elsewhere.
pub fn explain(format: BodyFormat, body: &[u8]) -> ApiError {
    match format {
        BodyFormat::LineProtocol => ApiError::invalid_line_point(line_protocol::explain(body).message),
        BodyFormat::Json => ApiError::invalid_json_point(explain_json(body)),
        BodyFormat::Protobuf => ApiError::invalid_protobuf_point(explain_protobuf(body)),
        BodyFormat::Text | BodyFormat::Firelens => {
            let most = logstreaming::LINE_BYTES_MAX;
            ApiError::bad_request(format!("a line of the body is longer than {most} bytes"))
        }
    }
}
