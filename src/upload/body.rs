//! What is sent for a package: the blocks as they are, one behind another, wherever the destination takes them so;
//! else converted once.
//!
//! Joining is right because repeated protobuf fields concatenate, and so do gzip members and zstd frames. Converting
//! costs a decompression and a compression of the whole package; it happens off the shard.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::point::pb;
use crate::sink::{Accepts, Coding, Format};
use crate::spool::{Block, Codec, Kind};

/// Levels for recompression, the same as for blocks: fast ones, since a faster link is cheaper than a faster core.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// Writes encoded points as line protocol, one a line; an error means that the bytes are not points.
pub type Render = fn(points: &[u8], out: &mut Vec<u8>) -> Result<u64, Unreadable>;

/// A block whose payload is not what its frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Body bytes in pieces that are sent one behind another.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub parts: Vec<Bytes>,
    pub bytes: u64,
}

impl Body {
    pub fn of(parts: Vec<Bytes>) -> Body {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        Body { parts, bytes }
    }
}

/// A body and what is in it.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub body: Body,
    pub points: u64,
    /// Positions of blocks that could not be read and are not in the body.
    pub unreadable: Vec<usize>,
}

fn coding(codec: Codec) -> Coding {
    match codec {
        Codec::Identity => Coding::Identity,
        Codec::Gzip => Coding::Gzip,
        Codec::Zstd => Coding::Zstd,
    }
}

/// The codec in which blocks are spooled for a destination that accepts this.
pub fn codec(accepts: Accepts) -> Codec {
    match accepts.coding {
        Coding::Identity => Codec::Identity,
        Coding::Gzip => Codec::Gzip,
        Coding::Zstd => Codec::Zstd,
    }
}

/// A raw package from `at` on, as it is.
pub fn raw(blocks: &[Block], at: usize) -> Prepared {
    let parts = blocks.iter().map(|block| block.payload.slice(at.min(block.payload.len())..)).collect();
    let points = blocks.iter().map(|block| u64::from(block.points)).sum();
    Prepared { body: Body::of(parts), points, unreadable: Vec::new() }
}

/// The blocks as they are, if the destination takes them so.
pub fn joined<'a>(blocks: impl Iterator<Item = &'a Block> + Clone, accepts: Accepts) -> Option<Prepared> {
    if accepts.format != Format::Protobuf || blocks.clone().any(|block| coding(block.codec) != accepts.coding)
    {
        return None;
    }
    // Identity has no members: joined points are points.
    let members = if accepts.coding == Coding::Identity { 1 } else { blocks.clone().count() };
    if members > 1 && !accepts.joined_members {
        return None;
    }
    let points = blocks.clone().map(|block| u64::from(block.points)).sum();
    let body = Body::of(blocks.map(|block| block.payload.clone()).collect());
    Some(Prepared { body, points, unreadable: Vec::new() })
}

/// The blocks unpacked, brought into the destination's format and compressed as one member. Takes its time.
pub fn converted(blocks: &[Block], accepts: Accepts, render: Render) -> io::Result<Prepared> {
    let (mut text, mut points, mut unreadable) = (Vec::new(), 0, Vec::new());
    for (position, block) in blocks.iter().enumerate() {
        let before = text.len();
        let written = match accepts.format {
            Format::Protobuf => unpack_into(block, &mut text).map(|()| u64::from(block.points)),
            Format::LineProtocol => unpack(block).and_then(|raw| render(&raw, &mut text)),
        };
        match written {
            Ok(count) => points += count,
            Err(Unreadable) => {
                text.truncate(before);
                unreadable.push(position);
            }
        }
    }
    let packed = packed(text, accepts.coding)?;
    Ok(Prepared { body: Body::of(vec![packed.into()]), points, unreadable })
}

/// `text` compressed as one member.
fn packed(text: Vec<u8>, coding: Coding) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Identity => Ok(text),
        Coding::Gzip => {
            let mut encoder =
                GzEncoder::new(Vec::with_capacity(text.len() / 2), flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(&text)?;
            encoder.finish()
        }
        Coding::Zstd => {
            let mut encoder = zstd::Encoder::new(Vec::with_capacity(text.len() / 2), ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            encoder.set_pledged_src_size(Some(text.len() as u64))?;
            encoder.write_all(&text)?;
            encoder.finish()
        }
    }
}

/// The points of a block in two blocks, the first half of them and the second; none for a single point, and for what
/// is no list of as many points as its frame says. Takes its time: unpacks, and compresses each half once.
pub fn halves(block: &Block) -> Option<[Block; 2]> {
    if block.points < 2 || block.kind != Kind::Points {
        return None;
    }
    let raw = unpack(block).ok()?;
    let (half, mut points, mut at, mut cut) = (block.points / 2, 0, 0, 0);
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        let (point, len) = pb::first(rest).ok()?;
        if len == 0 {
            return None;
        }
        at += len;
        points += u32::from(point.is_some());
        if points == half {
            // Behind the half's last point, and behind what is between it and the next.
            cut = at;
        }
    }
    if points != block.points {
        return None;
    }
    let part = |points, raw: &[u8]| {
        let payload = packed(raw.to_vec(), coding(block.codec)).ok()?;
        Some(Block {
            points,
            raw_bytes: u32::try_from(raw.len()).ok()?,
            payload_crc: crc32c::crc32c(&payload),
            payload: payload.into(),
            ..block.clone()
        })
    };
    Some([part(half, raw.get(..cut)?)?, part(points - half, raw.get(cut..)?)?])
}

/// The points of one block.
pub fn unpack(block: &Block) -> Result<Vec<u8>, Unreadable> {
    let mut raw = Vec::with_capacity(block.raw_bytes as usize);
    unpack_into(block, &mut raw)?;
    Ok(raw)
}

/// Appends the points of one block. Never more than the frame says there are: a damaged payload cannot grow.
fn unpack_into(block: &Block, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    let raw_bytes = block.raw_bytes as usize;
    let before = out.len();
    let limit = u64::from(block.raw_bytes) + 1;
    let payload: &[u8] = &block.payload;
    match block.codec {
        Codec::Identity if payload.len() == raw_bytes => out.extend_from_slice(payload),
        Codec::Identity => return Err(Unreadable),
        Codec::Gzip => {
            MultiGzDecoder::new(payload).take(limit).read_to_end(out).map_err(|_| Unreadable)?;
        }
        Codec::Zstd => {
            let decoder = zstd::Decoder::with_buffer(payload).map_err(|_| Unreadable)?;
            decoder.take(limit).read_to_end(out).map_err(|_| Unreadable)?;
        }
    }
    if out.len() - before == raw_bytes { Ok(()) } else { Err(Unreadable) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::testing::source::block;

    /// Text in place of points, so that the tests read themselves.
    fn packed(raw: &[u8], codec: Codec) -> Block {
        let payload = match codec {
            Codec::Identity => raw.to_vec(),
            Codec::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(raw).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Zstd => zstd::encode_all(raw, 3).unwrap(),
        };
        Block { codec, points: 2, raw_bytes: raw.len() as u32, payload: payload.into(), ..block("", 2) }
    }

    fn accepts(coding: Coding, joined_members: bool) -> Accepts {
        Accepts { format: Format::Protobuf, coding, joined_members }
    }

    fn decoded(body: &Body, coding: Coding) -> Vec<u8> {
        let whole = body.parts.concat();
        assert_eq!(whole.len() as u64, body.bytes);
        match coding {
            Coding::Identity => whole,
            Coding::Gzip => {
                let mut out = Vec::new();
                MultiGzDecoder::new(&whole[..]).read_to_end(&mut out).unwrap();
                out
            }
            Coding::Zstd => zstd::decode_all(&whole[..]).unwrap(),
        }
    }

    fn upper(points: &[u8], out: &mut Vec<u8>) -> Result<u64, Unreadable> {
        if points.contains(&b'!') {
            out.extend_from_slice(b"half writ");
            return Err(Unreadable);
        }
        out.extend(points.to_ascii_uppercase());
        Ok(3)
    }

    #[test]
    fn blocks_of_the_right_codec_are_joined_untouched() {
        for (codec, coding) in
            [(Codec::Gzip, Coding::Gzip), (Codec::Zstd, Coding::Zstd), (Codec::Identity, Coding::Identity)]
        {
            let blocks = [packed(b"one ", codec), packed(b"", codec), packed(b"two", codec)];
            let prepared = joined(blocks.iter(), accepts(coding, true)).unwrap();
            assert_eq!(decoded(&prepared.body, coding), b"one two", "{codec:?}");
            assert_eq!(prepared.points, 6);
            assert_eq!(prepared.body.parts.len(), 3);
            assert_eq!(prepared.body.parts[0].as_ptr(), blocks[0].payload.as_ptr(), "no byte is copied");
        }
    }

    #[test]
    fn what_the_destination_does_not_take_is_not_joined() {
        let gzip = [packed(b"one ", Codec::Gzip), packed(b"two", Codec::Gzip)];
        assert!(joined(gzip.iter(), accepts(Coding::Zstd, true)).is_none());
        assert!(joined(gzip.iter(), accepts(Coding::Identity, true)).is_none());
        assert!(joined(gzip.iter(), accepts(Coding::Gzip, false)).is_none());
        assert!(joined(gzip[..1].iter(), accepts(Coding::Gzip, false)).is_some(), "one member is one member");
        let identity = [packed(b"one ", Codec::Identity), packed(b"two", Codec::Identity)];
        assert!(joined(identity.iter(), accepts(Coding::Identity, false)).is_some());
        let mixed = [packed(b"one ", Codec::Gzip), packed(b"two", Codec::Zstd)];
        assert!(joined(mixed.iter(), accepts(Coding::Gzip, true)).is_none());
        let text = Accepts { format: Format::LineProtocol, coding: Coding::Gzip, joined_members: true };
        assert!(joined(gzip.iter(), text).is_none());
    }

    #[test]
    fn any_mixture_is_converted_into_one_member_of_any_coding() {
        let blocks =
            [packed(b"one ", Codec::Gzip), packed(b"two ", Codec::Zstd), packed(b"three", Codec::Identity)];
        for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
            let prepared = converted(&blocks, accepts(coding, false), upper).unwrap();
            assert_eq!(decoded(&prepared.body, coding), b"one two three", "{coding:?}");
            assert_eq!((prepared.points, prepared.unreadable.len()), (6, 0));
            if coding == Coding::Gzip {
                let mut first = Vec::new();
                let whole = prepared.body.parts.concat();
                flate2::read::GzDecoder::new(&whole[..]).read_to_end(&mut first).unwrap();
                assert_eq!(first, b"one two three", "all of it in the first member");
            }
            let text = Accepts { format: Format::LineProtocol, ..accepts(coding, true) };
            let prepared = converted(&blocks, text, upper).unwrap();
            assert_eq!(decoded(&prepared.body, coding), b"ONE TWO THREE");
            assert_eq!(prepared.points, 9);
        }
    }

    #[test]
    fn a_block_that_lies_is_left_out_and_named() {
        for codec in [Codec::Identity, Codec::Gzip, Codec::Zstd] {
            let good = packed(b"good", codec);
            let longer = Block { raw_bytes: 3, ..packed(b"bomb", codec) };
            let shorter = Block { raw_bytes: 5, ..packed(b"bomb", codec) };
            let blocks = [longer, good.clone(), shorter, good];
            let prepared = converted(&blocks, accepts(Coding::Gzip, true), upper).unwrap();
            assert_eq!(decoded(&prepared.body, Coding::Gzip), b"goodgood");
            assert_eq!((prepared.points, prepared.unreadable), (4, vec![0, 2]), "{codec:?}");
        }
        for codec in [Codec::Gzip, Codec::Zstd] {
            let mut cut = packed(b"some points", codec);
            cut.payload = cut.payload.slice(..cut.payload.len() - 5);
            let noise = Block { payload: Bytes::from_static(b"noise"), ..packed(b"x", codec) };
            let prepared = converted(&[cut, noise], accepts(Coding::Identity, true), upper).unwrap();
            assert_eq!((prepared.points, prepared.unreadable, prepared.body.bytes), (0, vec![0, 1], 0));
        }
        let text = Accepts { format: Format::LineProtocol, ..accepts(Coding::Identity, true) };
        let blocks = [packed(b"no points!", Codec::Identity), packed(b"fine", Codec::Identity)];
        let prepared = converted(&blocks, text, upper).unwrap();
        assert_eq!(
            (decoded(&prepared.body, Coding::Identity), prepared.unreadable),
            (b"FINE".to_vec(), vec![0])
        );
    }

    #[test]
    fn a_block_is_cut_between_its_points_and_nothing_is_lost() {
        use crate::upload::testing::source::{numbered_points, numbers};
        let raw = numbered_points(0..7);
        for codec in [Codec::Identity, Codec::Gzip, Codec::Zstd] {
            let mut block = Block { points: 7, ..packed(&raw, codec) };
            for (points, rest) in [(3, 4), (2, 2), (1, 1)] {
                let [left, right] = halves(&block).unwrap();
                assert_eq!((left.points, right.points), (points, rest));
                assert_eq!(crc32c::crc32c(&left.payload), left.payload_crc);
                let both = [unpack(&left).unwrap(), unpack(&right).unwrap()].concat();
                assert_eq!(both, unpack(&block).unwrap());
                block = right;
            }
            assert_eq!(numbers(&unpack(&block).unwrap()), [6]);
            assert!(halves(&block).is_none(), "a single point");
        }
    }

    #[test]
    fn what_is_no_list_of_points_is_not_cut() {
        use crate::upload::testing::source::numbered_points;
        let raw = numbered_points(0..4);
        let block = Block { points: 4, ..packed(&raw, Codec::Gzip) };
        assert!(halves(&block).is_some());
        assert!(halves(&Block { points: 5, ..block.clone() }).is_none(), "not as many as it says");
        assert!(halves(&Block { kind: Kind::Raw, ..block.clone() }).is_none());
        assert!(halves(&Block { raw_bytes: block.raw_bytes + 1, ..block }).is_none());
        let cut = &raw[..raw.len() - 1];
        assert!(halves(&Block { points: 4, ..packed(cut, Codec::Identity) }).is_none());
        assert!(halves(&Block { points: 4, ..packed(b"no points", Codec::Identity) }).is_none());
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let zeros = vec![0u8; 64 << 20];
        for codec in [Codec::Gzip, Codec::Zstd] {
            let bomb = Block { raw_bytes: 1000, ..packed(&zeros, codec) };
            let mut out = Vec::new();
            assert_eq!(unpack_into(&bomb, &mut out), Err(Unreadable));
            assert!(out.capacity() < 1 << 20, "{}", out.capacity());
        }
    }
}
