//! Prometheus remote write 1: `POST /prom_remote_write`, DataKit's path for it.
//!
//! The body is a `WriteRequest`, in a snappy block. A sample becomes a metric as DataKit makes it: the metric's name up to
//! its first underscore is the measurement and the rest the field, labels are tags, and so are parameters of the URL. A
//! sample that is no number says that its series has ended, and makes no point. Of a native histogram there are count and
//! sum.
//!
//! Senders drop what is answered with 4xx, and come again after 503. Recorded, and kept under `compat = "datakit-1.84"`: a
//! body that is not said to be compressed and is no message is answered 204; nothing was in it.

use std::borrow::Cow;

use crate::buf::Padded;
use crate::http1::{Head, Method, query};
use crate::metrics::names::API_PROMETHEUS;
use crate::point::check::TAGS_MAX;
use crate::point::echo::json_string;
use crate::point::pb::{self, Wire};
use crate::point::{Category, Compat, Precision};

use super::convert::{BodyEncoding, Builder, Conversion, Convert, ConvertPlan, Fault, route_and_ack};
use super::reply::{ContentType, cors};
use super::{Action, Clock, Peer, Reply, Settings};

/// All paths.
pub const PATHS: [&str; 1] = ["/prom_remote_write"];

/// Parameters of the URL that become tags.
const QUERY_TAGS_MAX: usize = 16;

/// Those that mean something here.
const OWN_PARAMETERS: [&str; 3] = ["token", "ack", "__source"];

/// The label that is the metric's name.
const NAME_LABEL: &[u8] = b"__name__";

/// The routes.
pub fn route(
    head: &Head<'_>,
    path: &[u8],
    _peer: &Peer,
    _clock: &Clock,
    settings: &Settings,
) -> Option<Action> {
    if path != PATHS[0].as_bytes() || !matches!(head.method, Method::Post | Method::Put) {
        return None;
    }
    let cors = cors(head, &settings.options.allowed_cors_origins);
    let (route, ack) = match route_and_ack(head, settings) {
        Ok(found) => found,
        Err(reply) => return Some(Action::Reply(reply.with_cors(&cors))),
    };
    let content_type = head.header("content-type").unwrap_or_default();
    let encoding = BodyEncoding::of(head);
    let job = Job {
        tags: query::pairs(head.query)
            .map(|pair| (String::from_utf8_lossy(&pair.key).into_owned(), pair.text().into_owned()))
            .filter(|(key, _)| !key.is_empty() && !OWN_PARAMETERS.contains(&key.as_str()))
            .take(QUERY_TAGS_MAX)
            .collect(),
        is_second: memchr::memmem::find(content_type, b"io.prometheus.write.v2").is_some(),
        is_lenient: encoding == BodyEncoding::Identity && settings.options.compat == Compat::Datakit184,
    };
    Some(Action::Convert(Box::new(ConvertPlan {
        api: API_PROMETHEUS,
        encoding,
        route,
        ack,
        cors,
        job: Box::new(job),
    })))
}

#[derive(Debug)]
struct Job {
    tags: Vec<(String, String)>,
    /// A message of the second version, which is another one.
    is_second: bool,
    /// What is no message is answered as if it were empty.
    is_lenient: bool,
}

impl Job {
    fn read(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<(), Fault> {
        let settings = cx.settings;
        let tags = &settings.options.host_tags;
        for field in pb::fields(&body) {
            let (1, Wire::Len(series)) = field? else { continue };
            self.series(series, body, cx)?;
            cx.flush_if_long(Category::Metric, Precision::Millis, tags, body)?;
        }
        cx.flush(Category::Metric, Precision::Millis, tags, body)
    }

    fn series(&self, series: &[u8], body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<(), Fault> {
        let settings = cx.settings;
        let mut labels: Vec<(&[u8], &[u8])> = Vec::new();
        let mut metric: Option<&[u8]> = None;
        for field in pb::fields(series) {
            let (1, Wire::Len(label)) = field? else { continue };
            let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
            for field in pb::fields(label) {
                match field? {
                    (1, Wire::Len(text)) => name = text,
                    (2, Wire::Len(text)) => value = text,
                    _ => {}
                }
            }
            match name {
                NAME_LABEL => metric = Some(value),
                // One beyond the most: the check says that there were too many.
                _ if labels.len() <= TAGS_MAX => labels.push((name, value)),
                _ => {}
            }
        }
        let Some(metric) = metric.filter(|name| !name.is_empty()) else {
            return Err(Fault::malformed("a series without a metric name"));
        };
        let (measurement, field_name) = names(metric);
        for field in pb::fields(series) {
            let (number, Wire::Len(sample)) = field? else { continue };
            let values = match number {
                2 => sample_of(sample)?,
                4 => histogram_of(sample)?,
                _ => continue,
            };
            let mut point = Builder::new(cx.tape, body.bytes());
            for (suffix, value) in values.list.into_iter().flatten() {
                match suffix {
                    "" => point.float_field(field_name, value),
                    suffix => point.float_field(&[field_name, suffix.as_bytes()].concat(), value),
                }
            }
            for (name, value) in &labels {
                point.tag(name, value);
            }
            for (name, value) in &self.tags {
                point.tag(name.as_bytes(), value.as_bytes());
            }
            point.finish(measurement, values.time_ms.max(0));
            cx.flush_if_long(Category::Metric, Precision::Millis, &settings.options.host_tags, body)?;
        }
        Ok(())
    }
}

/// Numbers of a sample, each with what follows the field's name.
struct Values {
    time_ms: i64,
    list: [Option<(&'static str, f64)>; 2],
}

fn sample_of(bytes: &[u8]) -> Result<Values, Fault> {
    // A field of proto3 that is zero is not written.
    let (mut value, mut time_ms) = (0.0, 0);
    for field in pb::fields(bytes) {
        match field? {
            (1, Wire::Fixed64(bits)) => value = f64::from_bits(bits),
            (2, Wire::Varint(time)) => time_ms = time as i64,
            _ => {}
        }
    }
    Ok(Values { time_ms, list: [Some(("", value)), None] })
}

fn histogram_of(bytes: &[u8]) -> Result<Values, Fault> {
    let (mut count, mut sum, mut time_ms) = (0.0, 0.0, 0);
    for field in pb::fields(bytes) {
        match field? {
            (1, Wire::Varint(value)) => count = value as f64,
            (2, Wire::Fixed64(bits)) => count = f64::from_bits(bits),
            (3, Wire::Fixed64(bits)) => sum = f64::from_bits(bits),
            (15, Wire::Varint(time)) => time_ms = time as i64,
            _ => {}
        }
    }
    Ok(Values { time_ms, list: [Some(("_count", count)), Some(("_sum", sum))] })
}

/// Measurement and field of a metric's name.
fn names(metric: &[u8]) -> (&[u8], &[u8]) {
    let name = metric.strip_prefix(b"_").unwrap_or(metric);
    match memchr::memchr(b'_', name) {
        Some(at) if at > 0 && at + 1 < name.len() => (&name[..at], &name[at + 1..]),
        _ => (name, name),
    }
}

impl Convert for Job {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        if self.is_second {
            return Err(Fault::Unsupported("remote write 2 is not spoken here, only 1".to_owned()));
        }
        if self.is_lenient && pb::fields(&body).any(|field| field.is_err()) {
            return Ok(Reply::empty(204));
        }
        self.read(body, cx)?;
        Ok(Reply::empty(204))
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        let text = match fault {
            // As DataKit has it.
            Fault::TooLarge(_) => Cow::Borrowed("http: request body too large"),
            fault => Cow::Owned(fault.text()),
        };
        let mut body = b"{\"error\":".to_vec();
        json_string(text.as_bytes(), &mut body);
        body.push(b'}');
        let content_type = ContentType::Value("application/json".into());
        fault.with_retry(Reply { content_type, body, ..Reply::empty(fault.status()) })
    }
}

#[cfg(test)]
mod tests;
