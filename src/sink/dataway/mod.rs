//! DataWay, or whatever speaks its write API: `POST /v1/write/<category>` with a protobuf body.
//!
//! What the far end wants, as DataKit 1.84.1 does it: an uncompressed body of at most 1 MiB (`max_raw_body_size`);
//! `Content-Length` always, never chunked; the token and every other parameter of the configured URL in the query of
//! each request; a package id in `X-Pkg-Id` by which a repeated package is known. Unlike DataKit, the id stays the
//! same over retries and restarts, and a 4xx never drops data: see [`outcome`].

mod encode;
pub mod outcome;

pub use encode::user_agent;

use crate::point::Route;

use super::{Accepts, Answer, HttpSink, Outcome, Parcel, Target};

pub const NAME: &str = "dataway";

/// A DataWay with one or several addresses.
pub struct Dataway {
    targets: Vec<Target>,
    accepts: Accepts,
    agent: String,
}

impl Dataway {
    /// `agent` is the value of `User-Agent`, see [`user_agent`].
    pub fn new(targets: Vec<Target>, accepts: Accepts, agent: String) -> Dataway {
        assert!(!targets.is_empty(), "BUG: a DataWay without an address");
        Dataway { targets, accepts, agent }
    }
}

impl HttpSink for Dataway {
    fn name(&self) -> &'static str {
        NAME
    }

    fn accepts(&self) -> Accepts {
        self.accepts
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn head(&self, target: &Target, parcel: &Parcel<'_>, body_bytes: u64, out: &mut Vec<u8>) {
        encode::head(target, parcel, self.accepts, &self.agent, body_bytes, out);
    }

    fn outcome(&self, answer: &Answer, route: &Route) -> Outcome {
        outcome::of_route(answer, route)
    }
}
