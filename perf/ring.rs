//! The ring: what a push and a pop cost on one thread, and a hop between two, beside crossbeam's array queue and the
//! standard library's bounded channel.
//!
//!     cargo bench --bench ring
//!
//! Values are 16 bytes, as large as a boxed block with its ticket. Two threads need two cores: on a busy machine the hop
//! measures the neighbours. What is printed is the median over the rounds.

use std::hint::black_box;
use std::time::Instant;

use crossbeam::queue::ArrayQueue;
use kitgate::ring::{self, Full, Weigh};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;
const VALUES: u64 = 2_000_000;
const SLOTS: usize = 1024;
/// Values pushed between two looks at the sleep flag, as a shard does it.
const BATCH: u64 = 16;

struct Value {
    number: u64,
    bytes: usize,
}

impl Weigh for Value {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

fn main() {
    println!("{:<36} {:>10}", "one thread, push and pop", "ns");
    print("ring", || alone_ring(1));
    print("ring, 16 at a time", || alone_ring(BATCH));
    print("crossbeam ArrayQueue", alone_crossbeam);
    print("std sync_channel", alone_std);
    println!("{:<36} {:>10}", "two threads, a hop", "ns");
    print("ring", hop_ring);
    print("crossbeam ArrayQueue", hop_crossbeam);
    print("std sync_channel", hop_std);
}

fn print(name: &str, mut round: impl FnMut() -> f64) {
    let mut results: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    results.sort_by(f64::total_cmp);
    println!("{name:<36} {:>10.1}", results[ROUNDS / 2]);
}

/// Nanoseconds a value.
fn time(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_nanos() as f64 / VALUES as f64
}

/// Waits a little; where two threads share a core, the other one gets it.
fn relax(spins: &mut u32) {
    *spins += 1;
    if spins.is_multiple_of(64) { std::thread::yield_now() } else { std::hint::spin_loop() }
}

fn value(number: u64) -> Value {
    Value { number, bytes: 64 }
}

fn alone_ring(batch: u64) -> f64 {
    let (mut producer, mut consumer) = ring::channel::<Value>(SLOTS, usize::MAX);
    time(|| {
        for start in (0..VALUES).step_by(batch as usize) {
            for number in start..start + batch {
                assert!(producer.push(value(number)).is_ok());
            }
            black_box(producer.should_wake());
            for _ in 0..batch {
                black_box(consumer.pop().map(|value| value.number));
            }
        }
    })
}

fn alone_crossbeam() -> f64 {
    let queue = ArrayQueue::new(SLOTS);
    time(|| {
        for number in 0..VALUES {
            assert!(queue.push(value(number)).is_ok());
            black_box(queue.pop().map(|value| value.number));
        }
    })
}

fn alone_std() -> f64 {
    let (sender, receiver) = std::sync::mpsc::sync_channel(SLOTS);
    time(|| {
        for number in 0..VALUES {
            assert!(sender.try_send(value(number)).is_ok());
            black_box(receiver.try_recv().map(|value| value.number).ok());
        }
    })
}

fn hop_ring() -> f64 {
    let (mut producer, mut consumer) = ring::channel::<Value>(SLOTS, usize::MAX);
    time(move || {
        let reader = std::thread::spawn(move || {
            let (mut sum, mut left, mut spins) = (0, VALUES, 0);
            while left > 0 {
                match consumer.pop() {
                    Some(value) => (sum, left) = (sum + value.number, left - 1),
                    None => relax(&mut spins),
                }
            }
            sum
        });
        let mut spins = 0;
        for number in 0..VALUES {
            let mut next = value(number);
            while let Err(Full(back)) = producer.push(next) {
                next = back;
                relax(&mut spins);
            }
            if number % BATCH == 0 {
                black_box(producer.should_wake());
            }
        }
        assert_eq!(reader.join().ok(), Some(VALUES * (VALUES - 1) / 2));
    })
}

fn hop_crossbeam() -> f64 {
    let queue = std::sync::Arc::new(ArrayQueue::new(SLOTS));
    let reading = queue.clone();
    time(move || {
        let reader = std::thread::spawn(move || {
            let (mut sum, mut left, mut spins) = (0, VALUES, 0);
            while left > 0 {
                match reading.pop() {
                    Some(Value { number, .. }) => (sum, left) = (sum + number, left - 1),
                    None => relax(&mut spins),
                }
            }
            sum
        });
        let mut spins = 0;
        for number in 0..VALUES {
            let mut next = value(number);
            while let Err(back) = queue.push(next) {
                next = back;
                relax(&mut spins);
            }
        }
        assert_eq!(reader.join().ok(), Some(VALUES * (VALUES - 1) / 2));
    })
}

fn hop_std() -> f64 {
    let (sender, receiver) = std::sync::mpsc::sync_channel(SLOTS);
    time(move || {
        let reader =
            std::thread::spawn(move || receiver.iter().map(|value: Value| value.number).sum::<u64>());
        for number in 0..VALUES {
            assert!(sender.send(value(number)).is_ok());
        }
        drop(sender);
        assert_eq!(reader.join().ok(), Some(VALUES * (VALUES - 1) / 2));
    })
}
