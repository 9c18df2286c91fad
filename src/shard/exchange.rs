//! What crosses shards: sealed blocks to their category's home, reports of their fate back. Wired once, at start.
//!
//!     source shard ──block ring, one a category and source──▶ home shard
//!                  ◀──report ring, one a home and source────
//!
//! Each end belongs to one shard for good. A push wakes the other side only if that side went to sleep, through an
//! event descriptor; on the same shard a plain notification does.

use std::io;

use crate::limits::RING_BYTES_MAX;
use crate::point::{CATEGORY_COUNT, Category};
use crate::ring::{Consumer, Producer, Weigh, channel};
use crate::rt::wake::Waker;
use crate::spool::Block;

use super::placement::home_of;
use super::ticket::Progress;

/// Blocks waiting in one ring at most; a block is rarely below a few kilobytes under load.
const RING_BLOCKS_MAX: usize = 1024;

/// Reports waiting at most before the home shard keeps them on its own side.
const REPORTS_MAX: usize = 4096;

/// A block on its way to the spool.
pub struct Sealed {
    pub block: Block,
    /// The source shard's number for it.
    pub ticket: u64,
    /// The source wants to hear of its delivery.
    pub wants_delivery: bool,
}

impl Weigh for Sealed {
    fn bytes(&self) -> usize {
        self.block.payload.len() + self.block.route.len()
    }
}

/// Word of a block.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub ticket: u64,
    pub progress: Progress,
}

impl Weigh for Report {
    fn bytes(&self) -> usize {
        size_of::<Report>()
    }
}

/// One shard's ends of everything.
pub struct Ends {
    pub index: usize,
    /// Wakes each shard, this one included.
    pub wakers: Vec<Waker>,
    /// By category: towards its home.
    pub blocks_out: Vec<Producer<Sealed>>,
    /// For each category at home here: from each source.
    pub blocks_in: Vec<(Category, Vec<Consumer<Sealed>>)>,
    /// By source shard.
    pub reports_out: Vec<Producer<Report>>,
    /// By home shard.
    pub reports_in: Vec<Consumer<Report>>,
}

/// Wires `shards` shards.
pub fn wire(shards: usize) -> io::Result<Vec<Ends>> {
    let mut wakers = Vec::with_capacity(shards);
    for _ in 0..shards {
        wakers.push(Waker::new()?);
    }
    let mut ends: Vec<Ends> = (0..shards)
        .map(|index| Ends {
            index,
            wakers: wakers.clone(),
            blocks_out: Vec::with_capacity(CATEGORY_COUNT),
            blocks_in: Vec::new(),
            reports_out: Vec::with_capacity(shards),
            reports_in: Vec::with_capacity(shards),
        })
        .collect();
    for category in Category::ALL {
        let mut consumers = Vec::with_capacity(shards);
        for source in &mut ends {
            let (producer, consumer) = channel(RING_BLOCKS_MAX, RING_BYTES_MAX);
            source.blocks_out.push(producer);
            consumers.push(consumer);
        }
        ends[home_of(category, shards)].blocks_in.push((category, consumers));
    }
    for home in 0..shards {
        for source in 0..shards {
            let (producer, consumer) = channel(REPORTS_MAX, REPORTS_MAX * size_of::<Report>());
            ends[home].reports_out.push(producer);
            ends[source].reports_in.push(consumer);
        }
    }
    Ok(ends)
}
