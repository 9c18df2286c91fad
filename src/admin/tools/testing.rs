//! Spools in memory, and data for the tests of the tools.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::admin::spools::Spools;
use crate::point::Category;
use crate::spool::{Block, Codec, Kind, LogStats};

/// Takes everything, until it is told to fail.
#[derive(Default)]
pub struct MemorySpools {
    pub committed: BTreeMap<Category, Vec<Block>>,
    /// Commits that succeed before all others fail; none: all do.
    pub commits_left: Option<usize>,
}

impl Spools for MemorySpools {
    fn commit(&mut self, category: Category, blocks: Vec<Block>) -> Result<(), String> {
        match &mut self.commits_left {
            Some(0) => return Err("the spool is full".to_owned()),
            Some(left) => *left -= 1,
            None => {}
        }
        self.committed.entry(category).or_default().extend(blocks);
        Ok(())
    }

    fn drop_before(&mut self, _category: Category, _seq: u64) -> Result<u64, String> {
        Ok(0)
    }

    fn stats(&mut self, _category: Category) -> Result<LogStats, String> {
        Ok(LogStats::default())
    }
}

/// A block of logging that holds `payload` as it is.
pub fn block(points: u32, payload: &'static [u8], route: &'static str) -> Block {
    Block {
        category: Category::Logging as u8,
        codec: Codec::Identity,
        kind: Kind::Points,
        points,
        raw_bytes: payload.len() as u32,
        sealed_ms: 1_700_000_000_000 + u64::from(points),
        route: Bytes::from_static(route.as_bytes()),
        payload: Bytes::from_static(payload),
        payload_crc: crc32c::crc32c(payload),
    }
}
