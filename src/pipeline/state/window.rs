//! Points around a hit: `point_window` and `window_hit`. A script drops the lines of a log and yet wants those next to
//! the ones it looks for.
//!
//! A stream (the points with equal values of some tags) has a ring of its last points that were dropped. After a hit they
//! are let through, in the order of their places in the ring, and so are the next ones, as recorded.

use std::collections::HashMap;

use crate::pipeline::record::Record;

use super::owned::OwnedPoint;

/// Streams of one script. Past it, the quarter goes that has been still for longest.
pub const STREAMS_MAX: usize = 4_096;
/// What their points take, likewise.
pub const BYTES_MAX: usize = 64 << 20;
/// Points before a hit, and behind it.
pub const POINTS_MAX: usize = 10_000;

/// What a stream takes beside its points.
const OVERHEAD_BYTES: usize = 256;

/// The window that a run has on its point.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'r> {
    /// The values of its tags, one behind the other.
    pub key: &'r [u8],
    pub before: usize,
    pub after: usize,
    pub hit: bool,
}

/// The windows of a script.
#[derive(Debug, Default)]
pub struct Windows {
    streams: HashMap<Box<[u8]>, Window>,
    bytes: usize,
}

#[derive(Debug)]
struct Window {
    ring: Vec<Option<OwnedPoint>>,
    before: usize,
    next: usize,
    after: usize,
    /// Points to let through.
    left: usize,
    moved_ns: i64,
    bytes: usize,
}

impl Windows {
    /// Goes on by one point, and gives what is let through.
    pub fn moved(&mut self, stream: &Stream<'_>, record: &Record<'_>, now_ns: i64) -> Vec<OwnedPoint> {
        if self.bytes > BYTES_MAX
            || self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(stream.key)
        {
            self.evict();
        }
        if !self.streams.contains_key(stream.key) {
            let window = Window {
                ring: Vec::new(),
                before: stream.before.min(POINTS_MAX),
                next: 0,
                after: stream.after.min(POINTS_MAX),
                left: 0,
                moved_ns: now_ns,
                bytes: 0,
            };
            self.bytes += OVERHEAD_BYTES + stream.key.len();
            self.streams.insert(stream.key.into(), window);
        }
        let Some(window) = self.streams.get_mut(stream.key) else { return Vec::new() };
        window.moved_ns = now_ns;
        if stream.hit {
            window.left = window.after;
        }
        let before = window.bytes;
        let mut released = Vec::new();
        if window.left > 0 {
            window.left -= 1;
            released.extend(window.ring.iter_mut().filter_map(Option::take));
            window.bytes = 0;
            if record.dropped {
                released.push(OwnedPoint::of(record));
            }
        } else {
            window.put(record.dropped.then(|| OwnedPoint::of(record)));
        }
        self.bytes = (self.bytes + window.bytes).saturating_sub(before);
        released
    }

    fn evict(&mut self) {
        let mut moved: Vec<i64> = self.streams.values().map(|window| window.moved_ns).collect();
        let quarter = moved.len() / 4;
        if moved.is_empty() {
            return;
        }
        let (_, &mut last, _) = moved.select_nth_unstable(quarter);
        let mut freed = 0;
        self.streams.retain(|key, window| {
            let stays = window.moved_ns > last;
            if !stays {
                freed += OVERHEAD_BYTES + key.len() + window.bytes;
            }
            stays
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }
}

impl Window {
    fn put(&mut self, point: Option<OwnedPoint>) {
        if self.before == 0 {
            return;
        }
        self.bytes += point.as_ref().map_or(0, OwnedPoint::bytes);
        match self.ring.get_mut(self.next) {
            Some(place) => {
                let gone = std::mem::replace(place, point);
                self.bytes -= gone.as_ref().map_or(0, OwnedPoint::bytes);
            }
            // The ring grows to its size as it is filled for the first time.
            None => self.ring.push(point),
        }
        self.next = (self.next + 1) % self.before;
    }
}
