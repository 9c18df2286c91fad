//! The DataKit HTTP API.
//!
//! Compatible with the public API document, and where it is silent with the recorded DataKit 1.84.1. Paths are
//! compared byte for byte after decoding; a known path with another method is the 404 page, never 405.
//!
//! - `POST /v1/write/:category`: [`write`]; what is particular to RUM, and `/v1/write/rum/replay`: [`rum`]
//! - `POST /v1/write/logstreaming`: [`logstreaming`]
//! - `GET /v1/ping`: [`ping`]; `GET /v1/ntp`: [`ntp`]
//! - `GET /v1/check/token/:token`, where tokens select workspaces: [`token`]
//! - `GET /metrics`, and the routes for people and their tools: [`control`], [`tags`]
//! - `GET /openapi.json`: [`openapi`](super::openapi)
//! - `OPTIONS` on any path: 204
//! - everything else: [`page404`]

mod control;
pub mod error;
pub mod logstreaming;
mod page404;
mod ntp;
pub mod ping;
pub mod rum;
pub mod tags;
pub mod token;
pub mod write;

pub use control::DIALTEST;
pub use ping::go_duration;

use crate::http1::{Framing, Head, Method, route};
use crate::point::Category;

use super::access::public::CHECK_TOKEN_PREFIX;
use super::reply::{Cors, Reply, cors};
use super::{Action, Clock, Peer, Settings, openapi};

pub use control::paths as control_paths;

const WRITE_PREFIX: &str = "/v1/write/";
const LOGSTREAMING: &str = "/v1/write/logstreaming";
const PING: &str = "/v1/ping";
const NTP: &str = "/v1/ntp";

/// The paths of all routes that are here and not in [`control`].
pub const PATHS: [&str; 8] = [
    "/v1/write/{category}",
    "/v1/write/rum",
    rum::replay::PATH,
    LOGSTREAMING,
    PING,
    NTP,
    "/v1/check/token/{token}",
    openapi::PATH,
];

/// The routes.
pub fn route(
    head: &Head<'_>,
    path: &[u8],
    peer: &Peer,
    clock: &Clock,
    settings: &Settings,
) -> Option<Action> {
    let cors = || cors(head, &settings.options.allowed_cors_origins);
    match (head.method, path) {
        (Method::Post, path) if path == LOGSTREAMING.as_bytes() => {
            Some(match logstreaming::plan(head, cors(), settings) {
                Ok(plan) => Action::Write(Box::new(plan)),
                Err(reply) => Action::Reply(*reply),
            })
        }
        (Method::Post, path) if route::param(path, WRITE_PREFIX).is_some() => {
            let category = route::param(path, WRITE_PREFIX).unwrap_or_default();
            Some(match write::plan(head, path, category, cors(), peer, settings) {
                Ok(plan) => Action::Write(Box::new(plan)),
                Err(reply) => Action::Reply(*reply),
            })
        }
        (Method::Post, path) if path == rum::replay::PATH.as_bytes() => {
            Some(match rum::replay::plan(head, cors(), settings) {
                Ok(plan) => Action::Raw(Box::new(plan)),
                Err(reply) => Action::Reply(*reply),
            })
        }
        (Method::Get, path) if path == PING.as_bytes() => {
            Some(Action::Reply(ping::reply(clock, settings).with_cors(&cors())))
        }
        (Method::Get, path) if path == NTP.as_bytes() => {
            Some(Action::Reply(ntp::reply(clock).with_cors(&cors())))
        }
        (Method::Get, path) if path == openapi::PATH.as_bytes() => {
            Some(Action::Reply(openapi::reply().with_cors(&cors())))
        }
        (Method::Get, path) if token_of(path, settings).is_some() => {
            let token = token_of(path, settings).unwrap_or_default();
            Some(Action::Reply(token::check(token, settings).with_cors(&cors())))
        }
        _ => control::route(head, path, cors, settings).or_else(|| {
            let path = route::without_trailing_slash(path)?;
            is_route(head.method, path, settings).then(|| Action::Reply(redirect(head)))
        }),
    }
}

/// Whether `route` knows this path without a slash behind it.
fn is_route(method: Method, path: &[u8], settings: &Settings) -> bool {
    if control::is_route(method, path, settings) {
        return true;
    }
    match method {
        Method::Get => {
            [PING, NTP, openapi::PATH].iter().any(|known| known.as_bytes() == path)
                || token_of(path, settings).is_some()
        }
        Method::Post => route::param(path, WRITE_PREFIX).is_some() || path == rum::replay::PATH.as_bytes(),
        _ => false,
    }
}

/// The token that is asked about.
fn token_of<'a>(path: &'a [u8], settings: &Settings) -> Option<&'a [u8]> {
    route::param(path, CHECK_TOKEN_PREFIX).filter(|_| settings.options.access.token_routing)
}

/// The number under which requests of a route are counted against a client's rate; none for what collectors register in
/// DataKit, and for what is no route.
pub fn limited(method: Method, path: &[u8]) -> Option<u8> {
    match (method, path) {
        (Method::Post, b"/v1/write/rum" | b"/v1/write/rum/replay" | b"/v1/write/logstreaming") => None,
        (Method::Post, path) if path.starts_with(WRITE_PREFIX.as_bytes()) => {
            let name = route::param(path, WRITE_PREFIX)?;
            let category = std::str::from_utf8(name).ok().and_then(Category::from_name);
            Some(category.map_or(LIMITED_UNKNOWN, |category| category as u8))
        }
        (Method::Get, path) if path == PING.as_bytes() => Some(LIMITED_PING),
        (Method::Get, path) if path == NTP.as_bytes() => Some(LIMITED_NTP),
        (Method::Get, path) if path == openapi::PATH.as_bytes() => Some(LIMITED_OPENAPI),
        (Method::Get, path) if route::param(path, CHECK_TOKEN_PREFIX).is_some() => Some(LIMITED_CHECK_TOKEN),
        _ => control::limited(method, path),
    }
}

// Counted apart from writes, whose numbers are their categories'.
const LIMITED_UNKNOWN: u8 = 255;
const LIMITED_PING: u8 = 254;
const LIMITED_NTP: u8 = 253;
const LIMITED_CHECK_TOKEN: u8 = 251;
const LIMITED_OPENAPI: u8 = 239;

/// To the path without the slash at its end. Recorded: no envelope, and a page only for GET.
fn redirect(head: &Head<'_>) -> Reply {
    let location = route::redirect_location(head.path, head.query);
    let mut reply = Reply { status: route::redirect_status(head.method), ..Reply::default() };
    if head.method == Method::Get {
        let mut link = String::with_capacity(location.len() + 48);
        link.push_str("<a href=\"");
        for character in location.chars() {
            match character {
                '&' => link.push_str("&amp;"),
                '<' => link.push_str("&lt;"),
                '>' => link.push_str("&gt;"),
                '"' => link.push_str("&#34;"),
                '\'' => link.push_str("&#39;"),
                _ => link.push(character),
            }
        }
        link.push_str("\">Moved Permanently</a>.\n\n");
        reply.body = link.into_bytes();
        reply.content_type = super::ContentType::Value("text/html; charset=utf-8".into());
    }
    reply.headers.push(("Location", location.into()));
    reply
}

/// See [`super::refuse_early`].
pub fn refuse_early(head: &Head<'_>, settings: &Settings) -> Option<Reply> {
    let replay = head.method == Method::Post && head.path == rum::replay::PATH;
    if replay {
        return rum::replay::too_large(head, &cors_of(head, settings));
    }
    // Archives are refused in words of their own.
    let refused = rum::sourcemap::refuse_early(head, || cors_of(head, settings), settings);
    refused.or_else(|| {
        let most = body_bytes_max(head)?;
        let too_large = matches!(head.framing, Framing::Length(bytes) if bytes > most as u64);
        let error = error::ApiError::body_too_large(most);
        too_large.then(|| error.reply().with_cors(&cors_of(head, settings)))
    })
}

/// See [`super::body_bytes_max`].
pub fn body_bytes_max(head: &Head<'_>) -> Option<usize> {
    control::body_bytes_max(head.method, head.path.as_bytes())
}

/// The answer to `OPTIONS`, on any path, known or not.
pub fn preflight(head: &Head<'_>, settings: &Settings) -> Option<Reply> {
    let wanted = head.method == Method::Options;
    wanted.then(|| Reply::empty(204).with_cors(&cors(head, &settings.options.allowed_cors_origins)))
}

/// The answer to what nobody knows.
pub fn not_found(head: &Head<'_>, clock: &Clock, settings: &Settings) -> Reply {
    page404::reply(clock, settings).with_cors(&cors(head, &settings.options.allowed_cors_origins))
}

/// The CORS headers for an answer that the shard makes up itself.
pub fn cors_of(head: &Head<'_>, settings: &Settings) -> Cors {
    cors(head, &settings.options.allowed_cors_origins)
}
