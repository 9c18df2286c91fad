//! `POST /telemetry/proxy/api/v2/apmtelemetry`: what a tracer says of its process.
//!
//! Of a Java tracer it becomes a custom object, measurement `tracing_service`, named `<service>-<runtime id>`; the others
//! are answered and let go, as DataKit does. An object is made of one request: what a process said before stands in the
//! object of that time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::buf::Padded;
use crate::http1::Head;
use crate::intake::convert::{BodyEncoding, Builder, Conversion, Convert, ConvertPlan, Fault, route_and_ack};
use crate::intake::reply::Cors;
use crate::intake::{Reply, Settings};
use crate::metrics::names::API_DATADOG;
use crate::point::{Category, Precision};

/// What is read of a request. Absent and `null` are the same.
#[derive(Debug, Deserialize)]
struct Telemetry<'a> {
    #[serde(borrow, default)]
    request_type: Text<'a>,
    #[serde(borrow, default)]
    runtime_id: Text<'a>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    application: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(borrow, default)]
    host: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Option<Cow<'a, str>>);

impl Text<'_> {
    fn get(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// A part of a `message-batch`.
#[derive(Debug, Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    request_type: Text<'a>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

/// Of `app-started`.
#[derive(Debug, Deserialize)]
struct Started<'a> {
    #[serde(borrow, default)]
    configuration: Option<Vec<Entry<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Dependencies<'a> {
    #[serde(borrow, default)]
    dependencies: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Metrics<'a> {
    #[serde(borrow, default)]
    series: Vec<Series<'a>>,
}

#[derive(Debug, Deserialize)]
struct Series<'a> {
    #[serde(borrow, default)]
    metric: Text<'a>,
    #[serde(borrow, default)]
    tags: Option<Vec<Cow<'a, str>>>,
    #[serde(default)]
    points: Option<Vec<(f64, f64)>>,
}

/// Of the process and its machine, in the order in which they become tags.
const HOST_TAGS: [&str; 7] =
    ["hostname", "os", "os_version", "architecture", "kernel_name", "kernel_release", "kernel_version"];
const APPLICATION_TAGS: [&str; 8] = [
    "env",
    "service_version",
    "tracer_version",
    "language_name",
    "language_version",
    "runtime_name",
    "runtime_version",
    "runtime_patches",
];

/// What reads the body; none where the head says that it is no telemetry of the second version.
pub fn plan(head: &Head<'_>, cors: Cors, settings: &Settings) -> Option<ConvertPlan> {
    head.header("dd-telemetry-request-type")?;
    head.header("dd-telemetry-api-version").filter(|version| *version == b"v2")?;
    // A token that is refused leaves nothing to be stored.
    let (route, ack) = route_and_ack(head, settings).ok()?;
    Some(ConvertPlan {
        api: API_DATADOG,
        encoding: BodyEncoding::of(head),
        route,
        ack,
        cors,
        job: Box::new(TelemetryJob),
    })
}

#[derive(Debug)]
struct TelemetryJob;

impl Convert for TelemetryJob {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        let telemetry: Telemetry<'_> =
            serde_json::from_slice(&body).map_err(|error| Fault::malformed(error.to_string()))?;
        let application = telemetry.application.as_ref();
        let of_application = |key: &str| text_of(application.and_then(|map| map.get(key)).copied());
        if of_application("language_name") != "jvm" {
            return Ok(Reply::empty(200));
        }
        let parts: Vec<Part<'_>> = if telemetry.request_type.get() == "message-batch" {
            let payload = telemetry.payload.map_or("[]", RawValue::get);
            serde_json::from_str(payload).map_err(|error| Fault::malformed(error.to_string()))?
        } else {
            vec![Part { request_type: telemetry.request_type.clone(), payload: telemetry.payload }]
        };
        let mut fields: BTreeMap<String, Field> = BTreeMap::new();
        let mut asked = Vec::new();
        for part in &parts {
            said(part.request_type.get(), part.payload, &mut fields);
            trace_tags(part, &mut asked);
        }
        for (key, _) in &asked {
            cx.settings.remembered.trace_tags.add(key);
        }
        let mut point = Builder::new(cx.tape, &body);
        for key in HOST_TAGS {
            let value = text_of(telemetry.host.as_ref().and_then(|map| map.get(key)).copied());
            if !value.is_empty() {
                point.tag(key.as_bytes(), value.as_bytes());
            }
        }
        let service = of_application("service_name");
        point.tag(b"service", service.as_bytes());
        point.tag(b"name", format!("{service}-{}", telemetry.runtime_id.get()).as_bytes());
        for key in APPLICATION_TAGS {
            let value = of_application(key);
            if !value.is_empty() {
                point.tag(key.as_bytes(), value.as_bytes());
            }
        }
        if !telemetry.runtime_id.get().is_empty() {
            point.tag(b"runtime_id", telemetry.runtime_id.get().as_bytes());
        }
        for (key, value) in &asked {
            point.tag(key.as_bytes(), value.as_bytes());
        }
        for (key, field) in &fields {
            match field {
                Field::Text(text) => point.text_field(key.as_bytes(), text.as_bytes()),
                Field::Sum(sum) => point.float_field(key.as_bytes(), *sum),
            }
        }
        point.finish(b"tracing_service", 0);
        cx.flush(Category::CustomObject, Precision::Nanos, &cx.settings.tracing_tags, body)?;
        Ok(Reply::empty(200))
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        fault.with_retry(Reply::empty(fault.status()))
    }
}

/// The tags that a process has of its configuration (`trace_tags`), as pairs. Their keys become tags of its spans too.
fn trace_tags(part: &Part<'_>, asked: &mut Vec<(String, String)>) {
    if part.request_type.get() != "app-started" {
        return;
    }
    let payload = part.payload.map_or("null", RawValue::get);
    let Ok(started) = serde_json::from_str::<Started<'_>>(payload) else { return };
    let entries = started.configuration.into_iter().flatten();
    for entry in entries.filter(|entry| entry.name.get() == "trace_tags") {
        let pairs = text_of(entry.value);
        let pairs = pairs.split(',').filter_map(|pair| pair.trim().split_once(':'));
        let good = pairs.filter(|(key, value)| !key.is_empty() && !value.contains(':'));
        asked.extend(good.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}

enum Field {
    Text(String),
    Sum(f64),
}

/// Adds what one message says.
fn said(request_type: &str, payload: Option<&RawValue>, fields: &mut BTreeMap<String, Field>) {
    let payload = payload.map_or("null", RawValue::get);
    let name = request_type.replace('-', "_");
    match request_type {
        "app-started"
        | "app-client-configuration-change"
        | "app-integrations-change"
        | "app-product-change" => {
            fields.insert(name, Field::Text(payload.to_owned()));
        }
        "app-dependencies-loaded" => {
            let merged = match fields.get(&name) {
                Some(Field::Text(before)) => merge(before, payload),
                _ => None,
            };
            fields.insert(name, Field::Text(merged.unwrap_or_else(|| payload.to_owned())));
        }
        "app-closing" => {
            fields.insert(name, Field::Text("service closing".to_owned()));
        }
        "generate-metrics" => {
            let Ok(metrics) = serde_json::from_str::<Metrics<'_>>(payload) else { return };
            for series in &metrics.series {
                let tags = series.tags.as_deref().unwrap_or_default();
                let mut name = series.metric.get().to_owned();
                for tag in tags {
                    name.push('_');
                    name.push_str(&tag.replace(':', "_"));
                }
                let sum: f64 = series.points.iter().flatten().map(|(_, value)| value).sum();
                match fields.entry(name).or_insert(Field::Sum(0.0)) {
                    Field::Sum(all) => *all += sum,
                    Field::Text(_) => {}
                }
            }
        }
        _ => {}
    }
}

/// The dependencies of two messages in one.
fn merge(first: &str, second: &str) -> Option<String> {
    let first: Dependencies<'_> = serde_json::from_str(first).ok()?;
    let second: Dependencies<'_> = serde_json::from_str(second).ok()?;
    let all: Vec<&str> = first.dependencies.iter().chain(&second.dependencies).map(|raw| raw.get()).collect();
    Some(format!("{{\"dependencies\":[{}]}}", all.join(",")))
}

/// A text as it is meant, and anything else as it is written.
fn text_of(raw: Option<&RawValue>) -> Cow<'_, str> {
    let raw = raw.map_or("null", RawValue::get);
    match raw {
        "null" => Cow::Borrowed(""),
        _ => serde_json::from_str::<Cow<'_, str>>(raw).map_or(Cow::Borrowed(raw), |text| text),
    }
}
