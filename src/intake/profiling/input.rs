//! `/profiling/v1/input`: a form as Datadog's profilers send it.

use super::form::{self, Received};
use super::metadata::Metadata;
use super::{Context, Package};
use crate::intake::convert::Fault;
use crate::pipeline::hook::Created;

pub fn package(cx: &Context<'_>, body: &[u8]) -> Result<Package, Fault> {
    if body.is_empty() {
        return Err(Fault::malformed("incoming profiling request body is nil"));
    }
    let boundary = cx.plan.boundary()?;
    let received = Received::read(body, &boundary).map_err(|error| Fault::malformed(error.to_string()))?;
    let mut metadata = metadata_of(&received)?;
    let changed = cx.add_tags(&mut metadata);
    let mut bytes = cx.head(&boundary);
    bytes.reserve(body.len() + 4096);
    let body_at = bytes.len();
    let files = if changed || received.event.is_none() {
        form::rebuild(&received, &boundary, &metadata, &mut bytes)
    } else {
        bytes.extend_from_slice(body);
        let mut files = received.files();
        for file in &mut files {
            file.at = file.at.start + body_at..file.at.end + body_at;
        }
        files
    };
    if files.is_empty() {
        return Err(Fault::malformed("there is no profile in the form"));
    }
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

/// Of old clients' values if there are tags among them, else of the event, else of whatever values there are.
fn metadata_of(received: &Received<'_>) -> Result<Metadata, Fault> {
    let values: Vec<(String, &str)> = received.values().collect();
    let has_tags = values.iter().any(|(name, _)| name == "tags[]" || name == "tags");
    let from_values = || Metadata::from_values(values.iter().map(|(name, value)| (name.as_str(), *value)));
    let metadata = match received.event {
        Some(event) if !has_tags => Metadata::from_event(event).map_err(Fault::Malformed)?,
        _ => from_values(),
    };
    if metadata.is_empty() {
        return Err(Fault::malformed(
            "the form does not say what its profile is of: neither event.json nor tags",
        ));
    }
    Ok(metadata)
}
