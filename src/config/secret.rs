//! What must not reach a log, a metric or an answer: text that prints as `***`, and a destination whose URL
//! prints without its token.

use std::fmt;

/// How much of a token is shown: the prefix that says what kind it is (`tkn_`), and nothing of the rest.
pub const TOKEN_SHOWN: &str = "tkn_***";

/// Text that prints redacted; [`Secret::expose`] is the only way to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the wire.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a destination is: scheme, host, port, and the query that goes with every call. The path of the URL is
/// ignored and the parameters are sorted by key, as DataKit does.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub tls: bool,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    /// `k=v&…`, without the question mark; it holds the token.
    pub query: Secret,
}

impl Endpoint {
    /// Reads `http(s)://host[:port][/path][?query]`; the error says what is wrong without repeating the query.
    pub fn parse(url: &str) -> Result<Endpoint, &'static str> {
        let (tls, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return Err("the scheme must be http or https"),
            None => return Err("a URL must begin with http:// or https://"),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = before.split_once('/').map_or(before, |(authority, _)| authority);
        if authority.contains('@') {
            return Err("a user in the URL is not supported; DataWay knows its sender by the token");
        }
        let (host, port) = split_authority(authority, if tls { 443 } else { 80 })?;
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !printable(host) {
            return Err("the URL names no host");
        }
        if !printable(query) {
            return Err("the query holds a character that must be percent-encoded");
        }
        Ok(Endpoint { tls, host: host.to_owned(), port, query: Secret::new(sort_query(query)) })
    }

    /// `host[:port]` as the `Host` header and a URL write it: brackets for IPv6, no default port.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.tls { 443 } else { 80 };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }

    /// The request target for `path`: with the query, hence secret.
    pub fn target(&self, path: &str) -> Secret {
        let query = self.query.expose();
        Secret::new(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
    }
}

fn split_authority(authority: &str, default_port: u16) -> Result<(&str, u16), &'static str> {
    const BAD_PORT: &str = "the port must be a number from 1 to 65535";
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the bracket of an IPv6 address is not closed")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("what is in brackets is not an IPv6 address");
        }
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(BAD_PORT),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        None | Some("") => default_port,
        Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or(BAD_PORT)?,
    };
    Ok((host, port))
}

fn sort_query(query: &str) -> String {
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_by_key(|pair| pair.split_once('=').map_or(*pair, |(key, _)| key));
    pairs.join("&")
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())?;
        for (index, pair) in self.query.expose().split('&').filter(|pair| !pair.is_empty()).enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // Only names are safe to show: a token can come under any name.
            let shown = if value.starts_with("tkn_") { TOKEN_SHOWN } else { "***" };
            write!(f, "{separator}{key}={shown}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls_as_datakit_does() {
        let endpoint =
            Endpoint::parse("https://openway.example.com/ignored/path?to_headless=true&token=tkn_abc")
                .unwrap();
        assert!(endpoint.tls);
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("openway.example.com", 443));
        assert_eq!(
            endpoint.target("/v1/write/metric").expose(),
            "/v1/write/metric?to_headless=true&token=tkn_abc"
        );
        assert_eq!(endpoint.authority(), "openway.example.com");

        let endpoint = Endpoint::parse("http://127.0.0.1:9528?token=tkn_a&a=1").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.tls), ("127.0.0.1", 9528, false));
        assert_eq!(endpoint.query.expose(), "a=1&token=tkn_a");
        assert_eq!(endpoint.authority(), "127.0.0.1:9528");

        let endpoint = Endpoint::parse("http://[::1]:8080").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 8080));
        assert_eq!(endpoint.authority(), "[::1]:8080");
        assert_eq!(endpoint.target("/v1/ntp").expose(), "/v1/ntp");
    }

    #[test]
    fn refuses_what_is_no_url() {
        for url in [
            "",
            "host:80",
            "ftp://h",
            "http://",
            "http://h:0",
            "http://h:99999",
            "http://h:x",
            "http://[::1",
            "http://[zz]",
            "http://u:p@h",
            "http://h ost",
            "http://h?token=a b",
            "http://[::1]x",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn never_prints_a_secret() {
        let endpoint = Endpoint::parse("https://h?token=tkn_0123456789abcdef&key=hunter2").unwrap();
        for text in [format!("{endpoint}"), format!("{endpoint:?}"), format!("{:?}", endpoint.target("/x"))] {
            assert!(!text.contains("0123") && !text.contains("hunter2"), "{text}");
        }
        assert_eq!(endpoint.to_string(), "https://h?key=***&token=tkn_***");
        assert_eq!(format!("{0} {0:?}", Secret::new("x")), "*** ***");
    }
}
