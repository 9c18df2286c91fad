//! Requests that are kept and passed on as they came: **raw packages**, one a request. Session replays are such, and so is
//! whatever else a destination wants whole.
//!
//! The route decides by the head and gives a [`RawPlan`]; the shard looks at the body through it, makes the package
//! durable and answers. On its way a package is never compressed again, joined with others or looked into.

pub use crate::codec::multipart::{boundary, parameter};
use crate::codec::raw_package;
use crate::http1::Head;
use crate::point::{Category, Route};

use super::reply::Reply;
use super::settings::{Ack, Settings};

/// Headers that are not passed on: those that belong to one connection or to one message's framing (RFC 9110 section 7.6.1),
/// that which says what answers the client reads, which is ours to say now, and what a package of ours carries itself.
const DROPPED: [&str; 14] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "host",
    "content-length",
    "accept-encoding",
    "x-pkg-id",
];

/// What the head of a request asks for that is kept as it came.
#[derive(Clone, Debug)]
pub struct RawPlan {
    /// Whose spool keeps it, where it counts as one point.
    pub category: Category,
    pub route: Route,
    /// What stands before the body in the package.
    pub head: Vec<u8>,
    /// The body is a multipart message with this boundary.
    pub boundary: Vec<u8>,
    /// When the answer may be given.
    pub ack: Ack,
    /// The answer when all is well.
    pub stored: Reply,
    /// The answer to a body that is not what its head says.
    pub refused: Reply,
    /// The answer to a package that filters drop.
    pub filtered: Reply,
    /// Looks at the whole body: whether the package is kept, and where it goes.
    pub look: fn(&mut RawPlan, &[u8], &Settings) -> Kept,
}

/// What becomes of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Yes,
    /// A filter drops it.
    No,
}

impl RawPlan {
    /// Whether the body is a whole multipart message, as far as both of its ends tell.
    pub fn is_whole(&self, body: &[u8]) -> bool {
        /// What may stand before the first and behind the last delimiter: nobody writes more than a line end.
        const MARGIN_BYTES: usize = 1024;
        let delimiter = [b"--", &*self.boundary].concat();
        let front = &body[..body.len().min(delimiter.len() + MARGIN_BYTES)];
        let last = [&*delimiter, b"--"].concat();
        let back = &body[body.len().saturating_sub(last.len() + MARGIN_BYTES)..];
        memchr::memmem::find(front, &delimiter).is_some() && memchr::memmem::rfind(back, &last).is_some()
    }
}

/// The headers of a request that are passed on.
pub fn passed_on<'h>(head: &'h Head<'_>) -> impl Iterator<Item = (&'h str, &'h [u8])> {
    let named_by_connection = |name: &str| {
        let values = head.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("connection"));
        values
            .flat_map(|header| header.value.split(|byte| *byte == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    let kept = head.headers.iter().filter(move |header| {
        !DROPPED.iter().any(|dropped| header.name.eq_ignore_ascii_case(dropped))
            && !named_by_connection(header.name)
    });
    kept.map(|header| (header.name, header.value))
}

/// The head of a package: `path` and the headers of the request that are passed on.
pub fn package_head(head: &Head<'_>, path: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    raw_package::write_head(path, passed_on(head), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};

    fn plan(boundary: &str) -> RawPlan {
        RawPlan {
            category: Category::SessionReplay,
            route: Route::default(),
            head: Vec::new(),
            boundary: boundary.into(),
            ack: Ack::Disk,
            stored: Reply::empty(200),
            refused: Reply::empty(413),
            filtered: Reply::empty(202),
            look: |_, _, _| Kept::Yes,
        }
    }

    #[test]
    fn a_body_shows_its_delimiter_at_both_ends() {
        let plan = plan("x");
        let part = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        for body in
            [format!("{part}--x--\r\n"), format!("{part}--x--"), format!("\r\n{part}{part}--x--\r\n\r\n")]
        {
            assert!(plan.is_whole(body.as_bytes()), "{body}");
        }
        for body in ["", "x", "--x", "--x--"[..4].as_ref(), part, "1\r\n--y--\r\n"] {
            assert!(!plan.is_whole(body.as_bytes()), "{body}");
        }
        let cut = format!("{part}{}", "z".repeat(5000));
        assert!(!plan.is_whole(cut.as_bytes()));
    }

    #[test]
    fn headers_are_passed_on_but_for_those_of_the_connection() {
        let request = "POST /v1/write/rum/replay?token=tkn_secret HTTP/1.1\r\nHost: h\r\nConnection: close, X-Hop\r\n\
             Content-Type: multipart/form-data; boundary=x\r\nX-Hop: 1\r\ncontent-length: 3\r\nAccept-Encoding: br\r\n\
             Origin: http://a\r\nX-Pkg-Id: theirs\r\nTE: trailers\r\nExpect: 100-continue\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
        let mut slots = HeaderSlots::new();
        let Ok(HeadOutcome::Complete { head, .. }) =
            parse_head(request.as_bytes(), &mut slots, &HeadLimits::default())
        else {
            panic!("no head")
        };
        assert_eq!(
            String::from_utf8(package_head(&head, "/v1/write/rum/replay")).unwrap(),
            "POST /v1/write/rum/replay HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n\
             Origin: http://a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
        );
    }
}
