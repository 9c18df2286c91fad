//! The file of a multipart form (RFC 7578): which of its bytes they are.
//!
//! Read as Go reads it: lines end with CRLF, or with LF alone where the first one does; a part is a file if it has a file
//! name; the first one of the wanted name counts. Nothing is copied.

use std::fmt;

use memchr::memmem;

use crate::intake::raw;

/// Parts of a form; more are not looked at.
const PARTS_MAX: usize = 1000;
/// The headers of a part.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Why there is no file, in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    NotMultipart,
    NoBoundary,
    /// The form ends where another part should begin.
    NoNextPart,
    /// It ends inside one.
    Cut,
    BadHead,
    TooLarge,
    NoFile,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FormError::NotMultipart => "request Content-Type isn't multipart/form-data",
            FormError::NoBoundary => "no multipart boundary param in Content-Type",
            FormError::NoNextPart => "multipart: NextPart: EOF",
            FormError::Cut => "unexpected EOF",
            FormError::BadHead => "malformed MIME header",
            FormError::TooLarge => "multipart: message too large",
            FormError::NoFile => "http: no such file",
        })
    }
}

/// The bytes of the file `name` of a form with this `Content-Type`.
pub fn file<'a>(content_type: &[u8], body: &'a [u8], name: &str) -> Result<&'a [u8], FormError> {
    let media = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if !media.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(FormError::NotMultipart);
    }
    let boundary = raw::boundary(content_type).ok_or(FormError::NoBoundary)?;
    let mut form = Form::open(body, &boundary)?;
    for _ in 0..PARTS_MAX {
        let Some((head, content)) = form.next_part()? else { return Err(FormError::NoFile) };
        if is_file(head, name) {
            // What follows must be a form too.
            while form.next_part()?.is_some() {
                form.parts += 1;
                if form.parts > PARTS_MAX {
                    return Err(FormError::TooLarge);
                }
            }
            return Ok(content);
        }
    }
    Err(FormError::TooLarge)
}

/// The head and the content of a part.
type Part<'a> = (&'a [u8], &'a [u8]);

/// A form that is being read.
struct Form<'a> {
    rest: &'a [u8],
    /// What ends a line.
    newline: &'static [u8],
    /// Newline, two hyphens, boundary.
    delimiter: Vec<u8>,
    ended: bool,
    parts: usize,
}

impl<'a> Form<'a> {
    fn open(body: &'a [u8], boundary: &[u8]) -> Result<Form<'a>, FormError> {
        let first = [b"--", boundary].concat();
        // What stands before the first delimiter is for nobody.
        let mut from = 0;
        let at = loop {
            let at = from + memmem::find(&body[from..], &first).ok_or(FormError::NoNextPart)?;
            if at == 0 || body[at - 1] == b'\n' {
                break at;
            }
            from = at + 1;
        };
        let rest = &body[at + first.len()..];
        let line = memchr::memchr(b'\n', rest).map_or(rest, |at| &rest[..=at]);
        let newline: &'static [u8] =
            if line.ends_with(b"\n") && !line.ends_with(b"\r\n") { b"\n" } else { b"\r\n" };
        let delimiter = [newline, b"--", boundary].concat();
        let mut form = Form { rest, newline, delimiter, ended: false, parts: 0 };
        form.pass_line()?;
        Ok(form)
    }

    /// Goes over what follows a delimiter on its line.
    fn pass_line(&mut self) -> Result<(), FormError> {
        if let Some(rest) = self.rest.strip_prefix(b"--") {
            (self.rest, self.ended) = (rest, true);
            return Ok(());
        }
        let blank =
            self.rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(self.rest.len());
        self.rest = self.rest[blank..].strip_prefix(self.newline).ok_or(FormError::NoNextPart)?;
        Ok(())
    }

    /// The head and the content of the next part; none behind the last.
    fn next_part(&mut self) -> Result<Option<Part<'a>>, FormError> {
        if self.ended {
            return Ok(None);
        }
        // A part without headers begins with the empty line that ends them.
        let blank = [self.newline, self.newline].concat();
        let reach = &self.rest[..self.rest.len().min(HEAD_BYTES_MAX)];
        let (head, content) = match self.rest.strip_prefix(self.newline) {
            Some(content) => (&self.rest[..0], content),
            None => match memmem::find(reach, &blank) {
                Some(at) => (&self.rest[..at], &self.rest[at + blank.len()..]),
                None if reach.len() < self.rest.len() => return Err(FormError::TooLarge),
                None => return Err(FormError::NoNextPart),
            },
        };
        if head.contains(&0) {
            return Err(FormError::BadHead);
        }
        // A part without content has its delimiter at once.
        let bare = &self.delimiter[self.newline.len()..];
        let mut from = 0;
        if content.starts_with(bare) && ends_delimiter(&content[bare.len()..]) {
            self.rest = &content[bare.len()..];
            self.pass_line()?;
            return Ok(Some((head, &content[..0])));
        }
        loop {
            let at = from + memmem::find(&content[from..], &self.delimiter).ok_or(FormError::Cut)?;
            let after = &content[at + self.delimiter.len()..];
            if ends_delimiter(after) {
                self.rest = after;
                self.pass_line()?;
                return Ok(Some((head, &content[..at])));
            }
            from = at + 1;
        }
    }
}

/// Whether what follows a delimiter says that it was one, and not the beginning of a longer line.
fn ends_delimiter(after: &[u8]) -> bool {
    after.is_empty() || after.starts_with(b"--") || matches!(after[0], b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether the head of a part says that it is the file of a name.
fn is_file(head: &[u8], name: &str) -> bool {
    let lines = head.split(|byte| *byte == b'\n');
    let value = lines.filter_map(|line| {
        let at = memchr::memchr(b':', line)?;
        line[..at]
            .trim_ascii()
            .eq_ignore_ascii_case(b"content-disposition")
            .then(|| line[at + 1..].trim_ascii())
    });
    let Some(value) = value.into_iter().next() else { return false };
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let parameter = |wanted: &str| raw::parameter(value, wanted).filter(|value| !value.is_empty());
    let file_name = parameter("filename").or_else(|| parameter("filename*"));
    kind.trim_ascii().eq_ignore_ascii_case(b"form-data")
        && raw::parameter(value, "name").is_some_and(|value| value == name.as_bytes())
        && file_name.is_some()
}

#[cfg(test)]
mod tests {
    use super::super::testing::form;
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=XX";

    fn get(body: &[u8]) -> Result<Vec<u8>, FormError> {
        file(TYPE, body, "file").map(<[u8]>::to_vec)
    }

    #[test]
    fn the_file_is_found() {
        let bytes: Vec<u8> = (0..=255u8).cycle().take(5000).collect();
        assert_eq!(get(&form("XX", "file", &bytes)), Ok(bytes));
        // Bytes that look like the end of it, and those that nearly do.
        let tricky = b"\r\n--X\r\n--XXY\r\n\n--XX-\r\n--";
        assert_eq!(get(&form("XX", "file", tricky)), Ok(tricky.to_vec()));
        assert_eq!(get(&form("XX", "file", b"")), Ok(Vec::new()));
        let lines = "preamble\n--XX \nContent-Disposition: form-data; name=\"file\";filename=\"1.zip\"\n\nabc\n--XX--";
        assert_eq!(get(lines.as_bytes()), Ok(b"abc".to_vec()));
        let second = "--XX\r\n\r\nno head\r\n--XX\r\ncontent-disposition:FORM-DATA; filename*=utf-8''a.zip; name=file\r\n\r\n\r\n--XX\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\nsecond\r\n--XX--\r\nepilogue";
        assert_eq!(get(second.as_bytes()), Ok(Vec::new()), "the first of the name");
        let quoted = form("a b", "file", b"x");
        assert_eq!(file(b"multipart/form-data; boundary=\"a b\"", &quoted, "file"), Ok(&b"x"[..]));
    }

    #[test]
    fn no_file_is_told_in_gos_words() {
        let value = "--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--XX--";
        let unnamed =
            "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\nx\r\n--XX--";
        for (body, error) in [
            (form("XX", "other", b"x"), "http: no such file"),
            (value.into(), "http: no such file"),
            (unnamed.into(), "http: no such file"),
            (b"--XX--".to_vec(), "http: no such file"),
            (b"".to_vec(), "multipart: NextPart: EOF"),
            (b"x--XX\r\n".to_vec(), "multipart: NextPart: EOF"),
            (b"--XX".to_vec(), "multipart: NextPart: EOF"),
            (b"--XX\r\nContent-Disposition: form-data".to_vec(), "multipart: NextPart: EOF"),
            (b"--XX\r\nA: b\r\n\r\nno end".to_vec(), "unexpected EOF"),
            (form("YY", "file", b"x"), "multipart: NextPart: EOF"),
            (format!("--XX\r\n{}", "A: b\r\n".repeat(20_000)).into_bytes(), "multipart: message too large"),
            ("--XX\r\n\r\n\r\n".repeat(1001).into_bytes(), "multipart: message too large"),
        ] {
            let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            assert_eq!(get(&body).unwrap_err().to_string(), error, "{shown}");
        }
        for (content_type, error) in [
            ("", "request Content-Type isn't multipart/form-data"),
            ("text/plain", "request Content-Type isn't multipart/form-data"),
            ("multipart/mixed; boundary=XX", "request Content-Type isn't multipart/form-data"),
            ("multipart/form-data", "no multipart boundary param in Content-Type"),
        ] {
            let refused = file(content_type.as_bytes(), b"", "file").unwrap_err();
            assert_eq!(refused.to_string(), error, "{content_type}");
        }
    }

    #[test]
    fn whatever_is_done_to_a_form_nothing_breaks() {
        let good = [form("XX", "other", b"1\r\n--X")].concat();
        let good = [&good[..good.len() - 4], b"\r\n", &form("XX", "file", b"abc")].concat();
        assert_eq!(get(&good), Ok(b"abc".to_vec()));
        let mut seed = 3u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..=next() % 5 {
                let at = next() % bytes.len().max(1);
                if bytes.is_empty() {
                    break;
                }
                match next() % 4 {
                    0 => bytes[at] = b"\r\n-X;:\" \0"[next() % 9],
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b"\r\n-X;:\" \0"[next() % 9]),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let _ = get(&bytes);
        }
    }
}
