//! One address of a destination. Its query carries the token, so a target never prints itself whole, and it can take
//! its token out of what the far end says.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::secret::{Endpoint, Secret};
use crate::point::Route;

/// Values of the query that are shorter than this are not looked for when text is redacted: they match by chance.
const SECRET_BYTES_MIN: usize = 6;

/// What a token begins with, wherever it shows up.
const TOKEN_PREFIXES: [&str; 3] = ["tkn_", "token_", "tokn_"];

const HIDDEN: &str = "***";

/// Where requests go. The path of the configured URL is ignored, as DataKit does; every query parameter is kept,
/// sorted by key.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    endpoint: Endpoint,
    authority: String,
    secrets: Vec<String>,
}

impl Target {
    pub fn new(endpoint: Endpoint) -> Target {
        let mut secrets = Vec::new();
        for pair in endpoint.query.expose().split('&') {
            let value = pair.split_once('=').map_or("", |(_, value)| value);
            if value.len() >= SECRET_BYTES_MIN {
                secrets.push(value.to_owned());
                let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                secrets.push(decoded.into_owned());
            }
        }
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Target { authority: endpoint.authority(), endpoint, secrets }
    }

    pub fn is_tls(&self) -> bool {
        self.endpoint.tls
    }

    /// The name or address to resolve, without brackets.
    pub fn host(&self) -> &str {
        &self.endpoint.host
    }

    pub fn port(&self) -> u16 {
        self.endpoint.port
    }

    /// The value of `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The query without `?`. Holds the token: for the wire only.
    pub fn query(&self) -> &str {
        self.endpoint.query.expose()
    }

    /// The target for logs: scheme and authority only.
    pub fn shown(&self) -> String {
        format!("{}://{}", if self.is_tls() { "https" } else { "http" }, self.authority)
    }

    /// [`Target::redact`], for an answer to a package with a token of its own.
    pub fn redact_for(&self, route: &Route, text: &str) -> String {
        let Some(token) = route.token.as_ref().map(Secret::expose).filter(|token| !token.is_empty()) else {
            return self.redact(text);
        };
        let encoded = utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
        self.redact(&text.replace(token, HIDDEN).replace(&encoded, HIDDEN))
    }

    /// `text` without any value of this target's query and without anything that looks like a token: for answers and
    /// errors of the far end, which like to quote what they were sent.
    pub fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.secrets {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), HIDDEN);
            }
        }
        redact_tokens(&out)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// Replaces `tkn_…`, `token_…` and `tokn_…` words, whoever's they are.
pub fn redact_tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    'text: while let Some(first) = rest.chars().next() {
        for prefix in TOKEN_PREFIXES {
            if let Some(after) = rest.strip_prefix(prefix) {
                let word = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
                if word >= SECRET_BYTES_MIN {
                    out.push_str(prefix);
                    out.push_str(HIDDEN);
                    rest = &after[word..];
                    continue 'text;
                }
            }
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::new(Endpoint::parse(url).unwrap())
    }

    #[test]
    fn the_parts_are_those_of_the_url() {
        let target = target("HTTP://[::1]:9528/some/path?b=2&token=t&a=1");
        assert!(!target.is_tls());
        assert_eq!((target.host(), target.port(), target.authority()), ("::1", 9528, "[::1]:9528"));
        assert_eq!(target.query(), "a=1&b=2&token=t");
    }

    #[test]
    fn a_route_s_token_is_taken_out_of_answers_too() {
        let route = Route { token: Some(Secret::new("b2c8_f5")), ..Route::default() };
        let text = target("http://h?token=tkn_1").redact_for(&route, "no b2c8_f5, token=b2c8%5Ff5");
        assert_eq!(text, "no ***, token=***");
    }

    #[test]
    fn nothing_printed_shows_the_token() {
        let target = target("http://h:1?token=tkn_0123456789abcdef&key=se%2Bcret&n=1");
        assert_eq!(format!("{target:?}"), "http://h:1");
        let text = "POST ?key=se%2Bcret&token=tkn_0123456789abcdef n=1: se+cret tkn_ffffffffffff tkn_ 日志";
        assert_eq!(target.redact(text), "POST ?key=***&token=*** n=1: *** tkn_*** tkn_ 日志");
    }
}
