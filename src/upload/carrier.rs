//! What brings packages to a destination. The workers know this and nothing of HTTP, files or TLS.
//!
//! [`HttpCarrier`] joins a sink (what is said, and what answers mean) and a [`Transport`] (how bytes get there), which
//! is a trait so that the workers and the sinks are tested against scripted destinations without a socket.
//! [`archive`](super::archive) writes files; [`BlackholeCarrier`] does nothing.

use std::future::Future;
use std::io;

use super::body::{self, Body, Prepared, Render};
use super::env::Env;
use super::retry;
use crate::http1::client::Reply;
use crate::point::Category;
use crate::sink::{Answer, HttpSink, Outcome, Parcel, Target, blackhole};
use crate::spool::Block;

/// How much of an answer is kept for logs and dead letters.
const EXCERPT_BYTES_MAX: usize = 1024;

/// One try at one package.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub outcome: Outcome,
    /// None: no whole answer came, and whether the destination has the package is unknown.
    pub status: Option<u16>,
    /// The start of the answer, or what went wrong; for people, without tokens.
    pub text: String,
}

/// A destination with one or several targets; every package goes to each of them.
pub trait Carrier: 'static {
    /// The sink's word for logs.
    fn name(&self) -> &'static str;

    fn targets(&self) -> usize;

    /// A target for logs and dead letters, without its token.
    fn shown(&self, target: usize) -> String;

    /// Brings blocks into the form in which they are sent. An error is not the blocks' fault and may pass.
    fn prepare(&self, parcel: &Parcel<'_>, blocks: Vec<Block>) -> impl Future<Output = io::Result<Prepared>>;

    fn attempt(&self, target: usize, parcel: &Parcel<'_>, body: &Body) -> impl Future<Output = Attempt>;
}

/// One request, ready to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub category: Category,
    pub target: &'a Target,
    pub head: &'a [u8],
    pub body: &'a Body,
}

/// Why there is no answer. Whether the destination has taken the request is unknown, except where noted.
#[derive(Debug)]
pub enum TransportError {
    /// The name cannot be resolved. Nothing was sent.
    Resolve(io::Error),
    /// No connection. Nothing was sent.
    Connect(io::Error),
    /// No TLS session. Nothing was sent.
    Tls(String),
    /// The whole exchange took too long.
    Timeout,
    /// The connection broke.
    Io(io::Error),
    /// What came back is no answer.
    Response(crate::http1::client::ResponseError),
}

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TransportError::Resolve(error) => write!(f, "the name cannot be resolved: {error}"),
            TransportError::Connect(error) => write!(f, "cannot connect: {error}"),
            TransportError::Tls(error) => write!(f, "TLS: {error}"),
            TransportError::Timeout => f.write_str("no answer in time"),
            TransportError::Io(error) => write!(f, "the connection broke: {error}"),
            TransportError::Response(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for TransportError {}

/// Sends a request and reads the whole answer, within its own deadline.
pub trait Transport: 'static {
    fn exchange(&self, request: Request<'_>) -> impl Future<Output = Result<Reply, TransportError>>;
}

/// A destination that is reached by HTTP.
pub struct HttpCarrier<T, E> {
    sink: Box<dyn HttpSink>,
    transport: T,
    env: E,
    render: Render,
}

impl<T: Transport, E: Env> HttpCarrier<T, E> {
    pub fn new(sink: Box<dyn HttpSink>, transport: T, env: E, render: Render) -> HttpCarrier<T, E> {
        HttpCarrier { sink, transport, env, render }
    }
}

impl<T: Transport, E: Env> Carrier for HttpCarrier<T, E> {
    fn name(&self) -> &'static str {
        self.sink.name()
    }

    fn targets(&self) -> usize {
        self.sink.targets().len()
    }

    fn shown(&self, target: usize) -> String {
        self.sink.targets().get(target).map(Target::shown).unwrap_or_default()
    }

    async fn prepare(&self, parcel: &Parcel<'_>, blocks: Vec<Block>) -> io::Result<Prepared> {
        if let Some(raw) = &parcel.raw {
            return Ok(body::raw(&blocks, raw.body_at));
        }
        let accepts = self.sink.accepts();
        if let Some(prepared) = body::joined(blocks.iter(), accepts) {
            return Ok(prepared);
        }
        let render = self.render;
        self.env.blocking(move || body::converted(&blocks, accepts, render)).await?
    }

    async fn attempt(&self, target: usize, parcel: &Parcel<'_>, body: &Body) -> Attempt {
        let Some(target) = self.sink.targets().get(target) else {
            return Attempt { outcome: Outcome::Retry, status: None, text: "BUG: no such target".to_owned() };
        };
        let mut head = Vec::with_capacity(1024);
        self.sink.head(target, parcel, body.bytes, &mut head);
        match self.transport.exchange(Request { category: parcel.category, target, head: &head, body }).await
        {
            Ok(reply) => {
                let answer = understand(reply, (self.env.wall_ms() / 1000).try_into().unwrap_or(i64::MAX));
                let text =
                    excerpt(&target.redact_for(parcel.route, &String::from_utf8_lossy(&answer.excerpt)));
                Attempt {
                    outcome: self.sink.outcome(&answer, parcel.route),
                    status: Some(answer.status),
                    text,
                }
            }
            Err(error) => {
                let text = excerpt(&target.redact_for(parcel.route, &error.to_string()));
                Attempt { outcome: Outcome::Retry, status: None, text }
            }
        }
    }
}

fn understand(reply: Reply, now_unix_s: i64) -> Answer {
    let retry_after = reply.header("retry-after").and_then(|value| retry::retry_after(value, now_unix_s));
    Answer { status: reply.status, retry_after, excerpt: reply.body }
}

/// The start of `text`, on one line.
fn excerpt(text: &str) -> String {
    let mut end = text.len().min(EXCERPT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Takes everything at once.
pub struct BlackholeCarrier;

impl Carrier for BlackholeCarrier {
    fn name(&self) -> &'static str {
        blackhole::NAME
    }

    fn targets(&self) -> usize {
        1
    }

    fn shown(&self, _target: usize) -> String {
        blackhole::NAME.to_owned()
    }

    async fn prepare(&self, _parcel: &Parcel<'_>, blocks: Vec<Block>) -> io::Result<Prepared> {
        let points = blocks.iter().map(|block| u64::from(block.points)).sum();
        Ok(Prepared { body: Body::default(), points, unreadable: Vec::new() })
    }

    async fn attempt(&self, _target: usize, _parcel: &Parcel<'_>, _body: &Body) -> Attempt {
        Attempt { outcome: Outcome::Delivered, status: None, text: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_on_one_line() {
        assert_eq!(excerpt("a\r\nb\tc"), "a  b c");
        let long = "日".repeat(1000);
        assert_eq!(excerpt(&long), "日".repeat(EXCERPT_BYTES_MAX / 3));
    }
}
