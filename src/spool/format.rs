//! Segment headers and frames as bytes. Pure: no file, no clock. `spool/mod.rs` draws the whole; the offsets are here.
//!
//! ```text
//! segment header, one sector, the rest of it zero      frame header, then route, payload, zeros up to 8
//!   0  8  magic "KITGSEG\n"                               0  4  magic "KGF1"
//!   8  4  version                                         4  1  version
//!  12  1  category; 13 1  1: mended; then 2 zero           5  1  codec
//!  16 16  log id                                          6  1  kind
//!  32  8  segment id                                      7  1  category
//!  40  8  salt                                            8  8  salt of the segment
//!  48  8  seq of the first frame                         16  8  seq
//!  56  8  points before it                               24  8  sealed, ms since 1970
//!  64  8  bytes before it                                32  8  points before this frame
//!  72  8  opened, ms since 1970                          40  8  bytes before this frame
//!  80  8  length of the file                             48  8  synced: every seq below was synced before this write
//!  88  4  CRC32C of 0..88                                56  4  points
//!  92  4  CRC32C of 96..104: without it, 96 says nothing
//!  96  8  the log's own time at opening, ms (`age`)
//!                                                        60  4  payload bytes before compression
//!                                                        64  4  payload bytes
//!                                                        68  2  route bytes
//!                                                        70  2  segment id modulo 65,535, plus 1; 0: not said
//!                                                        72  4  CRC32C of the payload
//!                                                        76  4  CRC32C of 0..76 and of the route
//! ```
//!
//! All numbers are little-endian. "Before" counts from the birth of the log, so that the difference of two places is
//! exact whatever lies between them, damage included. Later versions keep magic, version and the place and reach of the
//! first CRC, so that "newer" can be told from "damaged".

use bytes::Bytes;

use super::block::{Block, Codec, Kind};
use super::place::{PLAUSIBLE_MAX, Place};

/// What direct I/O reads and writes in, and what one commit never shares with the next: a torn sector can only hold
/// frames that nobody was told about.
pub const SECTOR_BYTES: usize = 4096;
/// The first sector of a segment.
pub const SEGMENT_HEADER_BYTES: usize = SECTOR_BYTES;
/// Before route and payload.
pub const FRAME_HEADER_BYTES: usize = 80;
/// Frames start at multiples of this; a search for the next frame steps by it.
pub const FRAME_ALIGN_BYTES: usize = 8;
/// The longest encoded route: what fits its two length bytes with room for a later flag, and far above any real one.
pub const ROUTE_BYTES_MAX: usize = 4096;
/// The largest payload a frame can name. Intake bodies end far below; this bounds what damage can make us allocate.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;
/// The version this code writes, and the newest it reads.
pub const VERSION: u32 = 1;

const SEGMENT_MAGIC: [u8; 8] = *b"KITGSEG\n";
const FRAME_MAGIC: [u8; 4] = *b"KGF1";

const _: () = assert!(SECTOR_BYTES.is_multiple_of(FRAME_ALIGN_BYTES));
const _: () = assert!(FRAME_HEADER_BYTES.is_multiple_of(FRAME_ALIGN_BYTES));
const _: () = assert!(ROUTE_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(PAYLOAD_BYTES_MAX <= u32::MAX as usize);

/// The identity of a log, minted at its birth and part of every package id.
pub type LogId = [u8; 16];

/// What the first sector of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub category: u8,
    pub log_id: LogId,
    pub segment_id: u64,
    pub salt: u64,
    pub first: Place,
    pub opened_ms: u64,
    pub file_bytes: u64,
    /// Written by a repair: frames that are missing in it, also at its end, were damaged and are in quarantine.
    pub mended: bool,
    /// The log's own time. None: from before segments had it.
    pub opened_lived_ms: Option<u64>,
}

/// Why a first sector is not a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Zeros: written in advance, never used.
    Blank,
    /// Something else, or ours with damage in it.
    Damaged,
    /// Intact, and written by a later version.
    Newer(u32),
}

/// What stands before a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub codec: u8,
    pub kind: u8,
    pub category: u8,
    pub salt: u64,
    /// Where the log stood before this frame; `place.seq` is the frame's own number.
    pub place: Place,
    pub sealed_ms: u64,
    pub synced: u64,
    pub points: u32,
    pub raw_bytes: u32,
    pub payload_bytes: u32,
    pub route_bytes: u16,
    /// Of which segment it is, as far as 16 bits say that: see [`FrameHeader::may_be_of`].
    pub segment_mark: u16,
    pub payload_crc: u32,
}

/// What is at some position of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole frame of this segment. Its payload is still to be checked.
    Frame(FrameHeader),
    /// Perhaps a frame, but it takes this many bytes from here to tell or to have it.
    Wants(usize),
    /// No frame of this segment starts here.
    Nothing,
}

/// Bytes that a block takes in a segment.
pub fn frame_bytes(block: &Block) -> usize {
    padded(FRAME_HEADER_BYTES + block.route.len() + block.payload.len())
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(FRAME_ALIGN_BYTES)
}

/// A field of `N` bytes at `at`. The callers have checked the length of `bytes`; zeros stand for what is not there.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).unwrap_or([0; N])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

impl SegmentHeader {
    const CRC_AT: usize = 88;
    const LIVED_CRC_AT: usize = 92;
    const LIVED_AT: usize = 96;
    const BYTES: usize = 104;

    /// The header's bytes; the rest of the sector is zero.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        put(&mut out, 0, &SEGMENT_MAGIC);
        put(&mut out, 8, &VERSION.to_le_bytes());
        put(&mut out, 12, &[self.category, u8::from(self.mended)]);
        put(&mut out, 16, &self.log_id);
        put(&mut out, 32, &self.segment_id.to_le_bytes());
        put(&mut out, 40, &self.salt.to_le_bytes());
        put(&mut out, 48, &self.first.seq.to_le_bytes());
        put(&mut out, 56, &self.first.points.to_le_bytes());
        put(&mut out, 64, &self.first.bytes.to_le_bytes());
        put(&mut out, 72, &self.opened_ms.to_le_bytes());
        put(&mut out, 80, &self.file_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&out[..Self::CRC_AT]);
        put(&mut out, Self::CRC_AT, &crc.to_le_bytes());
        if let Some(lived_ms) = self.opened_lived_ms {
            put(&mut out, Self::LIVED_AT, &lived_ms.to_le_bytes());
            let crc = crc32c::crc32c(&lived_ms.to_le_bytes());
            put(&mut out, Self::LIVED_CRC_AT, &crc.to_le_bytes());
        }
        out
    }

    pub fn decode(sector: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let Some(body) = sector.get(..Self::CRC_AT) else { return Err(HeaderError::Damaged) };
        if body.iter().all(|byte| *byte == 0) {
            return Err(HeaderError::Blank);
        }
        if body[..8] != SEGMENT_MAGIC || u32_at(sector, Self::CRC_AT) != crc32c::crc32c(body) {
            return Err(HeaderError::Damaged);
        }
        let version = u32_at(body, 8);
        if version > VERSION {
            return Err(HeaderError::Newer(version));
        }
        let first = Place { seq: u64_at(body, 48), points: u64_at(body, 56), bytes: u64_at(body, 64) };
        if !first.is_plausible() {
            return Err(HeaderError::Damaged);
        }
        // Zeros, as the first segments have there, are not their own CRC.
        let lived: [u8; 8] = field(sector, Self::LIVED_AT);
        let lived_known = u32_at(sector, Self::LIVED_CRC_AT) == crc32c::crc32c(&lived);
        Ok(SegmentHeader {
            opened_lived_ms: lived_known.then(|| u64::from_le_bytes(lived).min(PLAUSIBLE_MAX)),
            category: body[12],
            log_id: field(body, 16),
            segment_id: u64_at(body, 32),
            salt: u64_at(body, 40),
            first,
            opened_ms: u64_at(body, 72),
            file_bytes: u64_at(body, 80),
            mended: body[13] != 0,
        })
    }
}

impl FrameHeader {
    const CRC_AT: usize = 76;

    /// The header of a block that is written at `place` into the segment with this salt.
    pub fn of(block: &Block, place: Place, salt: u64, synced: u64) -> FrameHeader {
        assert!(block.route.len() <= ROUTE_BYTES_MAX, "BUG: a route of {} bytes", block.route.len());
        assert!(block.payload.len() <= PAYLOAD_BYTES_MAX, "BUG: a payload of {} bytes", block.payload.len());
        FrameHeader {
            codec: block.codec as u8,
            kind: block.kind as u8,
            category: block.category,
            salt,
            place,
            sealed_ms: block.sealed_ms,
            synced,
            points: block.points,
            raw_bytes: block.raw_bytes,
            payload_bytes: block.payload.len() as u32,
            route_bytes: block.route.len() as u16,
            segment_mark: 0,
            payload_crc: block.payload_crc,
        }
    }

    /// The same, saying in which segment it is written.
    #[must_use]
    pub fn in_segment(self, segment_id: u64) -> FrameHeader {
        FrameHeader { segment_mark: Self::mark(segment_id), ..self }
    }

    /// Whether it can have been written in this segment. A file that becomes a segment may hold frames of a segment that
    /// it was to be before, and with their numbers others may have been acknowledged since, elsewhere. Where the header of
    /// the segment is lost, nothing but this tells them apart. Frames from before this was said can be of any segment.
    pub fn may_be_of(&self, segment_id: u64) -> bool {
        self.segment_mark == 0 || self.segment_mark == Self::mark(segment_id)
    }

    /// Two lives of one file have ids that are apart, and never by so much.
    fn mark(segment_id: u64) -> u16 {
        (segment_id % u64::from(u16::MAX)) as u16 + 1
    }

    pub fn encode(&self, route: &[u8]) -> [u8; FRAME_HEADER_BYTES] {
        let mut out = [0; FRAME_HEADER_BYTES];
        put(&mut out, 0, &FRAME_MAGIC);
        put(&mut out, 4, &[VERSION as u8, self.codec, self.kind, self.category]);
        put(&mut out, 8, &self.salt.to_le_bytes());
        put(&mut out, 16, &self.place.seq.to_le_bytes());
        put(&mut out, 24, &self.sealed_ms.to_le_bytes());
        put(&mut out, 32, &self.place.points.to_le_bytes());
        put(&mut out, 40, &self.place.bytes.to_le_bytes());
        put(&mut out, 48, &self.synced.to_le_bytes());
        put(&mut out, 56, &self.points.to_le_bytes());
        put(&mut out, 60, &self.raw_bytes.to_le_bytes());
        put(&mut out, 64, &self.payload_bytes.to_le_bytes());
        put(&mut out, 68, &self.route_bytes.to_le_bytes());
        put(&mut out, 70, &self.segment_mark.to_le_bytes());
        put(&mut out, 72, &self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[..Self::CRC_AT]), route);
        put(&mut out, Self::CRC_AT, &crc.to_le_bytes());
        out
    }

    /// Length of the whole frame with its padding.
    pub fn frame_bytes(&self) -> usize {
        padded(FRAME_HEADER_BYTES + usize::from(self.route_bytes) + self.payload_bytes as usize)
    }

    /// Where the log stands behind this frame.
    pub fn end(&self) -> Place {
        self.place.after(self.points, self.frame_bytes())
    }

    /// Route and payload within the bytes of the whole frame.
    pub fn split<'a>(&self, frame: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let route_end = FRAME_HEADER_BYTES + usize::from(self.route_bytes);
        let payload_end = route_end.checked_add(self.payload_bytes as usize)?;
        Some((frame.get(FRAME_HEADER_BYTES..route_end)?, frame.get(route_end..payload_end)?))
    }

    /// The block in the bytes of the whole frame; none if the payload is damaged or of a sort unknown to this version.
    pub fn block(&self, frame: &[u8]) -> Option<Block> {
        let (route, payload) = self.split(frame)?;
        let crc = crc32c::crc32c(payload);
        self.made_of(crc, Bytes::copy_from_slice(route), || Bytes::copy_from_slice(payload))
    }

    /// The same, a part of these bytes and not a copy of them. `crc` is that of their payload.
    pub fn block_of(&self, frame: &Bytes, crc: u32) -> Option<Block> {
        let (route, payload) = self.split(frame)?;
        self.made_of(crc, frame.slice_ref(route), || frame.slice_ref(payload))
    }

    /// The payload in the bytes of the whole frame.
    pub fn payload<'f>(&self, frame: &'f [u8]) -> Option<&'f [u8]> {
        self.split(frame).map(|(_, payload)| payload)
    }

    fn made_of(&self, crc: u32, route: Bytes, payload: impl FnOnce() -> Bytes) -> Option<Block> {
        if crc != self.payload_crc {
            return None;
        }
        Some(Block {
            category: self.category,
            codec: Codec::from_byte(self.codec)?,
            kind: Kind::from_byte(self.kind)?,
            points: self.points,
            raw_bytes: self.raw_bytes,
            sealed_ms: self.sealed_ms,
            route,
            payload: payload(),
            payload_crc: self.payload_crc,
        })
    }
}

/// Looks for a frame of the segment with this salt at the start of `bytes`, `room` bytes before the segment's end.
pub fn frame_at(bytes: &[u8], room: u64, salt: u64) -> Step {
    match head_at(bytes, room, salt) {
        Step::Frame(frame) if frame.frame_bytes() > bytes.len() => Step::Wants(frame.frame_bytes()),
        step => step,
    }
}

/// The same for what stands before the payload alone: enough to pass over a frame without having it in memory.
pub fn head_at(bytes: &[u8], room: u64, salt: u64) -> Step {
    if room < FRAME_HEADER_BYTES as u64 {
        return Step::Nothing;
    }
    let Some(header) = bytes.get(..FRAME_HEADER_BYTES) else { return Step::Wants(FRAME_HEADER_BYTES) };
    if header[..4] != FRAME_MAGIC || u64_at(header, 8) != salt || u32::from(header[4]) != VERSION {
        return Step::Nothing;
    }
    let route_bytes = u16::from_le_bytes(field(header, 68));
    let payload_bytes = u32_at(header, 64);
    if usize::from(route_bytes) > ROUTE_BYTES_MAX {
        // Nobody writes such; and a file made of these would have each of its bytes summed up thousands of times.
        return Step::Nothing;
    }
    let Some(with_route) = bytes.get(..FRAME_HEADER_BYTES + usize::from(route_bytes)) else {
        return if u64::from(route_bytes) + FRAME_HEADER_BYTES as u64 <= room {
            Step::Wants(FRAME_HEADER_BYTES + usize::from(route_bytes))
        } else {
            Step::Nothing
        };
    };
    let crc = crc32c::crc32c_append(
        crc32c::crc32c(&header[..FrameHeader::CRC_AT]),
        &with_route[FRAME_HEADER_BYTES..],
    );
    if crc != u32_at(header, FrameHeader::CRC_AT) {
        return Step::Nothing;
    }
    let frame = FrameHeader {
        codec: header[5],
        kind: header[6],
        category: header[7],
        salt,
        place: Place { seq: u64_at(header, 16), points: u64_at(header, 32), bytes: u64_at(header, 40) },
        sealed_ms: u64_at(header, 24),
        synced: u64_at(header, 48),
        points: u32_at(header, 56),
        raw_bytes: u32_at(header, 60),
        payload_bytes,
        route_bytes,
        segment_mark: u16::from_le_bytes(field(header, 70)),
        payload_crc: u32_at(header, 72),
    };
    // Only now are the lengths trusted: they stand under the CRC.
    let whole = frame.frame_bytes();
    if whole as u64 > room || payload_bytes as usize > PAYLOAD_BYTES_MAX || !frame.place.is_plausible() {
        Step::Nothing
    } else {
        Step::Frame(frame)
    }
}

/// The salt of any frame header that starts at `bytes`: how a segment whose own header is damaged is read again.
pub fn salt_at(bytes: &[u8]) -> Option<u64> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    (header[..4] == FRAME_MAGIC).then(|| u64_at(header, 8))
}

/// The offset of the next thing that looks like a frame header, searching from `from` in steps of the alignment.
pub fn next_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.next_multiple_of(FRAME_ALIGN_BYTES);
    while let Some(magic) = bytes.get(at..at + 4) {
        if magic == FRAME_MAGIC {
            return Some(at);
        }
        at += FRAME_ALIGN_BYTES;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn block(route: &[u8], payload: &[u8]) -> Block {
        Block {
            category: 5,
            codec: Codec::Zstd,
            kind: Kind::Points,
            points: 7,
            raw_bytes: 99,
            sealed_ms: 1_700_000_000_123,
            route: Bytes::copy_from_slice(route),
            payload: Bytes::copy_from_slice(payload),
            payload_crc: crc32c::crc32c(payload),
        }
    }

    fn frame(block: &Block, place: Place, salt: u64) -> Vec<u8> {
        let header = FrameHeader::of(block, place, salt, 3);
        let mut out = header.encode(&block.route).to_vec();
        out.extend_from_slice(&block.route);
        out.extend_from_slice(&block.payload);
        out.resize(header.frame_bytes(), 0);
        out
    }

    const PLACE: Place = Place { seq: 11, points: 22, bytes: 33 };

    #[test]
    fn a_frame_round_trips() {
        let block = block(b"storage_index=a", b"some payload");
        let bytes = frame(&block, PLACE, 42);
        assert_eq!(bytes.len(), frame_bytes(&block));
        let Step::Frame(header) = frame_at(&bytes, bytes.len() as u64, 42) else { panic!("no frame") };
        assert_eq!((header.place, header.synced, header.frame_bytes()), (PLACE, 3, bytes.len()));
        assert_eq!(header.end(), Place { seq: 12, points: 29, bytes: 33 + bytes.len() as u64 });
        let read = header.block(&bytes).unwrap();
        assert_eq!((read.route, read.payload, read.points), (block.route, block.payload, 7));
    }

    #[test]
    fn a_frame_says_of_which_segment_it_is_and_an_old_one_says_nothing() {
        let block = block(b"", b"x");
        for id in [0, 1, 9, 65_534, 65_535, 1 << 62] {
            let header = FrameHeader::of(&block, PLACE, 42, 3).in_segment(id);
            let head = header.encode(&block.route);
            let Step::Frame(read) = head_at(&head, 1 << 10, 42) else { panic!("no frame") };
            assert_eq!(read, header);
            assert!(read.may_be_of(id));
            assert!([1, 2, 100, 65_534].iter().all(|apart| !read.may_be_of(id + apart)), "{id}");
        }
        let old = FrameHeader::of(&block, PLACE, 42, 3);
        assert_eq!(old.encode(&block.route)[70..72], [0, 0]);
        assert!(old.may_be_of(0) && old.may_be_of(17));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let block = block(b"r", b"payload");
        let clean = frame(&block, PLACE, 42);
        let used = FRAME_HEADER_BYTES + 1 + 7;
        for bit in 0..used * 8 {
            let mut bytes = clean.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let seen = match frame_at(&bytes, bytes.len() as u64, 42) {
                Step::Frame(header) => header.block(&bytes).is_some(),
                Step::Wants(_) | Step::Nothing => false,
            };
            assert!(!seen, "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn another_segments_frames_are_nothing() {
        let bytes = frame(&block(b"", b"x"), PLACE, 42);
        assert_eq!(frame_at(&bytes, bytes.len() as u64, 43), Step::Nothing);
        assert_eq!(frame_at(&bytes, bytes.len() as u64 - 1, 42), Step::Nothing);
        assert_eq!(frame_at(&bytes[..20], bytes.len() as u64, 42), Step::Wants(FRAME_HEADER_BYTES));
        assert_eq!(frame_at(&bytes[..80], bytes.len() as u64, 42), Step::Wants(bytes.len()));
    }

    #[test]
    fn a_segment_header_round_trips_and_tells_blank_damaged_and_newer_apart() {
        let header = SegmentHeader {
            category: 3,
            log_id: [9; 16],
            segment_id: 17,
            salt: 0xdead_beef,
            first: PLACE,
            opened_ms: 5,
            file_bytes: 32 << 20,
            mended: true,
            opened_lived_ms: Some(77),
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header.clone()));
        assert_eq!(SegmentHeader::decode(&[0; SECTOR_BYTES]), Err(HeaderError::Blank));
        assert_eq!(SegmentHeader::decode(&[]), Err(HeaderError::Damaged));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit / 8 < SegmentHeader::LIVED_CRC_AT {
                Err(HeaderError::Damaged)
            } else {
                // What the first version did not have is missed, and nothing else.
                Ok(SegmentHeader { opened_lived_ms: None, ..header.clone() })
            };
            assert_eq!(SegmentHeader::decode(&damaged), expected, "bit {bit}");
        }
        let mut newer = bytes;
        put(&mut newer, 8, &2u32.to_le_bytes());
        let crc = crc32c::crc32c(&newer[..88]);
        put(&mut newer, 88, &crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&newer), Err(HeaderError::Newer(2)));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), room in any::<u64>()) {
            let _ = SegmentHeader::decode(&bytes);
            let _ = next_magic(&bytes, 0);
            let mut bytes = bytes;
            if bytes.len() > 16 {
                bytes[..4].copy_from_slice(&FRAME_MAGIC);
                bytes[4] = 1;
                bytes[8..16].copy_from_slice(&7u64.to_le_bytes());
            }
            let _ = frame_at(&bytes, room, 7);
            let _ = salt_at(&bytes);
        }
    }
}
