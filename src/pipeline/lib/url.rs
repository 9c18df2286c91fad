//! URLs as Go's `net/url` reads them, with its error texts.

/// A refusal, in Go's words: `invalid URL escape "%zz"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Where an escaped text stands: what it may hold differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Query,
    Host,
    Zone,
    User,
}

/// `QueryUnescape`: `+` is a space. `None` for a text that stays as it is.
pub fn query_unescape(text: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Ok(None);
    }
    unescape(text, Part::Query).map(Some)
}

fn unescape(text: &[u8], part: Part) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let bad = || {
                    let shown = &text[text.len() - after.len() - 1..];
                    Refused(format!("invalid URL escape {}", quoted(&shown[..shown.len().min(3)])))
                };
                let [high, low, after @ ..] = after else { return Err(bad()) };
                let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
                let (Some(h), Some(l)) = (digit(*high), digit(*low)) else { return Err(bad()) };
                let value = h << 4 | l;
                // Escapes in a host are for bytes above ASCII, in a zone for a few more.
                let refused = match part {
                    Part::Host => h < 8 && (*high, *low) != (b'2', b'5'),
                    Part::Zone => {
                        (*high, *low) != (b'2', b'5') && value != b' ' && value < 0x80 && !in_host(value)
                    }
                    _ => false,
                };
                if refused {
                    return Err(bad());
                }
                out.push(value);
                rest = after;
            }
            b'+' if part == Part::Query => out.push(b' '),
            byte if matches!(part, Part::Host | Part::Zone) && *byte < 0x80 && !in_host(*byte) => {
                return Err(Refused(format!("invalid character {} in host name", quoted(&[*byte]))));
            }
            byte => out.push(*byte),
        }
    }
    Ok(out)
}

/// What may stand in a host unescaped.
fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// Go's `%q`.
pub fn quoted(text: &[u8]) -> String {
    let mut out = String::from('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x0b' => out.push_str("\\v"),
                c if (c as u32) < 0x20 || c == '\x7f' => out.push_str(&format!("\\x{:02x}", c as u32)),
                c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// What scripts get to see of a URL; parts are unescaped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Url {
    pub scheme: Vec<u8>,
    /// With the port.
    pub host: Vec<u8>,
    pub port: Vec<u8>,
    pub path: Vec<u8>,
    /// In the order of first appearance; the values of one key joined with commas.
    pub params: Vec<(Vec<u8>, Vec<u8>)>,
}

/// `url.Parse`. The error has Go's `parse "…": ` in front.
pub fn parse(text: &[u8]) -> Result<Url, Refused> {
    parse_parts(text).map_err(|error| Refused(format!("parse {}: {error}", quoted(before(text, b'#').0))))
}

fn refuse<T>(what: &str) -> Result<T, Refused> {
    Err(Refused(what.to_owned()))
}

/// What stands before the first `byte`, and what behind it.
fn before(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(byte, text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn parse_parts(text: &[u8]) -> Result<Url, Refused> {
    let (text, fragment) = before(text, b'#');
    let mut url = Url::default();
    if text.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) {
        return refuse("net/url: invalid control character in URL");
    }
    if let Some(fragment) = fragment {
        unescape(fragment, Part::Path)?;
    }
    if text == b"*" {
        url.path = text.to_vec();
        return Ok(url);
    }
    let (scheme, rest) = scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (rest, query) = before(rest, b'?');
    url.params = params(query.unwrap_or_default());
    let mut rest = rest;
    if !rest.starts_with(b"/") {
        if !url.scheme.is_empty() {
            // Opaque: mailto:x has no path.
            return Ok(url);
        }
        let (first, _) = before(rest, b'/');
        if first.contains(&b':') {
            return refuse("first path segment in URL cannot contain colon");
        }
    }
    let rooted = !url.scheme.is_empty() || !rest.starts_with(b"///");
    if rooted && let Some(after) = rest.strip_prefix(b"//") {
        let end = memchr::memchr(b'/', after).unwrap_or(after.len());
        url.host = authority(&after[..end])?;
        rest = &after[end..];
    }
    url.port = port(&url.host).to_vec();
    url.path = unescape(rest, Part::Path)?;
    Ok(url)
}

fn scheme(text: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return refuse("missing protocol scheme"),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok((b"", text))
}

fn authority(text: &[u8]) -> Result<Vec<u8>, Refused> {
    let (user, host) = match memchr::memrchr(b'@', text) {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    };
    let host = parse_host(host)?;
    if let Some(user) = user {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
        if !user.iter().all(fits) {
            return refuse("net/url: invalid userinfo");
        }
        unescape(user, Part::User)?;
    }
    Ok(host)
}

fn parse_host(host: &[u8]) -> Result<Vec<u8>, Refused> {
    if host.starts_with(b"[") {
        let Some(end) = memchr::memrchr(b']', host) else { return refuse("missing ']' in host") };
        check_port(&host[end + 1..])?;
        // A zone begins with an escaped percent sign.
        if let Some(zone) = memchr::memmem::find(&host[..end], b"%25") {
            let mut out = unescape(&host[..zone], Part::Host)?;
            out.extend(unescape(&host[zone..end], Part::Zone)?);
            out.extend(unescape(&host[end..], Part::Host)?);
            return Ok(out);
        }
    } else if let Some(at) = memchr::memrchr(b':', host) {
        check_port(&host[at..])?;
    }
    unescape(host, Part::Host)
}

fn check_port(text: &[u8]) -> Result<(), Refused> {
    let fits = match text {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if fits { Ok(()) } else { refuse(&format!("invalid port {} after host", quoted(text))) }
}

fn port(host: &[u8]) -> &[u8] {
    let Some(at) = memchr::memrchr(b':', host) else { return b"" };
    // The last colon of an address in brackets is none.
    let digits = &host[at + 1..];
    if digits.iter().all(u8::is_ascii_digit) { digits } else { b"" }
}

/// `ParseQuery`: what cannot be read is left out.
fn params(query: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut params: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pair.contains(&b';') {
            continue;
        }
        let (key, value) = before(pair, b'=');
        let key = unescape(key, Part::Query);
        let (Ok(key), Ok(value)) = (key, unescape(value.unwrap_or_default(), Part::Query)) else { continue };
        let place = *places.entry(key.clone()).or_insert(params.len());
        match params.get_mut(place) {
            Some((_, known)) => {
                known.push(b',');
                known.extend_from_slice(&value);
            }
            None => params.push((key, value)),
        }
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::lib::golden_tests::{cases, literal};

    #[test]
    fn recorded_answers() {
        let (mut parsed, mut decoded) = (0, 0);
        for case in cases("strings") {
            if case.script.starts_with("u = url_parse(_)") {
                parsed += 1;
                match parse(case.message.as_bytes()) {
                    Err(error) => {
                        let said = format!("failed to parse url {}: {error}", case.message);
                        assert_eq!(case.run_error(), Some(said.as_str()), "{}", case.name);
                    }
                    Ok(url) => {
                        let said: serde_json::Value = serde_json::from_str(case.text("u").unwrap()).unwrap();
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        let params: serde_json::Map<String, serde_json::Value> =
                            url.params.iter().map(|(k, v)| (text(k), text(v).into())).collect();
                        let own = serde_json::json!({
                            "scheme": text(&url.scheme), "host": text(&url.host), "port": text(&url.port),
                            "path": text(&url.path), "params": params,
                        });
                        assert_eq!(own, said, "{}", case.name);
                    }
                }
            }
            let Some((text, _)) = case
                .script
                .strip_prefix("x=")
                .filter(|script| script.ends_with("\nurl_decode(x)"))
                .and_then(literal)
            else {
                continue;
            };
            decoded += 1;
            match query_unescape(text.as_bytes()) {
                Ok(out) => {
                    let out = out.unwrap_or_else(|| text.into_bytes());
                    let b64 = |text: &serde_json::Value| {
                        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text.as_str()?)
                            .ok()
                    };
                    let recorded = case.text("x").map(|text| text.as_bytes().to_vec());
                    let recorded = recorded.or_else(|| case.field("x").and_then(|field| b64(&field["b64"])));
                    assert_eq!(Some(out), recorded, "{}", case.name);
                }
                Err(error) => assert_eq!(case.run_error(), Some(error.0.as_str()), "{}", case.name),
            }
        }
        assert!(parsed >= 14 && decoded >= 2, "{parsed} {decoded}");
    }

    #[test]
    fn corners() {
        let error = |text: &str| parse(text.as_bytes()).unwrap_err().0;
        assert_eq!(
            error("http://h/\x01"),
            "parse \"http://h/\\x01\": net/url: invalid control character in URL"
        );
        assert!(error("a:b:c/d\x7f").contains("control"));
        assert_eq!(error("1a:b/c"), "parse \"1a:b/c\": first path segment in URL cannot contain colon");
        assert_eq!(error("http://[::1/"), "parse \"http://[::1/\": missing ']' in host");
        assert_eq!(error("http://a b/"), "parse \"http://a b/\": invalid character \" \" in host name");
        let url = parse(b"http://u:p@h.com:1/x?a=1&a=2&b").unwrap();
        assert_eq!((&url.host[..], &url.port[..]), (&b"h.com:1"[..], &b"1"[..]));
        assert_eq!(url.params, [(b"a".to_vec(), b"1,2".to_vec()), (b"b".to_vec(), b"".to_vec())]);
        assert_eq!(parse(b"mailto:a@b").unwrap().path, b"");
        assert_eq!(query_unescape(b"a+b%2").unwrap_err().0, "invalid URL escape \"%2\"");
        for byte in 0..=255_u8 {
            for text in ["http://%25[]@x", "%%%", "//[%25%", "a:?%"] {
                let mut bytes = text.as_bytes().to_vec();
                for at in 0..bytes.len() {
                    let old = std::mem::replace(&mut bytes[at], byte);
                    let _ = parse(&bytes);
                    bytes[at] = old;
                }
            }
        }
    }
}
