//! URLs and slash-separated paths, as Go reads, cleans and prints them: keys of maps and names of sources are made so.

use std::borrow::Cow;
use std::fmt;

use crate::point::quote;

/// What of a URL is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url<'a> {
    /// In lower case; empty where there is none.
    scheme: String,
    /// What follows a scheme without a slash.
    opaque: &'a str,
    /// As it came.
    authority: Option<&'a str>,
    /// Unescaped: any bytes.
    path: Vec<u8>,
    /// As it came, with its question mark.
    query: &'a str,
}

/// Why a text is no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    Control,
    NoScheme,
    ColonInFirstSegment,
    /// What is wrong begins here.
    Escape(String),
    Port(String),
    Bracket,
    HostCharacter(String),
    Userinfo,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::Control => f.write_str("net/url: invalid control character in URL"),
            UrlError::NoScheme => f.write_str("missing protocol scheme"),
            UrlError::ColonInFirstSegment => f.write_str("first path segment in URL cannot contain colon"),
            UrlError::Escape(text) => write!(f, "invalid URL escape {}", quoted(text)),
            UrlError::Port(text) => write!(f, "invalid port {} after host", quoted(text)),
            UrlError::Bracket => f.write_str("missing ']' in host"),
            UrlError::HostCharacter(text) => write!(f, "invalid character {} in host name", quoted(text)),
            UrlError::Userinfo => f.write_str("net/url: invalid userinfo"),
        }
    }
}

/// A text as Go's `%q` shows it.
pub fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    quote(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

impl<'a> Url<'a> {
    /// Reads a URL; the error is what Go's `url.Parse` says behind the text itself.
    pub fn parse(text: &'a str) -> Result<Url<'a>, UrlError> {
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(UrlError::Control);
        }
        if text == "*" {
            return Ok(Url { path: b"*".to_vec(), ..Url::default() });
        }
        let (scheme, rest) = split_scheme(text)?;
        let (mut rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let mut url = Url { scheme: scheme.to_ascii_lowercase(), query, ..Url::default() };
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                return Ok(Url { opaque: rest, ..url });
            }
            let first = rest.split('/').next().unwrap_or_default();
            if first.contains(':') {
                return Err(UrlError::ColonInFirstSegment);
            }
        }
        if (!scheme.is_empty() || !rest.starts_with("///"))
            && let Some(authority) = rest.strip_prefix("//")
        {
            let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
            check_authority(authority)?;
            url.authority = Some(authority);
            rest = path;
        }
        url.path = unescape(rest)?;
        Ok(url)
    }

    /// The path, unescaped.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Whether it says how it is to be fetched.
    pub fn is_absolute(&self) -> bool {
        !self.scheme.is_empty()
    }

    /// The URL with another path.
    fn with_path(&self, path: &[u8]) -> String {
        let mut out = format!("{}:", self.scheme);
        if !self.opaque.is_empty() {
            out.push_str(self.opaque);
        } else {
            if let Some(authority) = self.authority
                && !(authority.is_empty() && path.is_empty())
            {
                out.push_str("//");
                out.push_str(authority);
                if !authority.is_empty() && !path.is_empty() && !path.starts_with(b"/") {
                    out.push('/');
                }
            }
            escape_path(path, &mut out);
        }
        out.push_str(self.query);
        out
    }
}

/// `scheme:rest`. A text that begins like a path has none.
fn split_scheme(text: &str) -> Result<(&str, &str), UrlError> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err(UrlError::NoScheme),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn check_authority(authority: &str) -> Result<(), UrlError> {
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let is_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(is_user) {
        return Err(UrlError::Userinfo);
    }
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or(UrlError::Bracket)?;
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || (!port.is_empty() && !port.starts_with(':')) {
        return Err(UrlError::Port(port.to_owned()));
    }
    let is_host =
        |byte: u8| byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&byte);
    for (at, byte) in host.bytes().enumerate() {
        if byte == b'%' {
            let escape: String = host[at..].chars().take(3).collect();
            // Only what is not ASCII may be escaped there.
            let allowed =
                escape == "%25" || hex_pair(&host.as_bytes()[at..]).is_some_and(|byte| byte >= 0x80);
            if !allowed {
                return Err(UrlError::Escape(escape));
            }
        } else if !is_host(byte) {
            return Err(UrlError::HostCharacter(char::from(byte).to_string()));
        }
    }
    Ok(())
}

/// The byte that `%xx` stands for.
fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [b'%', high, low, ..] = text else { return None };
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

fn unescape(text: &str) -> Result<Vec<u8>, UrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let Some(byte) = hex_pair(&bytes[at..]) else {
            let end = (at + 3).min(bytes.len());
            return Err(UrlError::Escape(String::from_utf8_lossy(&bytes[at..end]).into_owned()));
        };
        out.push(byte);
        at += 3;
    }
    Ok(out)
}

fn escape_path(path: &[u8], out: &mut String) {
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// The shortest path that means the same, without looking at any file: no empty parts, no `.`, and no `..` but in front.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => drop(parts.pop()),
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// What the sources of a map are relative to.
#[derive(Debug)]
pub enum Root<'a> {
    Nothing,
    Path(&'a str),
    Url(Url<'a>),
}

impl<'a> Root<'a> {
    /// None: it is broken.
    pub fn new(text: &'a str) -> Option<Root<'a>> {
        if text.is_empty() {
            return Some(Root::Nothing);
        }
        let url = Url::parse(text).ok()?;
        Some(if url.is_absolute() { Root::Url(url) } else { Root::Path(text) })
    }

    /// The name of a source.
    pub fn join(&self, source: &'a str) -> String {
        let is_url = || Url::parse(source).is_ok_and(|url| url.is_absolute());
        let joined = match self {
            Root::Nothing => Cow::Borrowed(source),
            _ if source.starts_with('/') || is_url() => Cow::Borrowed(source),
            Root::Path(root) if source.is_empty() => Cow::Owned(clean(root)),
            Root::Path(root) => Cow::Owned(clean(&format!("{root}/{source}"))),
            Root::Url(url) => {
                let path = String::from_utf8_lossy(&url.path);
                // Both empty: a path that is not there. Otherwise the first that is there makes it absolute or not.
                let joined = match (path.is_empty(), source.is_empty()) {
                    (true, true) => String::new(),
                    (true, false) => clean(source),
                    (false, true) => clean(&path),
                    (false, false) => clean(&format!("{path}/{source}")),
                };
                Cow::Owned(url.with_path(joined.as_bytes()))
            }
        };
        joined.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_urls() {
        for (text, path) in [
            ("http://localhost:5500/dist/bundle.js", "/dist/bundle.js"),
            ("https://u:p@h:/a%20b.js?x=1#f", "/a b.js"),
            ("http://[::1]:80/a.js", "/a.js"),
            ("http://h", ""),
            ("http://host?x", ""),
            ("//h/a.js", "/a.js"),
            ("///a.js", "///a.js"),
            ("/a.js", "/a.js"),
            ("a.js", "a.js"),
            ("main.min.js", "main.min.js"),
            ("a b.js", "a b.js"),
            ("", ""),
            ("*", "*"),
            ("webpack:a.js", ""),
            ("app:///main.jsbundle", "/main.jsbundle"),
            ("http://中/中.js", "/中.js"),
            ("1x/a:b", "1x/a:b"),
        ] {
            let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(String::from_utf8_lossy(url.path()), path, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_told_in_gos_words() {
        for (text, message) in [
            (":a", "missing protocol scheme"),
            ("x @ http://h/a.js", "first path segment in URL cannot contain colon"),
            ("http://h/%zz/a.js", "invalid URL escape \"%zz\""),
            ("http://h/%2", "invalid URL escape \"%2\""),
            ("http://h:x/a.js", "invalid port \":x\" after host"),
            ("http://[::1/a.js", "missing ']' in host"),
            ("http://a b/a.js", "invalid character \" \" in host name"),
            ("http://a%20b/a.js", "invalid URL escape \"%20\""),
            ("http://a<b@h/a.js", "net/url: invalid userinfo"),
            ("http://h/\u{7f}", "net/url: invalid control character in URL"),
            ("http://h\t/", "net/url: invalid control character in URL"),
        ] {
            assert_eq!(Url::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, cleaned) in [
            ("", "."),
            (".", "."),
            ("/", "/"),
            ("a//b/./c/", "a/b/c"),
            ("abc/../x.map", "x.map"),
            ("../../a", "../../a"),
            ("a/../../b", "../b"),
            ("/../a", "/a"),
            ("..a/b", "..a/b"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
