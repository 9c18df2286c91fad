//! One address of a destination: `http[s]://host[:port][?query]`. The query carries the token, so a target never
//! prints itself whole: `Debug` and [`Target::shown`] leave every value of the query out.

use std::fmt;

use percent_encoding::percent_decode;

/// Values of the query that are shorter than this are not looked for when text is redacted: they would match by chance.
const SECRET_BYTES_MIN: usize = 6;

/// What a token begins with, wherever it shows up.
const TOKEN_PREFIXES: [&str; 3] = ["tkn_", "token_", "tokn_"];

const HIDDEN: &str = "***";

/// Where requests go. The path of the configured URL is ignored, as DataKit does; every query parameter is kept,
/// sorted by key.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    query: String,
    secrets: Vec<String>,
}

/// What is wrong with a destination URL. The text never contains the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    Scheme,
    Host,
    Port,
    UserInfo,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TargetError::Scheme => "the scheme must be http or https",
            TargetError::Host => "the host is missing or contains characters that no host has",
            TargetError::Port => "the port must be a number from 1 to 65535",
            TargetError::UserInfo => "user and password in a destination URL are not supported",
        })
    }
}

impl std::error::Error for TargetError {}

impl Target {
    pub fn parse(url: &str) -> Result<Target, TargetError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(TargetError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(TargetError::Scheme),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (place, raw_query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = place.split_once('/').map_or(place, |(authority, _path)| authority);
        if authority.contains('@') {
            return Err(TargetError::UserInfo);
        }
        let (host, port) = split_authority(authority)?;
        let (query, secrets) = sorted_query(raw_query);
        Ok(Target {
            tls,
            host: host.to_owned(),
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.to_owned(),
            query,
            secrets,
        })
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The name or address to resolve, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host`: the authority as it was written.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The query, without `?`: parameters sorted by key, encoded as Go's `url.Values.Encode` does. Holds the token.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The target for logs: scheme and authority only.
    pub fn shown(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority)
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

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), TargetError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(TargetError::Host)?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(TargetError::Host);
            }
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':').ok_or(TargetError::Port)?)),
            }
        }
        None => {
            let (host, port) =
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if host.is_empty() || !host.bytes().all(plain) {
                return Err(TargetError::Host);
            }
            (host, port)
        }
    };
    match port {
        None => Ok((host, None)),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse::<u16>() {
            Ok(port) if port != 0 => Ok((host, Some(port))),
            _ => Err(TargetError::Port),
        },
        Some(_) => Err(TargetError::Port),
    }
}

/// The parameters sorted by key (equal keys keep their order), and the values worth hiding, longest first.
fn sorted_query(raw: &str) -> (String, Vec<String>) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = raw
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(key), unescape(value))
        })
        .collect();
    pairs.sort_by(|left, right| left.0.cmp(&right.0));

    let mut query = String::with_capacity(raw.len());
    let mut secrets = Vec::new();
    for (key, value) in &pairs {
        if !query.is_empty() {
            query.push('&');
        }
        escape(key, &mut query);
        query.push('=');
        let start = query.len();
        escape(value, &mut query);
        if value.len() >= SECRET_BYTES_MIN {
            secrets.push(query[start..].to_owned());
            if let Ok(text) = std::str::from_utf8(value) {
                secrets.push(text.to_owned());
            }
        }
    }
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    (query, secrets)
}

fn unescape(text: &str) -> Vec<u8> {
    percent_decode(text.replace('+', " ").as_bytes()).collect()
}

/// As Go's `url.QueryEscape`.
fn escape(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

/// Replaces `tkn_…`, `token_…` and `tokn_…` words, whoever's they are.
fn redact_tokens(text: &str) -> String {
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

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::parse("https://openway.example.com?token=tkn_abcdefgh").unwrap();
        assert!(target.is_tls());
        assert_eq!((target.host(), target.port()), ("openway.example.com", 443));
        assert_eq!(target.authority(), "openway.example.com");
        assert_eq!(target.query(), "token=tkn_abcdefgh");

        let target = Target::parse("HTTP://10.0.0.1:9528/some/path?b=2&a=1&token=t&a=0#frag").unwrap();
        assert!(!target.is_tls());
        assert_eq!((target.host(), target.port()), ("10.0.0.1", 9528));
        assert_eq!(target.query(), "a=1&a=0&b=2&token=t", "sorted by key, equal keys in order");

        let target = Target::parse("http://[::1]:80?x=a%2Bb+c&y").unwrap();
        assert_eq!((target.host(), target.authority()), ("::1", "[::1]:80"));
        assert_eq!(target.query(), "x=a%2Bb+c&y=");
    }

    #[test]
    fn bad_urls_are_refused() {
        for (url, error) in [
            ("", TargetError::Scheme),
            ("openway.example.com", TargetError::Scheme),
            ("ftp://h", TargetError::Scheme),
            ("http://", TargetError::Host),
            ("http://?token=x", TargetError::Host),
            ("http://a b", TargetError::Host),
            ("http://h\r\nX: y", TargetError::Host),
            ("http://[::1", TargetError::Host),
            ("http://[h]", TargetError::Host),
            ("http://h:", TargetError::Port),
            ("http://h:0", TargetError::Port),
            ("http://h:65536", TargetError::Port),
            ("http://h:+80", TargetError::Port),
            ("http://user:secret@h", TargetError::UserInfo),
        ] {
            assert_eq!(Target::parse(url).err(), Some(error), "{url:?}");
        }
    }

    #[test]
    fn a_query_cannot_end_the_request_line() {
        let target = Target::parse("http://h?token=a b\r\nX: y").unwrap();
        assert_eq!(target.query(), "token=a+b%0D%0AX%3A+y");
    }

    #[test]
    fn nothing_printed_shows_the_token() {
        let target = Target::parse("http://h:1?token=tkn_0123456789abcdef&key=se%2Bcret").unwrap();
        assert_eq!(format!("{target:?}"), "http://h:1");
        let text =
            "POST /v1/write?key=se%2Bcret&token=tkn_0123456789abcdef: se+cret tkn_ffffffffffff tkn_ 日志";
        assert_eq!(target.redact(text), "POST /v1/write?key=***&token=***: *** tkn_*** tkn_ 日志");
    }
}
