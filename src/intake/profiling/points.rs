//! The point `profiling_metrics`: the numbers in a profile, with the tags that tell whose they are.

use std::collections::BTreeMap;

use super::metrics::{self, ProfileFile, Value};
use super::{Metadata, Package, metadata};
use crate::buf::Padded;
use crate::config::ProfilingSettings;
use crate::intake::convert::{BodyEncoding, Builder, Conversion, Convert, ConvertPlan, Fault};
use crate::intake::{Ack, Cors, Reply};
use crate::metrics::names::API_PROFILING;
use crate::point::{Category, Precision, Route};

const MEASUREMENT: &[u8] = b"profiling_metrics";

/// Whose profiles there are numbers in.
const LANGUAGES: [&str; 3] = ["python", "golang", "java"];

/// What of a profile's tags its numbers get.
const TAGS: [&str; 4] = ["host", "service", "env", "version"];

/// A point, as a request of nobody's: it goes the way of points that come by other protocols.
#[derive(Debug)]
struct Point {
    tags: BTreeMap<String, String>,
    fields: Vec<(&'static str, Value)>,
    time_ns: i64,
}

/// Whether there may be numbers in a profile.
pub fn is_wanted(package: &Package, settings: &ProfilingSettings) -> bool {
    let language = package.metadata.language();
    settings.generate_metrics && !package.filtered && !package.dropped && LANGUAGES.contains(&language)
}

/// What to write for a profile; none where there are no numbers in it, and why where they cannot be read.
pub fn plan(package: &Package, settings: &ProfilingSettings) -> Result<Option<ConvertPlan>, String> {
    let metadata = &package.metadata;
    let Some((start_ns, end_ns)) = metadata.span_ns() else {
        return Err("the profile does not say when it begins and ends".to_owned());
    };
    let files: Vec<ProfileFile<'_>> = package
        .files()
        .map(|(file, body)| ProfileFile { name: &file.name, file_name: &file.file_name, body })
        .collect();
    let fields = metrics::of(metadata.language(), &files, end_ns.saturating_sub(start_ns))?;
    if fields.is_empty() {
        return Ok(None);
    }
    let point = Point { tags: tags_of(metadata, settings), fields, time_ns: end_ns };
    Ok(Some(ConvertPlan {
        api: API_PROFILING,
        encoding: BodyEncoding::Identity,
        route: Route { token: package.route.token.clone(), ..Route::default() },
        ack: Ack::Disk,
        cors: Cors::Denied,
        job: Box::new(point),
    }))
}

fn tags_of(metadata: &Metadata, settings: &ProfilingSettings) -> BTreeMap<String, String> {
    let of_profile = TAGS.into_iter().filter_map(|key| Some((key, metadata.tag(key)?)));
    let configured = settings.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let all = [("language", metadata.language())].into_iter().chain(of_profile).chain(configured);
    let all =
        all.chain(metadata.sub_custom_tags()).filter(|(key, value)| !key.is_empty() && !value.is_empty());
    let owned = all.map(|(key, value)| (key.to_owned(), value.to_owned()));
    owned.take(metadata::TAGS_MAX).collect()
}

impl Convert for Point {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        let mut point = Builder::new(cx.tape, &body);
        for (key, value) in &self.tags {
            point.tag(key.as_bytes(), value.as_bytes());
        }
        for (key, value) in &self.fields {
            match value {
                Value::Int(value) => point.int_field(key.as_bytes(), *value),
                Value::Float(value) => point.float_field(key.as_bytes(), *value),
            }
        }
        point.finish(MEASUREMENT, self.time_ns);
        let settings = cx.settings;
        cx.flush(Category::Metric, Precision::Nanos, &settings.options.host_tags, body)?;
        Ok(Reply::empty(200))
    }

    fn refuse(&self, _fault: &Fault) -> Reply {
        Reply::empty(503)
    }
}
