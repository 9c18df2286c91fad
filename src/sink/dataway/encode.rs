//! The request head, byte for byte.
//!
//!     POST /v1/write/logging?token=tkn_… HTTP/1.1
//!     Host: openway.example.com
//!     User-Agent: datakit-linux-amd64/0.1.0/edge-1
//!     Content-Length: 4711
//!     Content-Encoding: gzip                                     absent for identity
//!     Content-Type: application/protobuf; proto=com.guance.Point
//!     Referer: DataKit
//!     X-Pkg-Id: dk_0a1b2c3d4e5f6g7h8i9j
//!     X-Points: 300
//!     X-Storage-Index-Name: audit                                only for routes that have one
//!     X-Global-Tags: host=web-1                                  only where the sinker is on; it may be empty
//!
//! A raw package goes to its own path under its own headers, and gets those that belong to this connection and to us:
//!
//!     POST /v1/write/rum/replay?token=tkn_… HTTP/1.1
//!     Host, User-Agent (where the client sent none), Content-Length
//!     Content-Type: multipart/form-data; boundary=…              and whatever else the client sent
//!     X-Pkg-Id: dk_0a1b2c3d4e5f6g7h8i9j
//!     X-Global-Tags: app_id=a                                    as above
//!
//! A route that has a token of its own is sent with that one in place of the configured one.
//!
//! The order is the one in which Go's client writes them, as DataKit does. The `User-Agent` keeps DataKit's form, on
//! which destinations may decide what they accept, and carries Kitgate's own version. Kitgate itself never sends
//! `X-Fail-Cache-Retry`: there is no fail cache, every resend is the same package.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::codec::raw_package::RawPackage;
use crate::config::secret::Secret;
use crate::sink::{Accepts, Format, Parcel, Target};

const GLOBAL_TAGS: &str = "X-Global-Tags";
const PROTOBUF: &str = "application/protobuf; proto=com.guance.Point";
const LINE_PROTOCOL: &str = "application/line-protocol";

/// `datakit-<os>-<arch>/<version>/<hostname>`, with the names that Go has for systems and processors.
pub fn user_agent(version: &str, hostname: &str) -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        arch => arch,
    };
    format!("datakit-{os}-{arch}/{version}/{hostname}")
}

/// Appends the request head for one package to `out`.
pub fn head(
    target: &Target,
    parcel: &Parcel<'_>,
    accepts: Accepts,
    agent: &str,
    body_bytes: u64,
    out: &mut Vec<u8>,
) {
    if let Some(raw) = &parcel.raw {
        return raw_head(target, parcel, raw, agent, body_bytes, out);
    }
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b"POST /v1/write/");
    out.extend_from_slice(parcel.category.name().as_bytes());
    request_line_end(target, parcel, out);
    header("User-Agent", agent, out);
    header("Content-Length", number.format(body_bytes), out);
    if let Some(token) = accepts.coding.token() {
        header("Content-Encoding", token, out);
    }
    let content_type = match accepts.format {
        Format::Protobuf => PROTOBUF,
        Format::LineProtocol => LINE_PROTOCOL,
    };
    header("Content-Type", content_type, out);
    header("Referer", "DataKit", out);
    header("X-Pkg-Id", parcel.package_id, out);
    header("X-Points", number.format(parcel.points), out);
    if let Some(index) = &parcel.route.storage_index {
        header("X-Storage-Index-Name", index.as_bytes(), out);
    }
    sinker(parcel, out);
    out.extend_from_slice(b"\r\n");
}

/// The header by which the destination chooses among workspaces.
fn sinker(parcel: &Parcel<'_>, out: &mut Vec<u8>) {
    if let Some(tags) = &parcel.route.global_tags {
        header(GLOBAL_TAGS, tags.as_bytes(), out);
    }
}

/// The same for a request that goes out as it came.
fn raw_head(
    target: &Target,
    parcel: &Parcel<'_>,
    raw: &RawPackage<'_>,
    agent: &str,
    body_bytes: u64,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"POST ");
    out.extend_from_slice(raw.path.as_bytes());
    request_line_end(target, parcel, out);
    if !raw.headers().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        header("User-Agent", agent, out);
    }
    header("Content-Length", itoa::Buffer::new().format(body_bytes), out);
    let sunk = parcel.route.global_tags.is_some();
    for (name, value) in raw.headers().filter(|(name, _)| !(sunk && name.eq_ignore_ascii_case(GLOBAL_TAGS))) {
        header(name, value, out);
    }
    header("X-Pkg-Id", parcel.package_id, out);
    sinker(parcel, out);
    out.extend_from_slice(b"\r\n");
}

/// The target's query, the end of the line, and the first header.
fn request_line_end(target: &Target, parcel: &Parcel<'_>, out: &mut Vec<u8>) {
    query(target.query(), parcel.route.token.as_ref().map(Secret::expose), out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    header("Host", target.authority(), out);
}

/// The configured query, which is sorted by key; with another token where the route has one.
fn query(configured: &str, token: Option<&str>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut parameter = |text: &[u8]| {
        out.push(if out.len() == start { b'?' } else { b'&' });
        out.extend_from_slice(text);
    };
    let mut own = token.map(|token| format!("token={}", utf8_percent_encode(token, UNRESERVED)));
    for pair in configured.split('&').filter(|pair| !pair.is_empty()) {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        if token.is_some() && key >= "token" {
            own.take().inspect(|own| parameter(own.as_bytes()));
        }
        if token.is_none() || key != "token" {
            parameter(pair.as_bytes());
        }
    }
    own.inspect(|own| parameter(own.as_bytes()));
}

/// What a query may hold as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One header line. Control bytes cannot stand in a header; what came from a client may hold them (`?storage_index=`),
/// and is percent-encoded here rather than trusted to have been checked elsewhere.
fn header(name: &str, value: impl AsRef<[u8]>, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for &byte in value.as_ref() {
        // A tab may stand in a header.
        if (byte < b' ' && byte != b'\t') || byte == 0x7f {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Endpoint;
    use crate::point::{Category, Route};
    use crate::sink::Coding;

    fn text(url: &str, route: &Route, coding: Coding, format: Format) -> String {
        let parcel = Parcel {
            category: Category::Logging,
            route,
            package_id: "dk_0a1b2c3d4e5f6g7h8i9j",
            points: 300,
            received_ms: 0,
            raw: None,
        };
        let accepts = Accepts { format, coding, joined_members: true };
        let mut out = Vec::new();
        head(
            &Target::new(Endpoint::parse(url).unwrap()),
            &parcel,
            accepts,
            "datakit-linux-amd64/0.1.0/edge-1",
            4711,
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_whole_head_is_exact() {
        let route = Route { storage_index: Some("audit".into()), ..Route::default() };
        assert_eq!(
            text("http://127.0.0.1:9528/x?token=tkn_1&a=2", &route, Coding::Gzip, Format::Protobuf),
            "POST /v1/write/logging?a=2&token=tkn_1 HTTP/1.1\r\n\
             Host: 127.0.0.1:9528\r\n\
             User-Agent: datakit-linux-amd64/0.1.0/edge-1\r\n\
             Content-Length: 4711\r\n\
             Content-Encoding: gzip\r\n\
             Content-Type: application/protobuf; proto=com.guance.Point\r\n\
             Referer: DataKit\r\n\
             X-Pkg-Id: dk_0a1b2c3d4e5f6g7h8i9j\r\n\
             X-Points: 300\r\n\
             X-Storage-Index-Name: audit\r\n\
             \r\n"
        );
    }

    #[test]
    fn identity_has_no_content_encoding_and_the_default_route_no_index() {
        let head = text("https://h", &Route::default(), Coding::Identity, Format::LineProtocol);
        assert_eq!(
            head,
            "POST /v1/write/logging HTTP/1.1\r\n\
             Host: h\r\n\
             User-Agent: datakit-linux-amd64/0.1.0/edge-1\r\n\
             Content-Length: 4711\r\n\
             Content-Type: application/line-protocol\r\n\
             Referer: DataKit\r\n\
             X-Pkg-Id: dk_0a1b2c3d4e5f6g7h8i9j\r\n\
             X-Points: 300\r\n\
             \r\n"
        );
        assert!(
            text("http://h", &Route::default(), Coding::Zstd, Format::Protobuf)
                .contains("\r\nContent-Encoding: zstd\r\n")
        );
    }

    #[test]
    fn the_sinkers_value_is_sent_also_where_it_is_empty() {
        for (tags, line) in [
            (Some("host=web-1,a=日志"), Some("X-Global-Tags: host=web-1,a=日志\r\n")),
            (Some("a=\r\nX-Evil: 1"), Some("X-Global-Tags: a=%0D%0AX-Evil: 1\r\n")),
            (Some(""), Some("X-Global-Tags: \r\n")),
            (None, None),
        ] {
            let route = Route { global_tags: tags.map(Into::into), ..Route::default() };
            let head = text("http://h", &route, Coding::Gzip, Format::Protobuf);
            match line {
                Some(line) => assert!(head.ends_with(&format!("{line}\r\n")), "{head}"),
                None => assert!(!head.contains("X-Global-Tags"), "{head}"),
            }
        }
    }

    #[test]
    fn a_storage_index_cannot_add_headers() {
        let route = Route {
            storage_index: Some("a\r\nX-Evil: 1\r\n\r\nPOST /\0\x7f日志".into()),
            ..Route::default()
        };
        let head = text("http://h", &route, Coding::Gzip, Format::Protobuf);
        assert!(
            head.ends_with("X-Storage-Index-Name: a%0D%0AX-Evil: 1%0D%0A%0D%0APOST /%00%7F日志\r\n\r\n"),
            "{head}"
        );
        assert_eq!(head.matches("\r\n\r\n").count(), 1);
    }

    #[test]
    fn a_raw_package_keeps_its_path_and_headers() {
        let target = Target::new(Endpoint::parse("http://127.0.0.1:9528?token=tkn_1").unwrap());
        let whole = |headers: &str| {
            let stored = format!("POST /v1/write/rum/replay HTTP/1.1\r\n{headers}\r\nbody");
            let route = Route::default();
            let parcel = Parcel {
                category: Category::SessionReplay,
                route: &route,
                package_id: "dk_0a1b2c3d4e5f6g7h8i9j",
                points: 1,
                received_ms: 0,
                raw: RawPackage::read(stored.as_bytes()),
            };
            let accepts = Accepts { format: Format::Protobuf, coding: Coding::Gzip, joined_members: true };
            let mut out = Vec::new();
            head(&target, &parcel, accepts, "datakit-linux-amd64/0.1.0/edge-1", 4, &mut out);
            String::from_utf8(out).unwrap()
        };
        let browser =
            "Content-Type: multipart/form-data; boundary=x\r\nuser-agent: Mozilla/5.0\r\nX-Tab: a\tb\r\n";
        assert_eq!(
            whole(browser),
            format!(
                "POST /v1/write/rum/replay?token=tkn_1 HTTP/1.1\r\nHost: 127.0.0.1:9528\r\nContent-Length: 4\r\n\
                 {browser}X-Pkg-Id: dk_0a1b2c3d4e5f6g7h8i9j\r\n\r\n"
            )
        );
        assert_eq!(
            whole(""),
            "POST /v1/write/rum/replay?token=tkn_1 HTTP/1.1\r\nHost: 127.0.0.1:9528\r\n\
             User-Agent: datakit-linux-amd64/0.1.0/edge-1\r\nContent-Length: 4\r\n\
             X-Pkg-Id: dk_0a1b2c3d4e5f6g7h8i9j\r\n\r\n"
        );
    }

    #[test]
    fn a_token_of_the_route_takes_the_place_of_the_configured_one() {
        let route = Route { token: Some(Secret::new("tkn_2&x=1 é")), ..Route::default() };
        let target = |url| {
            let head = text(url, &route, Coding::Gzip, Format::Protobuf);
            head.split(' ').nth(1).unwrap_or_default().to_owned()
        };
        let sent = "token=tkn_2%26x%3D1%20%C3%A9";
        assert_eq!(target("http://h?token=tkn_1&a=2&z=3"), format!("/v1/write/logging?a=2&{sent}&z=3"));
        assert_eq!(target("http://h?token=tkn_1&token=tkn_0"), format!("/v1/write/logging?{sent}"));
        assert_eq!(target("http://h?a=2"), format!("/v1/write/logging?a=2&{sent}"));
        assert_eq!(target("http://h?z=3"), format!("/v1/write/logging?{sent}&z=3"));
        assert_eq!(target("http://h"), format!("/v1/write/logging?{sent}"));
    }

    #[test]
    fn the_agent_has_datakits_form() {
        let agent = user_agent("0.1.0", "edge-1");
        assert!(agent.starts_with("datakit-"), "{agent}");
        assert!(agent.ends_with("/0.1.0/edge-1"), "{agent}");
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        assert_eq!(agent, "datakit-linux-amd64/0.1.0/edge-1");
    }
}
