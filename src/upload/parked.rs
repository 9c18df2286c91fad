//! A package in a side lane: one frame of kind `Parked`, whose payload holds the package as it was.
//!
//!     payload   head_len   u32 LE
//!               head       JSON, one object: package, first_seq, last_seq, first_point, is_part, attempts, history
//!               blocks     u32 LE, how many
//!               block*     seq u64, sealed_ms u64, points u32, raw_bytes u32, payload_bytes u32, codec u8, kind u8, 0 u16
//!               payloads   one behind another, as they were spooled
//!
//! Category and route are those of the frame. The frame's own count of points is what the account has in it: all points
//! of the package, or fewer where another destination's side lane or a dead letter already answers for some of them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::dead::Tried;
use crate::spool::{Block, Codec, Frame, Kind};

const BLOCK_BYTES: usize = 32;

/// What is known about a parked package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// It goes out under this id, as before.
    pub package: String,
    pub first_seq: u64,
    pub last_seq: u64,
    /// Of the only frame, where the package is a part of one.
    pub first_point: u32,
    pub is_part: bool,
    /// How often it was tried, all told.
    pub attempts: u32,
    pub history: Vec<Tried>,
}

/// A package that waits in a side lane.
#[derive(Clone, Debug)]
pub struct Parked {
    pub head: Head,
    pub frames: Vec<Frame>,
}

impl Parked {
    /// The frame that holds it, with `points` in its account. None if there is nothing to park.
    pub fn block(&self, points: u32) -> Option<Block> {
        let first = &self.frames.first()?.block;
        let head = serde_json::to_vec(&self.head).ok()?;
        let payloads: usize = self.frames.iter().map(|frame| frame.block.payload.len()).sum();
        let mut payload = Vec::with_capacity(8 + head.len() + self.frames.len() * BLOCK_BYTES + payloads);
        payload.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
        payload.extend_from_slice(&head);
        payload.extend_from_slice(&u32::try_from(self.frames.len()).ok()?.to_le_bytes());
        for Frame { seq, block } in &self.frames {
            payload.extend_from_slice(&seq.to_le_bytes());
            payload.extend_from_slice(&block.sealed_ms.to_le_bytes());
            payload.extend_from_slice(&block.points.to_le_bytes());
            payload.extend_from_slice(&block.raw_bytes.to_le_bytes());
            payload.extend_from_slice(&u32::try_from(block.payload.len()).ok()?.to_le_bytes());
            payload.extend_from_slice(&[block.codec as u8, block.kind as u8, 0, 0]);
        }
        for frame in &self.frames {
            payload.extend_from_slice(&frame.block.payload);
        }
        Some(Block {
            category: first.category,
            codec: Codec::Identity,
            kind: Kind::Parked,
            points,
            raw_bytes: u32::try_from(payload.len()).ok()?,
            sealed_ms: first.sealed_ms,
            route: first.route.clone(),
            payload_crc: crc32c::crc32c(&payload),
            payload: payload.into(),
        })
    }

    /// Reads a frame of a side lane. None when it is none, or of a version that knows more.
    pub fn read(block: &Block) -> Option<Parked> {
        if block.kind != Kind::Parked {
            return None;
        }
        let mut rest = block.payload.clone();
        let head_bytes = number(&mut rest)? as usize;
        let head = serde_json::from_slice(&take(&mut rest, head_bytes)?).ok()?;
        let count = number(&mut rest)? as usize;
        let table = take(&mut rest, count.checked_mul(BLOCK_BYTES)?)?;
        let mut frames = Vec::with_capacity(count);
        for row in table.chunks_exact(BLOCK_BYTES) {
            let (row, _) = row.split_first_chunk::<BLOCK_BYTES>()?;
            let word = |at: usize| row.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
            let long = |at: usize| row.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
            let payload = take(&mut rest, word(24)? as usize)?;
            let inner = Block {
                category: block.category,
                codec: Codec::from_byte(*row.get(28)?)?,
                kind: Kind::from_byte(*row.get(29)?)?,
                points: word(16)?,
                raw_bytes: word(20)?,
                sealed_ms: long(8)?,
                route: block.route.clone(),
                payload_crc: crc32c::crc32c(&payload),
                payload,
            };
            frames.push(Frame { seq: long(0)?, block: inner });
        }
        (!frames.is_empty()).then_some(Parked { head, frames })
    }
}

fn take(rest: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= rest.len()).then(|| rest.split_to(len))
}

fn number(rest: &mut Bytes) -> Option<u32> {
    take(rest, 4)?.first_chunk().copied().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::testing::source::{frame, numbered_frame};

    fn parked() -> Parked {
        let head = Head {
            package: "dk_0a1b2c3d4e5f6g7h8i9j".to_owned(),
            first_seq: 4,
            last_seq: 9,
            first_point: 0,
            is_part: false,
            attempts: 7,
            history: vec![Tried { ms: 1, status: Some(500) }, Tried { ms: 2, status: None }],
        };
        let mut raw = frame(7, "storage_index=a", 1);
        raw.block.kind = Kind::Raw;
        Parked { head, frames: vec![numbered_frame(5, "storage_index=a", 0..3), raw] }
    }

    #[test]
    fn a_package_comes_back_as_it_was() {
        let parked = parked();
        let block = parked.block(4).unwrap();
        assert_eq!((block.kind, block.points, &block.route[..]), (Kind::Parked, 4, &b"storage_index=a"[..]));
        assert_eq!(crc32c::crc32c(&block.payload), block.payload_crc);
        let back = Parked::read(&block).unwrap();
        assert_eq!(back.head, parked.head);
        for (back, was) in back.frames.iter().zip(&parked.frames) {
            assert_eq!(back.seq, was.seq);
            assert_eq!(
                (back.block.codec, back.block.kind, back.block.points, back.block.sealed_ms),
                (was.block.codec, was.block.kind, was.block.points, was.block.sealed_ms)
            );
            assert_eq!((&back.block.payload, &back.block.route), (&was.block.payload, &was.block.route));
        }
        assert_eq!(back.frames.len(), 2);
    }

    #[test]
    fn what_is_cut_or_not_parked_is_not_read() {
        let block = parked().block(4).unwrap();
        for cut in 0..block.payload.len() {
            assert!(Parked::read(&Block { payload: block.payload.slice(..cut), ..block.clone() }).is_none());
        }
        assert!(Parked::read(&Block { kind: Kind::Points, ..block }).is_none());
    }
}
