//! The newest frames in memory, for as long as nobody has taken them: what a caught-up uploader reads.

use super::block::Block;
use super::place::Place;
use std::collections::VecDeque;

/// What a cached frame costs beside its payload and route.
const FRAME_OVERHEAD_BYTES: usize = size_of::<(Place, Block)>();

/// A bounded run of frames that ends at the end of the log.
pub(super) struct Tail {
    frames: VecDeque<(Place, Block)>,
    bytes: usize,
    bytes_max: usize,
}

fn cost(block: &Block) -> usize {
    block.payload.len() + block.route.len() + FRAME_OVERHEAD_BYTES
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Tail {
        Tail { frames: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Adds the frame that begins at `place`. The oldest go when there is no room: they are read from disk, and by
    /// the time the reader is through with those, what follows is here. The newest stays, however large it is: to read
    /// tens of megabytes back would keep the shard from others for as long as to write them.
    pub(super) fn push(&mut self, place: Place, block: Block) {
        if let Some((last, _)) = self.frames.back() {
            assert!(last.seq + 1 == place.seq, "BUG: frame {} cached behind {}", place.seq, last.seq);
        }
        self.bytes += cost(&block);
        self.frames.push_back((place, block));
        let kept = usize::from(self.bytes_max > 0);
        while self.bytes > self.bytes_max && self.frames.len() > kept {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, block)) = self.frames.pop_front() {
            self.bytes -= cost(&block);
        }
        if self.frames.is_empty() {
            // A burst must not hold its memory for ever.
            self.frames.shrink_to(64);
        }
    }

    /// Forgets the frames before `seq`: taken, or evicted.
    pub(super) fn drop_before(&mut self, seq: u64) {
        while self.frames.front().is_some_and(|(place, _)| place.seq < seq) {
            self.pop();
        }
    }

    /// The oldest frame here.
    pub(super) fn first(&self) -> Option<(Place, &Block)> {
        self.frames.front().map(|(place, block)| (*place, block))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Block)> {
        self.frames.iter().map(|(place, block)| (*place, block))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
