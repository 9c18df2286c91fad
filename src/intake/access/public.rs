//! Which paths answer to others than this machine.
//!
//! As recorded: the list is compared exactly with the decoded path; what is not on it is refused before it is known
//! whether there is such a path at all. Some paths are always on it, and the writes are as long as the user lists
//! nothing.

use std::collections::HashSet;

use crate::http1::Head;
use crate::intake::Peer;
use crate::intake::datakit::error::ApiError;

/// Public whatever is configured: the time, the version, what collectors register in DataKit, and what says to a
/// scheduler how this process is.
const ALWAYS: [&str; 10] = [
    "/v1/ping",
    "/v1/ntp",
    "/v1/write/rum",
    "/v1/write/rum/replay",
    "/v1/write/logstreaming",
    "/v1/env_variable",
    "/v1/sourcemap",
    "/v1/sourcemap/check",
    "/livez",
    "/readyz",
];

/// Public while the user lists nothing, also where there is no such category.
const UNLESS_LISTED: [&str; 13] = [
    "/v1/write/metric",
    "/v1/write/network",
    "/v1/write/keyevent",
    "/v1/write/object",
    "/v1/write/object_change",
    "/v1/write/custom_object",
    "/v1/write/logging",
    "/v1/write/tracing",
    "/v1/write/rum",
    "/v1/write/security",
    "/v1/write/profiling",
    "/v1/write/dynamic_dw",
    "/v1/write/dialtesting",
];

/// Agents that send with their own token ask about it first, from wherever they are.
pub const CHECK_TOKEN_PREFIX: &str = "/v1/check/token/";

/// The list.
#[derive(Clone, Debug)]
pub struct PublicApis {
    paths: HashSet<Box<[u8]>>,
    check_token: bool,
}

impl PublicApis {
    /// `configured`: spaces around an entry and a missing slash before it are forgiven. `check_token`: whether tokens
    /// can be asked about at all.
    pub fn new(configured: &[String], check_token: bool) -> PublicApis {
        let collectors = crate::intake::PROTOCOLS.iter().flat_map(|protocol| protocol.public);
        let mut paths: HashSet<Box<[u8]>> =
            ALWAYS.iter().chain(collectors).map(|path| path.as_bytes().into()).collect();
        if configured.is_empty() {
            paths.extend(UNLESS_LISTED.iter().map(|path| path.as_bytes().into()));
        }
        for entry in configured.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
            let path = if entry.starts_with('/') { entry.to_owned() } else { format!("/{entry}") };
            paths.insert(path.into_bytes().into());
        }
        PublicApis { paths, check_token }
    }

    /// A path that is public because of what is configured elsewhere.
    pub fn add(&mut self, path: &str) {
        self.paths.insert(path.as_bytes().into());
    }

    /// `path` is decoded.
    pub fn allows(&self, path: &[u8]) -> bool {
        self.paths.contains(path) || (self.check_token && path.starts_with(CHECK_TOKEN_PREFIX.as_bytes()))
    }
}

/// Whether a request comes from this machine. A proxy on this machine speaks for others: with one of its headers, even
/// one that names the loopback address, a request is not local.
pub fn is_local(head: &Head<'_>, peer: &Peer) -> bool {
    let loopback = match peer {
        Peer::Ip(address) => address.to_canonical().is_loopback(),
        Peer::Unix => true,
    };
    loopback && head.header("x-forwarded-for").is_none() && head.header("x-real-ip").is_none()
}

/// The answer to others. A token in the path is not repeated.
pub fn refusal(path: &[u8]) -> ApiError {
    let shown = match path.strip_prefix(CHECK_TOKEN_PREFIX.as_bytes()) {
        Some(_) => format!("{CHECK_TOKEN_PREFIX}***"),
        None => String::from_utf8_lossy(path).into_owned(),
    };
    let message = format!("api {shown} disabled from external IP, only loopback(localhost) allowed");
    ApiError { status: 403, code: "datakit.publicAccessDisabled", message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(configured: &[&str]) -> PublicApis {
        let configured: Vec<String> = configured.iter().map(|&entry| entry.to_owned()).collect();
        PublicApis::new(&configured, false)
    }

    #[test]
    fn writes_are_public_while_nothing_is_listed() {
        let apis = list(&[]);
        for path in
            ["/v1/ping", "/v1/ntp", "/v1/write/metric", "/v1/write/dialtesting", "/v1/write/rum/replay"]
        {
            assert!(apis.allows(path.as_bytes()), "{path}");
        }
        for path in ["/metrics", "/", "", "/v1/ping/", "/V1/ping", "/v1/write/foo", "/v1/check/token/x"] {
            assert!(!apis.allows(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_list_replaces_the_writes_and_nothing_else() {
        let apis = list(&[" metrics ", "/v1/write/metric", "  "]);
        for path in ["/metrics", "/v1/write/metric", "/v1/ping", "/v1/write/rum", "/readyz"] {
            assert!(apis.allows(path.as_bytes()), "{path}");
        }
        for path in ["/v1/write/logging", "metrics", " metrics ", "/"] {
            assert!(!apis.allows(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn tokens_can_be_asked_about_from_anywhere_where_they_mean_something() {
        let apis = PublicApis::new(&["/x".to_owned()], true);
        assert!(apis.allows(b"/v1/check/token/tkn_0123456789abcdef0123456789abcdef"));
        assert!(!apis.allows(b"/v1/check/token"));
    }

    #[test]
    fn the_refusal_names_the_path_and_no_token() {
        assert_eq!(
            refusal(b"/nope").message,
            "api /nope disabled from external IP, only loopback(localhost) allowed"
        );
        assert!(!refusal(b"/v1/check/token/tkn_secret").message.contains("secret"));
    }
}
