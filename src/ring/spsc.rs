//! The ring itself: one producer, one consumer, a power of two of slots, a bound in bytes.
//!
//! ```text
//!   producer's line                consumer's line                slots
//!   ┌───────────────────────┐     ┌───────────────────────┐     ┌────┬────┬────┬────┐
//!   │ tail: next to write   │     │ head: next to read    │     │    │ a  │ b  │    │
//!   │ pushed_bytes          │     │ popped_bytes          │     └────┴────┴────┴────┘
//!   └───────────────────────┘     └───────────────────────┘           head      tail
//! ```
//!
//! Both indices run freely and wrap; their difference is the length. Each side keeps its own index and a stale copy of
//! the other's in its handle, and touches the other's cache line only when the stale copy says full or empty: in a busy
//! ring most operations share no line at all.
//!
//! What orders memory: a slot is written before `tail` is released and read after `tail` is acquired; it is read before
//! `head` is released and overwritten after `head` is acquired. The sleep handshake is the one place that needs more, a
//! store followed by a load of another variable on both sides; each has a `SeqCst` fence between the two.

use super::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell, fence};
use crossbeam::utils::CachePadded;
use std::mem::MaybeUninit;

/// What a ring's byte bound counts. Must give the same answer for as long as the value is in the ring.
pub trait Weigh {
    /// Bytes of memory that this value keeps alive.
    fn bytes(&self) -> usize;
}

/// The ring takes no more; here is the value back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// The writing end. Belongs to one thread at a time.
pub struct Producer<T: Weigh + Send> {
    shared: Arc<Shared<T>>,
    tail: usize,
    pushed_bytes: usize,
    /// `head` and `popped_bytes` as last seen: never ahead of the truth, so a stale copy only refuses too early.
    head_seen: usize,
    popped_bytes_seen: usize,
}

/// The reading end. Belongs to one thread at a time.
pub struct Consumer<T: Weigh + Send> {
    shared: Arc<Shared<T>>,
    head: usize,
    popped_bytes: usize,
    /// `tail` as last seen: never ahead of the truth.
    tail_seen: usize,
}

struct Shared<T> {
    written: CachePadded<Index>,
    read: CachePadded<Index>,
    /// Apart from both indices: written when the ring runs empty, read once per batch of pushes.
    sleeping: CachePadded<AtomicBool>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// How many of `slots` may be in use: as asked for, where `slots` is rounded up to a power of two.
    slots_max: usize,
    bytes_max: usize,
}

struct Index {
    position: AtomicUsize,
    /// Sum of the weights of everything that passed here, wrapping.
    bytes: AtomicUsize,
    /// The handle on this side is gone.
    closed: AtomicBool,
}

// SAFETY: the slots are shared between exactly one Producer and one Consumer (neither is Clone). A slot is accessed
// only by the producer while it is outside head..tail and only by the consumer while it is inside, and ownership of it
// passes with a release store and an acquire load of the index. T moves between threads, hence T: Send.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; whoever drops the last reference drops the values left inside, on whatever thread: T: Send.
unsafe impl<T: Send> Send for Shared<T> {}

/// A ring of at most `slots` values that together weigh at most `bytes_max`. A value heavier than `bytes_max` is taken
/// only by an empty ring, so that it can pass at all.
pub fn channel<T: Weigh + Send>(slots: usize, bytes_max: usize) -> (Producer<T>, Consumer<T>) {
    assert!(slots > 0, "BUG: a ring without slots");
    assert!(bytes_max > 0, "BUG: a ring without bytes");
    let index = || {
        CachePadded::new(Index {
            position: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    };
    let shared = Arc::new(Shared {
        written: index(),
        read: index(),
        sleeping: CachePadded::new(AtomicBool::new(false)),
        slots: (0..slots.next_power_of_two()).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        slots_max: slots,
        bytes_max,
    });
    let producer =
        Producer { shared: shared.clone(), tail: 0, pushed_bytes: 0, head_seen: 0, popped_bytes_seen: 0 };
    let consumer = Consumer { shared, head: 0, popped_bytes: 0, tail_seen: 0 };
    (producer, consumer)
}

impl<T> Shared<T> {
    /// The slot of a free-running position.
    #[inline(always)]
    fn slot(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // The mask keeps it in range: the length is a power of two.
        &self.slots[position & (self.slots.len() - 1)]
    }

    fn len(&self) -> usize {
        // Read side first: it never overtakes the write side, so the difference cannot be negative.
        let read = self.read.position.load(Ordering::Acquire);
        self.written.position.load(Ordering::Acquire).wrapping_sub(read)
    }

    fn bytes(&self) -> usize {
        let read = self.read.bytes.load(Ordering::Acquire);
        self.written.bytes.load(Ordering::Acquire).wrapping_sub(read)
    }
}

impl<T: Weigh + Send> Producer<T> {
    /// Adds a value at the end, or gives it back.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), Full<T>> {
        let bytes = value.bytes();
        if !self.fits(bytes) {
            self.head_seen = self.shared.read.position.load(Ordering::Acquire);
            self.popped_bytes_seen = self.shared.read.bytes.load(Ordering::Relaxed);
            if !self.fits(bytes) {
                return Err(Full(value));
            }
        }
        self.shared.slot(self.tail).with_mut(|slot| {
            // SAFETY: `fits` has seen, through an acquire load of `head`, that this slot is outside head..tail: the
            // consumer has moved its value out and will not look at it before `tail` passes it below.
            unsafe { (*slot).write(value) };
        });
        self.tail = self.tail.wrapping_add(1);
        self.pushed_bytes = self.pushed_bytes.wrapping_add(bytes);
        self.shared.written.bytes.store(self.pushed_bytes, Ordering::Release);
        self.shared.written.position.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Whether a value of this weight has room by the last seen state of the other side.
    #[inline(always)]
    fn fits(&self, bytes: usize) -> bool {
        let len = self.tail.wrapping_sub(self.head_seen);
        let held = self.pushed_bytes.wrapping_sub(self.popped_bytes_seen);
        len < self.shared.slots_max && (len == 0 || held.saturating_add(bytes) <= self.shared.bytes_max)
    }

    /// To be asked after a run of pushes: has the consumer gone to sleep, so that the caller must wake it? Says yes
    /// once per sleep.
    pub fn should_wake(&self) -> bool {
        // The push before the look at the flag; pairs with the fence of `prepare_sleep`. Of the two sides at least one
        // sees what the other did.
        fence(Ordering::SeqCst);
        self.shared.sleeping.load(Ordering::Relaxed) && self.shared.sleeping.swap(false, Ordering::AcqRel)
    }

    /// Values inside, as a gauge.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Weight of the values inside, as a gauge.
    pub fn bytes(&self) -> usize {
        self.shared.bytes()
    }

    /// Whether the consumer is gone: nothing pushed will ever be read.
    pub fn is_closed(&self) -> bool {
        self.shared.read.closed.load(Ordering::Acquire)
    }
}

impl<T: Weigh + Send> Consumer<T> {
    /// Takes the oldest value, if there is one.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.written.position.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let value = self.shared.slot(self.head).with_mut(|slot| {
            // SAFETY: head != tail by an acquire load of `tail`, so the producer has written this slot and will not
            // touch it before `head` passes it below. It is read out exactly once, as `head` only grows.
            unsafe { (*slot).assume_init_read() }
        });
        self.popped_bytes = self.popped_bytes.wrapping_add(value.bytes());
        self.head = self.head.wrapping_add(1);
        // Bytes first: whoever acquires the new head sees the bytes that go with it, or later ones.
        self.shared.read.bytes.store(self.popped_bytes, Ordering::Relaxed);
        self.shared.read.position.store(self.head, Ordering::Release);
        Some(value)
    }

    /// Announces that the consumer is about to sleep. True: sleep, and a producer's [`Producer::should_wake`] will say
    /// yes after its next push. False: something has arrived, go on popping.
    pub fn prepare_sleep(&mut self) -> bool {
        self.shared.sleeping.store(true, Ordering::Relaxed);
        // The flag before the look at the ring; pairs with the fence of `should_wake`.
        fence(Ordering::SeqCst);
        self.tail_seen = self.shared.written.position.load(Ordering::Acquire);
        if self.tail_seen == self.head {
            return true;
        }
        self.shared.sleeping.store(false, Ordering::Relaxed);
        false
    }

    /// Takes back the announcement after waking for another reason. Not needed for correctness: it saves a wake.
    pub fn cancel_sleep(&mut self) {
        self.shared.sleeping.store(false, Ordering::Relaxed);
    }

    /// Values inside, as a gauge.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Weight of the values inside, as a gauge.
    pub fn bytes(&self) -> usize {
        self.shared.bytes()
    }

    /// Whether the producer is gone. What it pushed before is still here: pop until empty.
    pub fn is_closed(&self) -> bool {
        self.shared.written.closed.load(Ordering::Acquire)
    }
}

impl<T: Weigh + Send> Drop for Producer<T> {
    fn drop(&mut self) {
        self.shared.written.closed.store(true, Ordering::Release);
    }
}

impl<T: Weigh + Send> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.read.closed.store(true, Ordering::Release);
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // The last handle is gone and the reference count has synchronised with both, so plain order is enough.
        let tail = self.written.position.load(Ordering::Relaxed);
        let mut head = self.read.position.load(Ordering::Relaxed);
        while head != tail {
            self.slot(head).with_mut(|slot| {
                // SAFETY: head..tail holds initialised values that nobody has taken, and nobody else is left.
                unsafe { (*slot).assume_init_drop() };
            });
            head = head.wrapping_add(1);
        }
    }
}
