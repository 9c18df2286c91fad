//! As much of HTTP/1.1 as the tools need: a response's head, and one blocking request for control paths.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Outcome;

/// A response's head that is complete in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
    /// Bytes of the head, empty line included.
    pub head_len: usize,
    /// Bytes of the body that follow it.
    pub body_len: usize,
    /// The server will close.
    pub close: bool,
}

/// Why a response cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not HTTP/1.x.
    NotHttp,
    /// Chunked or close-delimited: no server measured here answers a write so.
    NoLength,
}

/// Finds the head; `Ok(None)` while it is incomplete.
pub fn response_head(bytes: &[u8]) -> Result<Option<ResponseHead>, Unreadable> {
    let probe = &bytes[..bytes.len().min(9)];
    if !b"HTTP/1.1 ".starts_with(probe) && !b"HTTP/1.0 ".starts_with(probe) {
        return Err(Unreadable::NotHttp);
    }
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let digits = bytes.get(9..12).ok_or(Unreadable::NotHttp)?;
    let status = std::str::from_utf8(digits).ok().and_then(|t| t.parse().ok()).ok_or(Unreadable::NotHttp)?;
    let mut body_len = None;
    let mut close = bytes.starts_with(b"HTTP/1.0");
    let headers = bytes[..end].split(|b| *b == b'\n').skip(1);
    for line in headers {
        if let Some(value) = header_value(line, b"content-length") {
            body_len = std::str::from_utf8(value).ok().and_then(|t| t.trim().parse().ok());
        } else if let Some(value) = header_value(line, b"connection") {
            close = value.trim_ascii().eq_ignore_ascii_case(b"close");
        }
    }
    let body_len = match (status, body_len) {
        (204 | 304, _) => 0,
        (_, Some(len)) => len,
        (_, None) => return Err(Unreadable::NoLength),
    };
    Ok(Some(ResponseHead { status, head_len: end + 4, body_len, close }))
}

fn header_value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // The first byte decides most lines; names are compared only then.
    let first = line.first()?.to_ascii_lowercase();
    if first != name[0] || line.get(name.len()) != Some(&b':') {
        return None;
    }
    line[..name.len()].eq_ignore_ascii_case(name).then(|| &line[name.len() + 1..])
}

/// A header of a head that was found, trimmed.
pub fn header(head: &[u8], name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    head.split(|b| *b == b'\n')
        .find_map(|line| header_value(line, name.as_bytes()))
        .map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned())
}

/// One request on its own connection; the whole answer's status and body.
pub fn call(address: SocketAddr, method: &str, target: &str) -> Outcome<(u16, Vec<u8>)> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let head = response_head(&bytes)
        .map_err(|e| format!("{method} {target}: {e:?}"))?
        .ok_or("the answer ended inside its head")?;
    Ok((head.status, bytes.split_off(head.head_len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_and_measured() {
        let text = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 5\r\n\r\nhello";
        let head = response_head(text).unwrap().unwrap();
        assert_eq!((head.status, head.body_len, head.close), (200, 5, false));
        assert_eq!(&text[head.head_len..], b"hello");
        assert_eq!(header(text, "Server").as_deref(), Some("x"));
        for cut in 1..head.head_len {
            assert_eq!(response_head(&text[..cut]), Ok(None), "cut at {cut}");
        }
        assert!(
            response_head(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap().unwrap().close
        );
        assert_eq!(response_head(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Unreadable::NoLength));
        assert_eq!(response_head(b"SSH-2.0"), Err(Unreadable::NotHttp));
    }
}
