//! `/ingest`, as Pyroscope's agents before 1.0 send it: what the profile is of stands in the query.

use super::form::{self, Received};
use super::metadata::{Metadata, language_of};
use super::metrics::unpack_within;
use super::{Context, OCTET_STREAM, PYROSCOPE, Package, SAMPLE_LABELS, SPAN_NS_DEFAULT};
use crate::codec::pprof::Profile;
use crate::intake::convert::Fault;
use crate::pipeline::hook::Created;

/// The longest name of a format: it becomes the ending of a file.
const FORMAT_BYTES_MAX: usize = 16;

pub fn package(cx: &Context<'_>, body: &[u8]) -> Result<Package, Fault> {
    let mut metadata = metadata_of(cx)?;
    if body.is_empty() {
        return Err(Fault::malformed("incoming profiling request body is nil"));
    }
    if cx.plan.is_form() {
        return in_form(cx, metadata, body);
    }
    let content_type = cx.plan.content_type.to_ascii_lowercase();
    let is_stream = content_type.is_empty()
        || content_type.starts_with(b"binary/octet-stream")
        || content_type.starts_with(OCTET_STREAM.as_bytes());
    if !is_stream {
        let found = String::from_utf8_lossy(&cx.plan.content_type).into_owned();
        return Err(Fault::Malformed(format!("unsupported Content-Type {found:?}")));
    }
    let format = format_of(cx, &metadata);
    if format == "pprof" {
        add_labels(cx, body, &mut metadata);
    }
    cx.add_tags(&mut metadata);
    Ok(cx.single(PYROSCOPE, &format!("auto.{format}"), &format, metadata, body))
}

/// The format that the query names, or the one that is usual.
fn format_of(cx: &Context<'_>, metadata: &Metadata) -> String {
    let named = cx.plan.parameter("format").filter(|format| {
        !format.is_empty()
            && format.len() <= FORMAT_BYTES_MAX
            && format.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let usual = if metadata.language() == "java" { "jfr" } else { "pprof" };
    named.unwrap_or(usual).to_ascii_lowercase()
}

/// What the query says.
fn metadata_of(cx: &Context<'_>) -> Result<Metadata, Fault> {
    let mut metadata = Metadata::default();
    let mut labels = Vec::new();
    for (key, value) in &cx.plan.query {
        match key.as_str() {
            // How a request is served, not what it brings.
            "token" | "ack" => {}
            "name" => {
                let (name, of_name) = split_name(value);
                metadata.add("name", name);
                labels = of_name;
            }
            key => drop(metadata.add(key, value)),
        }
    }
    for (key, value) in labels {
        metadata.add(key, value);
    }
    if metadata.tag("service").is_none()
        && let Some(name) = metadata.tag("name").map(str::to_owned)
    {
        metadata.add("service", &name);
        metadata.remove("name");
    }
    if let Some(id) = metadata.tag("runtime_id").map(str::to_owned) {
        metadata.add("runtime-id", &id);
    }
    for (key, value) in &cx.options().pyroscope_tags {
        metadata.set(key, value);
    }
    let language = metadata.tag("spyName").and_then(language_of_spy).map(str::to_owned);
    if let Some(language) = language {
        metadata.set_language(&language);
    }
    let until_ns = time_of(cx, "until")?.unwrap_or(cx.now_ns);
    let from_ns = time_of(cx, "from")?.unwrap_or_else(|| until_ns.saturating_sub(SPAN_NS_DEFAULT));
    metadata.set_span(from_ns, until_ns);
    Ok(metadata)
}

/// `app{key=value,other=value}`
fn split_name(name: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((app, labels)) = name.split_once('{') else { return (name, Vec::new()) };
    let labels = labels.trim_end().trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
    (app.trim(), labels.map(|(key, value)| (key.trim(), value.trim().trim_matches('"'))).collect())
}

/// What the agents call themselves.
fn language_of_spy(spy: &str) -> Option<&'static str> {
    match spy {
        "pyspy" => Some("python"),
        "rbspy" => Some("ruby"),
        "gospy" => Some("golang"),
        spy => language_of(spy.strip_suffix("spy").unwrap_or(spy)),
    }
}

/// Seconds below this are of the next three thousand years; as milliseconds they would be of 1973. So on for the others.
const S_END: i64 = 100_000_000_000;
const MS_END: i64 = 1000 * S_END;
const US_END: i64 = 1000 * MS_END;

/// A time in seconds, milliseconds, microseconds or nanoseconds: its size tells which.
fn time_of(cx: &Context<'_>, name: &str) -> Result<Option<i64>, Fault> {
    let Some(text) = cx.plan.parameter(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let number: i64 = text
        .parse()
        .map_err(|_| Fault::Malformed(format!("the parameter {name} is {text:?}, and not a time")))?;
    let scale = match number {
        ..S_END => 1_000_000_000,
        S_END..MS_END => 1_000_000,
        MS_END..US_END => 1_000,
        US_END.. => 1,
    };
    Ok(Some(number.saturating_mul(scale)))
}

/// Labels in the profile say what the query of some agents does not.
fn add_labels(cx: &Context<'_>, body: &[u8], metadata: &mut Metadata) {
    // A profile that cannot be read is the destination's to refuse.
    let Ok(profile) = unpack_within(body, cx.settings.options.body_bytes_max) else { return };
    let labels = Profile::read(&profile).and_then(|profile| profile.labels(&SAMPLE_LABELS));
    for (key, value) in labels.unwrap_or_default() {
        metadata.add(&key, &value);
    }
}

/// A form with the profile in it. What Go's agent sends is named by what it measures.
fn in_form(cx: &Context<'_>, mut metadata: Metadata, body: &[u8]) -> Result<Package, Fault> {
    let boundary = cx.plan.boundary()?;
    let received = Received::read(body, &boundary).map_err(|error| Fault::malformed(error.to_string()))?;
    let found = received.files();
    let content = |name: &str| {
        let file = found.iter().find(|file| file.name == name)?;
        body.get(file.at.clone())
    };
    let Some(profile) = content("profile").or_else(|| content("jfr")) else {
        return Err(Fault::malformed("there is no part named profile in the form"));
    };
    let language = metadata.language();
    cx.add_tags(&mut metadata);
    let format = format_of(cx, &metadata);
    let name = match language {
        "golang" => go_file(content("sample_type_config").unwrap_or_default()).to_owned(),
        _ => format!("auto.{format}"),
    };
    let mut bytes = cx.head(&boundary);
    bytes.reserve(body.len() + 4096);
    let body_at = bytes.len();
    let mut writer = form::Writer::new(&boundary, &mut bytes);
    let mut attachments = vec![name.clone()];
    attachments.extend(found.iter().filter(|file| !is_profile(&file.name)).map(|file| file.name.clone()));
    writer.event(&metadata.event_json(PYROSCOPE, &format, &attachments));
    let at = writer.file(&name, &name, OCTET_STREAM, profile);
    let mut files = vec![form::File { name: name.clone(), file_name: name, at }];
    for file in found.into_iter().filter(|file| !is_profile(&file.name)) {
        let content = body.get(file.at.clone()).unwrap_or_default();
        let at = writer.file(&file.name, &file.file_name, OCTET_STREAM, content);
        files.push(form::File { at, ..file });
    }
    writer.end();
    Ok(Package {
        bytes: bytes.into(),
        body_at,
        route: cx.plan.route.clone(),
        filtered: false,
        dropped: false,
        created: Created::default(),
        metadata,
        files,
    })
}

fn is_profile(name: &str) -> bool {
    matches!(name, "profile" | "jfr")
}

/// The file's name, by the samples in it.
fn go_file(config: &[u8]) -> &'static str {
    const CONFIG_BYTES_MAX: usize = 64 << 10;
    let config = config.get(..CONFIG_BYTES_MAX).unwrap_or(config);
    let Ok(serde_json::Value::Object(types)) = serde_json::from_slice(config) else { return "cpu.pprof" };
    for (kind, about) in &types {
        let shown = about.get("display-name").and_then(|name| name.as_str()).unwrap_or_default();
        match kind.as_str() {
            "goroutine" | "goroutines" => return "goroutines.pprof",
            kind if kind.starts_with("alloc_") || kind.starts_with("inuse_") => return "delta-heap.pprof",
            "contentions" | "delay" if shown.contains("mutex") => return "delta-mutex.pprof",
            "contentions" | "delay" if shown.contains("block") => return "delta-block.pprof",
            _ => {}
        }
    }
    "cpu.pprof"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_bring_labels() {
        assert_eq!(split_name("app"), ("app", vec![]));
        assert_eq!(split_name("app{}"), ("app", vec![]));
        assert_eq!(split_name("a.b{k=v, region=\"eu\",broken}"), ("a.b", vec![("k", "v"), ("region", "eu")]));
    }

    #[test]
    fn agents_tell_their_language() {
        for (spy, expected) in [
            ("pyspy", Some("python")),
            ("rbspy", Some("ruby")),
            ("gospy", Some("golang")),
            ("javaspy", Some("java")),
            ("nodespy", Some("nodejs")),
            ("dotnetspy", Some("dotnet")),
            ("phpspy", Some("php")),
            ("pyroscope-rs", Some("rust")),
            ("ebpfspy", None),
        ] {
            assert_eq!(language_of_spy(spy), expected, "{spy}");
        }
    }

    #[test]
    fn gos_files_are_named_by_what_they_measure() {
        for (config, expected) in [
            ("", "cpu.pprof"),
            ("{}", "cpu.pprof"),
            ("{\"goroutine\":{}}", "goroutines.pprof"),
            ("{\"alloc_space\":{},\"inuse_space\":{}}", "delta-heap.pprof"),
            ("{\"contentions\":{\"display-name\":\"mutex_count\"}}", "delta-mutex.pprof"),
            ("{\"delay\":{\"display-name\":\"block_duration\"}}", "delta-block.pprof"),
            ("[", "cpu.pprof"),
        ] {
            assert_eq!(go_file(config.as_bytes()), expected, "{config}");
        }
    }
}
