//! A raw package: a request that is kept and passed on as it came, in the form of a request.
//!
//! ```text
//! POST /v1/write/rum/replay HTTP/1.1
//! Content-Type: multipart/form-data; boundary=----x
//! User-Agent: Mozilla/5.0
//!                                                      an empty line, then the body, byte for byte
//! ```
//!
//! The text says all there is to know, to a program and to a person who finds it in an archive or among dead letters. It is
//! not sent like this: whoever passes it on writes a head of its own, with these headers and this body.

/// The request line behind the path.
const VERSION: &[u8] = b" HTTP/1.1\r\n";
const METHOD: &[u8] = b"POST ";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Appends a package's head, up to and with its empty line. Neither the path nor a header may hold a line end, which a parsed
/// request never does.
pub fn write_head<'a>(path: &str, headers: impl Iterator<Item = (&'a str, &'a [u8])>, out: &mut Vec<u8>) {
    out.extend_from_slice(METHOD);
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(VERSION);
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// A package as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawPackage<'a> {
    /// As it was asked for; without a query.
    pub path: &'a str,
    /// Lines, each with its line end.
    headers: &'a [u8],
    /// Where in the package the body begins.
    pub body_at: usize,
}

impl<'a> RawPackage<'a> {
    /// None: this is no package.
    pub fn read(package: &'a [u8]) -> Option<RawPackage<'a>> {
        let end = memchr::memmem::find(package, HEAD_END)?;
        let head = package.get(..end + 2)?;
        let line_end = memchr::memchr(b'\n', head)? + 1;
        let line = head.get(..line_end)?.strip_prefix(METHOD)?.strip_suffix(VERSION)?;
        let path = std::str::from_utf8(line).ok().filter(|path| path.starts_with('/'))?;
        let read = RawPackage { path, headers: head.get(line_end..)?, body_at: end + HEAD_END.len() };
        // Every line must be a header: a head that was cut or damaged is not one.
        let lines = read.headers.split_inclusive(|byte| *byte == b'\n').count();
        (read.headers().count() == lines).then_some(read)
    }

    /// The headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.headers.split_inclusive(|byte| *byte == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r\n")?;
            let colon = memchr::memchr(b':', line)?;
            let name = std::str::from_utf8(line.get(..colon)?).ok()?;
            let value = line.get(colon + 1..)?;
            Some((name, value.strip_prefix(b" ").unwrap_or(value)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_back() {
        let headers: [(&str, &[u8]); 3] = [
            ("Content-Type", b"multipart/form-data; boundary=x"),
            ("X-Empty", b""),
            ("X-Bytes", b"a: \xff\xfe b"),
        ];
        for body in [&b""[..], b"--x\r\n\r\nPOST / HTTP/1.1\r\n\r\n--x--"] {
            for count in 0..=headers.len() {
                let mut package = Vec::new();
                write_head("/v1/write/rum/replay", headers[..count].iter().copied(), &mut package);
                package.extend_from_slice(body);
                let read = RawPackage::read(&package).unwrap();
                assert_eq!(read.path, "/v1/write/rum/replay");
                assert_eq!(read.headers().collect::<Vec<_>>(), &headers[..count]);
                assert_eq!(&package[read.body_at..], body);
                for cut in 0..read.body_at {
                    assert_eq!(RawPackage::read(&package[..cut]), None, "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_package_is_not_read() {
        for text in [
            "",
            "\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "POST x HTTP/1.1\r\n\r\n",
            "POST /x HTTP/1.0\r\n\r\n",
            "POST /x HTTP/1.1\r\nno colon\r\n\r\n",
            "POST /x HTTP/1.1\r\na: b\nc: d\r\n\r\n",
            "POST /\u{0}x\r\n\r\n",
        ] {
            assert_eq!(RawPackage::read(text.as_bytes()), None, "{text:?}");
        }
    }
}
