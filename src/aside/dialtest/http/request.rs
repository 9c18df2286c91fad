//! The request of an HTTP task as bytes, with headers in Go's order: Host, User-Agent, Content-Length, the rest by name.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::task::{HttpBody, HttpTask};
use super::super::url::{Url, quoted};
use super::response::canonical;
use crate::http1::framing::{is_token_byte, is_value_byte};
use crate::http1::target::host_is_valid;

/// Headers that say where a message ends: the body does.
const NOT_THE_CALLERS: [&str; 4] = ["Host", "Content-Length", "Transfer-Encoding", "Trailer"];

/// What the body is called in the task's own list.
pub const BODY_TYPES: [&str; 8] = [
    "text/plain",
    "application/json",
    "text/xml",
    "application/x-www-form-urlencoded",
    "text/html",
    "multipart/form-data",
    "",
    "None",
];

/// A request, ready to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// In upper case as it is sent.
    pub method: String,
    pub bytes: Vec<u8>,
    /// The headers the task asked for, as the answer shows them.
    pub shown_headers: BTreeMap<String, String>,
}

/// How a request goes to its server.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    pub url: &'a Url,
    pub user_agent: &'a str,
    /// Behind a proxy that is asked for the whole URL; `Some("")`: without a word about who asks.
    pub proxy_authorization: Option<&'a str>,
    /// What separates the parts of a form.
    pub boundary: &'a str,
}

impl Request {
    pub fn new(task: &HttpTask, route: Route<'_>) -> Result<Request, String> {
        let method = if task.method.is_empty() { "GET" } else { task.method.as_str() };
        if !method.bytes().all(is_token_byte) {
            return Err(format!("net/http: invalid method {}", quoted(method)));
        }
        let advance = task.advance_options.as_ref();
        let options = advance.and_then(|advance| advance.request_options.as_ref());
        let body = advance.and_then(|advance| advance.request_body.as_ref());
        let (payload, content_type) = match body {
            None => (None, String::new()),
            Some(body) => payload(body, route.boundary)?,
        };

        let mut host = route.url.authority();
        let mut shown_headers = BTreeMap::new();
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut add = |name: &str, value: &str| {
            let fits = !name.is_empty() && name.bytes().all(is_token_byte);
            if !fits {
                return Err(format!("net/http: invalid header field name {}", quoted(name)));
            }
            if !value.bytes().all(is_value_byte) {
                return Err(format!("net/http: invalid header field value for {}", quoted(name)));
            }
            fields.entry(canonical(name)).or_default().push(value.to_owned());
            Ok(())
        };
        if let Some(options) = options {
            for (name, value) in options.headers.iter() {
                shown_headers.insert(name.clone(), value.clone());
                match name.eq_ignore_ascii_case("host") {
                    true if value.is_empty() => {}
                    true => host.clone_from(value),
                    false => add(name, value)?,
                }
            }
            if !options.cookies.is_empty() {
                add("Cookie", &options.cookies)?;
            }
        }
        let auth = options.and_then(|options| options.auth.as_ref());
        let auth = auth.filter(|auth| !(auth.username.is_empty() && auth.password.is_empty()));
        if !content_type.is_empty() {
            add("Content-Type", &content_type)?;
        }
        if let Some(body) = body.filter(|body| !body.body_type.is_empty()) {
            shown_headers.insert("Content-Type".to_owned(), body.body_type.clone());
        }
        for (name, value) in
            advance.and_then(|advance| advance.proxy.as_ref()).iter().flat_map(|proxy| proxy.headers.iter())
        {
            add(name, value)?;
        }
        add("Connection", "close")?;
        if let Some(authorization) = route.proxy_authorization.filter(|text| !text.is_empty()) {
            add("Proxy-Authorization", authorization)?;
        }
        match (auth, &route.url.user) {
            // It takes the place of one among the headers.
            (Some(auth), _) => {
                fields.insert("Authorization".to_owned(), vec![basic(&auth.username, &auth.password)]);
            }
            (None, Some((name, password))) if !fields.contains_key("Authorization") => {
                let value = basic(name, password.as_deref().unwrap_or_default());
                fields.insert("Authorization".to_owned(), vec![value]);
            }
            _ => {}
        }
        // A URL without a host is refused when it is to be connected to.
        if !host_is_valid(host.as_bytes()) {
            return Err("http: invalid Host header".to_owned());
        }

        let target = match route.proxy_authorization {
            Some(_) => format!("{}://{}{}", route.url.scheme, route.url.authority(), route.url.target),
            None => route.url.target.clone(),
        };
        let agent = fields.remove("User-Agent").and_then(|values| values.into_iter().next());
        let agent = agent.as_deref().unwrap_or(route.user_agent);
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        if !agent.is_empty() {
            head.push_str(&format!("User-Agent: {agent}\r\n"));
        }
        let length = payload.as_ref().map_or(0, Vec::len);
        if length > 0 || matches!(method, "POST" | "PUT" | "PATCH") {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        for (name, values) in fields.iter().filter(|(name, _)| !NOT_THE_CALLERS.contains(&name.as_str())) {
            for value in values {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(payload.into_iter().flatten());
        Ok(Request { method: method.to_owned(), bytes, shown_headers })
    }
}

/// `Basic …`.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// The body and its type.
fn payload(body: &HttpBody, boundary: &str) -> Result<(Option<Vec<u8>>, String), String> {
    if body.body_type == "multipart/form-data" {
        return Ok((Some(form(body, boundary)?), format!("multipart/form-data; boundary={boundary}")));
    }
    let content_type = if body.body_type == "None" { "" } else { &body.body_type };
    let payload = (!body.body.is_empty()).then(|| body.body.as_bytes().to_vec());
    Ok((payload, content_type.to_owned()))
}

fn form(body: &HttpBody, boundary: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for (name, value) in body.form.iter() {
        let disposition = format!("form-data; name=\"{}\"", parameter(name));
        part(boundary, &disposition, None, value.as_bytes(), &mut out);
    }
    for file in body.files.items() {
        if file.encoding != "base64" {
            return Err("only base64 encoding is supported for file encoding".to_owned());
        }
        // As Go reads base64: line ends do not count.
        let text: String = file.content.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
        let content = STANDARD
            .decode(text)
            .map_err(|error| format!("failed to decode base64 file content: {error}"))?;
        let (name, file_name) = (parameter(&file.name), parameter(&file.original_file_name));
        let disposition = format!("form-data; name=\"{name}\"; filename=\"{file_name}\"");
        part(boundary, &disposition, Some("application/octet-stream"), &content, &mut out);
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(out)
}

fn part(boundary: &str, disposition: &str, content_type: Option<&str>, content: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("--{boundary}\r\nContent-Disposition: {disposition}\r\n").as_bytes());
    if let Some(content_type) = content_type {
        out.extend_from_slice(format!("Content-Type: {content_type}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(content);
    out.extend_from_slice(b"\r\n");
}

/// Quotes and line ends in a name cannot end it.
fn parameter(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::super::super::task::Task;
    use super::*;

    fn request(task: &str, proxied: Option<&str>) -> Result<Request, String> {
        let task = Task::<HttpTask>::read_text(task).unwrap().own;
        let url = Url::parse(&task.url).unwrap();
        let route = Route { url: &url, user_agent: "agent/1", proxy_authorization: proxied, boundary: "XX" };
        Request::new(&task, route)
    }

    fn text(task: &str) -> String {
        String::from_utf8(request(task, None).unwrap().bytes).unwrap()
    }

    #[test]
    fn a_request_has_its_headers_in_gos_order() {
        assert_eq!(
            text(r#"{"url":"http://h:81/a?b"}"#),
            "GET /a?b HTTP/1.1\r\nHost: h:81\r\nUser-Agent: agent/1\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            text(
                r#"{"url":"http://u:p@h/","method":"POST","advance_options":{
                "request_options":{"headers":{"x-b":"2","Host":"virtual","A":"1","content-length":"99"},"cookies":"c=d"},
                "request_body":{"body_type":"application/json","body":"{}"},"proxy":{"headers":{"X-P":"q"}}}}"#
            ),
            "POST / HTTP/1.1\r\nHost: virtual\r\nUser-Agent: agent/1\r\nContent-Length: 2\r\nA: 1\r\n\
             Authorization: Basic dTpw\r\nConnection: close\r\nContent-Type: application/json\r\nCookie: c=d\r\n\
             X-B: 2\r\nX-P: q\r\n\r\n{}"
        );
        let with_auth = text(
            r#"{"url":"http://h/","method":"PUT","advance_options":{"request_options":{"auth":{"username":"a"},
            "headers":{"User-Agent":"mine","Authorization":"x"}},"request_body":{"body_type":"None"}}}"#,
        );
        assert_eq!(
            with_auth,
            "PUT / HTTP/1.1\r\nHost: h\r\nUser-Agent: mine\r\nContent-Length: 0\r\nAuthorization: Basic YTo=\r\n\
             Connection: close\r\n\r\n"
        );
    }

    #[test]
    fn forms_are_sent_in_parts() {
        let sent = text(
            r#"{"url":"http://h/","method":"POST","advance_options":{"request_body":{"body_type":"multipart/form-data",
            "form":{"b":"2","a\"":"1"},
            "files":[{"name":"f","content":"aGVs\nbG8=","encoding":"base64","original_file_name":"x.txt"}]}}}"#,
        );
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Type: multipart/form-data; boundary=XX"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(
            body,
            "--XX\r\nContent-Disposition: form-data; name=\"a\\\"\"\r\n\r\n1\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\
             Content-Type: application/octet-stream\r\n\r\nhello\r\n--XX--\r\n"
        );
        let shown = request(
            r#"{"url":"http://h/","advance_options":{"request_options":{"headers":{"Host":"v","x-a":"1"}},
            "request_body":{"body_type":"multipart/form-data"}}}"#,
            None,
        );
        let shown: Vec<_> = shown.unwrap().shown_headers.into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(shown, [pair("Content-Type", "multipart/form-data"), pair("Host", "v"), pair("x-a", "1")]);
    }

    #[test]
    fn a_proxy_is_asked_for_the_whole_url() {
        let request = request(r#"{"url":"http://h:81/a"}"#, Some("Basic eDp5")).unwrap();
        assert_eq!(
            String::from_utf8(request.bytes).unwrap(),
            "GET http://h:81/a HTTP/1.1\r\nHost: h:81\r\nUser-Agent: agent/1\r\nConnection: close\r\n\
             Proxy-Authorization: Basic eDp5\r\n\r\n"
        );
    }

    /// Nothing that a task holds can begin a line, a header or a request of its own.
    #[test]
    fn nothing_can_be_smuggled_into_a_request() {
        for (task, error) in [
            (r#"{"url":"http://h/","method":"GET / HTTP/1.1\r\nX: y"}"#, "invalid method"),
            (
                r#"{"url":"http://h/","advance_options":{"request_options":{"headers":{"A\r\nB":"1"}}}}"#,
                "invalid header field name",
            ),
            (
                r#"{"url":"http://h/","advance_options":{"request_options":{"headers":{"A":"1\r\nB: 2"}}}}"#,
                "invalid header field value",
            ),
            (
                r#"{"url":"http://h/","advance_options":{"request_options":{"headers":{"Host":"a\r\nB: 2"}}}}"#,
                "invalid Host header",
            ),
            (
                r#"{"url":"http://h/","advance_options":{"request_options":{"cookies":"a\nb"}}}"#,
                "field value",
            ),
            (
                r#"{"url":"http://h/","advance_options":{"request_body":{"body_type":"multipart/form-data",
                "files":[{"encoding":"gzip"}]}}}"#,
                "only base64 encoding is supported",
            ),
        ] {
            let got = request(task, None).unwrap_err();
            assert!(got.contains(error), "{got}");
        }
    }
}
