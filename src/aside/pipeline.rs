//! `POST /v1/pipeline/debug`: a script tried over data that comes with it. Nothing is stored.
//!
//! Two shapes of requests, each answered in its own: that of DataKit 1.84, with scripts by category and name, and the older one
//! whose `pipeline` is one script in base64. Read as the recorded server reads them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use encoding_rs::{GB18030, GBK};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::intake::Reply;
use crate::intake::datakit::error::{ApiError, overloaded};
use crate::intake::datakit::ping::go_duration;
use crate::intake::gojson::{self, Fields};
use crate::pipeline::category::Category;
use crate::pipeline::lib::time::Zone;
use crate::pipeline::outside::{HttpRequest, HttpResponse, Place};
use crate::pipeline::post::StatusOptions;
use crate::pipeline::set::ScriptSet;
use crate::pipeline::state::tables::Tables;
use crate::pipeline::trial::{BadData, Format, Shown, ShownError, Trial, Tried};
use crate::pipeline::vm::Host;

use super::{RETRY_AFTER_S, Request};

/// As recorded.
const SCRIPT_BYTES_MAX: usize = 1 << 20;
const DATA_BYTES_MAX: usize = 32 << 20;

/// How long all runs of a request may take; with it goes the time that a request has.
const RUN_TIME_MAX: Duration = Duration::from_secs(15);

/// How long a script is run over and over to see how fast it is.
const BENCHMARK_TIME: Duration = Duration::from_millis(500);

/// Points that are shown. Whoever wants to see more of them looks at some.
const SHOWN_MAX: usize = 100_000;

/// A request.
struct Asked {
    category: Category,
    /// Without `.p`.
    name: String,
    /// With `.p`.
    scripts: BTreeMap<String, String>,
    data: Vec<Vec<u8>>,
    format: Format,
    benchmark: bool,
    /// The shape of the older document.
    is_old: bool,
}

/// Tries it. Blocks.
pub fn debug(request: &Request<'_>) -> Reply {
    let Some(host) = request.intake.scripts.host() else {
        return overloaded("the gateway is starting", RETRY_AFTER_S);
    };
    match Asked::read(request.body) {
        Err(error) => error.reply(),
        Ok(asked) => {
            let until = Instant::now() + RUN_TIME_MAX.min(request.left());
            let bounded = Bounded { host: &**host, until };
            let tags = &request.intake.options.host_tag_pairs;
            asked.answer(&bounded, tags).unwrap_or_else(|BadData(text)| invalid_data(text).reply())
        }
    }
}

fn error(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError { status: 400, code, message: message.into() }
}

fn invalid_request(message: String) -> ApiError {
    error("datakit.invalidRequest", message)
}

fn invalid_data(message: impl Into<String>) -> ApiError {
    error("datakit.invalidData", message)
}

/// The host of all runs of a request, which end when its time is up.
struct Bounded<'h> {
    host: &'h dyn Host,
    until: Instant,
}

impl Host for Bounded<'_> {
    fn now_ns(&self) -> i64 {
        self.host.now_ns()
    }

    fn stopped(&self) -> bool {
        Instant::now() >= self.until || self.host.stopped()
    }

    fn zone(&self) -> &Zone {
        self.host.zone()
    }

    fn random(&self) -> u64 {
        self.host.random()
    }

    fn tables(&self, look: &mut dyn FnMut(&Tables)) {
        self.host.tables(look);
    }

    fn place(&self, ip: &str) -> Option<Place> {
        self.host.place(ip)
    }

    fn http(&self, request: &HttpRequest<'_>) -> Option<HttpResponse> {
        if self.stopped() { None } else { self.host.http(request) }
    }
}

impl Asked {
    fn read(body: &[u8]) -> Result<Asked, ApiError> {
        const MAPS: &str = "map[string]map[string]string";
        let value = gojson::parse(body).map_err(invalid_request)?;
        let fields = Fields::root(&value, "httpapi", "pipelineDebugRequest").map_err(invalid_request)?;
        let mismatch = |key: &str, value, go_type: &str| {
            invalid_request(fields.mismatch(key, gojson::kind(value), go_type))
        };
        let name = fields.text("script_name").map_err(invalid_request)?.to_owned();
        let category = fields.text("category").map_err(invalid_request)?;
        let mut encoded: BTreeMap<&str, &str> = BTreeMap::new();
        let mut is_old = false;
        match fields.get("pipeline") {
            None => {}
            Some(serde_json::Value::String(script)) => {
                is_old = true;
                encoded.insert(&name, script);
            }
            Some(serde_json::Value::Object(categories)) => {
                for (of, scripts) in categories {
                    let scripts = match scripts {
                        serde_json::Value::Object(scripts) => scripts,
                        serde_json::Value::Null => continue,
                        other => return Err(mismatch("pipeline", other, "map[string]string")),
                    };
                    for (name, script) in scripts {
                        let text = match script {
                            serde_json::Value::String(text) => text,
                            serde_json::Value::Null => "",
                            other => return Err(mismatch("pipeline", other, "string")),
                        };
                        if of == category {
                            encoded.insert(name, text);
                        }
                    }
                }
            }
            Some(other) => return Err(mismatch("pipeline", other, MAPS)),
        }
        let mut data = Vec::new();
        for item in fields.list("data", "[]string").map_err(invalid_request)?.unwrap_or_default() {
            match item {
                serde_json::Value::String(text) => data.push(text.as_str()),
                serde_json::Value::Null => data.push(""),
                other => return Err(mismatch("data", other, "string")),
            }
        }
        let data_type = fields.text("data_type").map_err(invalid_request)?;
        let encode = fields.text("encode").map_err(invalid_request)?.to_ascii_lowercase();
        let benchmark = fields.boolean("benchmark").map_err(invalid_request)?;
        for ignored in ["multiline", "timezone"] {
            fields.text(ignored).map_err(invalid_request)?;
        }

        let Some(category) = Category::named(category) else {
            return Err(error("datakit.invalidCategory", "invalid category"));
        };
        if !encoded.contains_key(name.as_str()) {
            return Err(error("datakit.invalidPipeline", "invalid pipeline"));
        }
        let mut scripts = BTreeMap::new();
        for (name, text) in encoded {
            let text = decoded(text)?;
            if text.len() > SCRIPT_BYTES_MAX {
                return Err(invalid_data("script size exceeds 1MB limit"));
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            scripts.insert(format!("{name}.p"), text);
        }
        let format = format_of(data_type, category);
        let mut plain = Vec::with_capacity(data.len());
        for item in data {
            let mut item = decoded(item)?;
            if item.len() > DATA_BYTES_MAX {
                return Err(invalid_data("data size exceeds 32MB limit"));
            }
            if format == Format::Text {
                item = match encode.as_str() {
                    "gbk" => GBK.decode_without_bom_handling(&item).0.into_owned().into_bytes(),
                    "gb18030" => GB18030.decode_without_bom_handling(&item).0.into_owned().into_bytes(),
                    _ => item,
                };
            }
            plain.push(item);
        }
        Ok(Asked { category, name, scripts, data: plain, format, benchmark, is_old })
    }

    fn answer(&self, host: &dyn Host, tags: &[(String, String)]) -> Result<Reply, BadData> {
        let texts = self.scripts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let set = ScriptSet::compile(texts);
        let at = match set.find(&format!("{}.p", self.name)) {
            Some(Ok(at)) => at,
            Some(Err(error)) => return Ok(self.content(&Content::bad(ShownError::of(error)))),
            None => return Err(BadData("script not found".to_owned())),
        };
        let trial = Trial {
            set: &set,
            at,
            category: self.category,
            name: &self.name,
            status: &StatusOptions::default(),
            host,
        };
        let started = host.now_ns();
        let (mut results, mut format) = (Vec::new(), self.format);
        for data in &self.data {
            let now_ns = host.now_ns();
            let mut tried = trial.run(format, data, now_ns);
            if tried.is_err() && self.category == Category::Logging && format == Format::LineProtocol {
                // Recorded: this one and all behind it are texts.
                format = Format::Text;
                tried = trial.run(format, data, now_ns);
            }
            results.extend(tried?);
            if results.len() > SHOWN_MAX {
                return Err(BadData(format!("more than {SHOWN_MAX} points")));
            }
        }
        let cost_ns = host.now_ns() - started;
        results.extend(trial.finish(tags));
        let benchmark = match self.data.first().filter(|_| self.benchmark) {
            Some(data) => {
                // On its own: what the runs leave behind is not to show.
                let texts = self.scripts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
                let fresh = ScriptSet::compile(texts);
                let until_ns = host.now_ns() + BENCHMARK_TIME.as_nanos() as i64;
                benchmark_line(Trial { set: &fresh, ..trial }.repeat(format, data, until_ns)?)
            }
            None => String::new(),
        };
        let cost = go_duration(Duration::from_nanos(u64::try_from(cost_ns).unwrap_or(0)));
        let plresults = (!results.is_empty()).then_some(results);
        Ok(self.content(&Content { cost, benchmark, pl_errors: None, plresults }))
    }

    fn content(&self, content: &Content) -> Reply {
        let body = if self.is_old {
            serde_json::to_vec(&Enveloped { content: OldContent::of(content) })
        } else {
            serde_json::to_vec(&Enveloped { content })
        };
        match body {
            Ok(body) => Reply::json(200, body),
            Err(error) => {
                ApiError { status: 500, code: "kitgate.internal", message: error.to_string() }.reply()
            }
        }
    }
}

/// Lenient as Go's is about nothing but line breaks.
fn decoded(text: &str) -> Result<Vec<u8>, ApiError> {
    let bad = |offset: usize| invalid_data(format!("illegal base64 data at input byte {offset}"));
    let plain;
    let text = if text.contains(['\r', '\n']) {
        plain = text.replace(['\r', '\n'], "");
        &plain
    } else {
        text
    };
    BASE64_STANDARD.decode(text).map_err(|error| match error {
        base64::DecodeError::InvalidByte(offset, _)
        | base64::DecodeError::InvalidLastSymbol { offset, .. } => bad(offset),
        // Go counts the whole quanta.
        _ => bad(text.len() / 4 * 4),
    })
}

fn format_of(data_type: &str, category: Category) -> Format {
    match data_type {
        "" if category == Category::Logging => Format::Text,
        named if named.contains("text/plain") => Format::Text,
        named if named.contains("application/json") || named.starts_with("application/pbjson") => {
            Format::Json
        }
        named if named.starts_with("application/protobuf") => Format::Protobuf,
        _ => Format::LineProtocol,
    }
}

/// As Go's testing prints a result: the runs, and what one took.
fn benchmark_line((runs, ns): (u64, i64)) -> String {
    let each = ns as f64 / runs.max(1) as f64;
    let each = match each {
        each if each >= 999.95 || each == 0.0 => format!("{each:10.0}"),
        each if each >= 99.995 => format!("{each:12.1}"),
        each if each >= 9.9995 => format!("{each:13.2}"),
        each => format!("{each:14.3}"),
    };
    format!("{runs:8}\t{each} ns/op")
}

#[derive(Serialize)]
struct Enveloped<T> {
    content: T,
}

#[derive(Serialize)]
struct Content {
    cost: String,
    benchmark: String,
    pl_errors: Option<Vec<ShownError>>,
    plresults: Option<Vec<Tried>>,
}

impl Content {
    fn bad(error: ShownError) -> Content {
        Content {
            cost: String::new(),
            benchmark: String::new(),
            pl_errors: Some(vec![error]),
            plresults: None,
        }
    }
}

/// The answer of the older document.
#[derive(Serialize)]
struct OldContent {
    cost: String,
    benchmark: String,
    error_msg: String,
    plresults: Vec<OldResult>,
}

#[derive(Default, Serialize)]
struct OldResult {
    measurement: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, Option<Box<RawValue>>>,
    time: i64,
    time_ns: i64,
    dropped: bool,
    error: String,
}

impl OldContent {
    fn of(content: &Content) -> OldContent {
        let text = |error: &ShownError| {
            let place = error.pos_chain.first();
            let place = place.map(|place| format!("{}:{}:{}: ", place.file, place.ln, place.col));
            format!("{}{}", place.unwrap_or_default(), error.error)
        };
        let results = content.plresults.iter().flatten().map(|tried| {
            let error = tried.run_error.as_ref().map(text).unwrap_or_default();
            tried.point.as_ref().map_or_else(OldResult::default, OldResult::of).with(error)
        });
        OldContent {
            cost: content.cost.clone(),
            benchmark: content.benchmark.clone(),
            error_msg: content.pl_errors.iter().flatten().map(text).collect::<Vec<_>>().join("\n"),
            plresults: results.collect(),
        }
    }
}

impl OldResult {
    fn of(point: &Shown) -> OldResult {
        let fields = point.fields.iter();
        OldResult {
            measurement: point.name.clone(),
            tags: point.tags.clone(),
            fields: fields
                .map(|(key, json)| (key.clone(), RawValue::from_string(json.clone()).ok()))
                .collect(),
            time: point.time,
            time_ns: point.time_ns,
            dropped: point.dropped,
            error: String::new(),
        }
    }

    fn with(self, error: String) -> OldResult {
        OldResult { error, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_is_written_as_go_writes_it() {
        assert_eq!(benchmark_line((1000, 1_234_567)), "    1000\t      1235 ns/op");
        assert_eq!(benchmark_line((10, 5_555)), "      10\t       555.5 ns/op");
    }

    #[test]
    fn base64_is_read_as_go_reads_it() {
        assert_eq!(decoded("eA==").unwrap(), b"x");
        assert_eq!(decoded("eA\n==").unwrap(), b"x");
        assert_eq!(decoded("@@@@").unwrap_err().message, "illegal base64 data at input byte 0");
        assert_eq!(decoded("eHh4e").unwrap_err().message, "illegal base64 data at input byte 4");
    }

    #[test]
    fn the_older_shape_is_answered_in_its_own() {
        let body = serde_json::json!({
            "pipeline": BASE64_STANDARD.encode("add_key(a, 1.5)\nset_tag(b, \"c\")"),
            "script_name": "s", "category": "logging", "data": ["eA=="],
        });
        let asked = Asked::read(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
        struct Still;
        impl Host for Still {
            fn now_ns(&self) -> i64 {
                1
            }
        }
        let reply = asked.answer(&Still, &[]).unwrap_or_else(|BadData(text)| panic!("{text}"));
        let value: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let result = &value["content"]["plresults"][0];
        assert_eq!(value["content"]["error_msg"], "");
        assert_eq!(
            (&result["fields"]["a"], &result["tags"]["b"]),
            (&serde_json::json!(1.5), &serde_json::json!("c"))
        );
        assert_eq!(
            (&result["measurement"], &result["dropped"], &result["error"]),
            (&"s".into(), &false.into(), &"".into())
        );
    }
}
