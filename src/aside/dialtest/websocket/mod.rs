//! `websocket`: a handshake, a message, and what comes back. Certificates are not checked, as recorded.

mod frame;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::duration::Span;
use super::http::{Head, Reader, basic, fill_option, headers_shown};
use super::json::Json;
use super::net::{Link, tls_config, words};
use super::outcome::Outcome;
use super::success::{Judge, validate};
use super::task::{HttpCertificate, Task, WebsocketTask};
use super::template::Filler;
use super::test::{Env, Test, fill};
use super::url::{Url, quoted};
use crate::http1::framing::{is_token_byte, is_value_byte, list};
use crate::http1::target::host_is_valid;

/// For all of it, where the task has no time of its own.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a key is joined with before it is hashed: RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Headers that the handshake itself writes.
const OURS: [&str; 5] =
    ["upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"];

impl Test for WebsocketTask {
    fn validate(&self, deadline: Instant) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("URL should not be empty".to_owned());
        }
        let options = self.advance_options.as_ref().and_then(|advance| advance.request_options.as_ref());
        if let Some(options) = options.filter(|options| !options.timeout.is_empty()) {
            Span::parse(&options.timeout)?;
        }
        if self.success_when.items().is_empty() {
            return Err("no any check rule".to_owned());
        }
        for rule in self.success_when.items() {
            for limit in rule.response_time.items() {
                Span::parse(&limit.target)?;
            }
            let headers = rule.header.iter().flat_map(|(_, options)| options.items());
            validate(headers.chain(rule.response_message.items()), deadline)?;
        }
        // What stands between braces is no URL yet.
        if self.url.contains("{{") { Ok(()) } else { Url::parse(&self.url).map(drop) }
    }

    fn fill(&mut self, filler: &Filler) -> Result<(), String> {
        fill(&mut self.url, "url", filler)?;
        fill(&mut self.message, "message", filler)?;
        for rule in self.success_when.items_mut() {
            let failed = |error| format!("render success when failed: {error}");
            for option in rule.response_message.items_mut() {
                fill_option(option, filler).map_err(failed)?;
            }
            for option in rule.header.values_mut().flat_map(|options| options.items_mut()) {
                fill_option(option, filler).map_err(failed)?;
            }
        }
        let Some(advance) = &mut self.advance_options else { return Ok(()) };
        let failed = |error| format!("render advance options failed: {error}");
        for value in advance.request_options.iter_mut().flat_map(|options| options.headers.values_mut()) {
            fill(value, "header", filler).map_err(failed)?;
        }
        if let Some(auth) = &mut advance.auth {
            fill(&mut auth.username, "auth username", filler).map_err(failed)?;
            fill(&mut auth.password, "auth password", filler).map_err(failed)?;
        }
        Ok(())
    }

    fn hosts(&self) -> Vec<String> {
        Url::parse(&self.url).map(|url| url.host).into_iter().collect()
    }

    fn run(task: &Task<WebsocketTask>, env: &Env<'_>) -> Result<Outcome, String> {
        let mut talk = Talk::default();
        if let Err(error) = talk.run(&task.own, env) {
            talk.error = error;
        }
        Ok(talk.outcome(task, env.reach.deadline))
    }
}

/// What happened, as far as it came.
#[derive(Debug, Default)]
struct Talk {
    dns: Duration,
    cost: Duration,
    head: Option<Head>,
    answer: String,
    error: String,
}

impl Talk {
    fn run(&mut self, task: &WebsocketTask, env: &Env<'_>) -> Result<(), String> {
        let url = Url::parse(&task.url)?;
        let (tls, port) = match url.scheme.as_str() {
            "ws" => (false, 80),
            "wss" => (true, 443),
            _ => return Err("malformed ws or wss URL".to_owned()),
        };
        let port = url.port_or(port)?;
        let key = STANDARD.encode(random::<16>()?);
        let request = request(task, &url, &key, env.user_agent)?;
        let options = task.advance_options.as_ref().and_then(|advance| advance.request_options.as_ref());
        let timeout = options.map(|options| Span::parse(&options.timeout).unwrap_or_default());
        let timeout = timeout.filter(|timeout| timeout.is_positive()).map_or(TIMEOUT, Span::duration);
        let reach = env.reach.within(timeout);

        let begun = Instant::now();
        let addresses = reach.addresses_for(&url.host)?;
        let first = addresses.first().copied();
        let first = first.ok_or_else(|| format!("invalid host: {}, found no ip record", url.host))?;
        let dns = if url.host.parse::<IpAddr>().is_ok() { Duration::ZERO } else { begun.elapsed() };
        let begun = Instant::now();
        let connected = reach.connect(&[first], port).map_err(|failed| failed.to_string())?;
        let ends = connected.stream.ends();
        let mut link = Link::Plain(connected.stream);
        if tls {
            let unchecked =
                HttpCertificate { ignore_server_certificate_error: true, ..HttpCertificate::default() };
            link = Link::tls(link, tls_config(Some(&unchecked))?, &url.host)?;
        }
        let read = |error: String| match error.as_str() {
            "i/o timeout" => format!("read tcp {ends}: i/o timeout"),
            _ => error,
        };
        link.write_all(&request).and_then(|()| link.flush()).map_err(|error| read(words(&error)))?;
        let mut reader = Reader::new(link);
        let head = reader.head(true, || ()).map_err(read)?;
        if !is_accepted(&head, &key) {
            return Err("websocket: bad handshake".to_owned());
        }
        self.cost = begun.elapsed();
        self.dns = dns;
        self.head = Some(head);
        let (link, ahead) = reader.into_parts();
        let mut link = Ahead { link, ahead };
        self.talk(&task.message, &mut link).map_err(read)
    }

    fn talk(&mut self, message: &str, link: &mut Ahead) -> Result<(), String> {
        let mask = random::<4>()?;
        link.write_all(&frame::frame(frame::TEXT, message.as_bytes(), mask))
            .map_err(|error| words(&error))?;
        let answer = frame::receive(link, || mask)?;
        self.answer = String::from_utf8_lossy(&answer).into_owned();
        // Out of politeness: nobody waits for what comes of it.
        let _ = link.write_all(&frame::frame(frame::CLOSE, &frame::NORMAL, mask));
        Ok(())
    }

    fn outcome(&self, task: &Task<WebsocketTask>, deadline: Instant) -> Outcome {
        let own = &task.own;
        let mut outcome = Outcome::new(&task.common);
        outcome.tag("url", &own.url);
        outcome.tag("proto", "websocket");
        outcome.task_tags(&task.common);
        // Both with the look-up: recorded.
        let response_time = Json::Int(Span::of(self.cost + self.dns).micros());
        outcome.field("response_time", response_time.clone());
        outcome.field("response_time_with_dns", response_time.clone());
        outcome.field("response_message", Json::text(&self.answer));
        outcome.field("sent_message", Json::text(&own.message));
        let verdict = self.judge(own, deadline);
        match (&verdict, &self.head) {
            (Ok(()), _) => outcome.message("response_time", response_time),
            (Err(reason), Some(head)) if !reason.is_empty() => {
                outcome.message("response_header", headers_shown(head));
            }
            _ => {}
        }
        outcome.verdict(verdict);
        outcome.finish(task);
        outcome
    }

    fn judge(&self, task: &WebsocketTask, deadline: Instant) -> Result<(), String> {
        let mut judge = Judge::new(deadline);
        for rule in task.success_when.items() {
            for limit in rule.response_time.items() {
                let dns = if limit.is_contain_dns { self.dns } else { Duration::ZERO };
                let (cost, target) =
                    (Span::of(self.cost + dns), Span::parse(&limit.target).unwrap_or_default());
                if target.is_positive() {
                    judge.settle(match cost > target {
                        true => Err(format!("response time({cost}) larger than {target}")),
                        false => Ok(()),
                    });
                }
            }
            for option in rule.response_message.items() {
                judge.text(option, &self.answer, "response message");
            }
            for (head, (name, options)) in
                self.head.iter().flat_map(|head| rule.header.iter().map(move |of| (head, of)))
            {
                for option in options.items() {
                    judge.text(option, head.header(name), &format!("Websocket header `{name}'"));
                }
            }
        }
        judge.verdict(&task.success_when_logic, &self.error)
    }
}

/// A link of which some bytes have been read already.
struct Ahead {
    link: Link,
    ahead: Vec<u8>,
}

impl std::io::Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.ahead.is_empty() {
            return self.link.read(buf);
        }
        let count = buf.len().min(self.ahead.len());
        buf[..count].copy_from_slice(&self.ahead[..count]);
        self.ahead.drain(..count);
        Ok(count)
    }
}

impl std::io::Write for Ahead {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.link.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.link.flush()
    }
}

fn request(task: &WebsocketTask, url: &Url, key: &str, user_agent: &str) -> Result<Vec<u8>, String> {
    let advance = task.advance_options.as_ref();
    let mut host = url.authority();
    let mut agent = user_agent;
    let mut lines = String::new();
    let auth = advance.and_then(|advance| advance.auth.as_ref());
    let auth = auth.filter(|auth| !auth.username.is_empty() && !auth.password.is_empty());
    let options = advance.and_then(|advance| advance.request_options.as_ref());
    for (name, value) in options.iter().flat_map(|options| options.headers.iter()) {
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) {
            return Err(format!("websocket: duplicate header not allowed: {name}"));
        }
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(format!("net/http: invalid header field name {}", quoted(name)));
        }
        if !value.bytes().all(is_value_byte) {
            return Err(format!("net/http: invalid header field value for {}", quoted(name)));
        }
        match lower.as_str() {
            "host" => host.clone_from(value),
            "user-agent" => agent = value,
            "authorization" if auth.is_some() => {}
            _ => lines.push_str(&format!("{name}: {value}\r\n")),
        }
    }
    if let Some(auth) = auth {
        lines.push_str(&format!("Authorization: {}\r\n", basic(&auth.username, &auth.password)));
    }
    if host.is_empty() || !host_is_valid(host.as_bytes()) {
        return Err("http: invalid Host header".to_owned());
    }
    let target = &url.target;
    Ok(format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
    .into_bytes())
}

/// Whether the server speaks the protocol, and knows our key.
fn is_accepted(head: &Head, key: &str) -> bool {
    let names = |header: &str, token: &str| {
        list(head.header(header).as_bytes()).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
    };
    head.status == 101
        && names("Upgrade", "websocket")
        && names("Connection", "upgrade")
        && head.header("Sec-WebSocket-Accept") == accept(key)
}

fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

fn random<const COUNT: usize>() -> Result<[u8; COUNT], String> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no random numbers".to_owned())?;
    Ok(bytes)
}
