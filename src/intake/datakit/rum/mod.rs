//! `POST /v1/write/rum` and `/v1/write/rum/replay`: what browsers and apps send of their users.
//!
//! The points of `/v1/write/rum` go the way of every other write (`super::write`). What is particular to them is here:
//!
//! - [`own_tags`]: who sent them, as tags of the request: `ip` ([`client_ip`]) and where that is ([`geo`]).
//! - [`check`]: what a point must have; one that does not pass refuses the whole body.
//! - [`sources`]: the original source of errors, where source maps were uploaded.
//! - [`answered`], [`refused`]: what answers look like, which is not how other routes' answers look.
//! - [`looks_like_json`]: the SDK's way of sending JSON under another name.
//!
//! [`sourcemap`] are the routes by which source maps come.
//!
//! [`replay`] is a route of its own: a session replay is kept and delivered as it came, as a raw package.
//!
//! Compatible with the recorded DataKit 1.84.1. Not done: the field `provider_type` and `provider_name` of `resource`
//! points, which take a DNS look-up for each host. A write does not wait for somebody else's name server.

mod checks;
mod client_ip;
pub mod geo;
pub mod replay;
pub mod sourcemap;
pub mod sources;

pub use checks::check;

use crate::config::{RUM_MEASUREMENTS, RUM_ORIGIN_IP_HEADER};
use crate::http1::Head;
use crate::intake::{Compat, ContentType, Peer, Reply, Settings};
use crate::point::GlobalTags;

use self::sourcemap::FirstToken;
use super::error::ApiError;
use super::write::BodyFormat;

/// What RUM is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RumOptions {
    /// Empty: every application.
    pub app_ids: Vec<String>,
    pub measurements: Vec<String>,
    pub origin_ip_header: String,
    /// The token that changes source maps; none where there are no source maps.
    pub sourcemap: Option<FirstToken>,
}

impl Default for RumOptions {
    fn default() -> RumOptions {
        RumOptions {
            app_ids: Vec::new(),
            measurements: RUM_MEASUREMENTS.map(str::to_owned).to_vec(),
            origin_ip_header: RUM_ORIGIN_IP_HEADER.to_owned(),
            sourcemap: None,
        }
    }
}

/// The tags of a request: who sent it and where that is, looked up once for all of its points. The recorded server
/// adds them to line protocol only; the documents know no such difference.
pub fn own_tags(head: &Head<'_>, peer: &Peer, format: BodyFormat, settings: &Settings) -> GlobalTags {
    let options = &settings.options;
    if options.compat == Compat::Datakit184 && format != BodyFormat::LineProtocol {
        return GlobalTags::default();
    }
    let ip = client_ip::of(head, peer, &options.rum.origin_ip_header);
    let place = settings.geo.load().place(&ip);
    let tags = [
        ("ip", &*ip),
        ("city", &place.city),
        ("province", &place.province),
        ("country", &place.country),
        ("isp", &place.isp),
    ];
    // Five are never too many.
    GlobalTags::new(tags).unwrap_or_default()
}

/// The answer to a write that went well: other routes send `nosniff` and an empty `Content-Type` with it.
pub fn answered(reply: Reply) -> Reply {
    let content_type = if reply.body.is_empty() { ContentType::None } else { ContentType::Empty };
    Reply { nosniff: false, content_type, ..reply }
}

/// The answer to a write that is refused: the message stands in brackets, as the recorded server prints it.
pub fn refused(error: &ApiError) -> Reply {
    let of_datakit = error.code.starts_with("datakit.");
    let reply = if error.message.is_empty() || !of_datakit {
        error.reply()
    } else {
        ApiError { message: format!("[{}]", error.message), ..error.clone() }.reply()
    };
    // Recorded for this error and no other.
    let content_type = if *error == ApiError::EMPTY_BODY { ContentType::Empty } else { reply.content_type };
    Reply { nosniff: false, content_type, ..reply }
}

/// Whether a body is an array of JSON points, whatever its `Content-Type` says. The browser SDK sends JSON as
/// `text/plain`, which spares it a preflight. No line of line protocol that anybody sends begins this way.
pub fn looks_like_json(body: &[u8]) -> bool {
    let mut ahead = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
    ahead.next() == Some(b'[') && matches!(ahead.next(), Some(b'{' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_under_another_name_is_recognised() {
        for body in ["[{\"measurement\":\"view\"}]", " [\n {", "[]"] {
            assert!(looks_like_json(body.as_bytes()), "{body}");
        }
        for body in ["", "[", "[a] f=1", "[1]", "view,app_id=a f=1", "{\"measurement\":1}", "#[{"] {
            assert!(!looks_like_json(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn messages_stand_in_brackets() {
        let refusal = |error: ApiError| String::from_utf8(refused(&error).body).unwrap();
        assert_eq!(
            refusal(ApiError::invalid_json_point("unexpected end of JSON input".to_owned())),
            r#"{"error_code":"datakit.invalidJsonPoint","message":"[unexpected end of JSON input]"}"#
        );
        assert_eq!(refusal(ApiError::EMPTY_BODY), r#"{"error_code":"datakit.emptyBody"}"#);
        assert!(refusal(ApiError::body_too_large(7)).contains("\"the body is larger than 7 bytes\""));
        let reply = refused(&ApiError::NO_POINTS);
        assert!(!reply.nosniff && reply.content_type == ContentType::Value("application/json".into()));
    }
}
