//! `push.v1.PusherService/Push`, as Pyroscope's agents since 1.0 send it: profiles with labels, over Connect.
//!
//! ```text
//! PushRequest { 1: series[] }   RawProfileSeries { 1: labels[], 2: samples[] }
//! LabelPair { 1: name, 2: value }   RawSample { 1: raw_profile, 2: ID }
//! ```
//!
//! In JSON the same with `rawProfile` in base64 ([proto3's mapping](https://protobuf.dev/programming-guides/json/)).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::metadata::{Metadata, language_of};
use super::metrics::unpack_within;
use super::{Context, PROFILES_MAX, PYROSCOPE, Package, SAMPLE_LABELS, SPAN_NS_DEFAULT};
use crate::codec::pprof::Profile;
use crate::intake::convert::Fault;
use crate::intake::reply::{ContentType, Reply};
use crate::point::pb::{self, Wire};

/// Profiles of a program under the same labels.
#[derive(Debug, Default, PartialEq)]
struct Series {
    labels: Vec<(String, String)>,
    profiles: Vec<Vec<u8>>,
}

pub fn packages(cx: &Context<'_>, body: &[u8]) -> Result<Vec<Package>, Fault> {
    let media_type = cx.plan.content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let series = match media_type.trim_ascii().to_ascii_lowercase().as_slice() {
        b"application/proto" | b"application/x-protobuf" | b"application/protobuf" => from_protobuf(body)?,
        b"application/json" => from_json(body)?,
        other => {
            let found = String::from_utf8_lossy(other).into_owned();
            return Err(Fault::Unsupported(format!("unsupported Content-Type {found:?}")));
        }
    };
    let mut packages = Vec::new();
    for series in &series {
        for profile in &series.profiles {
            if packages.len() == PROFILES_MAX {
                return Err(Fault::Malformed(format!("the push holds more than {PROFILES_MAX} profiles")));
            }
            packages.push(package(cx, series, profile)?);
        }
    }
    Ok(packages)
}

fn package(cx: &Context<'_>, series: &Series, body: &[u8]) -> Result<Package, Fault> {
    let of =
        |wanted: &str| series.labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let Some(service) = of("service_name").or_else(|| of("service")).filter(|name| !name.is_empty()) else {
        return Err(Fault::malformed("a series has no label service_name"));
    };
    let mut metadata = Metadata::default();
    for (name, value) in &series.labels {
        match name.as_str() {
            // What the agent calls the program. A tag `service` of the user's is another name for it.
            "service_name" => {}
            "__name__" => drop(metadata.add("profile_type", value)),
            name => drop(metadata.add(name, value)),
        }
    }
    metadata.add("service", service);
    metadata.add("service_name", service);
    let runtime = of("process.runtime.name").or_else(|| of("otel.scope.name")).unwrap_or_default();
    let agent = cx.plan.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
    let agent = agent.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
    // An agent is called after its core, which is written in Rust, and then after what it looks at.
    let agent = agent.replace("pyroscope-rs", "").replace("pyspy", "python").replace("rbspy", "ruby");
    if let Some(language) = language_of(runtime).or_else(|| language_of(&agent)) {
        metadata.set_language(language);
    }
    let mut span = (cx.now_ns - SPAN_NS_DEFAULT, cx.now_ns);
    if let Ok(profile) = unpack_within(body, cx.settings.options.body_bytes_max)
        && let Ok(profile) = Profile::read(&profile)
    {
        if profile.time_nanos > 0 {
            let duration = if profile.duration_nanos > 0 { profile.duration_nanos } else { SPAN_NS_DEFAULT };
            span = (profile.time_nanos, profile.time_nanos.saturating_add(duration));
        }
        for (key, value) in profile.labels(&SAMPLE_LABELS).unwrap_or_default() {
            metadata.add(&key, &value);
        }
    } else {
        return Err(Fault::malformed("a profile in the push is no pprof"));
    }
    metadata.set_span(span.0, span.1);
    for (key, value) in &cx.options().pyroscope_tags {
        metadata.set(key, value);
    }
    cx.add_tags(&mut metadata);
    Ok(cx.single(PYROSCOPE, "auto.pprof", "pprof", metadata, body))
}

fn from_protobuf(body: &[u8]) -> Result<Vec<Series>, Fault> {
    let mut all = Vec::new();
    let mut profiles = 0;
    for field in pb::fields(body) {
        let (1, Wire::Len(bytes)) = field? else { continue };
        let mut series = Series::default();
        for field in pb::fields(bytes) {
            match field? {
                (1, Wire::Len(label)) => series.labels.push(label_of(label)?),
                (2, Wire::Len(sample)) => {
                    profiles += 1;
                    if profiles > PROFILES_MAX {
                        return Err(Fault::Malformed(format!(
                            "the push holds more than {PROFILES_MAX} profiles"
                        )));
                    }
                    for field in pb::fields(sample) {
                        if let (1, Wire::Len(profile)) = field? {
                            series.profiles.push(profile.to_vec());
                        }
                    }
                }
                _ => {}
            }
        }
        all.push(series);
    }
    Ok(all)
}

fn label_of(bytes: &[u8]) -> Result<(String, String), Fault> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut label = (String::new(), String::new());
    for field in pb::fields(bytes) {
        match field? {
            (1, Wire::Len(name)) => label.0 = text(name),
            (2, Wire::Len(value)) => label.1 = text(value),
            _ => {}
        }
    }
    Ok(label)
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct JsonPush {
    series: Vec<JsonSeries>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonSeries {
    labels: Vec<JsonLabel>,
    samples: Vec<JsonSample>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonLabel {
    name: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonSample {
    #[serde(alias = "raw_profile", rename = "rawProfile")]
    raw_profile: String,
}

fn from_json(body: &[u8]) -> Result<Vec<Series>, Fault> {
    let push: JsonPush = serde_json::from_slice(body).map_err(|error| Fault::Malformed(error.to_string()))?;
    let series = push.series.into_iter().map(|series| {
        let profiles = series.samples.iter().map(|sample| STANDARD.decode(&sample.raw_profile));
        Ok(Series {
            labels: series.labels.into_iter().map(|label| (label.name, label.value)).collect(),
            profiles: profiles
                .collect::<Result<_, _>>()
                .map_err(|_| Fault::malformed("rawProfile is no base64"))?,
        })
    });
    series.collect()
}

/// An error as Connect has it for unary calls.
pub fn refusal(fault: &Fault) -> Reply {
    let (status, code) = match fault {
        Fault::Malformed(_) => (400, "invalid_argument"),
        Fault::Unsupported(_) => (415, "invalid_argument"),
        Fault::TooLarge(_) => (429, "resource_exhausted"),
        Fault::Busy { .. } => (503, "unavailable"),
    };
    let body = serde_json::json!({ "code": code, "message": fault.text() }).to_string();
    Reply {
        content_type: ContentType::Value("application/json".into()),
        body: body.into_bytes(),
        ..Reply::empty(status)
    }
}
