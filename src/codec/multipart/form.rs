//! The parts of a multipart form (RFC 7578), in place.
//!
//! Read as Go reads it: lines end with CRLF, or with LF alone where the first one does; a part is a file if it has a file
//! name. Nothing is copied.

use std::fmt;

use memchr::memmem;

use super::parameter;

/// Parts of a form; more are not looked at.
const PARTS_MAX: usize = 1000;
/// The headers of a part.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Why a form, or the file in it, cannot be read, in Go's words.
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

/// A part: what it says of itself, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub head: &'a [u8],
    pub content: &'a [u8],
}

impl<'a> Part<'a> {
    /// A header's value, the first of its name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.head.split(|byte| *byte == b'\n').find_map(|line| {
            let at = memchr::memchr(b':', line)?;
            let named = line.get(..at)?.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
            named.then(|| line.get(at + 1..).unwrap_or_default().trim_ascii())
        })
    }

    /// `Content-Disposition`, if it is that of a form's part.
    fn disposition(&self) -> Option<&'a [u8]> {
        let value = self.header("content-disposition")?;
        let kind = value.split(|byte| *byte == b';').next()?;
        kind.trim_ascii().eq_ignore_ascii_case(b"form-data").then_some(value)
    }

    /// Its name.
    pub fn name(&self) -> Option<Vec<u8>> {
        parameter(self.disposition()?, "name")
    }

    /// The file's name: a part that has one is a file, any other a plain value.
    pub fn file_name(&self) -> Option<Vec<u8>> {
        let of = |name: &str| parameter(self.disposition()?, name).filter(|value| !value.is_empty());
        of("filename").or_else(|| of("filename*"))
    }
}

/// A form that is being read.
pub struct Form<'a> {
    rest: &'a [u8],
    /// What ends a line.
    newline: &'static [u8],
    /// Newline, two hyphens, boundary.
    delimiter: Vec<u8>,
    ended: bool,
    parts: usize,
}

impl<'a> Form<'a> {
    /// Goes to the first part.
    pub fn open(body: &'a [u8], boundary: &[u8]) -> Result<Form<'a>, FormError> {
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

    /// The next part; none behind the last.
    pub fn next_part(&mut self) -> Result<Option<Part<'a>>, FormError> {
        if self.ended {
            return Ok(None);
        }
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(FormError::TooLarge);
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
            return Ok(Some(Part { head, content: &content[..0] }));
        }
        loop {
            let at = from + memmem::find(&content[from..], &self.delimiter).ok_or(FormError::Cut)?;
            let after = &content[at + self.delimiter.len()..];
            if ends_delimiter(after) {
                self.rest = after;
                self.pass_line()?;
                return Ok(Some(Part { head, content: &content[..at] }));
            }
            from = at + 1;
        }
    }
}

/// Whether what follows a delimiter says that it was one, and not the beginning of a longer line.
fn ends_delimiter(after: &[u8]) -> bool {
    after.is_empty() || after.starts_with(b"--") || matches!(after[0], b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_in_order() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\ncontent-type: text/plain\r\n\
            CONTENT-DISPOSITION: form-data; filename=\"b.pprof\"; name=b\r\n\r\n\r\n--y\r\n\r\n--x\r\n\r\nbare\r\n--x--";
        let mut form = Form::open(body, b"x").unwrap();
        let first = form.next_part().unwrap().unwrap();
        assert_eq!((first.name(), first.file_name(), first.content), (Some(b"a".into()), None, &b"1"[..]));
        let second = form.next_part().unwrap().unwrap();
        assert_eq!(second.name().unwrap(), b"b");
        assert_eq!(second.file_name().unwrap(), b"b.pprof");
        assert_eq!(second.header("Content-Type"), Some(&b"text/plain"[..]));
        assert_eq!(second.content, b"\r\n--y\r\n");
        let third = form.next_part().unwrap().unwrap();
        assert_eq!((third.name(), third.content), (None, &b"bare"[..]));
        assert_eq!(form.next_part(), Ok(None));
        assert_eq!(form.next_part(), Ok(None));
    }
}
