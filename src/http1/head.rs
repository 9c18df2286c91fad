//! Request heads: from bytes to a [`Head`], or to the status that refuses them.
//!
//! Promises
//! - A function of the bytes alone. However a head arrives in pieces, the outcome is that of the whole, so a caller
//!   parses again from the start whenever more has come ([`HeadScan`] keeps that linear).
//! - No allocation, one pass for the syntax and one over the headers. Everything in a [`Head`] borrows from the input.
//! - Whatever two readers could delimit in two ways is refused. After any error the connection must be closed: what
//!   follows may not be read as another request.
//!
//! httparse checks tokens, field values, folded lines and NUL. What it lets through and is refused here: bare LF as a
//! line end, any number of empty lines in front, and everything about meaning: lengths and
//! codings, hosts, target forms, expectations.
//!
//! Chosen where the RFC leaves a choice: two Content-Length fields are refused even when equal; Content-Length beside
//! Transfer-Encoding is refused rather than repaired; CONNECT is refused outright, since no tunnel is ever opened.

mod error;

use std::mem::MaybeUninit;

pub use httparse::Header;

pub use self::error::HeadError;
use super::framing::{self, Connection, ConnectionTokens, Framing, TransferEncoding};
use super::target;

/// Bytes of a head, from method to empty line. Agents send some 300; 16 KiB holds a browser's cookies behind two
/// proxies and still bounds what an unproven connection may pin.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a request target. RFC 9110 asks for 8000 at least; it must end well inside the head's own bound.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Header fields of a head. Agents send some ten, a browser behind proxies thirty; the slots are 2 KiB of stack.
pub const HEADERS_MAX: usize = 64;

/// Empty lines skipped before a request line. Old clients send one behind a body (RFC 9112 section 2.2).
pub const EMPTY_LINES_MAX: usize = 4;

const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);

/// The bounds of a head; the defaults are the constants of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// See [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
    /// See [`TARGET_BYTES_MAX`]. Without effect when not below `head_bytes_max`.
    pub target_bytes_max: usize,
    /// See [`HEADERS_MAX`], which it cannot exceed.
    pub headers_max: usize,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits {
            head_bytes_max: HEAD_BYTES_MAX,
            target_bytes_max: TARGET_BYTES_MAX,
            headers_max: HEADERS_MAX,
        }
    }
}

/// Room for the headers of one head. Costs nothing to make: keep it on the stack, beside the parse, and out of
/// anything that lives across a wait.
pub struct HeaderSlots<'b> {
    slots: [MaybeUninit<Header<'b>>; HEADERS_MAX],
}

impl HeaderSlots<'_> {
    /// Empty slots.
    #[inline]
    pub fn new() -> Self {
        HeaderSlots { slots: [const { MaybeUninit::uninit() }; HEADERS_MAX] }
    }
}

impl Default for HeaderSlots<'_> {
    fn default() -> Self {
        HeaderSlots::new()
    }
}

/// Request methods. Case matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// `CONNECT`, which [`parse_head`] refuses.
    Connect,
    /// `TRACE`
    Trace,
    /// Any other token.
    Other,
}

impl Method {
    fn of(text: &str) -> Method {
        match text {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "PATCH" => Method::Patch,
            "CONNECT" => Method::Connect,
            "TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }
}

/// The versions that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// A request head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// The method as written, for [`Method::Other`] and for counters.
    pub method_text: &'a str,
    /// The request target as written.
    pub target: &'a str,
    /// The path within the target, still escaped: see [`target::decode_path`], which cannot fail on it.
    pub path: &'a str,
    /// The query within the target, still escaped; empty when there is none: see [`super::query`].
    pub query: &'a str,
    /// The version.
    pub version: Version,
    /// All header fields, in order, values trimmed.
    pub headers: &'a [Header<'a>],
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client wants the connection to go on.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body that `framing` announces.
    pub expect_continue: bool,
}

impl<'a> Head<'a> {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// What an answer must say about the connection, when we are willing to keep it.
    pub fn connection(&self) -> Connection {
        match (self.keep_alive, self.version) {
            (false, _) => Connection::Close,
            (true, Version::Http10) => Connection::KeepAlive,
            (true, Version::Http11) => Connection::Persistent,
        }
    }
}

/// What the bytes seen so far amount to.
#[derive(Clone, Copy, Debug)]
pub enum HeadOutcome<'a> {
    /// No fault so far, and no end: read on.
    Partial,
    /// A head.
    Complete {
        /// The head.
        head: Head<'a>,
        /// Bytes up to and including the empty line, skipped empty lines included. The body starts there.
        len: usize,
    },
}

/// Parses the head at the start of `input`.
pub fn parse_head<'h, 'b: 'h>(
    input: &'b [u8],
    slots: &'h mut HeaderSlots<'b>,
    limits: &HeadLimits,
) -> Result<HeadOutcome<'h>, HeadError> {
    let Some(skipped) = skip_empty_lines(input)? else { return Ok(HeadOutcome::Partial) };
    // Never a byte beyond the bound, so that the outcome does not depend on how much has been read ahead.
    let window = &input[skipped..];
    let window = &window[..window.len().min(limits.head_bytes_max)];
    let slots = &mut slots.slots[..limits.headers_max.min(HEADERS_MAX)];

    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(window, slots);
    let (method, target, minor) = (request.method, request.path, request.version);
    match (parsed, method, target, minor) {
        (Ok(httparse::Status::Complete(len)), Some(method), Some(target), Some(minor)) => {
            if target.len() > limits.target_bytes_max {
                return Err(HeadError::TargetTooLong);
            }
            let head = interpret(&window[..len], method, target, minor, request.headers)?;
            Ok(HeadOutcome::Complete { head, len: skipped + len })
        }
        (Ok(_), ..) => unfinished(window, method, target, limits),
        (Err(error), ..) => refuse(window, error, method, target, limits),
    }
}

/// Bytes of empty lines in front; `None` when more must be seen.
fn skip_empty_lines(input: &[u8]) -> Result<Option<usize>, HeadError> {
    let mut skipped = 0;
    loop {
        match input.get(skipped..) {
            None | Some([] | [b'\r']) => return Ok(None),
            Some([b'\r', b'\n', ..]) if skipped / 2 < EMPTY_LINES_MAX => skipped += 2,
            Some([b'\r', b'\n', ..]) => return Err(HeadError::EmptyLines),
            Some([b'\r' | b'\n', ..]) => return Err(HeadError::LineEnd),
            Some(_) => return Ok(Some(skipped)),
        }
    }
}

/// The meaning of a head whose syntax httparse has accepted; `window` is exactly the head.
fn interpret<'h>(
    window: &[u8],
    method_text: &'h str,
    target: &'h str,
    minor: u8,
    headers: &'h [Header<'h>],
) -> Result<Head<'h>, HeadError> {
    // "HTTP/1.x" and the space before it, then the line end.
    const VERSION_BYTES: usize = " HTTP/1.1".len();
    let line_end = method_text.len() + 1 + target.len() + VERSION_BYTES;
    if window.get(line_end) != Some(&b'\r') || !window.ends_with(b"\r\n") {
        return Err(HeadError::LineEnd);
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let method = Method::of(method_text);
    if method == Method::Connect {
        return Err(HeadError::Connect);
    }
    let parts = target::split(target, method == Method::Options).ok_or(HeadError::Target)?;

    let mut length = None;
    let mut coding = None;
    let mut host = false;
    let mut tokens = ConnectionTokens::default();
    let mut expect_continue = false;
    for header in headers {
        if !framing::line_ends_with_crlf(window, header.value) {
            return Err(HeadError::LineEnd);
        }
        let (name, value) = (header.name, header.value);
        // By length first: most names cost one comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                if host {
                    return Err(HeadError::HostRepeated);
                }
                if !target::host_is_valid(value) {
                    return Err(HeadError::HostInvalid);
                }
                host = true;
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                if value.eq_ignore_ascii_case(b"100-continue") {
                    // HTTP/1.0 does not know it and is not to be answered (RFC 9110 section 10.1.1).
                    expect_continue = version == Version::Http11;
                } else if !value.is_empty() {
                    return Err(HeadError::Expectation);
                }
            }
            10 if name.eq_ignore_ascii_case("connection") => tokens.read(value),
            14 if name.eq_ignore_ascii_case("content-length") => {
                if length.is_some() {
                    return Err(HeadError::LengthRepeated);
                }
                length = Some(framing::content_length(value).ok_or(HeadError::LengthInvalid)?);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if coding.is_some() {
                    return Err(HeadError::CodingInvalid);
                }
                coding = Some(framing::transfer_encoding(value));
            }
            _ => {}
        }
    }
    if version == Version::Http11 && !host {
        return Err(HeadError::HostMissing);
    }
    let framing = match (length, coding) {
        (None, None) => Framing::None,
        (Some(length), None) => Framing::Length(length),
        (Some(_), Some(_)) => return Err(HeadError::LengthAndCoding),
        (None, Some(_)) if version == Version::Http10 => return Err(HeadError::CodingInHttp10),
        (None, Some(TransferEncoding::Chunked)) => Framing::Chunked,
        (None, Some(TransferEncoding::Unsupported)) => return Err(HeadError::CodingUnsupported),
        (None, Some(TransferEncoding::Invalid)) => return Err(HeadError::CodingInvalid),
    };
    Ok(Head {
        method,
        method_text,
        target,
        path: parts.path,
        query: parts.query,
        version,
        headers,
        framing,
        keep_alive: tokens.persistent(version == Version::Http11),
        expect_continue: expect_continue && !matches!(framing, Framing::None | Framing::Length(0)),
    })
}

/// No fault yet and no end yet: read on, unless a bound is passed already.
#[cold]
fn unfinished<'a>(
    window: &[u8],
    method: Option<&str>,
    target: Option<&str>,
    limits: &HeadLimits,
) -> Result<HeadOutcome<'a>, HeadError> {
    if target_bytes(window, method, target) > limits.target_bytes_max {
        Err(HeadError::TargetTooLong)
    } else if window.len() >= limits.head_bytes_max {
        Err(HeadError::HeadTooLarge)
    } else {
        Ok(HeadOutcome::Partial)
    }
}

/// What httparse objects to, in our terms.
#[cold]
fn refuse<'a>(
    window: &[u8],
    error: httparse::Error,
    method: Option<&str>,
    target: Option<&str>,
    limits: &HeadLimits,
) -> Result<HeadOutcome<'a>, HeadError> {
    let target_bytes = target_bytes(window, method, target);
    if target_bytes > limits.target_bytes_max {
        return Err(HeadError::TargetTooLong);
    }
    // What stands behind the target, if we came so far.
    let behind = method.and_then(|method| window.get(method.len() + 1 + target_bytes..)).unwrap_or(&[]);
    Err(match error {
        httparse::Error::Token => match behind {
            [b'\r' | b'\n', ..] if target_bytes > 0 => HeadError::NoVersion,
            _ => HeadError::RequestLine,
        },
        httparse::Error::Version => match version_at(behind.get(1..).unwrap_or(&[])) {
            // httparse objects at the first odd byte; which version it is shows a little later.
            LooksLike::Unfinished => return unfinished(window, method, target, limits),
            LooksLike::Version if method == Some("PRI") => HeadError::Http2,
            LooksLike::Version => HeadError::Version,
            LooksLike::Nothing => HeadError::RequestLine,
        },
        httparse::Error::NewLine => HeadError::LineEnd,
        httparse::Error::HeaderName => HeadError::HeaderName,
        httparse::Error::HeaderValue => HeadError::HeaderValue,
        httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
        httparse::Error::Status => HeadError::RequestLine,
    })
}

/// How many bytes of a target can be seen, whether it has ended or not.
fn target_bytes(window: &[u8], method: Option<&str>, target: Option<&str>) -> usize {
    match (method, target) {
        (_, Some(target)) => target.len(),
        (None, None) => 0,
        (Some(method), None) => {
            let behind = window.get(method.len() + 1..).unwrap_or(&[]);
            behind.iter().position(|byte| *byte <= b' ' || *byte == 0x7f).unwrap_or(behind.len())
        }
    }
}

/// What stands where the version should.
enum LooksLike {
    /// `HTTP/d.d`
    Version,
    /// The start of one.
    Unfinished,
    /// Neither.
    Nothing,
}

fn version_at(text: &[u8]) -> LooksLike {
    let shape = b"HTTP/d.d";
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    if !text.iter().zip(shape).all(fits) {
        LooksLike::Nothing
    } else if text.len() < shape.len() {
        LooksLike::Unfinished
    } else {
        LooksLike::Version
    }
}

/// Tells whether a buffer that has grown is worth another parse, so that a head sent byte by byte costs no more than
/// a few times its length. Start a new one for each head.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    seen: usize,
    lines: usize,
}

impl HeadScan {
    /// True on the first call, for the first few lines (so that what is not HTTP is told early), when what came since
    /// the last call can end a head, and when a bound may be passed. `input` is everything received of this head.
    pub fn worth_parsing(&mut self, input: &[u8], limits: &HeadLimits) -> bool {
        if self.seen == 0 && !input.is_empty() {
            // Nearly always the whole head is here, with its body behind it: not worth a look of its own.
            self.seen = input.len();
            return true;
        }
        // An empty line is LF CR LF, or LF LF from a client that will be refused.
        let from = self.seen.saturating_sub(2);
        let fresh = input.get(from..).unwrap_or(&[]);
        let mut worth = input.len() >= limits.head_bytes_max;
        for at in memchr::memchr_iter(b'\n', fresh) {
            if from + at >= self.seen {
                self.lines += 1;
                worth |= self.lines <= EMPTY_LINES_MAX + 1;
                worth |= matches!(&fresh[..at], [.., b'\n'] | [.., b'\n', b'\r']);
            }
        }
        self.seen = input.len();
        worth
    }
}

#[cfg(test)]
mod tests;
