//! The promises of the spool, each in a file named after it, on a disk that behaves as badly as it may.

mod accounts;
mod books;
mod capacity;
mod crashes;
mod damage;
mod deferral;
mod delivery;
mod direct;
mod durability;
mod executor;
mod faults;
mod inspect;
mod policies;
mod simulation;
mod startup;
mod storage;

use super::file::memory::MemoryDisk;
use super::{
    Block, Codec, CommitError, Fate, Kind, Log, LogConfig, RecoveryReport, Settled, Window, WindowLimits,
};
use bytes::Bytes;
use executor::block_on;

const CATEGORY: u8 = 5;
const ID: [u8; 16] = *b"0123456789abcdef";

/// Small, so that everything happens often: three sectors of frames a segment.
fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 16 << 10,
        capacity_bytes: 1 << 20,
        tail_bytes_max: 4 << 10,
        ..LogConfig::default()
    }
}

const ALL: WindowLimits =
    WindowLimits { frames_max: usize::MAX, raw_bytes_max: usize::MAX, stored_bytes_max: usize::MAX };

fn frames(frames_max: usize) -> WindowLimits {
    WindowLimits { frames_max, ..ALL }
}

/// A block that can be told from every other, of about this size.
fn block(tag: u64, bytes: usize) -> Block {
    let mut payload = tag.to_le_bytes().to_vec();
    payload.resize(bytes.max(8), tag as u8);
    let payload = Bytes::from(payload);
    Block {
        category: CATEGORY,
        codec: Codec::Zstd,
        kind: Kind::Points,
        points: (tag % 7) as u32 + 1,
        raw_bytes: payload.len() as u32 * 2,
        sealed_ms: 1_000_000 + tag,
        route: Bytes::copy_from_slice(if tag.is_multiple_of(3) { b"storage_index=x" } else { b"" }),
        payload_crc: crc32c::crc32c(&payload),
        payload,
    }
}

fn tag(block: &Block) -> u64 {
    u64::from_le_bytes(block.payload[..8].try_into().unwrap())
}

fn open_with(disk: &MemoryDisk, config: LogConfig) -> (Log<MemoryDisk>, RecoveryReport) {
    block_on(Log::open(disk.clone(), CATEGORY, ID, config)).unwrap_or_else(|error| panic!("{error}"))
}

fn open(disk: &MemoryDisk) -> (Log<MemoryDisk>, RecoveryReport) {
    open_with(disk, small())
}

/// Commits one block of `bytes` for each tag.
fn commit(log: &Log<MemoryDisk>, tags: std::ops::Range<u64>, bytes: usize) -> Result<(), CommitError> {
    let blocks: Vec<Block> = tags.map(|tag| block(tag, bytes)).collect();
    block_on(log.commit(&blocks)).map(|_| ())
}

/// One commit for each tag.
fn commit_each(log: &Log<MemoryDisk>, tags: std::ops::Range<u64>, bytes: usize) {
    for tag in tags {
        commit(log, tag..tag + 1, bytes).unwrap();
    }
}

fn try_window(log: &Log<MemoryDisk>, limits: WindowLimits) -> Option<Window> {
    block_on(log.try_window(&limits)).unwrap()
}

fn window(log: &Log<MemoryDisk>, limits: WindowLimits) -> Window {
    try_window(log, limits).unwrap_or_else(|| panic!("nothing to send"))
}

fn tags(window: &Window) -> Vec<u64> {
    window.frames.iter().map(|frame| tag(&frame.block)).collect()
}

/// Delivers everything there is and gives the tags in order.
fn drain(log: &Log<MemoryDisk>, frames_max: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(next) = try_window(log, frames(frames_max)) {
        all.extend(tags(&next));
        log.complete(next, Fate::Delivered);
    }
    if let Err(error) = block_on(log.maintain()) {
        assert!(super::file::is_full(&error), "{error}");
    }
    all
}

fn points(tags: std::ops::Range<u64>) -> u64 {
    tags.map(|tag| u64::from(block(tag, 8).points)).sum()
}
