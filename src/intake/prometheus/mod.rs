//! Prometheus remote write, both versions: `POST /prom_remote_write`, DataKit's path for it.
//!
//! The body is a snappy block of a `WriteRequest` (version 1), or of an `io.prometheus.write.v2.Request` where
//! `Content-Type` says so: there texts stand once, in a table of symbols. A sample becomes a metric as DataKit makes it:
//! the metric's name up to its first underscore is the measurement and the rest the field, labels are tags, and so are
//! parameters of the URL. A sample that is no number says that its series has ended, and makes no point. Of a native
//! histogram there are count and sum; exemplars and metadata are let go, as are times at which series began.
//!
//! The answer to version 2 says how much was written ([`Written`]). Senders drop what is answered with 4xx, and come again
//! after 503. Recorded, and kept under `compat = "datakit-1.84"`: a body that is not said to be compressed and is no message
//! is answered 204; nothing was in it.

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

/// Texts of a request of version 2: a sender has some ten thousand.
const SYMBOLS_MAX: usize = 1 << 20;

/// The names of the messages, as `proto` in `Content-Type` has them.
const FIRST: &[u8] = b"prometheus.WriteRequest";
const SECOND: &[u8] = b"io.prometheus.write.v2.Request";

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
        version: Version::of(content_type),
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

/// Which message a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    First,
    Second,
    /// Named, and neither.
    Unknown,
}

impl Version {
    /// By the parameter `proto`; without one it is the first.
    fn of(content_type: &[u8]) -> Version {
        let parameters = content_type.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
        let proto = parameters.filter_map(|parameter| {
            let at = memchr::memchr(b'=', parameter)?;
            let (name, value) = (&parameter[..at], &parameter[at + 1..]);
            name.eq_ignore_ascii_case(b"proto").then(|| value.trim_ascii())
        });
        match proto.last() {
            None | Some(FIRST) => Version::First,
            Some(SECOND) => Version::Second,
            Some(_) => Version::Unknown,
        }
    }
}

/// How much was in a request, whatever became of it.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    samples: u64,
    histograms: u64,
}

/// The labels of a series, and its metric's name.
#[derive(Debug, Default)]
struct Labels<'a> {
    metric: Option<&'a [u8]>,
    others: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Labels<'a> {
    fn add(&mut self, name: &'a [u8], value: &'a [u8]) {
        match name {
            NAME_LABEL => self.metric = Some(value),
            // One beyond the most: the check says that there were too many.
            _ if self.others.len() <= TAGS_MAX => self.others.push((name, value)),
            _ => {}
        }
    }

    /// Of version 1, where they stand in the series.
    fn first(series: &'a [u8]) -> Result<Labels<'a>, Fault> {
        let mut labels = Labels::default();
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
            labels.add(name, value);
        }
        Ok(labels)
    }

    /// Of version 2: names and values by turns, by their places among the symbols.
    fn second(series: &'a [u8], symbols: &[&'a [u8]]) -> Result<Labels<'a>, Fault> {
        let mut labels = Labels::default();
        let mut name = None;
        let mut take = |place: u64| {
            let symbol = usize::try_from(place).ok().and_then(|place| symbols.get(place)).copied();
            let symbol =
                symbol.ok_or_else(|| Fault::malformed(format!("symbol {place} of {}", symbols.len())))?;
            match name.take() {
                None => name = Some(symbol),
                Some(name) => labels.add(name, symbol),
            }
            Ok::<(), Fault>(())
        };
        for field in pb::fields(series) {
            match field? {
                (1, Wire::Varint(place)) => take(place)?,
                (1, Wire::Len(mut packed)) => {
                    while !packed.is_empty() {
                        let (place, rest) = pb::varint(packed)?;
                        take(place)?;
                        packed = rest;
                    }
                }
                _ => {}
            }
        }
        match name {
            None => Ok(labels),
            Some(_) => Err(Fault::malformed("a label without a value")),
        }
    }
}

#[derive(Debug)]
struct Job {
    tags: Vec<(String, String)>,
    version: Version,
    /// What is no message is answered as if it were empty.
    is_lenient: bool,
}

impl Job {
    fn read(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Written, Fault> {
        let mut written = Written::default();
        let tags = &cx.settings.options.host_tags;
        let symbols = if self.version == Version::Second { symbols(body.bytes())? } else { Vec::new() };
        for field in pb::fields(body.bytes()) {
            let labels = match (self.version, field?) {
                (Version::First, (1, Wire::Len(series))) => (series, Labels::first(series)?),
                (Version::Second, (5, Wire::Len(series))) => (series, Labels::second(series, &symbols)?),
                _ => continue,
            };
            self.series(labels.0, &labels.1, &mut written, body, cx)?;
            cx.flush_if_long(Category::Metric, Precision::Millis, tags, body)?;
        }
        cx.flush(Category::Metric, Precision::Millis, tags, body)?;
        Ok(written)
    }

    fn series(
        &self,
        series: &[u8],
        labels: &Labels<'_>,
        written: &mut Written,
        body: Padded<'_>,
        cx: &mut Conversion<'_>,
    ) -> Result<(), Fault> {
        let settings = cx.settings;
        let Some(metric) = labels.metric.filter(|name| !name.is_empty()) else {
            return Err(Fault::malformed("a series without a metric name"));
        };
        let (measurement, field_name) = names(metric);
        let histograms = if self.version == Version::Second { 3 } else { 4 };
        for field in pb::fields(series) {
            let (number, Wire::Len(sample)) = field? else { continue };
            let values = match number {
                2 => {
                    written.samples += 1;
                    sample_of(sample)?
                }
                number if number == histograms => {
                    written.histograms += 1;
                    histogram_of(sample)?
                }
                _ => continue,
            };
            let mut point = Builder::new(cx.tape, body.bytes());
            for (suffix, value) in values.list.into_iter().flatten() {
                match suffix {
                    "" => point.float_field(field_name, value),
                    suffix => point.float_field(&[field_name, suffix.as_bytes()].concat(), value),
                }
            }
            for (name, value) in &labels.others {
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

    /// The answer to what was taken. Senders of version 2 compare what was written with what they sent.
    fn taken(&self, written: Written) -> Reply {
        let mut reply = Reply::empty(204);
        if self.version == Version::Second {
            let count = |count: u64| Cow::Owned(count.to_string());
            reply.headers.push(("X-Prometheus-Remote-Write-Samples-Written", count(written.samples)));
            reply.headers.push(("X-Prometheus-Remote-Write-Histograms-Written", count(written.histograms)));
            reply.headers.push(("X-Prometheus-Remote-Write-Exemplars-Written", count(0)));
        }
        reply
    }
}

/// The table of texts of a request of version 2.
fn symbols(body: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let mut symbols = Vec::new();
    for field in pb::fields(body) {
        let (4, Wire::Len(symbol)) = field? else { continue };
        if symbols.len() >= SYMBOLS_MAX {
            return Err(Fault::TooLarge(SYMBOLS_MAX * size_of::<&[u8]>()));
        }
        symbols.push(symbol);
    }
    // So that what is not set says nothing.
    match symbols.first() {
        None | Some(&b"") => Ok(symbols),
        Some(_) => Err(Fault::malformed("the first symbol is not empty")),
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
        if self.version == Version::Unknown {
            return Err(Fault::Unsupported("the message that Content-Type names is not known".to_owned()));
        }
        if self.is_lenient && pb::fields(&body).any(|field| field.is_err()) {
            return Ok(Reply::empty(204));
        }
        Ok(self.taken(self.read(body, cx)?))
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
