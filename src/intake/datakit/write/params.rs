//! The query parameters of a write.

use std::borrow::Cow;

use crate::http1::query;

use super::{Echo, TagSet};

/// The query parameters. Of one that comes twice the first counts. A switch is on with any value but the empty one,
/// also `false` and `0`. What nobody knows is ignored, and so is `loose`: there is no other mode beside strict.
#[derive(Default)]
pub(super) struct Params<'a> {
    pub(super) precision: Option<Cow<'a, str>>,
    pub(super) encoding: Option<Cow<'a, str>>,
    pub(super) input: Option<Cow<'a, str>>,
    pub(super) source: Option<Cow<'a, str>>,
    pub(super) version: Option<Cow<'a, str>>,
    pub(super) storage_index: Option<Cow<'a, str>>,
    pub(super) ack: Option<Cow<'a, str>>,
    pub(super) echo: Option<Echo>,
    pub(super) dry: bool,
    pub(super) strict: bool,
    pub(super) tags: TagSet,
}

/// The parameters, in the order of the bits that say which have been seen.
const PARAM_NAMES: [&str; 15] = [
    "precision",
    "encoding",
    "echo",
    "echo_line_proto",
    "echo_json",
    "dry",
    "strict",
    "global_election_tags",
    "ignore_global_host_tags",
    "ignore_global_tags",
    "input",
    "source",
    "version",
    "storage_index",
    "ack",
];

impl<'a> Params<'a> {
    pub(super) fn read(query: &'a str) -> Params<'a> {
        if query.is_empty() {
            return Params::default();
        }
        let mut values: [Option<Cow<'a, str>>; PARAM_NAMES.len()] = Default::default();
        for pair in query::pairs(query) {
            let index = PARAM_NAMES.iter().position(|name| name.as_bytes() == &*pair.key);
            if let Some(slot) = index.and_then(|index| values.get_mut(index))
                && slot.is_none()
            {
                *slot = Some(pair.text());
            }
        }
        // From here on an empty value is an absent one.
        let [
            precision,
            encoding,
            echo,
            echo_line_proto,
            echo_json,
            dry,
            strict,
            election,
            ignore_host,
            ignore,
            input,
            source,
            version,
            storage_index,
            ack,
        ] = values.map(|value| value.filter(|value| !value.is_empty()));
        let echo = match echo.as_deref() {
            Some("lp") => Some(Echo::LineProtocol),
            Some("json") => Some(Echo::Json),
            Some("pbjson") => Some(Echo::PbJson),
            Some(_) => None,
            None if echo_line_proto.is_some() => Some(Echo::LineProtocol),
            None if echo_json.is_some() => Some(Echo::Json),
            None => None,
        };
        let tags = if election.is_some() {
            TagSet::Election
        } else if ignore_host.is_some() || ignore.is_some() {
            TagSet::None
        } else {
            TagSet::Host
        };
        Params {
            precision,
            encoding,
            input,
            source,
            version,
            storage_index,
            ack,
            echo,
            dry: dry.is_some(),
            strict: strict.is_some(),
            tags,
        }
    }
}
