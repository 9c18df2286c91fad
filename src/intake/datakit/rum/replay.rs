//! `POST /v1/write/rum/replay`: a piece of a recorded session, as the browser packed it.
//!
//! A multipart form: the compressed segment as a file, and what it belongs to as plain values. It is not looked into: the
//! request is kept as a raw package ([`crate::intake::raw`]) and delivered to the same path of the destination with its
//! headers and its body unchanged.
//!
//! Filters of RUM are asked of its plain values, its headers and the host's tags, as of a point `session_replay`; the sinker
//! groups it by its plain values.
//!
//! Answers: 200 without a body when it is stored, 202 when a filter drops it, 413 without a body (recorded) when it is no multipart form, 400 when
//! it is larger than [`BODY_BYTES_MAX`]. Until it is stored nothing is said but 503, on which the SDK tries again.

use crate::codec::multipart;
use crate::codec::raw_package::RawPackage;
use crate::http1::{Framing, Head, query};
use crate::intake::datakit::error::ApiError;
use crate::intake::datakit::token::{self, Sender};
use crate::intake::raw::{Kept, RawPlan, boundary, package_head};
use crate::intake::{ContentType, Cors, Reply, Settings, ack_from_name};
use crate::point::draft::{Draft, DraftKv};
use crate::point::filter::DraftView;
use crate::point::{Category, Route};

pub const PATH: &str = "/v1/write/rum/replay";

/// The recorded server's bound. The SDK closes a segment at 60 KB.
pub const BODY_BYTES_MAX: u64 = 32 << 20;

/// What the head asks for, or the answer to it.
pub fn plan(head: &Head<'_>, cors: Cors, settings: &Settings) -> Result<RawPlan, Box<Reply>> {
    if let Some(reply) = too_large(head, &cors) {
        return Err(Box::new(reply));
    }
    let refused = Reply::empty(413).with_cors(&cors);
    let Some(boundary) = head.header("content-type").and_then(boundary) else {
        return Err(Box::new(refused));
    };
    let asked = query::first(head.query, "ack").filter(|name| !name.is_empty());
    let Some(ack) = asked.as_deref().map_or(Some(settings.options.ack), ack_from_name) else {
        let message = format!("unknown ack {:?}: memory, disk or upstream", asked.unwrap_or_default());
        return Err(Box::new(ApiError::bad_request(message).reply().with_cors(&cors)));
    };
    let token = token::of_write(head.query, Sender::Browser, settings)
        .map_err(|error| Box::new(error.reply().with_cors(&cors)))?;
    Ok(RawPlan {
        category: Category::SessionReplay,
        route: Route { token, ..Route::default() },
        head: package_head(head, PATH),
        boundary,
        ack,
        stored: Reply { ack: Some(ack), ..Reply::empty(200) }.with_cors(&cors),
        refused,
        filtered: Reply::empty(202).with_cors(&cors),
        look,
    })
}

/// What filters call a replay.
const MEASUREMENT: &[u8] = b"session_replay";

/// Asks filters and the sinker, where there are any.
fn look(plan: &mut RawPlan, body: &[u8], settings: &Settings) -> Kept {
    let filters = settings.filters.of(Category::Rum);
    if filters.is_none() && settings.sinker.is_none() {
        return Kept::Yes;
    }
    let form = multipart::values(body, &plan.boundary);
    if let Some(sinker) = &settings.sinker {
        let pairs = form.iter().map(|(name, value)| (*name, *value));
        plan.route.global_tags = Some(sinker.value_of(plan.category, pairs));
    }
    let Some(filters) = filters else { return Kept::Yes };
    let mut draft = Draft { name: MEASUREMENT.into(), ..Draft::default() };
    draft.kvs.extend(form.iter().map(|(name, value)| DraftKv::tag(*name, *value)));
    let head = RawPackage::read(&plan.head);
    let headers = head.iter().flat_map(|head| head.headers());
    draft.kvs.extend(headers.map(|(name, value)| DraftKv::tag(canonical(name), value)));
    let host_tags = settings.options.host_tags.as_slice().iter();
    draft.kvs.extend(host_tags.map(|tag| DraftKv::tag(&*tag.key, &*tag.value)));
    // Of a key that is there more than once the first is found.
    let view = DraftView { draft: &draft, category: Category::Rum };
    match filters.of(Category::Rum).iter().any(|rule| rule.is_true(&view)) {
        true => Kept::No,
        false => Kept::Yes,
    }
}

/// A header's name as Go writes it: each word with a capital.
fn canonical(name: &str) -> Vec<u8> {
    let mut starts = true;
    let letter = |byte: u8| {
        let written = if starts { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        starts = byte == b'-';
        written
    };
    name.bytes().map(letter).collect()
}

/// The refusal of a body by its announced length.
pub fn too_large(head: &Head<'_>, cors: &Cors) -> Option<Reply> {
    let Framing::Length(bytes) = head.framing else { return None };
    (bytes > BODY_BYTES_MAX).then(|| Reply {
        content_type: ContentType::Value("text/plain; charset=utf-8".into()),
        body: format!("request body size [{bytes}] exceeds the limit").into_bytes(),
        cors: cors.clone(),
        ..Reply::empty(400)
    })
}
