//! Headers with parameters, `multipart/form-data; boundary=x`, as Go's `mime` reads them.

/// The boundary that a `Content-Type` names, if it is that of a multipart form; as Go's `mime` reads it.
pub fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let mut parts = split_parameters(content_type);
    let media_type = parts.next()?.trim_ascii();
    if !media_type.eq_ignore_ascii_case(b"multipart/form-data")
        && !media_type.eq_ignore_ascii_case(b"multipart/mixed")
    {
        return None;
    }
    let boundary = parameter_of(parts, "boundary")?;
    // RFC 2046 allows 70; an endless one would make the search in `is_whole` slow.
    (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()).then_some(boundary)
}

const BOUNDARY_BYTES_MAX: usize = 256;

/// A parameter of a header's value, the first of its name.
pub fn parameter(value: &[u8], name: &str) -> Option<Vec<u8>> {
    parameter_of(split_parameters(value).skip(1), name)
}

fn parameter_of<'a>(mut parts: impl Iterator<Item = &'a [u8]>, wanted: &str) -> Option<Vec<u8>> {
    parts.find_map(|parameter| {
        let equals = memchr::memchr(b'=', parameter)?;
        let (name, value) = (parameter.get(..equals)?, parameter.get(equals + 1..)?);
        name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()).then(|| unquote(value.trim_ascii()))
    })
}

/// What stands between semicolons that are not in quotes.
fn split_parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        let splits = *byte == b';' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        splits
    })
}

fn unquote(value: &[u8]) -> Vec<u8> {
    let Some(inside) = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut out = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        out.push(if *byte == b'\\' { *bytes.next().unwrap_or(&b'\\') } else { *byte });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_found_as_go_finds_them() {
        for (value, expected) in [
            ("multipart/form-data; boundary=----WebKitFormBoundaryA", Some("----WebKitFormBoundaryA")),
            ("Multipart/Form-Data;charset=utf-8;Boundary=x", Some("x")),
            ("multipart/form-data; a=\"b; boundary=no\"; boundary=\"y \\\" z\"", Some("y \" z")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"\"", None),
            ("text/plain; boundary=x", None),
            ("", None),
        ] {
            assert_eq!(boundary(value.as_bytes()), expected.map(|text| text.as_bytes().to_vec()), "{value}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(BOUNDARY_BYTES_MAX + 1));
        assert_eq!(boundary(long.as_bytes()), None);
    }
}
