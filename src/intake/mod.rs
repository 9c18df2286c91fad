//! One folder per protocol: what was asked, how it is decoded, what is answered.
//!
//! An intake is pure. [`route`] looks at a head and says what is to be done: an answer that needs nothing more, a write
//! whose body is awaited, or a page of the operators'. The shard does the rest, and what it needs for that comes from
//! the protocol's own functions (`datakit::write::decode`, …).
//!
//! **Adding a protocol**: a folder `src/intake/<name>/` (`mod.rs` with its routes, the limits of its dialect and the
//! source it is compatible with; a file per message kind; `convert.rs` to points), one line in [`PROTOCOLS`], recorded
//! exchanges in `tests/golden/<name>/`. Nothing between changes.

pub mod access;
pub mod aside;
pub mod convert;
pub mod datadog;
pub mod datakit;
pub mod filters;
pub mod gojson;
pub mod hooks;
pub mod influxdb;
pub mod openapi;
pub mod otlp;
pub mod profiling;
pub mod prometheus;
mod protobuf;
pub mod raw;
mod reply;
mod request;
pub mod scripts;
mod settings;
pub mod skywalking;
pub mod tracing;
pub mod zipkin;

pub use reply::{ContentType, Cors, Envelope, Reply};
pub use request::{Clock, Peer, Request};
pub use settings::{Ack, Compat, Options, Settings, ack_from_name, ack_name, time_correction_default};

#[cfg(test)]
mod testing;

use crate::http1::Head;

/// What the head of a request asks for.
#[derive(Debug)]
pub enum Action {
    /// Answered; a body, if one follows, is read past.
    Reply(Reply),
    /// Points: the body is awaited, then `datakit::write::decode` or a `datakit::write::Decoder` takes it.
    Write(Box<datakit::write::WritePlan>),
    /// A request that is kept and passed on as it came: the body is awaited.
    Raw(Box<raw::RawPlan>),
    /// Profiles, passed on too, but not as they came: the body is awaited, then
    /// [`profiling::ProfilePlan::prepare`] takes it.
    Profile(Box<profiling::ProfilePlan>),
    /// Anything else that becomes points: the body is awaited, then [`convert::run`] takes it.
    Convert(Box<convert::ConvertPlan>),
    /// What no shard should do: the body is awaited, then another thread answers.
    Aside(Box<aside::AsidePlan>),
}

/// A protocol: its name in metrics, and its routes.
pub struct Protocol {
    pub name: &'static str,
    /// Paths that others than this machine may always ask for: what is there is there for agents elsewhere.
    pub public: &'static [&'static str],
    /// The rest of its paths; a segment that varies stands in braces.
    pub others: &'static [&'static str],
    /// `None`: not a route of this protocol.
    pub route: fn(&Head<'_>, &[u8], &Peer, &Clock, &Settings) -> Option<Action>,
}

/// The protocols, in the order in which they are asked.
pub static PROTOCOLS: [Protocol; 8] = [
    Protocol { name: "datakit", public: &[], others: &datakit::PATHS, route: datakit::route },
    Protocol { name: "datadog", public: &datadog::PATHS, others: &[], route: datadog::route },
    Protocol {
        name: "skywalking",
        public: &skywalking::PATHS,
        others: &[skywalking::INSTANCES_PATH],
        route: skywalking::route,
    },
    Protocol { name: "otlp", public: &otlp::PATHS, others: &[], route: otlp::route },
    Protocol { name: "zipkin", public: &zipkin::PATHS, others: &[], route: zipkin::route },
    Protocol { name: "prometheus", public: &prometheus::PATHS, others: &[], route: prometheus::route },
    Protocol { name: "profiling", public: &profiling::PATHS, others: &[], route: profiling::route },
    Protocol { name: "influxdb", public: &influxdb::PATHS, others: &[], route: influxdb::route },
];

/// The paths of all routes, as [`openapi::DOCUMENT`] has them. What is not among them is no route, and a test sees to it that
/// no path in the sources is forgotten here.
pub fn paths() -> impl Iterator<Item = &'static str> {
    let of_protocols = PROTOCOLS.iter().flat_map(|protocol| protocol.public.iter().chain(protocol.others));
    of_protocols.copied().chain(datakit::control_paths())
}

/// The refusal of a request by its head alone, before its body is read. For what is too large to be received at all;
/// everything else has time until [`route`].
pub fn refuse_early(head: &Head<'_>, settings: &Settings) -> Option<Reply> {
    profiling::refuse_early(head, settings).or_else(|| datakit::refuse_early(head, settings))
}

/// How large a body may be as it comes: what is configured for writes, but for what has a bound of its own.
pub fn body_bytes_max(head: &Head<'_>, settings: &Settings, configured: usize) -> usize {
    let own = profiling::body_bytes_max(head.method, head.path.as_bytes(), settings);
    own.or_else(|| datakit::body_bytes_max(head)).unwrap_or(configured)
}

/// What is to be done about a request. `head.path` must be a valid escaped path, as `http1::parse_head` guarantees.
pub fn route(head: &Head<'_>, peer: &Peer, clock: &Clock, settings: &Settings) -> Action {
    // What every route shares comes first: a preflight is answered whatever its path is.
    if let Some(reply) = datakit::preflight(head, settings) {
        return Action::Reply(reply);
    }
    let Some(path) = crate::http1::target::decode_path(head.path) else {
        return Action::Reply(datakit::not_found(head, clock, settings));
    };
    for protocol in &PROTOCOLS {
        if let Some(action) = (protocol.route)(head, &path, peer, clock, settings) {
            return action;
        }
    }
    Action::Reply(datakit::not_found(head, clock, settings))
}
