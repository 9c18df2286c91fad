//! The other side of HTTP/1.1, for uploads: request heads are written, responses are read.
//!
//! [`ResponseReader`] takes bytes as they come, in pieces of any size, and ends with a [`Reply`]. Interim responses
//! (1xx) are skipped. What a response says twice, or in two ways, about its own end is refused: the connection is
//! closed and the request repeated elsewhere, which costs less than taking one answer for another.
//!
//! Only the first bytes of a body are kept, for logs; the rest is read past, up to a bound, so that the connection
//! can be used again. Beyond that bound the answer counts as read, since its status is known, and the connection is
//! given up.

use super::body::{ChunkError, ChunkedDecoder};
use super::framing::{self, ConnectionTokens, Framing, TransferEncoding};
use super::head::HEADERS_MAX;
use super::response::{is_bodiless, write_field};

/// Bytes of a response head. Destinations answer with some hundreds.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a body that are kept: a message for people, not data.
pub const BODY_KEPT_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a body that are read, to keep the connection. Opening another one, with TLS, costs about as much as this.
pub const BODY_READ_BYTES_MAX: u64 = 256 * 1024;

/// Interim responses before the real one. A destination that sends more is not working on an answer.
pub const INTERIM_MAX: u32 = 8;

const _: () = assert!((BODY_KEPT_BYTES_MAX as u64) < BODY_READ_BYTES_MAX);

/// A request head. The body follows as its own bytes.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query, escaped.
    pub target: &'a str,
    /// Host and, where it is not the scheme's own, port.
    pub host: &'a str,
    /// All headers but Host, Content-Length and Transfer-Encoding. Control bytes in values become spaces.
    pub headers: &'a [(&'a str, &'a str)],
    /// Length of the body that follows; `None` for a request without one.
    pub content_length: Option<u64>,
}

/// A request head that cannot be written without saying something else than was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The method is no token.
    Method,
    /// The target does not start with `/` or holds a space or a control byte.
    Target,
    /// The host is none.
    Host,
    /// A header name is no token, or one that is written here.
    HeaderName,
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RequestError::Method => "malformed method",
            RequestError::Target => "malformed request target",
            RequestError::Host => "malformed host",
            RequestError::HeaderName => "malformed or reserved header name",
        })
    }
}

impl std::error::Error for RequestError {}

impl RequestHead<'_> {
    /// Appends the head to `out`, which is left as it was on an error.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), RequestError> {
        self.check()?;
        let headers_bytes: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        out.reserve(self.method.len() + self.target.len() + self.host.len() + headers_bytes + 64);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(self.host.as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.headers {
            write_field(name, value, out);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(length) = self.content_length {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn check(&self) -> Result<(), RequestError> {
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(framing::is_token_byte);
        if !is_token(self.method) {
            return Err(RequestError::Method);
        }
        if !self.target.starts_with('/') || self.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(RequestError::Target);
        }
        if self.host.is_empty() || !super::target::host_is_valid(self.host.as_bytes()) {
            return Err(RequestError::Host);
        }
        let ours = ["host", "content-length", "transfer-encoding"];
        let taken = |name: &str| ours.iter().any(|own| name.eq_ignore_ascii_case(own));
        if self.headers.iter().any(|(name, _)| !is_token(name) || taken(name)) {
            return Err(RequestError::HeaderName);
        }
        Ok(())
    }
}

/// Why a response cannot be used. The connection must be closed; whether the request took effect is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// Not the head of an HTTP/1 response.
    Head,
    /// The head is larger than is taken.
    HeadTooLarge,
    /// Lengths or codings that contradict each other, or are not understood.
    Framing,
    /// A chunked body that is none.
    Chunk(ChunkError),
    /// More interim responses than are taken, or an upgrade nobody asked for.
    Interim,
    /// The connection ended before the response did.
    Truncated,
}

impl std::fmt::Display for ResponseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ResponseError::Head => f.write_str("malformed response head"),
            ResponseError::HeadTooLarge => f.write_str("response head too large"),
            ResponseError::Framing => f.write_str("response length is ambiguous"),
            ResponseError::Chunk(error) => write!(f, "response body: {error}"),
            ResponseError::Interim => f.write_str("unexpected interim response"),
            ResponseError::Truncated => f.write_str("connection closed before the response was complete"),
        }
    }
}

impl std::error::Error for ResponseError {}

/// A response, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The final status.
    pub status: u16,
    /// The first [`BODY_KEPT_BYTES_MAX`] bytes of the body, transfer coding undone.
    pub body: Vec<u8>,
    /// Bytes of the body that were read, kept or not.
    pub body_bytes: u64,
    /// Whether another request may be sent on the connection, provided nothing came behind this response.
    pub reusable: bool,
    fields: Fields,
}

impl Reply {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

/// Header fields, as places in the head they came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields {
    text: Vec<u8>,
    places: Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>,
}

impl Fields {
    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places
            .iter()
            .filter_map(|(name, value)| Some((self.text.get(name.clone())?, self.text.get(value.clone())?)))
    }
}

/// How far a call to [`ResponseReader::read`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All input is used; more is needed.
    More,
    /// The response is complete after `consumed` bytes of the input. Bytes behind it were not asked for: close.
    Done {
        /// Bytes of the input that belong to the response.
        consumed: usize,
    },
    /// The body is longer than is worth reading. The reply is usable, the connection is not.
    Enough,
}

#[derive(Debug)]
enum State {
    /// Gathering a head in `ResponseReader::head`.
    Head,
    /// So many bytes of body are left. Positive.
    Length(u64),
    Chunked(Box<Chunks>),
    /// The body ends with the connection.
    UntilClose,
    Done,
    /// The body is too long to read on.
    Enough,
    Failed(ResponseError),
}

#[derive(Debug, Default)]
struct Chunks {
    decoder: ChunkedDecoder,
    /// Takes the decoded data of one call.
    decoded: Vec<u8>,
}

/// Reads one response.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    to_head: bool,
    interim: u32,
    /// The head so far; at most [`HEAD_BYTES_MAX`].
    head: Vec<u8>,
    reply: Reply,
}

impl ResponseReader {
    /// A reader for the answer to a request; `to_head` when that was HEAD, whose answer has no body.
    pub fn new(to_head: bool) -> ResponseReader {
        let reply =
            Reply { status: 0, body: Vec::new(), body_bytes: 0, reusable: false, fields: Fields::default() };
        ResponseReader { state: State::Head, to_head, interim: 0, head: Vec::new(), reply }
    }

    /// The final status, as soon as its head has been read.
    pub fn status(&self) -> Option<u16> {
        (self.reply.status != 0).then_some(self.reply.status)
    }

    /// Whether nothing has come yet. When the connection ends now, a request on a reused one may be sent again.
    pub fn is_untouched(&self) -> bool {
        matches!(self.state, State::Head) && self.head.is_empty() && self.interim == 0
    }

    /// Takes the next bytes. Once failed, it fails the same way for ever; once done, it takes nothing more.
    pub fn read(&mut self, input: &[u8]) -> Result<Progress, ResponseError> {
        self.advance(input).inspect_err(|error| self.state = State::Failed(*error))
    }

    /// The connection has ended. Only a body that is delimited by that is complete now.
    pub fn close(&mut self) -> Result<(), ResponseError> {
        match self.state {
            State::UntilClose => self.state = State::Done,
            State::Done | State::Enough => {}
            State::Failed(error) => return Err(error),
            State::Head | State::Length(_) | State::Chunked(_) => {
                let malformed = matches!(self.state, State::Head)
                    .then(|| parse(&self.head, self.to_head).err())
                    .flatten();
                let error = malformed.unwrap_or(ResponseError::Truncated);
                self.state = State::Failed(error);
                return Err(error);
            }
        }
        self.reply.reusable = false;
        Ok(())
    }

    /// The response, once `read` has said `Done` or `Enough`, or `close` has succeeded.
    pub fn into_reply(self) -> Result<Reply, ResponseError> {
        match self.state {
            State::Done | State::Enough => Ok(self.reply),
            State::Failed(error) => Err(error),
            State::Head | State::Length(_) | State::Chunked(_) | State::UntilClose => {
                Err(ResponseError::Truncated)
            }
        }
    }

    fn advance(&mut self, input: &[u8]) -> Result<Progress, ResponseError> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or(&[]);
            match &mut self.state {
                State::Failed(error) => return Err(*error),
                State::Done => return Ok(Progress::Done { consumed }),
                State::Enough => return Ok(Progress::Enough),
                _ if rest.is_empty() => return Ok(Progress::More),
                State::Head => match self.read_head(rest)? {
                    Some(used) => consumed += used,
                    None => return Ok(Progress::More),
                },
                State::Length(left) => {
                    let run = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= run as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    self.keep(&rest[..run]);
                    consumed += run;
                }
                State::Chunked(chunks) => {
                    let Chunks { decoder, decoded } = &mut **chunks;
                    decoded.clear();
                    let progress = decoder.decode(rest, decoded, u64::MAX).map_err(ResponseError::Chunk)?;
                    let data = std::mem::take(decoded);
                    consumed += progress.consumed;
                    self.keep(&data);
                    match &mut self.state {
                        _ if progress.done => self.state = State::Done,
                        State::Chunked(chunks) => chunks.decoded = data,
                        _ => {}
                    }
                }
                State::UntilClose => {
                    self.keep(rest);
                    consumed = input.len();
                }
            }
        }
    }

    /// Counts body bytes and keeps the first of them.
    fn keep(&mut self, data: &[u8]) {
        let room = BODY_KEPT_BYTES_MAX.saturating_sub(self.reply.body.len());
        self.reply.body.extend_from_slice(&data[..data.len().min(room)]);
        self.reply.body_bytes += data.len() as u64;
        if self.reply.body_bytes > BODY_READ_BYTES_MAX && !matches!(self.state, State::Done) {
            self.state = State::Enough;
            self.reply.reusable = false;
        }
    }

    /// Adds to the head, and reads it once it is whole. Gives the bytes of `rest` that belong to it.
    fn read_head(&mut self, rest: &[u8]) -> Result<Option<usize>, ResponseError> {
        let before = self.head.len();
        let room = HEAD_BYTES_MAX.saturating_sub(before);
        let taken = &rest[..rest.len().min(room)];
        self.head.extend_from_slice(taken);
        // httparse is asked when an empty line may have come, and at once, to refuse what is not HTTP early.
        let from = before.saturating_sub(2);
        let fresh = self.head.get(from..).unwrap_or(&[]);
        let ends = |at: usize| matches!(&fresh[..at], [.., b'\n'] | [.., b'\n', b'\r']);
        if before > 0 && taken.len() == rest.len() && !memchr::memchr_iter(b'\n', fresh).any(ends) {
            return Ok(None);
        }
        match parse(&self.head, self.to_head)? {
            Some(parsed) => {
                // No underflow: without an empty line in the new bytes there was a head already.
                let used = parsed.len.checked_sub(before).ok_or(ResponseError::Head)?;
                self.accept(parsed)?;
                Ok(Some(used))
            }
            None if taken.len() < rest.len() || self.head.len() >= HEAD_BYTES_MAX => {
                Err(ResponseError::HeadTooLarge)
            }
            None => Ok(None),
        }
    }

    /// A whole head has come.
    fn accept(&mut self, parsed: Parsed) -> Result<(), ResponseError> {
        let mut head = std::mem::take(&mut self.head);
        if parsed.status < 200 {
            self.interim += 1;
            if parsed.status == 101 || self.interim > INTERIM_MAX {
                return Err(ResponseError::Interim);
            }
            return Ok(());
        }
        head.truncate(parsed.len);
        self.reply.status = parsed.status;
        self.reply.fields = Fields { text: head, places: parsed.places };
        self.reply.reusable = parsed.persistent && parsed.delimited.is_some();
        self.state = match parsed.delimited {
            Some(Framing::None | Framing::Length(0)) => State::Done,
            Some(Framing::Length(length)) => State::Length(length),
            Some(Framing::Chunked) => State::Chunked(Box::default()),
            None => State::UntilClose,
        };
        Ok(())
    }
}

/// A response head, understood.
struct Parsed {
    len: usize,
    status: u16,
    persistent: bool,
    /// `None`: until the connection closes.
    delimited: Option<Framing>,
    places: Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>,
}

/// Reads a response head (RFC 9112 section 6.3); `None` while it is not whole.
fn parse(head: &[u8], to_head: bool) -> Result<Option<Parsed>, ResponseError> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut slots);
    let len = match response.parse(head) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ResponseError::Head),
    };
    let (Some(status), Some(minor), Some(window)) = (response.code, response.version, head.get(..len)) else {
        return Err(ResponseError::Head);
    };
    let first_line = memchr::memchr(b'\n', window).and_then(|end| window.get(..=end)).unwrap_or(&[]);
    if status < 100
        || !window.starts_with(b"HTTP/1.")
        || !first_line.ends_with(b"\r\n")
        || !window.ends_with(b"\r\n")
    {
        return Err(ResponseError::Head);
    }

    let place = |part: &[u8]| {
        let start = part.as_ptr().addr() - window.as_ptr().addr();
        start..start + part.len()
    };
    let mut places = Vec::with_capacity(response.headers.len());
    let mut tokens = ConnectionTokens::default();
    let mut length = None;
    let mut coding = None;
    let mut repeated = false;
    for header in &*response.headers {
        if !framing::line_ends_with_crlf(window, header.value) {
            return Err(ResponseError::Head);
        }
        places.push((place(header.name.as_bytes()), place(header.value)));
        if header.name.eq_ignore_ascii_case("content-length") {
            let value = framing::content_length(header.value).ok_or(ResponseError::Framing)?;
            // The same length twice is tolerated, as RFC 9110 section 8.6 allows, but not trusted further.
            repeated |= length.is_some();
            if length.is_some_and(|length| length != value) {
                return Err(ResponseError::Framing);
            }
            length = Some(value);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if coding.is_some() || minor == 0 {
                return Err(ResponseError::Framing);
            }
            coding = Some(framing::transfer_encoding(header.value));
        } else if header.name.eq_ignore_ascii_case("connection") {
            tokens.read(header.value);
        }
    }
    let delimited = match (length, coding) {
        // Whatever the fields say: these have no body.
        _ if to_head || is_bodiless(status) => Some(Framing::None),
        (None, None) => None,
        (Some(length), None) => Some(Framing::Length(length)),
        (None, Some(TransferEncoding::Chunked)) => Some(Framing::Chunked),
        (Some(_), Some(_)) | (None, Some(_)) => return Err(ResponseError::Framing),
    };
    let persistent = tokens.persistent(minor == 1) && !repeated;
    Ok(Some(Parsed { len, status, persistent, delimited, places }))
}

#[cfg(test)]
mod tests;
