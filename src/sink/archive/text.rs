//! The text of one package in an archive file:
//!
//!     # dk_0a1b2c3d4e5f6g7h8i9j points=2 received=2026-01-31T08:15:30.123Z bytes=52 crc32c=1f2e3d4c
//!     cpu,host=a usage=0.5 1769847330000000000
//!     mem used=1i 1769847330000000000
//!
//! The comment line names the package, says how many points follow and when they were received; `bytes` is the length of
//! the lines after it, `crc32c` their checksum. A reader that wants packages goes from comment to comment by `bytes` (a string value may hold a line
//! that looks like a comment), drops a package whose id it has seen, and knows a torn one by its missing bytes or its checksum. A
//! reader that wants points ignores the comments, which line protocol allows. A route that is not the default one follows as
//! `route=storage_index=NAME&token=tkn_***`, percent-encoded; which token it was is not shown.

use jiff::Timestamp;

use crate::sink::Parcel;

/// How far a comment line may reach: id, numbers and the longest route.
pub const COMMENT_BYTES_MAX: usize = 8 << 10;

/// Appends the comment line for a package whose lines are `text_bytes` long and have this CRC32C.
pub fn comment(parcel: &Parcel<'_>, text_bytes: u64, crc: u32, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b"# ");
    out.extend_from_slice(parcel.package_id.as_bytes());
    out.extend_from_slice(b" points=");
    out.extend_from_slice(number.format(parcel.points).as_bytes());
    out.extend_from_slice(b" received=");
    out.extend_from_slice(received(parcel.received_ms).as_bytes());
    out.extend_from_slice(b" bytes=");
    out.extend_from_slice(number.format(text_bytes).as_bytes());
    out.extend_from_slice(format!(" crc32c={crc:08x}").as_bytes());
    if !parcel.route.is_default() {
        out.extend_from_slice(b" route=");
        out.extend_from_slice(parcel.route.shown().as_bytes());
    }
    out.push(b'\n');
}

fn received(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", stamp.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// What a comment line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment<'a> {
    pub package_id: &'a str,
    pub points: u64,
    /// Length of the lines that follow.
    pub bytes: u64,
    /// CRC32C of the lines that follow.
    pub crc: u32,
    /// Length of the comment line with its line feed.
    pub line_bytes: usize,
}

/// Reads the comment line at the start of `input`; none when there is no whole one.
pub fn parse_comment(input: &[u8]) -> Option<Comment<'_>> {
    let window = &input[..input.len().min(COMMENT_BYTES_MAX)];
    let end = memchr::memchr(b'\n', window)?;
    let line = std::str::from_utf8(&input[..end]).ok()?;
    let mut words = line.strip_prefix("# ")?.split(' ');
    let package_id = words.next().filter(|id| id.starts_with("dk_"))?;
    let (mut points, mut bytes, mut crc) = (None, None, None);
    for word in words {
        match word.split_once('=')? {
            ("points", value) => points = value.parse().ok(),
            ("bytes", value) => bytes = value.parse().ok(),
            ("crc32c", value) => crc = u32::from_str_radix(value, 16).ok(),
            _ => {}
        }
    }
    Some(Comment { package_id, points: points?, bytes: bytes?, crc: crc?, line_bytes: end + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Secret;
    use crate::point::{Category, Route};

    fn line(route: &Route, points: u64, bytes: u64) -> Vec<u8> {
        let parcel = Parcel {
            category: Category::Metric,
            route,
            package_id: "dk_0a1b2c3d4e5f6g7h8i9j",
            points,
            received_ms: 1_769_847_330_120,
            raw: None,
        };
        let mut out = Vec::new();
        comment(&parcel, bytes, 0x1f2e3d4, &mut out);
        out
    }

    #[test]
    fn the_comment_is_exact() {
        assert_eq!(
            String::from_utf8(line(&Route::default(), 2, 52)).unwrap(),
            "# dk_0a1b2c3d4e5f6g7h8i9j points=2 received=2026-01-31T08:15:30.120Z bytes=52 crc32c=01f2e3d4\n"
        );
        let token = Some(Secret::new("tkn_0123456789abcdef0123456789abcdef"));
        let route = Route { storage_index: Some("a b\n#".into()), token, ..Route::default() };
        assert_eq!(
            String::from_utf8(line(&route, 2, 52)).unwrap(),
            "# dk_0a1b2c3d4e5f6g7h8i9j points=2 received=2026-01-31T08:15:30.120Z bytes=52 crc32c=01f2e3d4 route=storage_index=a%20b%0A%23&token=tkn_***\n"
        );
    }

    #[test]
    fn comments_are_read_back_and_cut_ones_are_not() {
        let route = Route { storage_index: Some("日志".into()), ..Route::default() };
        let whole = line(&route, 7, 1 << 40);
        let read = parse_comment(&whole).unwrap();
        assert_eq!(
            read,
            Comment {
                package_id: "dk_0a1b2c3d4e5f6g7h8i9j",
                points: 7,
                bytes: 1 << 40,
                crc: 0x1f2e3d4,
                line_bytes: whole.len()
            }
        );
        for cut in 0..whole.len() {
            assert_eq!(parse_comment(&whole[..cut]), None, "cut at {cut}");
        }
        for bad in [
            "\n",
            "cpu a=1 1\n",
            "# note\n",
            "# dk_x points=1\n",
            "# dk_x points=-1 bytes=1\n",
            "# dk_x points=1 bytes=1 x\n",
        ] {
            assert_eq!(parse_comment(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
