//! `http`: one request and its answer, phase by phase. Redirects are never followed: where one leads was not checked.

mod request;
mod response;
#[cfg(test)]
mod tests;

pub use request::basic;
pub use response::{Head, Reader};

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};

use self::request::{BODY_TYPES, Request, Route};
use self::response::Response;
use super::decode::Go as _;
use super::duration::Span;
use super::json::Json;
use super::net::{Link, Reach, tls_config, words};
use super::outcome::Outcome;
use super::success::{Judge, shown, validate};
use super::task::{HttpTask, SuccessOption, Task};
use super::template::Filler;
use super::test::{Env, Test, fill};
use super::url::{Url, quoted};

/// For the whole exchange, where the task has no time of its own.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An option of success rules is filled in.
pub fn fill_option(option: &mut SuccessOption, filler: &Filler) -> Result<(), String> {
    fill(&mut option.is, "body is", filler)?;
    fill(&mut option.is_not, "body is not", filler)?;
    fill(&mut option.contains, "body contains", filler)?;
    fill(&mut option.not_contains, "body not contains", filler)?;
    fill(&mut option.match_regex, "body match regex", filler)?;
    fill(&mut option.not_match_regex, "body not match regex", filler)
}

impl Test for HttpTask {
    fn validate(&self, deadline: Instant) -> Result<(), String> {
        if let Some(advance) = &self.advance_options {
            if !advance.request_timeout.is_empty() {
                Span::parse(&advance.request_timeout)?;
            }
            if let Some(body) = &advance.request_body
                && !BODY_TYPES.contains(&body.body_type.as_str())
            {
                return Err(format!("invalid body type: `{}'", body.body_type));
            }
            if let Some(certificate) = &advance.certificate {
                tls_config(Some(certificate))?;
            }
            if let Some(proxy) = &advance.proxy {
                Url::parse(&proxy.url)?;
            }
        }
        if self.success_when.items().is_empty() && self.post_script.is_empty() {
            return Err("no any check rule".to_owned());
        }
        for rule in self.success_when.items() {
            if !rule.response_time.is_empty() {
                Span::parse(&rule.response_time)?;
            }
            let headers = rule.header.iter().flat_map(|(_, options)| options.items());
            validate(headers.chain(rule.body.items()).chain(rule.status_code.items()), deadline)?;
        }
        Ok(())
    }

    fn fill(&mut self, filler: &Filler) -> Result<(), String> {
        fill(&mut self.url, "url", filler)?;
        for rule in self.success_when.items_mut() {
            let failed = |what: &str| {
                let what = what.to_owned();
                move |error| format!("render success when failed: render {what} failed: {error}")
            };
            for option in rule.body.items_mut() {
                fill_option(option, filler).map_err(failed("body"))?;
            }
            fill(&mut rule.response_time, "response time", filler)
                .map_err(|error| format!("render success when failed: {error}"))?;
            for option in rule.header.values_mut().flat_map(|options| options.items_mut()) {
                fill_option(option, filler).map_err(failed("header"))?;
            }
        }
        let Some(advance) = &mut self.advance_options else { return Ok(()) };
        if let Some(options) = &mut advance.request_options {
            let failed =
                |error| format!("render advance options failed: render request options failed: {error}");
            for value in options.headers.values_mut() {
                fill(value, "header", filler).map_err(failed)?;
            }
            fill(&mut options.cookies, "cookies", filler).map_err(failed)?;
            if let Some(auth) = &mut options.auth {
                fill(&mut auth.username, "auth username", filler).map_err(failed)?;
                fill(&mut auth.password, "auth password", filler).map_err(failed)?;
            }
        }
        if let Some(body) = &mut advance.request_body {
            let failed =
                |error| format!("render advance options failed: render request body failed: {error}");
            fill(&mut body.body, "request body", filler).map_err(failed)?;
            if let Some(form) = body.form.0.take() {
                let mut filled = BTreeMap::new();
                for (mut name, mut value) in form {
                    fill(&mut name, "form", filler).map_err(failed)?;
                    fill(&mut value, "form", filler).map_err(failed)?;
                    filled.insert(name, value);
                }
                body.form.0 = Some(filled);
            }
        }
        Ok(())
    }

    fn hosts(&self) -> Vec<String> {
        let proxy = self.advance_options.iter().filter_map(|advance| advance.proxy.as_ref());
        let proxy = proxy.map(|proxy| proxy.url.as_str()).filter(|url| !url.is_empty());
        // What is no URL is not dialled either; what is wrong with it is said when it is used.
        let urls = std::iter::once(self.url.as_str()).chain(proxy);
        urls.filter_map(|url| Url::parse(url).ok()).map(|url| url.host).collect()
    }

    fn run(task: &Task<HttpTask>, env: &Env<'_>) -> Result<Outcome, String> {
        let mut exchange = Exchange::default();
        if let Err(error) = exchange.run(&task.own, env) {
            exchange.error = error;
        }
        Ok(exchange.outcome(task, env.reach.deadline))
    }
}

/// What happened, as far as it came.
#[derive(Debug, Default)]
struct Exchange {
    /// The request was one, and an attempt to send it was made.
    asked: bool,
    shown_headers: BTreeMap<String, String>,
    dest_ip: String,
    dns: Duration,
    connection: Duration,
    ssl: Duration,
    ttfb: Duration,
    download: Duration,
    cost: Duration,
    response: Option<Response>,
    /// Empty: nothing went wrong.
    error: String,
}

/// One who is connected to: the server itself, or a proxy.
struct Peer<'a> {
    url: &'a Url,
    port: u16,
    tls: bool,
}

impl<'a> Peer<'a> {
    fn new(url: &'a Url) -> Result<Peer<'a>, String> {
        let (tls, port) = match url.scheme.as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            other => return Err(format!("unsupported protocol scheme {}", quoted(other))),
        };
        if url.host.is_empty() {
            return Err("http: no Host in request URL".to_owned());
        }
        Ok(Peer { url, port: url.port_or(port)?, tls })
    }
}

impl Exchange {
    fn run(&mut self, task: &HttpTask, env: &Env<'_>) -> Result<(), String> {
        let advance = task.advance_options.as_ref();
        let url = Url::parse(&task.url)?;
        let proxy = advance.and_then(|advance| advance.proxy.as_ref()).filter(|proxy| !proxy.url.is_empty());
        let proxy = proxy.map(|proxy| Url::parse(&proxy.url)).transpose()?;
        let proxy_authorization = proxy.as_ref().map(|proxy| match &proxy.user {
            Some((name, password)) => basic(name, password.as_deref().unwrap_or_default()),
            None => String::new(),
        });
        // A proxy passes encrypted requests on without seeing them.
        let seen = proxy_authorization.as_deref().filter(|_| url.scheme == "http");
        let boundary = boundary()?;
        let route =
            Route { url: &url, user_agent: env.user_agent, proxy_authorization: seen, boundary: &boundary };
        let request = Request::new(task, route)?;
        self.shown_headers.clone_from(&request.shown_headers);
        self.asked = true;

        let timeout = advance.map(|advance| Span::parse(&advance.request_timeout).unwrap_or_default());
        let reach = match timeout.filter(|timeout| timeout.is_positive()) {
            Some(timeout) => env.reach.within(timeout.duration()),
            None => env.reach.within(TIMEOUT),
        };
        let begun = Instant::now();
        let failed = |error: String| {
            let late = Instant::now() >= reach.deadline;
            let timeout = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            let error = if late { timeout.to_owned() } else { error };
            let (first, rest) = request.method.split_at(1);
            format!("{first}{} {}: {error}", rest.to_ascii_lowercase(), quoted(url.shown()))
        };
        let target = Peer::new(&url).map_err(failed)?;
        let link = match &proxy {
            None => self.connect(&target, task, reach),
            Some(proxy) => self.connect_through(proxy, &target, proxy_authorization.as_deref(), task, reach),
        };
        let mut link = link.map_err(failed)?;
        // Who does not want a body may answer before it is sent, and close.
        let sent = link.write_all(&request.bytes).and_then(|()| link.flush());

        let mut reader = Reader::new(link);
        let mut first_byte = None;
        let head = reader.head(false, || first_byte = Some(Instant::now()));
        if let Some(first_byte) = first_byte {
            self.ttfb = first_byte.duration_since(begun);
        }
        let head = head.map_err(|error| failed(sent.as_ref().err().map_or(error, words)))?;
        let response = reader.body(head, request.method == "HEAD");
        self.cost = begun.elapsed();
        let late = "context deadline exceeded (Client.Timeout or context cancellation while reading body)";
        let error = match response.body_error.as_str() {
            "i/o timeout" => late.to_owned(),
            error => error.to_owned(),
        };
        self.response = Some(response);
        if !error.is_empty() {
            return Err(error);
        }
        self.download = first_byte.map_or(Duration::ZERO, |first_byte| first_byte.elapsed());
        if !task.post_script.is_empty() {
            return Err(post_script());
        }
        Ok(())
    }

    fn connect(&mut self, peer: &Peer<'_>, task: &HttpTask, reach: Reach<'_>) -> Result<Link, String> {
        let host = &peer.url.host;
        let begun = Instant::now();
        let addresses = reach.addresses_for(host).map_err(|error| match error.starts_with("lookup ") {
            true => format!("dial tcp: {error}"),
            false => error,
        })?;
        if host.parse::<std::net::IpAddr>().is_err() {
            self.dns = begun.elapsed();
        }
        let connected = match reach.connect(&addresses, peer.port) {
            Ok(connected) => connected,
            Err(failed) => {
                self.dest_ip = failed.address.map(|address| address.ip().to_string()).unwrap_or_default();
                return Err(failed.to_string());
            }
        };
        self.dest_ip = connected.address.ip().to_string();
        self.connection = connected.took;
        let link = Link::Plain(connected.stream);
        if peer.tls { self.secure(link, peer, task) } else { Ok(link) }
    }

    fn secure(&mut self, link: Link, peer: &Peer<'_>, task: &HttpTask) -> Result<Link, String> {
        let certificate = task.advance_options.as_ref().and_then(|advance| advance.certificate.as_ref());
        let config = tls_config(certificate)?;
        let begun = Instant::now();
        let link = Link::tls(link, config, &peer.url.host);
        self.ssl = begun.elapsed();
        link
    }

    /// Connects to the proxy and, for an encrypted request, through it.
    fn connect_through(
        &mut self,
        proxy: &Url,
        target: &Peer<'_>,
        authorization: Option<&str>,
        task: &HttpTask,
        reach: Reach<'_>,
    ) -> Result<Link, String> {
        let peer = Peer::new(proxy).map_err(|error| format!("proxyconnect tcp: {error}"))?;
        // The proxy looks the name up again, with its own eyes and its own network; here it only must not be internal.
        if reach.guard.internal_forbidden {
            reach.addresses_for(&target.url.host)?;
        }
        let mut link =
            self.connect(&peer, task, reach).map_err(|error| format!("proxyconnect tcp: {error}"))?;
        if !target.tls {
            return Ok(link);
        }
        let mut place = target.url.authority();
        if target.url.port.is_empty() {
            place.push_str(&format!(":{}", target.port));
        }
        let mut ask = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        if let Some(authorization) = authorization.filter(|text| !text.is_empty()) {
            ask.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        ask.push_str("\r\n");
        link.write_all(ask.as_bytes()).and_then(|()| link.flush()).map_err(|error| words(&error))?;
        let mut reader = Reader::new(link);
        let head = reader.head(false, || ())?;
        if head.status != 200 {
            let status = head.status_text.as_str();
            return Err(status.split_once(' ').map_or(status, |(_, words)| words).to_owned());
        }
        let (link, ahead) = reader.into_parts();
        if !ahead.is_empty() {
            return Err("the proxy sent something before it was asked".to_owned());
        }
        self.secure(link, target, task)
    }

    fn outcome(&self, task: &Task<HttpTask>, deadline: Instant) -> Outcome {
        let own = &task.own;
        let mut outcome = Outcome::new(&task.common);
        // Before it was filled in: a variable may be a secret.
        outcome.tag("url", &task.original.url);
        outcome.tag("method", &own.method);
        outcome.tag("dest_ip", &self.dest_ip);
        if self.asked {
            outcome.tag("proto", "HTTP/1.1");
        }
        outcome.field("response_time", Json::Int(Span::of(self.cost).micros()));
        let body_bytes = self.response.as_ref().map_or(0, |response| response.body.len());
        outcome.field("response_body_size", Json::Int(i64::try_from(body_bytes).unwrap_or(i64::MAX)));
        if let Some(response) = &self.response {
            let status = response.head.status;
            outcome.field("status_code", Json::Int(i64::from(status)));
            outcome.tag("status_code_string", &response.head.status_text);
            outcome.tag("status_code_class", format!("{}xx", status / 100));
        }
        outcome.task_tags(&task.common);
        let phases = [
            ("response_dns", self.dns),
            ("response_connection", self.connection),
            ("response_ssl", self.ssl),
            ("response_ttfb", self.ttfb),
            ("response_download", self.download),
        ];
        for (name, took) in phases {
            outcome.field(name, Json::Float(took.as_nanos() as f64 / 1e3));
        }

        let advance = own.advance_options.as_ref();
        let shown_headers = self.shown_headers.iter().map(|(name, value)| (name.clone(), Json::text(value)));
        let (request_body, request_header) = match self.asked {
            true => (body_shown(own), Json::Map(shown_headers.collect())),
            false => (Json::Null, Json::Null),
        };
        outcome.message("request_body", request_body);
        outcome.message("request_header", request_header);
        let body = self.response.as_ref().map(|response| String::from_utf8_lossy(&response.body));
        let verdict = self.judge(own, body.as_deref().unwrap_or_default(), deadline);
        let not_save =
            advance.and_then(|advance| advance.secret.as_ref()).is_some_and(|secret| secret.not_save);
        if let (Err(reason), false, Some(response)) = (&verdict, not_save, &self.response)
            && !reason.is_empty()
        {
            outcome.message("response_header", headers_shown(&response.head));
            outcome.message("response_body", Json::Text(shown(body.as_deref().unwrap_or_default())));
        }
        outcome.verdict(verdict);
        let status = outcome.tags.get("status").cloned().unwrap_or_default();
        outcome.message("status", Json::Text(status));
        outcome.finish(task);
        outcome
    }

    fn judge(&self, task: &HttpTask, body: &str, deadline: Instant) -> Result<(), String> {
        let mut judge = Judge::new(deadline);
        match &self.response {
            None => judge.pass(),
            Some(response) => {
                for rule in task.success_when.items() {
                    for (name, options) in rule.header.iter() {
                        for option in options.items() {
                            judge.text(option, response.head.header(name), &format!("HTTP header `{name}'"));
                        }
                    }
                    for option in rule.body.items() {
                        judge.text(option, body, "response body");
                    }
                    for option in rule.status_code.items() {
                        judge.text(option, &response.head.status.to_string(), "HTTP status");
                    }
                    let limit = Span::parse(&rule.response_time).unwrap_or_default();
                    if limit.is_positive() {
                        let cost = Span::of(self.cost);
                        judge.settle(match cost > limit {
                            true => Err(format!("HTTP response time({cost}) larger than {limit}")),
                            false => Ok(()),
                        });
                    }
                }
            }
        }
        judge.verdict(&task.success_when_logic, &self.error)
    }
}

/// What is said of a script. Scripts are run by the pipeline, which is not there yet; this is where it will be asked.
fn post_script() -> String {
    "post_script was not run: this version has no pipeline scripts".to_owned()
}

/// The body options as they were sent.
fn body_shown(task: &HttpTask) -> Json {
    let body = task.advance_options.as_ref().and_then(|advance| advance.request_body.as_ref());
    let mut out = Vec::new();
    match body {
        Some(body) => body.encode(&mut out),
        None => out.extend_from_slice(b"{}"),
    }
    Json::Raw(String::from_utf8_lossy(&out).into_owned())
}

/// Headers by name, each with all its values; without those that say how the message was cut.
pub fn headers_shown(head: &Head) -> Json {
    let mut all: BTreeMap<String, Json> = BTreeMap::new();
    for (name, value) in &head.headers {
        if name == "Transfer-Encoding" || name == "Trailer" {
            continue;
        }
        match all.entry(name.clone()).or_insert_with(|| Json::List(Vec::new())) {
            Json::List(values) => values.push(Json::text(value)),
            _ => unreachable!("BUG: headers are lists"),
        }
    }
    Json::Map(all)
}

/// What no part of a form holds.
fn boundary() -> Result<String, String> {
    let mut bytes = [0; 30];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no random numbers".to_owned())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
