//! Who may ask for what, and how often: what is decided about a request before its route is, and before its body is
//! read.
//!
//! - [`public`]: which paths answer to others than this machine
//! - [`client`]: whose request it is, behind proxies that are trusted
//! - [`rate`]: a token bucket for each client and route
//!
//! The order is the recorded one: a preflight is answered whatever it asks for, then the list of public paths, then the
//! rate, then the route. State machines only: the shard brings clock and peer, and counts what is refused.

pub mod client;
pub mod public;
pub mod rate;

use ipnet::IpNet;

use crate::config::secret::Secret;
use crate::http1::{Framing, Head, Method};
use crate::point::Compat;

use super::datakit::{self, error::ApiError};
use super::{Peer, Reply, Settings};
pub use public::PublicApis;
pub use rate::{Rate, RateHeaders, RateLimiter};

/// What access is configured with.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Paths that others than this machine may ask for, beside those that are always public.
    pub public_apis: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// None: requests are not counted.
    pub rate: Option<Rate>,
    /// `?token=` selects the workspace.
    pub token_routing: bool,
    /// Tokens that are taken; empty: every well-formed one.
    pub tokens: Vec<Secret>,
}

impl Options {
    /// The defaults: DataKit ignores `?token=` and counts requests, the documents know neither.
    pub fn of(compat: Compat) -> Options {
        let recorded = compat == Compat::Datakit184;
        Options {
            public_apis: Vec::new(),
            trusted_proxies: Vec::new(),
            rate: recorded.then(Rate::recorded),
            token_routing: !recorded,
            tokens: Vec::new(),
        }
    }
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    NotPublic,
    TooMany,
}

/// Looks at a head before its body is read. `path` is decoded; `now_ns` is of a clock that never goes back.
pub fn check(
    head: &Head<'_>,
    path: &[u8],
    peer: &Peer,
    now_ns: u64,
    settings: &Settings,
    limiter: Option<&RateLimiter>,
) -> Result<(), (Reason, Box<Reply>)> {
    if head.method == Method::Options {
        return Ok(());
    }
    if !public::is_local(head, peer) && !settings.public_apis.allows(path) {
        return Err((Reason::NotPublic, refuse(head, settings, &public::refusal(path))));
    }
    if let Some(limiter) = limiter
        && let Some(route) = datakit::limited(head.method, path)
    {
        let options = &settings.options;
        let client = client::address(head, peer, &options.access.trusted_proxies, options.compat);
        if let Err(wait) = limiter.take(client, route, now_ns) {
            let reply = match options.compat {
                Compat::Datakit184 => refuse(head, settings, &rate::recorded_refusal()),
                // Agents throw away what gets a 4xx, and keep what gets a 503.
                Compat::Documented => {
                    let mut reply = refuse(head, settings, &rate::refusal());
                    reply.headers.push(("Retry-After", wait.as_secs().to_string().into()));
                    reply
                }
            };
            return Err((Reason::TooMany, reply));
        }
    }
    Ok(())
}

/// The largest body that is read past after a refusal, so that the connection can go on: what Go's server reads.
pub const SKIP_BODY_BYTES_MAX: u64 = 256 << 10;

/// Whether the body of a refused request can be read past. A client that waits for `100 Continue` may or may not send it
/// now, and a chunked one has no length: there the connection ends.
pub fn may_skip(head: &Head<'_>) -> bool {
    match head.framing {
        Framing::None => true,
        Framing::Length(length) => length <= SKIP_BODY_BYTES_MAX && !head.expect_continue,
        Framing::Chunked => false,
    }
}

fn refuse(head: &Head<'_>, settings: &Settings, error: &ApiError) -> Box<Reply> {
    Box::new(error.reply().with_cors(&datakit::cors_of(head, settings)))
}

#[cfg(test)]
mod tests;
