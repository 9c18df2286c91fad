//! What every intake gives back, and the DataKit envelope around it: error to status and JSON, CORS, `X-Datakit`.
//!
//! The answer to an ordinary write is the same bytes every time; it is rendered once ([`Envelope`]) and copied.

use std::borrow::Cow;

use crate::http1::{Connection, Head, Response, Template};

use super::settings::{Ack, ack_name};

/// A date for the `Date` header, as `http1::DateCache` gives it.
pub type Date = [u8; crate::http1::response::DATE_BYTES];

/// The `Content-Type` of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ContentType {
    /// No such header.
    #[default]
    None,
    /// The header with an empty value: what the recorded server gives for write answers, echoes included.
    Empty,
    Value(Cow<'static, str>),
}

/// Which CORS headers an answer carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// The origin is not allowed: none.
    Denied,
    /// No origin was given and all are allowed: `*`.
    #[default]
    Any,
    /// This origin, and these headers allowed beyond the usual ones.
    Origin { origin: Box<str>, extra_headers: Box<str> },
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// `X-Datakit` and CORS headers. Redirects carry neither.
    pub enveloped: bool,
    pub cors: Cors,
    /// `X-Content-Type-Options: nosniff`.
    pub nosniff: bool,
    pub content_type: ContentType,
    /// The level a write was answered at, told in `X-Kitgate-Ack`.
    pub ack: Option<Ack>,
    /// Further headers.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    pub body: Vec<u8>,
    /// The connection cannot go on.
    pub close: bool,
}

const JSON: ContentType = ContentType::Value(Cow::Borrowed("application/json"));

impl Reply {
    /// An enveloped answer without a body.
    pub fn empty(status: u16) -> Reply {
        Reply { status, enveloped: true, ..Reply::default() }
    }

    /// A JSON body in the API's wrapper.
    pub fn json(status: u16, body: Vec<u8>) -> Reply {
        Reply { nosniff: true, content_type: JSON, body, ..Reply::empty(status) }
    }

    /// A page outside the API's wrapper.
    pub fn page(status: u16, content_type: &'static str, body: Vec<u8>, cors: Cors) -> Reply {
        Reply {
            content_type: ContentType::Value(Cow::Borrowed(content_type)),
            body,
            cors,
            ..Reply::empty(status)
        }
    }

    pub fn with_cors(self, cors: &Cors) -> Reply {
        Reply { cors: cors.clone(), ..self }
    }

    /// All headers but Date, Content-Length and Connection.
    pub fn headers<'a>(&'a self, envelope: &'a Envelope) -> Vec<(&'a str, Cow<'a, str>)> {
        let mut headers: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(10);
        if self.enveloped {
            let origin: Option<(&str, &str)> = match &self.cors {
                Cors::Denied => None,
                Cors::Any => Some(("*", "")),
                Cors::Origin { origin, extra_headers } => Some((origin, extra_headers)),
            };
            if let Some((origin, extra)) = origin {
                let allowed = match extra {
                    "" => Cow::Borrowed(ALLOWED_HEADERS),
                    _ => Cow::Owned(format!("{extra}, {ALLOWED_HEADERS}")),
                };
                headers.push(("Access-Control-Allow-Credentials", "true".into()));
                headers.push(("Access-Control-Allow-Headers", allowed));
                headers.push(("Access-Control-Allow-Methods", ALLOWED_METHODS.into()));
                headers.push(("Access-Control-Allow-Origin", origin.into()));
                headers.push(("Access-Control-Max-Age", CORS_MAX_AGE_S.into()));
            }
        }
        match &self.content_type {
            ContentType::None => {}
            ContentType::Empty => headers.push(("Content-Type", "".into())),
            ContentType::Value(value) => headers.push(("Content-Type", Cow::Borrowed(value))),
        }
        if self.nosniff {
            headers.push(("X-Content-Type-Options", "nosniff".into()));
        }
        if self.enveloped {
            headers.push(("X-Datakit", Cow::Borrowed(&envelope.server)));
        }
        if let Some(ack) = self.ack {
            headers.push(("X-Kitgate-Ack", ack_name(ack).into()));
        }
        headers.extend(self.headers.iter().map(|(name, value)| (*name, Cow::Borrowed(&**value))));
        headers
    }

    /// Whether this is the answer to an ordinary write, of which only the level varies.
    fn is_written(&self) -> bool {
        self.status == 200
            && self.cors == Cors::Any
            && self.content_type == ContentType::Empty
            && self.nosniff
            && self.enveloped
            && self.headers.is_empty()
    }

    /// Appends the whole response to `out`. `connection` is what the request asked for.
    pub fn write(
        &self,
        envelope: &Envelope,
        date: &Date,
        connection: Connection,
        head_only: bool,
        out: &mut Vec<u8>,
    ) {
        let connection = if self.close { Connection::Close } else { connection };
        if self.is_written() {
            let template = match self.ack {
                None => &envelope.written,
                Some(ack) => &envelope.written_acked[ack as usize],
            };
            return template.write(date, &self.body, connection, head_only, out);
        }
        let headers = self.headers(envelope);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        Response { status: self.status, headers: &headers, body: &self.body, connection, head_only }
            .write(date, out);
    }
}

/// What is the same in all answers, rendered once.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The value of `X-Datakit`: version and host.
    server: String,
    /// The answer to a write without a level (`dry`).
    written: Template,
    /// The answer to a write, by [`Ack`].
    written_acked: [Template; 3],
}

impl Envelope {
    pub fn new(version: &str, hostname: &str) -> Envelope {
        let server = format!("{version}/{hostname}");
        let bare = Envelope {
            server,
            written: Template::new(200, &[]),
            written_acked: [(); 3].map(|()| Template::new(200, &[])),
        };
        let template = |ack: Option<Ack>| {
            let reply = Reply { ack, nosniff: true, content_type: ContentType::Empty, ..Reply::empty(200) };
            let headers = reply.headers(&bare);
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
            Template::new(200, &headers)
        };
        let written = template(None);
        let written_acked = [Ack::Memory, Ack::Disk, Ack::Upstream].map(|ack| template(Some(ack)));
        Envelope { written, written_acked, ..bare }
    }
}

const ALLOWED_HEADERS: &str = "Accept, Accept-Encoding, Accept-Language, Authorization, Cache-Control, \
    Content-Language, Content-Length, Content-Type, Origin, X-Csrf-Token, X-Datakit-Uuid, X-Lua, X-Precision, \
    X-Requested-With, X-Rp, X-Token, *";
/// DELETE is missing although there are such routes: recorded.
const ALLOWED_METHODS: &str = "POST, OPTIONS, GET, PUT";
const CORS_MAX_AGE_S: &str = "7200";

/// How many names of `Access-Control-Request-Headers` are looked at, and how long the list of those repeated may get.
const REQUESTED_HEADERS_MAX: usize = 64;

/// The CORS headers the answer to `head` carries.
pub fn cors(head: &Head<'_>, allowed_origins: &[String]) -> Cors {
    let origin = header_text(head, "origin");
    let requested = header_text(head, "access-control-request-headers");
    let allowed = allowed_origins.is_empty()
        || allowed_origins.iter().any(|allowed| allowed == origin.as_deref().unwrap_or("*"));
    if !allowed {
        return Cors::Denied;
    }
    if origin.is_none() && requested.is_none() {
        return Cors::Any;
    }
    let extra_headers = requested.as_deref().map(unknown_headers).unwrap_or_default();
    Cors::Origin { origin: origin.as_deref().unwrap_or("*").into(), extra_headers: extra_headers.into() }
}

fn header_text<'a>(head: &Head<'a>, name: &str) -> Option<Cow<'a, str>> {
    head.header(name).filter(|value| !value.is_empty()).map(String::from_utf8_lossy)
}

/// The requested headers that are not allowed anyway, in canonical spelling, in the order of the request.
fn unknown_headers(requested: &str) -> String {
    let mut unknown = String::new();
    for name in requested.split(',').take(REQUESTED_HEADERS_MAX).map(|name| canonical(name.trim())) {
        let known = |list: &str| list.split(", ").any(|known| known == name);
        if name.is_empty() || known(ALLOWED_HEADERS) || known(&unknown) {
            continue;
        }
        if !unknown.is_empty() {
            unknown.push_str(", ");
        }
        unknown.push_str(&name);
    }
    unknown
}

/// A header name as Go spells it: upper case behind hyphens, unless it is no name at all.
fn canonical(name: &str) -> String {
    if !name.bytes().all(crate::http1::framing::is_token_byte) {
        return name.to_owned();
    }
    let mut upper = true;
    name.chars()
        .map(|letter| {
            let spelled = if upper { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
            upper = letter == '-';
            spelled
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_spelled_as_go_does() {
        assert_eq!(canonical("x-foo"), "X-Foo");
        assert_eq!(canonical("CONTENT-type"), "Content-Type");
        assert_eq!(canonical("a b"), "a b");
        assert_eq!(unknown_headers("x-foo, content-type, X-Bar,, x-foo"), "X-Foo, X-Bar");
    }

    #[test]
    fn the_template_says_what_the_general_writer_says() {
        let envelope = Envelope::new("1.2.3", "host-1");
        for ack in [None, Some(Ack::Memory), Some(Ack::Disk), Some(Ack::Upstream)] {
            let reply = Reply {
                ack,
                nosniff: true,
                content_type: ContentType::Empty,
                body: b"echo".to_vec(),
                ..Reply::empty(200)
            };
            assert!(reply.is_written());
            let (mut quick, mut general) = (Vec::new(), Vec::new());
            reply.write(&envelope, b"Sun, 06 Nov 1994 08:49:37 GMT", Connection::Close, false, &mut quick);
            let headers = reply.headers(&envelope);
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
            let response = Response {
                status: 200,
                headers: &headers,
                body: b"echo",
                connection: Connection::Close,
                head_only: false,
            };
            response.write(b"Sun, 06 Nov 1994 08:49:37 GMT", &mut general);
            assert_eq!(quick, general);
            assert!(String::from_utf8(quick).unwrap().contains("X-Datakit: 1.2.3/host-1\r\n"));
        }
    }
}
