//! Reading a response that comes from anybody: every part bounded, as lenient as Go's client where that is harmless.

use std::io::{self, Read};

use crate::http1::body::ChunkedDecoder;
use crate::http1::framing::{self, TransferEncoding};

use super::super::net::words;

/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 256 << 10;

/// Header fields of a head.
const HEADERS_MAX: usize = 256;

/// Bytes of a body. A test looks at a page and does not load files.
pub const BODY_BYTES_MAX: usize = 10 << 20;

/// Heads of interim responses before the real one, as Go has it.
const INTERIM_MAX: usize = 5;

/// Bytes that are read at once.
const READ_BYTES: usize = 32 << 10;

/// The head of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// `200 OK`, as it came.
    pub status_text: String,
    /// Names in canonical spelling, values as they came.
    pub headers: Vec<(String, String)>,
    minor: u8,
}

impl Head {
    /// The value of the first header of this name; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = move |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }
}

/// A response, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
    /// What was wrong with the body; empty: nothing.
    pub body_error: String,
}

/// Reads bytes and keeps what belongs to the next part.
pub struct Reader<R> {
    source: R,
    ahead: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(source: R) -> Reader<R> {
        Reader { source, ahead: Vec::new() }
    }

    /// The connection and what has been read of it beyond the head.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        (self.source, self.ahead)
    }

    /// Receives some bytes; false at the end.
    fn more(&mut self) -> io::Result<bool> {
        let before = self.ahead.len();
        self.ahead.resize(before + READ_BYTES, 0);
        let read = loop {
            match self.source.read(&mut self.ahead[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.ahead.truncate(before + read.as_ref().map_or(0, |read| *read));
        Ok(read? > 0)
    }

    /// Reads a head; `first_byte` is called when anything has come. Interim heads are passed over; with `upgrade`, 101 is
    /// an answer.
    pub fn head(&mut self, upgrade: bool, mut first_byte: impl FnMut()) -> Result<Head, String> {
        let mut heard = false;
        for _ in 0..=INTERIM_MAX {
            let mut searched = 0;
            let end = loop {
                if let Some(end) = end_of_head(&self.ahead, searched) {
                    break end;
                }
                searched = self.ahead.len();
                if searched > HEAD_BYTES_MAX {
                    return Err(broken(&format!("server response headers exceeded {HEAD_BYTES_MAX} bytes")));
                }
                if !self.more().map_err(|error| words(&error))? {
                    return Err(if searched == 0 { "EOF" } else { "unexpected EOF" }.to_owned());
                }
                if !std::mem::replace(&mut heard, true) {
                    first_byte();
                }
            };
            if end > HEAD_BYTES_MAX {
                return Err(broken(&format!("server response headers exceeded {HEAD_BYTES_MAX} bytes")));
            }
            let head = parse(self.ahead.get(..end).unwrap_or_default())?;
            self.ahead.drain(..end);
            if head.status >= 200 || (upgrade && head.status == 101) {
                return Ok(head);
            }
            if head.status == 101 {
                return Err(broken("unexpected 101 response"));
            }
        }
        Err(broken("too many 1xx informational responses"))
    }

    /// Reads the body that belongs to `head`.
    pub fn body(mut self, head: Head, to_head: bool) -> Response {
        let mut response = Response { head, ..Response::default() };
        let framing = match framing_of(&response.head, to_head) {
            Ok(framing) => framing,
            Err(error) => return Response { body_error: error.to_owned(), ..response },
        };
        let mut decoder = ChunkedDecoder::default();
        loop {
            let ahead = std::mem::take(&mut self.ahead);
            let done = match framing {
                Framing::None => true,
                Framing::Length(length) => {
                    response.body.extend_from_slice(&ahead);
                    let done = response.body.len() as u64 >= length;
                    response.body.truncate(usize::try_from(length).unwrap_or(usize::MAX));
                    done
                }
                Framing::Chunked => match decoder.decode(&ahead, &mut response.body, u64::MAX) {
                    Ok(progress) => progress.done,
                    Err(error) => {
                        response.body_error = format!("invalid chunked body: {error}");
                        return response;
                    }
                },
                Framing::UntilClose => {
                    response.body.extend_from_slice(&ahead);
                    false
                }
            };
            if response.body.len() > BODY_BYTES_MAX {
                response.body.truncate(BODY_BYTES_MAX);
                response.body_error = format!("response body is larger than {BODY_BYTES_MAX} bytes");
                return response;
            }
            if done {
                return response;
            }
            // The memory of what was taken is used again.
            self.ahead = ahead;
            self.ahead.clear();
            match self.more() {
                Ok(true) => {}
                Ok(false) if framing == Framing::UntilClose => return response,
                Ok(false) => {
                    response.body_error = "unexpected EOF".to_owned();
                    return response;
                }
                Err(error) => {
                    response.body_error = words(&error);
                    return response;
                }
            }
        }
    }
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

fn framing_of(head: &Head, to_head: bool) -> Result<Framing, &'static str> {
    if to_head || head.status < 200 || matches!(head.status, 204 | 304) {
        return Ok(Framing::None);
    }
    if head.minor > 0 {
        let mut codings = head.all("Transfer-Encoding");
        if let Some(coding) = codings.next() {
            let chunked = framing::transfer_encoding(coding.as_bytes()) == TransferEncoding::Chunked;
            return match chunked && codings.next().is_none() {
                true => Ok(Framing::Chunked),
                false => Err("unsupported transfer encoding"),
            };
        }
    }
    let mut lengths =
        head.all("Content-Length").map(|value| framing::content_length(value.trim().as_bytes()));
    match lengths.next() {
        None => Ok(Framing::UntilClose),
        Some(None) => Err("bad Content-Length"),
        Some(Some(first)) => match lengths.all(|other| other == Some(first)) {
            true => Ok(Framing::Length(first)),
            false => Err("http: message cannot contain multiple Content-Length headers"),
        },
    }
}

fn broken(what: &str) -> String {
    format!("net/http: HTTP/1.x transport connection broken: {what}")
}

/// The offset behind the empty line that ends a head; what is before `searched` holds none.
fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    let window = bytes.get(from..).unwrap_or_default();
    memchr::memchr_iter(b'\n', window).find_map(|at| {
        let behind = window.get(at + 1..).unwrap_or_default();
        match behind {
            [b'\n', ..] => Some(from + at + 2),
            [b'\r', b'\n', ..] => Some(from + at + 3),
            _ => None,
        }
    })
}

fn parse(bytes: &[u8]) -> Result<Head, String> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut slots);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(false);
    match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(broken(&format!("more than {HEADERS_MAX} header fields")));
        }
        Ok(httparse::Status::Partial) | Err(_) => {
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line.get(..line.len().min(64)).unwrap_or_default());
            let line = super::super::url::quoted(line.trim_end());
            return Err(broken(&format!("malformed HTTP response {line}")));
        }
    }
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(broken("malformed HTTP response"));
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers =
        response.headers.iter().map(|header| (canonical(header.name), text(header.value))).collect();
    let status_text = format!("{status} {}", response.reason.unwrap_or_default()).trim_end().to_owned();
    Ok(Head { status, status_text, headers, minor })
}

/// A header name as Go spells it: upper case behind hyphens.
pub fn canonical(name: &str) -> String {
    if !name.bytes().all(framing::is_token_byte) {
        return name.to_owned();
    }
    let mut upper = true;
    let spell = |letter: char| {
        let spelled = if upper { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        upper = letter == '-';
        spelled
    };
    name.chars().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives some bytes at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buf.len());
            buf[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(text: &[u8], piece: usize, to_head: bool) -> Result<Response, String> {
        let mut reader = Reader::new(Pieces(text, piece));
        let head = reader.head(false, || ())?;
        Ok(reader.body(head, to_head))
    }

    #[test]
    fn bodies_end_where_the_head_says() {
        for (text, body, error) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "abc", ""),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "abc", "unexpected EOF"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nT: v\r\n\r\nrest",
                "abc",
                "",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "ab", "unexpected EOF"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz",
                "",
                "invalid chunked body: malformed chunk size",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "",
                "unsupported transfer encoding",
            ),
            ("HTTP/1.0 200 OK\r\n\r\nabc", "abc", ""),
            ("HTTP/1.1 200 OK\nX: y\n\nabc", "abc", ""),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "", ""),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "a", ""),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "", "bad Content-Length"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                "",
                "http: message cannot contain multiple Content-Length headers",
            ),
        ] {
            for piece in [1, 2, 7, 4096] {
                let response = read(text.as_bytes(), piece, false).unwrap();
                assert_eq!(
                    (str::from_utf8(&response.body).unwrap(), response.body_error.as_str()),
                    (body, error),
                    "{text}"
                );
            }
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(read(head.as_bytes(), 9, true).unwrap().body_error, "");
    }

    #[test]
    fn heads_are_read_as_go_does() {
        let text = b"HTTP/1.1 404 Not Found\r\nx-one:  a \r\ncontent-TYPE: t/x\r\nX-One: b\r\nContent-Length: 0\r\n\r\n";
        let head = read(text, 5, false).unwrap().head;
        assert_eq!((head.status, head.status_text.as_str()), (404, "404 Not Found"));
        assert_eq!((head.header("X-ONE"), head.header("none")), ("a", ""));
        assert_eq!(head.headers[1], ("Content-Type".to_owned(), "t/x".to_owned()));
        assert_eq!(read(b"HTTP/1.0 200\r\n\r\n", 99, false).unwrap().head.status_text, "200");
    }

    #[test]
    fn what_is_no_response_is_said_to_be_none() {
        let broken = |what: &str| Err(format!("net/http: HTTP/1.x transport connection broken: {what}"));
        assert_eq!(read(b"", 1, false), Err("EOF".to_owned()));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nX", 1, false), Err("unexpected EOF".to_owned()));
        assert_eq!(read(b"SSH-2.0-x\r\n\r\n", 3, false), broken("malformed HTTP response \"SSH-2.0-x\""));
        assert_eq!(read(b"HTTP/1.1 101 Switching\r\n\r\n", 3, false), broken("unexpected 101 response"));
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(6);
        assert_eq!(read(interim.as_bytes(), 99, false), broken("too many 1xx informational responses"));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(read(many.as_bytes(), 4096, false), broken("more than 256 header fields"));
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(HEAD_BYTES_MAX));
        assert_eq!(
            read(long.as_bytes(), 1 << 20, false),
            broken("server response headers exceeded 262144 bytes")
        );
    }

    /// Without an end, a head or a body of it.
    struct Endless(&'static [u8], u64);

    impl Read for Endless {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buf.len());
            buf[..count].copy_from_slice(&self.0[..count]);
            self.1 += count as u64;
            if self.0.starts_with(b"HTTP") {
                self.0 = b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n";
            }
            Ok(count)
        }
    }

    #[test]
    fn nothing_endless_is_read_for_ever() {
        let mut source = Endless(b"HTTP/1.1 200 OK\r\n", 0);
        let error = Reader::new(&mut source).head(false, || ()).unwrap_err();
        assert!(error.contains("exceeded") && source.1 < (HEAD_BYTES_MAX + 2 * READ_BYTES) as u64, "{error}");

        let head = Head { status: 200, minor: 1, ..Head::default() };
        let mut source = Endless(&[b'x'; 8192], 0);
        let response = Reader::new(&mut source).body(head, false);
        assert_eq!(response.body.len(), BODY_BYTES_MAX);
        assert!(
            response.body_error.contains("larger than")
                && source.1 < (BODY_BYTES_MAX + 2 * READ_BYTES) as u64
        );
    }
}
