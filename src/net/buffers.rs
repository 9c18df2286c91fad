//! Receive buffers. Last in, first out, so that the bytes a request lands in are warm; borrowed only while a request
//! is incomplete, so that an idle connection owns nothing; bounded in bytes, so that memory stays flat whatever
//! clients do: a connection that finds the bound reached waits with its data still in the socket, which is
//! backpressure the client can feel.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::buf::PADDING;
use crate::rt::sync::Notify;

/// A body of 64 KiB with its head fits without growing.
const BUFFER_BYTES: usize = (72 << 10) + PADDING;

/// Spare buffers kept. More than this many requests are rarely incomplete at one instant on one shard.
const SPARE_BUFFERS_MAX: usize = 32;

/// A body that has grown to this gets all the room it says it needs. Doubling on would copy and zero tens of megabytes in one
/// go, for which everybody waits; pages that nothing was received into cost nothing, and are not counted.
const LARGE_BYTES: usize = 1 << 20;

/// How much of that room is zeroed at a time, right before it is received into: in the cache, and with others served in
/// between.
const ZEROED_BYTES: usize = 256 << 10;

/// Bytes that all incomplete requests of a shard may hold.
pub const BORROWED_BYTES_MAX: usize = 256 << 20;

const _: () = assert!(BUFFER_BYTES * SPARE_BUFFERS_MAX < BORROWED_BYTES_MAX);

/// The buffers of one shard.
pub struct Buffers {
    spare: RefCell<Vec<Vec<u8>>>,
    borrowed_bytes: Cell<usize>,
    returned: Notify,
}

/// A borrowed buffer: initialised as far as it is in use, the last [`PADDING`] bytes of that never received into.
pub struct Buffer {
    /// A large one has room behind its end for what is still to come.
    bytes: Vec<u8>,
    /// What the pool counts for it.
    borrowed_bytes: usize,
    pool: Rc<Buffers>,
}

impl Buffers {
    pub fn new() -> Rc<Buffers> {
        Rc::new(Buffers {
            spare: RefCell::new(Vec::new()),
            borrowed_bytes: Cell::new(0),
            returned: Notify::new(),
        })
    }

    /// A buffer, when there is room for one.
    pub async fn borrow(self: &Rc<Self>) -> Buffer {
        while self.borrowed_bytes.get() + BUFFER_BYTES > BORROWED_BYTES_MAX {
            self.returned.notified().await;
        }
        self.borrowed_bytes.set(self.borrowed_bytes.get() + BUFFER_BYTES);
        let spare = self.spare.borrow_mut().pop();
        let bytes = spare.unwrap_or_else(|| vec![0; BUFFER_BYTES]);
        Buffer { borrowed_bytes: bytes.len(), bytes, pool: Rc::clone(self) }
    }

    /// Starts to count memory that is not in a buffer.
    pub fn count(self: &Rc<Self>) -> Counted {
        Counted { bytes: 0, pool: Rc::clone(self) }
    }

    pub fn borrowed_bytes(&self) -> usize {
        self.borrowed_bytes.get()
    }
}

impl Buffer {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Room to receive into, behind the first `filled` bytes; of a large buffer not all there is.
    pub fn space(&mut self, filled: usize) -> &mut [u8] {
        let reach = self.borrowed_bytes.min(filled + ZEROED_BYTES + PADDING);
        if self.bytes.len() < reach {
            self.bytes.resize(reach, 0);
        }
        let end = self.borrowed_bytes.min(self.bytes.len()) - PADDING;
        &mut self.bytes[filled..end]
    }

    /// How much the buffer takes without growing.
    pub fn capacity(&self) -> usize {
        self.borrowed_bytes - PADDING
    }

    /// Doubles, up to what `wanted` bytes need if that is more than there is. Never by a claim alone: callers grow when the
    /// buffer is full, so a client pins twice what it sent, not what it announced. False when the shard's bound does not
    /// allow it.
    #[must_use]
    pub fn grow(&mut self, wanted: usize) -> bool {
        let len = self.borrowed_bytes;
        let target = if wanted > self.capacity() { (len * 2).min(wanted + PADDING) } else { len * 2 };
        let more = target - len;
        if self.pool.borrowed_bytes.get() + more > BORROWED_BYTES_MAX {
            return false;
        }
        self.pool.borrowed_bytes.set(self.pool.borrowed_bytes.get() + more);
        self.borrowed_bytes = target;
        if target < LARGE_BYTES {
            self.bytes.resize(target, 0);
        } else if target > self.bytes.capacity() {
            self.bytes.reserve_exact((wanted + PADDING).max(target) - self.bytes.len());
        }
        true
    }

    /// The bytes, for another thread. They count as borrowed until the buffer is dropped.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Takes `count` bytes out at `at`, closing the gap up to `filled`.
    pub fn remove(&mut self, at: usize, count: usize, filled: usize) {
        self.bytes.copy_within(at + count..filled, at);
    }

    /// Moves what is left of `filled` bytes behind `consumed` to the front; returns how much it is.
    pub fn compact(&mut self, consumed: usize, filled: usize) -> usize {
        self.bytes.copy_within(consumed..filled, 0);
        filled - consumed
    }
}

/// Memory outside of the buffers that counts like theirs, until this is dropped.
pub struct Counted {
    bytes: usize,
    pool: Rc<Buffers>,
}

impl Counted {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts up to `bytes`. False when the shard's bound does not allow it.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let borrowed = self.pool.borrowed_bytes.get() + bytes.saturating_sub(self.bytes);
        if borrowed > BORROWED_BYTES_MAX {
            return false;
        }
        self.pool.borrowed_bytes.set(borrowed);
        self.bytes = self.bytes.max(bytes);
        true
    }

    /// Counts more, whatever the bound is: for a copy of what a buffer holds.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.pool.borrowed_bytes.set(self.pool.borrowed_bytes.get() + bytes);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.pool.borrowed_bytes.set(self.pool.borrowed_bytes.get() - self.bytes);
        self.pool.returned.notify_all();
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.borrowed_bytes.set(self.pool.borrowed_bytes.get() - self.borrowed_bytes);
        let mut spare = self.pool.spare.borrow_mut();
        if bytes.len() == BUFFER_BYTES && spare.len() < SPARE_BUFFERS_MAX {
            spare.push(bytes);
        }
        drop(spare);
        self.pool.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_the_next_one_borrowed() {
        let pool = Buffers::new();
        let now = |pool: &Rc<Buffers>| {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            match std::pin::pin!(pool.borrow()).poll(&mut cx) {
                std::task::Poll::Ready(buffer) => Some(buffer),
                std::task::Poll::Pending => None,
            }
        };
        let first = now(&pool).unwrap();
        let place = first.bytes().as_ptr();
        drop(first);
        let second = now(&pool).unwrap();
        assert_eq!(second.bytes().as_ptr(), place);
        assert_eq!(pool.borrowed_bytes(), BUFFER_BYTES);
        drop(second);
        assert_eq!(pool.borrowed_bytes(), 0);
    }

    #[test]
    fn the_bound_makes_borrowers_wait_and_growth_fail() {
        let pool = Buffers::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(mut buffer) = std::pin::pin!(pool.borrow()).poll(&mut cx) else {
            panic!()
        };
        while buffer.grow(BORROWED_BYTES_MAX * 2) && buffer.capacity() < BORROWED_BYTES_MAX / 2 {}
        assert!(!buffer.grow(BORROWED_BYTES_MAX * 2));
        pool.borrowed_bytes.set(BORROWED_BYTES_MAX);
        assert!(std::pin::pin!(pool.borrow()).poll(&mut cx).is_pending());
        pool.borrowed_bytes.set(buffer.borrowed_bytes);
        let mut counted = pool.count();
        assert!(counted.grow(1000) && counted.grow(500) && counted.bytes() == 1000);
        assert!(!counted.grow(BORROWED_BYTES_MAX));
        assert_eq!(pool.borrowed_bytes(), buffer.borrowed_bytes + 1000);
        drop(counted);
        assert_eq!(pool.borrowed_bytes(), buffer.borrowed_bytes);
    }

    #[test]
    fn a_large_buffer_is_zeroed_piece_by_piece_and_moved_once() {
        let pool = Buffers::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(mut buffer) = std::pin::pin!(pool.borrow()).poll(&mut cx) else {
            panic!("no room")
        };
        let (wanted, mut filled) = (9 << 20, 0);
        let mut place = std::ptr::null::<u8>();
        while filled < wanted {
            if filled == buffer.capacity() {
                assert!(buffer.grow(wanted));
            }
            let space = buffer.space(filled);
            assert!(!space.is_empty() && space.iter().all(|byte| *byte == 0));
            let received = space.len().min(100_000).min(wanted - filled);
            space[..received].fill(filled as u8 | 1);
            filled += received;
            assert!(buffer.bytes().len() >= filled + PADDING);
            assert!(buffer.bytes().len() <= (filled + ZEROED_BYTES + PADDING).max(2 * LARGE_BYTES));
            // Moved once, when it was large, and no more.
            if buffer.borrowed_bytes > 2 * LARGE_BYTES {
                assert!(place.is_null() || place == buffer.bytes().as_ptr());
                place = buffer.bytes().as_ptr();
            }
        }
        assert!(buffer.bytes()[..filled].iter().all(|byte| *byte & 1 == 1));
        assert_eq!(pool.borrowed_bytes(), wanted + PADDING);
        // What comes behind it has nothing said about its size.
        assert!(buffer.grow(0));
        assert_eq!(buffer.capacity(), 2 * (wanted + PADDING) - PADDING);
    }
}
