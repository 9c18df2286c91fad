//! URLs, split as Go's `net/url` does it, with its errors.

use std::borrow::Cow;

/// A URL's parts. Of a fragment nothing is kept: it is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    /// In lower case.
    pub scheme: String,
    /// User name and password, escapes undone.
    pub user: Option<(String, Option<String>)>,
    /// Without brackets and port.
    pub host: String,
    /// Empty: the scheme's own.
    pub port: String,
    /// Path and query as they are sent; never empty.
    pub target: String,
    shown: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Url, String> {
        split(text).map_err(|error| format!("parse {}: {error}", quoted(text)))
    }

    /// The URL for people: no password, no fragment.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Host and, where it is written, port, as a Host header has them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port.is_empty() { host } else { format!("{host}:{}", self.port) }
    }

    /// The port to connect to.
    pub fn port_or(&self, default: u16) -> Result<u16, String> {
        match self.port.as_str() {
            "" => Ok(default),
            text => text.parse().map_err(|_| format!("invalid port {text:?}")),
        }
    }
}

fn split(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (rest, _fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = scheme(rest)?;
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    if scheme.is_empty() && !rest.starts_with('/') {
        let first = rest.split('/').next().unwrap_or(rest);
        if first.contains(':') {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let host = match authority.rsplit_once('@') {
                Some((user, host)) => {
                    url.user = Some(user_of(user)?);
                    host
                }
                None => authority,
            };
            (url.host, url.port) = host_of(host)?;
            path
        }
        None => rest,
    };
    unescape(path, true)?;
    url.target = if path.is_empty() { "/".to_owned() } else { escaped(path) };
    if let Some(query) = query {
        url.target.push('?');
        url.target.push_str(&escaped(query));
    }
    let user = match &url.user {
        None => String::new(),
        Some((name, None)) => format!("{}@", escaped(name)),
        Some((name, Some(_))) => format!("{}:***@", escaped(name)),
    };
    let slashes = if rest.starts_with("//") { "//" } else { "" };
    let colon = if url.scheme.is_empty() { "" } else { ":" };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    url.shown = format!("{}{colon}{slashes}{user}{}{}{query}", url.scheme, url.authority(), escaped(path));
    Ok(url)
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn user_of(text: &str) -> Result<(String, Option<String>), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !text.bytes().all(allowed) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    Ok(match text.split_once(':') {
        Some((name, password)) => (unescape(name, false)?, Some(unescape(password, false)?)),
        None => (unescape(text, false)?, None),
    })
}

fn host_of(text: &str) -> Result<(String, String), String> {
    let invalid_port = |port: &str| format!("invalid port {} after host", quoted(port));
    let port_of = |text: &str| match text.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port.to_owned()),
        None if text.is_empty() => Ok(String::new()),
        _ => Err(invalid_port(text)),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.rsplit_once(']').ok_or("missing ']' in host")?;
        return Ok((unescape(host, false)?, port_of(port)?));
    }
    let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    if let Some(letter) = host.chars().find(|letter| " \"<>\\^`{|}".contains(*letter)) {
        return Err(format!("invalid character {} in host name", quoted(&letter.to_string())));
    }
    Ok((unescape(host, false)?, port_of(port)?))
}

/// Percent escapes undone; `any` byte may be escaped, or only those that leave a text.
fn unescape(text: &str, any: bool) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            out.push(byte);
            at += 1;
            continue;
        }
        let digits = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let value = digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        let Some(value) = value.filter(|value| any || *value >= b' ') else {
            let escape = text.get(at..).map_or(Cow::Borrowed("%"), |rest| rest.chars().take(3).collect());
            return Err(format!("invalid URL escape {}", quoted(&escape)));
        };
        out.push(value);
        at += 3;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// What may not stand in a request line goes byte by byte.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// As Go's `%q`.
pub fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    crate::point::quote(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_as_go_does() {
        for (text, scheme, host, port, target) in [
            ("http://a.example", "http", "a.example", "", "/"),
            ("HTTPS://A.example:8443/x/y?q=1#f", "https", "A.example", "8443", "/x/y?q=1"),
            ("http://[::1]:80/", "http", "::1", "80", "/"),
            ("http://[fe80::1%25eth0]/", "http", "fe80::1%eth0", "", "/"),
            ("http://u:p%40w@h/a b?c d", "http", "h", "", "/a%20b?c%20d"),
            ("http://h?x", "http", "h", "", "/?x"),
            ("http://h:/ü%2f", "http", "h", "", "/%C3%BC%2f"),
            ("/only/path", "", "", "", "/only/path"),
            ("h/path", "", "", "", "h/path"),
            ("", "", "", "", "/"),
            ("mailto:x", "mailto", "", "", "x"),
        ] {
            let url = Url::parse(text).unwrap();
            let parts = (url.scheme.as_str(), url.host.as_str(), url.port.as_str(), url.target.as_str());
            assert_eq!(parts, (scheme, host, port, target), "{text}");
        }
        let url = Url::parse("http://us%65r:p%40ss@h:81/p?q#f").unwrap();
        assert_eq!(url.user, Some(("user".to_owned(), Some("p@ss".to_owned()))));
        assert_eq!((url.shown(), url.authority().as_str()), ("http://user:***@h:81/p?q", "h:81"));
        assert_eq!(Url::parse("http://[::1]:9/").unwrap().authority(), "[::1]:9");
    }

    #[test]
    fn what_is_none_is_refused_in_gos_words() {
        for (text, error) in [
            ("://x", r#"parse "://x": missing protocol scheme"#),
            ("127.0.0.1:80", r#"parse "127.0.0.1:80": first path segment in URL cannot contain colon"#),
            ("http://h:x/", r#"parse "http://h:x/": invalid port ":x" after host"#),
            ("http://[::1", r#"parse "http://[::1": missing ']' in host"#),
            ("http://a b/", r#"parse "http://a b/": invalid character " " in host name"#),
            ("http://h/%zz", r#"parse "http://h/%zz": invalid URL escape "%zz""#),
            ("http://h/%", r#"parse "http://h/%": invalid URL escape "%""#),
            ("http://h/\n", r#"parse "http://h/\n": net/url: invalid control character in URL"#),
            ("http://u\\x@h/", r#"parse "http://u\\x@h/": net/url: invalid userinfo"#),
            ("http://%00/", r#"parse "http://%00/": invalid URL escape "%00""#),
        ] {
            assert_eq!(Url::parse(text), Err(error.to_owned()), "{text}");
        }
    }
}
