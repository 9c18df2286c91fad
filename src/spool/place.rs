//! A place in a log, and the name of what lies between two of them.

use super::format::LogId;

/// A boundary between two frames: the number of the frame behind it, and what the log held before it since its birth.
/// The difference of two places is exact, whatever happened to the frames between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub seq: u64,
    pub points: u64,
    pub bytes: u64,
}

/// No log gets this far: a frame, a point or a byte a nanosecond would take a hundred years. What claims to be behind it
/// is damage, and what is before it can be added to.
pub const PLAUSIBLE_MAX: u64 = 1 << 62;

/// The number of a log's first frame; 0 stands for "none yet".
pub const SEQ_FIRST: u64 = 1;

impl Place {
    /// Where a new log begins.
    pub const BIRTH: Place = Place { seq: SEQ_FIRST, points: 0, bytes: 0 };

    /// The place behind a frame that starts here.
    #[must_use]
    pub fn after(self, points: u32, frame_bytes: usize) -> Place {
        Place {
            seq: self.seq.wrapping_add(1),
            points: self.points.wrapping_add(u64::from(points)),
            bytes: self.bytes.wrapping_add(frame_bytes as u64),
        }
    }

    /// Points between an earlier place and this one.
    pub fn points_since(self, earlier: Place) -> u64 {
        self.points.saturating_sub(earlier.points)
    }

    /// Bytes of frames between an earlier place and this one.
    pub fn bytes_since(self, earlier: Place) -> u64 {
        self.bytes.saturating_sub(earlier.bytes)
    }

    /// Frames between an earlier place and this one.
    pub fn frames_since(self, earlier: Place) -> u64 {
        self.seq.saturating_sub(earlier.seq)
    }

    /// Whether a log can have come here.
    pub fn is_plausible(self) -> bool {
        self.seq <= PLAUSIBLE_MAX && self.points <= PLAUSIBLE_MAX && self.bytes <= PLAUSIBLE_MAX
    }

    /// Whether this place can follow `earlier` in one log: nothing runs backwards.
    pub fn follows(self, earlier: Place) -> bool {
        self.seq >= earlier.seq && self.points >= earlier.points && self.bytes >= earlier.bytes
    }
}

/// The id of the package that holds the frames `first_seq..=last_seq` of one route. The same frames have the same id
/// over retries and restarts; no others do. Shaped as DataKit's own: `dk_`, then 12 bytes in base32hex, the first four
/// the seconds of the oldest frame, so that ids sort by age.
pub fn package_id(
    log_id: &LogId,
    category: u8,
    first_seq: u64,
    last_seq: u64,
    route: &[u8],
    sealed_ms: u64,
) -> String {
    let mut hash = mix(u64::from(category) ^ 0x6b69_7467_6174_6501);
    let (left, right) = log_id.split_at(8);
    for word in [word(left), word(right), first_seq, last_seq, route.len() as u64] {
        hash = mix(hash ^ word);
    }
    for chunk in route.chunks(8) {
        hash = mix(hash ^ word(chunk));
    }
    let seconds = u32::try_from(sealed_ms / 1000).unwrap_or(u32::MAX);
    let mut id = [0; 12];
    id[..4].copy_from_slice(&seconds.to_be_bytes());
    id[4..].copy_from_slice(&hash.to_be_bytes());
    let mut text = String::with_capacity(3 + 20);
    text.push_str("dk_");
    // 96 bits are 19 digits and one bit, which the twentieth digit carries at its top.
    for digit in 0..20 {
        let bit = digit * 5;
        let pair = u16::from_be_bytes([id[bit / 8], id.get(bit / 8 + 1).copied().unwrap_or(0)]);
        let value = (pair >> (11 - bit % 8)) & 31;
        text.push(char::from(b"0123456789abcdefghijklmnopqrstuv"[usize::from(value)]));
    }
    text
}

/// Up to eight bytes as a number, zeros behind.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// The finaliser of splitmix64: a bijection in which every input bit moves every output bit. Written into package ids
/// and salts: never change it.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn package_ids_are_stable_and_shaped_as_datakits() {
        let id = package_id(&[7; 16], 5, 10, 12, b"storage_index=a", 1_700_000_000_999);
        assert_eq!(id, package_id(&[7; 16], 5, 10, 12, b"storage_index=a", 1_700_000_000_000));
        assert_eq!(id.len(), 23);
        // The seconds 0x6553f100 in base32hex.
        assert!(id.starts_with("dk_cl9v20"), "{id}");
        assert!(id[3..].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v')));
    }

    #[test]
    fn different_packages_have_different_ids() {
        let mut seen = HashSet::new();
        for category in 0..3 {
            for first in 0..30 {
                for last in first..30 {
                    for route in [&b""[..], b"a", b"b", b"a\0", b"storage_index=12345"] {
                        assert!(seen.insert(package_id(&[1; 16], category, first, last, route, 0)));
                    }
                }
            }
        }
        assert!(seen.insert(package_id(&[2; 16], 0, 0, 0, b"", 0)));
    }
}
