//! Small helpers over decoded paths. The table of routes is in `intake`; what is the same for every route is here.
//!
//! Paths are matched byte for byte after one decoding: `//` and `..` mean nothing special, as in the server we are
//! compatible with.

use super::head::Method;

/// The one path segment behind `prefix`, which ends with `/`: `param("/v1/write/metric", "/v1/write/")` is `metric`.
/// None when nothing, or more than one segment, follows.
pub fn param<'a>(path: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    path.strip_prefix(prefix.as_bytes()).filter(|segment| !segment.is_empty() && !segment.contains(&b'/'))
}

/// The path without the slash at its end. When that, and not the path itself, is a route, the client is redirected.
pub fn without_trailing_slash(path: &[u8]) -> Option<&[u8]> {
    match path {
        [rest @ .., b'/'] if !rest.is_empty() => Some(rest),
        _ => None,
    }
}

/// The status of that redirect: clients repeat anything but GET with method and body only on 307.
pub fn redirect_status(method: Method) -> u16 {
    if method == Method::Get { 301 } else { 307 }
}

/// Where that redirect leads: the path as the client wrote it, without its last slash, and its query.
pub fn redirect_location(raw_path: &str, query: &str) -> String {
    let path = raw_path.strip_suffix('/').or_else(|| strip_escaped_slash(raw_path)).unwrap_or(raw_path);
    // "//host" would lead to another host.
    let path = path.trim_start_matches('/');
    let mut location = String::with_capacity(path.len() + query.len() + 2);
    location.push('/');
    location.push_str(path);
    if !query.is_empty() {
        location.push('?');
        location.push_str(query);
    }
    location
}

/// A slash may also be written `%2F`, and is one after decoding.
fn strip_escaped_slash(raw_path: &str) -> Option<&str> {
    raw_path.strip_suffix("%2F").or_else(|| raw_path.strip_suffix("%2f"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_segment_behind_the_prefix() {
        for (path, expected) in [
            ("/v1/write/metric", Some("metric")),
            ("/v1/write/", None),
            ("/v1/write", None),
            ("/v1/write/rum/replay", None),
            ("/v1/write/metric/", None),
            ("/v1/write//metric", None),
            ("/V1/write/metric", None),
        ] {
            assert_eq!(param(path.as_bytes(), "/v1/write/"), expected.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn trailing_slashes() {
        for (path, expected) in [
            ("/v1/ping/", Some("/v1/ping")),
            ("/v1/ping//", Some("/v1/ping/")),
            ("/v1/ping", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(without_trailing_slash(path.as_bytes()), expected.map(str::as_bytes), "{path}");
        }
        assert_eq!(redirect_status(Method::Get), 301);
        assert_eq!(redirect_status(Method::Post), 307);
        assert_eq!(redirect_status(Method::Head), 307);
    }

    #[test]
    fn redirects_keep_the_query_and_stay_on_this_host() {
        assert_eq!(redirect_location("/v1/ping/", ""), "/v1/ping");
        assert_eq!(
            redirect_location("/v1/write/metric/", "precision=s&a=%20"),
            "/v1/write/metric?precision=s&a=%20"
        );
        assert_eq!(redirect_location("/v1/p%69ng/", ""), "/v1/p%69ng");
        assert_eq!(redirect_location("/v1/ping%2F", ""), "/v1/ping");
        assert_eq!(redirect_location("//elsewhere/", ""), "/elsewhere");
    }
}
