//! A package's body → what is in it: content encodings undone, points lent one by one.
//!
//! The reader of PBPoints is as small as it can be and its own: field numbers from the destination's contract, every
//! length checked, unknown fields skipped.

use std::io::Read;

/// A body may not decode to more.
const DECODED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Undoes a content encoding: gzip with any number of members, zstd with any number of frames.
pub fn content(encoding: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let count = match encoding {
        "" | "identity" => return Ok(body.to_vec()),
        "gzip" => flate2::read::MultiGzDecoder::new(body).take(DECODED_BYTES_MAX + 1).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::with_buffer(body)
            .and_then(|decoder| decoder.take(DECODED_BYTES_MAX + 1).read_to_end(&mut out)),
        other => return Err(format!("content encoding {other:?}")),
    };
    match count {
        Ok(count) if count as u64 <= DECODED_BYTES_MAX => Ok(out),
        Ok(_) => Err("decodes to too much".into()),
        Err(e) => Err(format!("{encoding}: {e}")),
    }
}

/// A value of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `i`
    Int(i64),
    /// `u`
    Unsigned(u64),
    /// `f`
    Float(f64),
    /// `b`
    Bool(bool),
    /// `s`
    Text(&'a str),
    /// `d`, `a`, or nothing.
    Other,
}

/// One key of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key<'a> {
    /// Its name.
    pub name: &'a str,
    /// Tag or field.
    pub tag: bool,
    /// What it holds.
    pub value: Value<'a>,
}

/// One point, borrowed from the body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point<'a> {
    /// Measurement.
    pub name: &'a str,
    /// Tags and fields as they came.
    pub keys: Vec<Key<'a>>,
    /// Nanoseconds.
    pub time: i64,
}

/// Lends every point of a `PBPoints` message; the number of them.
pub fn each_point<'a>(body: &'a [u8], mut take: impl FnMut(Point<'a>)) -> Result<u64, String> {
    let mut rest = Wire(body);
    let mut count = 0;
    while let Some((number, field)) = rest.field()? {
        if let (1, Field::Bytes(bytes)) = (number, field) {
            take(point(bytes)?);
            count += 1;
        }
    }
    Ok(count)
}

/// Points in line protocol: lines that are neither empty nor comments, newlines inside quotes not counted.
pub fn count_lines(body: &[u8]) -> u64 {
    let (mut count, mut quoted, mut escaped, mut line_start, mut in_line) = (0, false, false, true, false);
    let mut comment = false;
    for &byte in body {
        if byte == b'\n' && !quoted {
            count += u64::from(in_line);
            (line_start, in_line, comment, escaped) = (true, false, false, false);
            continue;
        }
        if line_start && !byte.is_ascii_whitespace() {
            comment = byte == b'#';
            in_line = !comment;
            line_start = false;
        }
        if comment {
            continue;
        }
        match byte {
            b'\\' => escaped = !escaped,
            b'"' if !escaped => quoted = !quoted,
            _ => escaped = false,
        }
    }
    count + u64::from(in_line)
}

fn point(bytes: &[u8]) -> Result<Point<'_>, String> {
    let mut rest = Wire(bytes);
    let mut out = Point::default();
    while let Some((number, field)) = rest.field()? {
        match (number, field) {
            (1, Field::Bytes(name)) => out.name = text(name)?,
            (2, Field::Bytes(bytes)) => out.keys.push(key(bytes)?),
            (3, Field::Varint(time)) => out.time = time as i64,
            _ => {}
        }
    }
    Ok(out)
}

fn key(bytes: &[u8]) -> Result<Key<'_>, String> {
    let mut rest = Wire(bytes);
    let mut out = Key { name: "", tag: false, value: Value::Other };
    while let Some((number, field)) = rest.field()? {
        match (number, field) {
            (1, Field::Bytes(name)) => out.name = text(name)?,
            (2, Field::Varint(v)) => out.value = Value::Int(v as i64),
            (3, Field::Varint(v)) => out.value = Value::Unsigned(v),
            (4, Field::Fixed64(v)) => out.value = Value::Float(f64::from_bits(v)),
            (5, Field::Varint(v)) => out.value = Value::Bool(v != 0),
            (8, Field::Varint(v)) => out.tag = v != 0,
            (11, Field::Bytes(v)) => out.value = Value::Text(text(v)?),
            _ => {}
        }
    }
    Ok(out)
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8".into())
}

enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// What is left of a message.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn field(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| "eight bytes")?)),
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(usize::try_from(len).map_err(|_| "length")?)?)
            }
            5 => self.take(4).map(|_| Field::Fixed32)?,
            other => return Err(format!("wire type {other}")),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut out = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            out |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(out);
            }
        }
        Err("a varint of more than ten bytes".into())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        if count > self.0.len() {
            return Err(format!("{count} bytes announced, {} there", self.0.len()));
        }
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// `mnotags f1=1i` at time 1, as the destination's contract prints it.
    const POINT: &[u8] = b"\x0a\x13\x0a\x07mnotags\x12\x06\x0a\x02f1\x10\x01\x18\x01";

    #[test]
    fn the_example_of_the_contract_is_read() {
        let body = POINT;
        let mut seen = Vec::new();
        assert_eq!(each_point(body, |p| seen.push(format!("{p:?}"))), Ok(1));
        assert!(seen[0].contains("mnotags") && seen[0].contains("Int(1)"), "{seen:?}");
        assert_eq!(each_point(&[body, body].concat(), |_| ()), Ok(2));
        for cut in 1..body.len() {
            assert!(each_point(&body[..cut], |_| ()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn joined_members_and_frames_are_read_whole() {
        let gzip = |bytes: &[u8]| {
            let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            e.write_all(bytes).unwrap();
            e.finish().unwrap()
        };
        let joined = [gzip(b"one,"), gzip(b"two")].concat();
        assert_eq!(content("gzip", &joined).unwrap(), b"one,two");
        let zstd = |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).unwrap();
        let joined = [zstd(b"one,"), zstd(b"two")].concat();
        assert_eq!(content("zstd", &joined).unwrap(), b"one,two");
        assert!(content("gzip", &gzip(b"one")[..12]).is_err());
        assert!(content("br", b"").is_err());
    }

    #[test]
    fn lines_are_counted_as_points() {
        for (text, count) in [
            ("", 0),
            ("a f=1", 1),
            ("a f=1\n", 1),
            ("a f=1\n\n  \n# c \"\nb f=2", 2),
            ("a f=\"x\ny\"\nb f=1\n", 2),
            ("a f=\"x\\\"\n\"\n", 1),
        ] {
            assert_eq!(count_lines(text.as_bytes()), count, "{text:?}");
        }
    }
}
