//! `multipart/form-data`, as far as its plain values go: what each part without a file name holds. Files are passed over by
//! their delimiters and never looked into. [`form`] reads whole parts.

mod form;
mod header;

pub use form::{Form, FormError, Part};
pub use header::{boundary, parameter};

use memchr::memmem;

/// Values that are read. A form that describes a file has some ten.
const VALUES_MAX: usize = 64;

/// A longer value is no name of anything.
const VALUE_BYTES_MAX: usize = 4096;

/// The head of a part.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// The plain values of a form, in order. What is malformed is passed over.
pub fn values<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<(&'a [u8], &'a [u8])> {
    let delimiter = [b"--", boundary].concat();
    let finder = memmem::Finder::new(&delimiter);
    let mut starts = finder.find_iter(body);
    let mut values = Vec::new();
    let Some(mut start) = starts.next() else { return values };
    for next in starts {
        let part = body.get(start + delimiter.len()..next).unwrap_or_default();
        values.extend(value_of(part));
        if values.len() == VALUES_MAX {
            break;
        }
        start = next;
    }
    values
}

/// `\r\nContent-Disposition: form-data; name="a"\r\n\r\nvalue\r\n`
fn value_of(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let part = part.strip_prefix(b"\r\n")?;
    let head_end = memmem::find(part.get(..part.len().min(HEAD_BYTES_MAX))?, b"\r\n\r\n")?;
    let (head, rest) = part.split_at(head_end);
    let value = rest.strip_prefix(b"\r\n\r\n")?.strip_suffix(b"\r\n")?;
    let disposition = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        name.trim_ascii().eq_ignore_ascii_case(b"content-disposition").then_some(value)
    })?;
    let is_file = plain_parameter(disposition, b"filename").is_some()
        || plain_parameter(disposition, b"filename*").is_some();
    let name = plain_parameter(disposition, b"name")?;
    (!is_file && value.len() <= VALUE_BYTES_MAX).then_some((name, value))
}

/// A parameter of a header, without its quotes. Browsers escape a quote inside of one as `%22`.
fn plain_parameter<'a>(header: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    header.split(|byte| *byte == b';').find_map(|pair| {
        let (name, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
        if !name.trim_ascii().eq_ignore_ascii_case(wanted) {
            return None;
        }
        let value = value.get(1..)?.trim_ascii();
        Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Vec<u8> {
        let mut form = b"--x\r\nContent-Disposition: form-data; name=\"app_id\"\r\n\r\na-1\r\n".to_vec();
        form.extend_from_slice(
            b"--x\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; name=env\r\n\r\n\r\n\
              --x\r\nContent-Disposition: form-data; name=\"segment\"; filename=\"a.gz\"\r\n\r\n\x1f\x8b\r\n\r\n\r\n\
              --x\r\nContent-Disposition: form-data; name=\"service\"\r\n\r\nshop\r\n--x--\r\n",
        );
        form
    }

    #[test]
    fn plain_values_are_read_and_files_are_not() {
        let expected: [(&[u8], &[u8]); 3] = [(b"app_id", b"a-1"), (b"env", b""), (b"service", b"shop")];
        assert_eq!(values(&form(), b"x"), expected);
        assert!(values(&form(), b"y").is_empty() && values(b"", b"x").is_empty());
        let many = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n".repeat(VALUES_MAX + 9);
        assert_eq!(values(&[&many[..], b"--x--"].concat(), b"x").len(), VALUES_MAX);
    }

    #[test]
    fn mutilated_forms_are_read_without_a_panic() {
        let form = form();
        for cut in 0..form.len() {
            values(&form[..cut], b"x");
            for byte in [0, b'\r', b'\n', b'"', b'=', b';', b'-'] {
                let mut changed = form.clone();
                changed[cut] = byte;
                values(&changed, b"x");
            }
        }
    }
}
