//! The file of a multipart form (RFC 7578): which of its bytes they are. The first one of the wanted name counts.

use crate::codec::multipart::{Form, FormError, boundary};

/// The bytes of the file `name` of a form with this `Content-Type`.
pub fn file<'a>(content_type: &[u8], body: &'a [u8], name: &str) -> Result<&'a [u8], FormError> {
    let media = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if !media.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(FormError::NotMultipart);
    }
    let boundary = boundary(content_type).ok_or(FormError::NoBoundary)?;
    let mut form = Form::open(body, &boundary)?;
    loop {
        let part = form.next_part()?.ok_or(FormError::NoFile)?;
        if part.file_name().is_some() && part.name().is_some_and(|there| there == name.as_bytes()) {
            // What follows must be a form too.
            while form.next_part()?.is_some() {}
            return Ok(part.content);
        }
    }
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
