//! The open blocks of a shard, one a lane (category and route), and when they are sealed.
//!
//! A block is sealed when it is full, and otherwise when the sockets have nothing more to give and no block of its lane
//! is on its way to the disk. So a block is as large as the load makes it: while one commit is on its way the next block
//! fills, and an idle gateway seals at once. No timer. (Sealing a second block behind one that is on its way was tried:
//! half as many points a commit, an eighth fewer requests a second and more CPU for each.)
//!
//! A full ring stops the lane: the sealed block stays here, the open one fills up to its bound, and then the lane
//! takes no more until a report says that a block has gone.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use crate::config::Compression;
use crate::limits::BLOCK_RAW_BYTES;
use crate::metrics::counters::{DropReason, ShardCounters};
use crate::point::{Batch, Category, Route};
use crate::ring::{Full, Producer};
use crate::rt::net::Driver;
use crate::rt::sync::Notify;
use crate::rt::time;
use crate::rt::wake::Waker;
use crate::spool::{Block, Codec, Kind};

use super::exchange::Sealed;
use super::placement::home_of;
use super::seal::Sealer;
use super::ticket::{Progress, Ticket, Tickets};

/// Lanes of one shard at most; a lane that is empty makes room for a new one. A lane costs about a kilobyte, and its
/// name comes from the client.
const LANES_MAX: usize = 1024;

/// One open block and what is ahead of it.
pub struct Lane {
    pub category: Category,
    route: Bytes,
    open: RefCell<Batch>,
    ticket: RefCell<Rc<Ticket>>,
    /// Sealed and refused by a full ring.
    stalled: RefCell<Option<Sealed>>,
    ahead: Cell<u32>,
}

/// The lanes of a shard.
pub struct Lanes {
    default: Vec<Rc<Lane>>,
    routed: RefCell<HashMap<(Category, Route), Rc<Lane>>>,
    /// Blocks on their way, by ticket number: whose lane they left.
    ahead: RefCell<HashMap<u64, Rc<Lane>>>,
    tickets: Rc<Tickets>,
    rings: RefCell<Vec<Producer<Sealed>>>,
    sealer: RefCell<Sealer>,
    index: usize,
    shards: usize,
    wakers: Vec<Waker>,
    /// For each category at home on this very shard.
    local: Rc<Vec<Notify>>,
    /// Something may be sealable.
    work: Notify,
    /// A block has gone: lanes that had no room may have some.
    pub room: Notify,
    counters: std::sync::Arc<ShardCounters>,
}

/// What [`Lanes::new`] is given.
pub struct LanesParts {
    pub index: usize,
    pub shards: usize,
    pub rings: Vec<Producer<Sealed>>,
    pub wakers: Vec<Waker>,
    pub local: Rc<Vec<Notify>>,
    pub tickets: Rc<Tickets>,
    pub compression: Compression,
    pub counters: std::sync::Arc<ShardCounters>,
}

impl Lane {
    fn new(category: Category, route: &Route) -> Rc<Lane> {
        Rc::new(Lane {
            category,
            route: Bytes::from(route.encode()),
            open: RefCell::new(Batch::default()),
            ticket: RefCell::new(Ticket::new()),
            stalled: RefCell::new(None),
            ahead: Cell::new(0),
        })
    }

    /// Whether another request may be written into the open block.
    pub fn has_room(&self) -> bool {
        self.open.borrow().bytes.len() < BLOCK_RAW_BYTES || self.stalled.borrow().is_none()
    }

    /// The open block, to be written into without an await.
    pub fn open(&self) -> RefMut<'_, Batch> {
        self.open.borrow_mut()
    }

    /// The ticket of what is now in the open block.
    pub fn ticket(&self) -> Rc<Ticket> {
        Rc::clone(&self.ticket.borrow())
    }

    fn is_idle(&self) -> bool {
        self.ahead.get() == 0 && self.stalled.borrow().is_none() && self.open.borrow().is_empty()
    }

    fn wants_sealing(&self) -> bool {
        self.stalled.borrow().is_none() && self.ahead.get() == 0 && !self.open.borrow().is_empty()
    }
}

impl Lanes {
    pub fn new(parts: LanesParts) -> Rc<Lanes> {
        Rc::new(Lanes {
            default: Category::ALL
                .into_iter()
                .map(|category| Lane::new(category, &Route::default()))
                .collect(),
            routed: RefCell::default(),
            ahead: RefCell::default(),
            tickets: parts.tickets,
            rings: RefCell::new(parts.rings),
            sealer: RefCell::new(Sealer::new(parts.compression)),
            index: parts.index,
            shards: parts.shards,
            wakers: parts.wakers,
            local: parts.local,
            work: Notify::new(),
            room: Notify::new(),
            counters: parts.counters,
        })
    }

    /// Blocks that are sealed from now on are compressed like this.
    pub fn set_compression(&self, compression: Compression) {
        *self.sealer.borrow_mut() = Sealer::new(compression);
    }

    /// The lane of a category and route; none when too many lanes are busy.
    pub fn lane(&self, category: Category, route: &Route) -> Option<Rc<Lane>> {
        if route.is_default() {
            return Some(Rc::clone(&self.default[category.index()]));
        }
        let key = (category, route.clone());
        let mut routed = self.routed.borrow_mut();
        if let Some(lane) = routed.get(&key) {
            return Some(Rc::clone(lane));
        }
        if routed.len() >= LANES_MAX {
            // One that somebody holds is about to be written to, and would be sealed by nobody.
            routed.retain(|_, lane| !lane.is_idle() || Rc::strong_count(lane) > 1);
        }
        if routed.len() >= LANES_MAX {
            return None;
        }
        let lane = Lane::new(category, route);
        routed.insert(key, Rc::clone(&lane));
        Some(lane)
    }

    /// Says that the lane's open block has grown: seals it when it is full, and sees to it that it is sealed soon.
    pub fn grown(&self, lane: &Rc<Lane>) {
        if lane.open.borrow().bytes.len() >= BLOCK_RAW_BYTES && lane.stalled.borrow().is_none() {
            self.seal(lane);
        } else {
            self.work.notify_all();
        }
    }

    /// Seals a block of its own, for a body too large for the open block. Gives the block back when the ring is full.
    pub fn send(&self, lane: &Rc<Lane>, batch: &Batch, ticket: &Rc<Ticket>) -> Result<(), Sealed> {
        if batch.is_empty() {
            return Ok(());
        }
        let sealed = self.make(lane, batch, ticket);
        self.push(lane, sealed)
    }

    /// Tries again to send what a full ring refused.
    pub fn resend(&self, lane: &Rc<Lane>, sealed: Sealed) -> Result<(), Sealed> {
        self.push(lane, sealed)
    }

    /// Forgets a block that could not be sent: its sender is told so, and its points are accounted for.
    pub fn give_up(&self, sealed: Sealed) {
        self.tickets.report(sealed.ticket, Progress::Full);
        if let Some(category) = Category::from_index(sealed.block.category) {
            self.drop_unsent(category, u64::from(sealed.block.points));
        }
    }

    /// Accounts for points that were counted as taken and cannot be sent.
    pub fn drop_unsent(&self, category: Category, points: u64) {
        self.counters.categories[category.index()].drop_points(DropReason::Overload, points);
    }

    /// Sends a raw package as a block of its own; as [`Lanes::send`].
    pub fn send_raw(
        &self,
        lane: &Rc<Lane>,
        payload: Bytes,
        payload_crc: u32,
        ticket: &Rc<Ticket>,
    ) -> Result<(), Sealed> {
        let blocks = &self.counters.blocks;
        blocks.sealed.add(1);
        blocks.raw_bytes.add(payload.len() as u64);
        blocks.payload_bytes.add(payload.len() as u64);
        let block = Block {
            category: lane.category as u8,
            codec: Codec::Identity,
            kind: Kind::Raw,
            points: 1,
            raw_bytes: payload.len() as u32,
            sealed_ms: time::wall_ms(),
            route: lane.route.clone(),
            payload,
            payload_crc,
        };
        self.push(lane, self.ticketed(block, ticket))
    }

    fn make(&self, lane: &Rc<Lane>, batch: &Batch, ticket: &Rc<Ticket>) -> Sealed {
        let started = time::Instant::now();
        let (codec, payload, payload_crc) = self.sealer.borrow_mut().seal(&batch.bytes);
        let blocks = &self.counters.blocks;
        blocks.sealed.add(1);
        blocks.raw_bytes.add(batch.bytes.len() as u64);
        blocks.payload_bytes.add(payload.len() as u64);
        blocks.seal.record_ns(started.elapsed().as_nanos() as u64);
        let block = Block {
            category: lane.category as u8,
            codec,
            kind: Kind::Points,
            points: batch.points,
            raw_bytes: batch.bytes.len() as u32,
            sealed_ms: time::wall_ms(),
            route: lane.route.clone(),
            payload,
            payload_crc,
        };
        self.ticketed(block, ticket)
    }

    fn ticketed(&self, block: Block, ticket: &Rc<Ticket>) -> Sealed {
        Sealed {
            block,
            ticket: self.tickets.issue(Rc::clone(ticket)),
            wants_delivery: ticket.wants_delivery(),
        }
    }

    fn seal(&self, lane: &Rc<Lane>) {
        let ticket = lane.ticket.replace(Ticket::new());
        let sealed = {
            let mut open = lane.open.borrow_mut();
            let sealed = self.make(lane, &open, &ticket);
            open.clear();
            sealed
        };
        if let Err(refused) = self.push(lane, sealed) {
            *lane.stalled.borrow_mut() = Some(refused);
        }
    }

    fn push(&self, lane: &Rc<Lane>, sealed: Sealed) -> Result<(), Sealed> {
        let number = sealed.ticket;
        let category = lane.category;
        let home = home_of(category, self.shards);
        let mut rings = self.rings.borrow_mut();
        let ring = &mut rings[category.index()];
        if let Err(Full(sealed)) = ring.push(sealed) {
            self.counters.blocks.ring_full.add(1);
            return Err(sealed);
        }
        lane.ahead.set(lane.ahead.get() + 1);
        self.ahead.borrow_mut().insert(number, Rc::clone(lane));
        if ring.should_wake() {
            if home == self.index {
                self.local[category.index()].notify_all();
            } else {
                self.wakers[home].wake();
            }
        }
        Ok(())
    }

    /// Takes word of a block: its requests hear it, its lane may seal the next one.
    pub fn report(&self, number: u64, progress: Progress) {
        self.tickets.report(number, progress);
        let lane = self.ahead.borrow_mut().remove(&number);
        let Some(lane) = lane else { return };
        lane.ahead.set(lane.ahead.get() - 1);
        let stalled = lane.stalled.borrow_mut().take();
        if let Some(sealed) = stalled
            && let Err(refused) = self.push(&lane, sealed)
        {
            *lane.stalled.borrow_mut() = Some(refused);
        }
        self.room.notify_all();
        self.work.notify_all();
    }

    fn any(&self, wanted: impl Fn(&Lane) -> bool) -> bool {
        self.default.iter().any(|lane| wanted(lane)) || self.routed.borrow().values().any(|lane| wanted(lane))
    }

    /// Nothing is open, stalled or on its way.
    pub fn is_empty(&self) -> bool {
        !self.any(|lane| !lane.is_idle())
    }

    /// Seals what is ready, for ever.
    pub async fn run(self: Rc<Self>) {
        loop {
            while !self.any(Lane::wants_sealing) {
                self.work.notified().await;
            }
            // Whatever requests this pass of the sockets still brings goes into the same blocks.
            Driver::idle().await;
            self.seal_ready();
        }
    }

    fn seal_ready(&self) {
        for lane in self.default.iter().filter(|lane| lane.wants_sealing()) {
            self.seal(lane);
        }
        let routed: Vec<Rc<Lane>> =
            self.routed.borrow().values().filter(|lane| lane.wants_sealing()).map(Rc::clone).collect();
        for lane in &routed {
            self.seal(lane);
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::shard::exchange::wire;

    /// The lanes of a single shard, whose blocks nobody takes, and what they count.
    pub fn lanes() -> (Rc<Lanes>, std::sync::Arc<ShardCounters>) {
        let ends = wire(1).expect("BUG: no wires for one shard").remove(0);
        // The far ends stay, or the rings would be closed.
        let ends = Box::leak(Box::new(ends));
        let counters = std::sync::Arc::<ShardCounters>::default();
        let lanes = Lanes::new(LanesParts {
            index: 0,
            shards: 1,
            rings: std::mem::take(&mut ends.blocks_out),
            wakers: std::mem::take(&mut ends.wakers),
            local: Rc::new(Category::ALL.map(|_| Notify::new()).into()),
            tickets: Rc::default(),
            compression: Compression::Identity,
            counters: std::sync::Arc::clone(&counters),
        });
        (lanes, counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(n: usize) -> Route {
        Route { storage_index: Some(n.to_string().into()), ..Route::default() }
    }

    #[test]
    fn lanes_are_bounded_and_an_idle_one_makes_room() {
        let (lanes, _) = testing::lanes();
        let mut held: Vec<Rc<Lane>> = (0..LANES_MAX)
            .map(|n| {
                let lane = lanes.lane(Category::Metric, &route(n)).unwrap();
                lane.open().points = 1;
                lane
            })
            .collect();
        assert!(lanes.lane(Category::Metric, &route(LANES_MAX)).is_none(), "all of them are in use");
        assert!(lanes.lane(Category::Metric, &route(7)).is_some(), "those in use go on");
        assert!(lanes.lane(Category::Metric, &Route::default()).is_some(), "and so does the default one");
        held[3].open().points = 0;
        // Whoever holds it may be about to write to it: what it writes must be sealed.
        assert!(lanes.lane(Category::Logging, &route(3)).is_none(), "an idle one that is held stays");
        drop(held.remove(3));
        lanes.lane(Category::Logging, &route(3)).unwrap().open().points = 1;
        assert!(lanes.lane(Category::Logging, &route(4)).is_none());
    }
}
