//! Encoded points as line protocol text: for the archive, and for destinations that take nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::point::echo::LineWriter;
use crate::point::pb::{self, PbError};

/// Appends each point as one line, and says how many there were.
///
/// A few points have no line: a value that is no finite number, fields that are all maps. So that a text archive loses
/// none, such a point stands there as a comment that holds its protobuf bytes in base64, which every reader of line
/// protocol skips.
pub fn line_protocol(points: &[u8], out: &mut Vec<u8>) -> Result<u64, PbError> {
    let mut writer = LineWriter::default();
    let mut count = 0;
    for point in pb::points(points) {
        let point = point?;
        if !writer.write(&point, out)? {
            out.extend_from_slice(b"# no line protocol; PBPoint in base64: ");
            out.extend_from_slice(STANDARD.encode(point.bytes()).as_bytes());
        }
        out.push(b'\n');
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `arr` entries: a point `m` at time 5 with one field `f`.
    fn point(field_value: &[u8]) -> Vec<u8> {
        let field = [&[0x0a, 1, b'f'][..], field_value].concat();
        let point = [&[0x0a, 1, b'm', 0x12, field.len() as u8][..], &field, &[0x18, 5]].concat();
        [&[0x0a, point.len() as u8][..], &point].concat()
    }

    #[test]
    fn each_point_is_a_line_and_none_is_lost() {
        let integer = point(&[0x10, 7]);
        let not_a_number = point(&[[0x21].as_slice(), &f64::NAN.to_le_bytes()].concat());
        let mut out = Vec::new();
        let points = [integer.clone(), not_a_number.clone(), integer].concat();
        assert_eq!(line_protocol(&points, &mut out), Ok(3));
        let kept = STANDARD.encode(&not_a_number[2..]);
        let expected = format!("m f=7i 5\n# no line protocol; PBPoint in base64: {kept}\nm f=7i 5\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert!(line_protocol(&points[..points.len() - 1], &mut Vec::new()).is_err());
        assert_eq!(line_protocol(b"", &mut Vec::new()), Ok(0));
    }
}
