//! The ring's promises with real threads, and against a plain queue.

use super::{Full, Weigh, channel};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    value: u64,
    bytes: usize,
}

impl Weigh for Item {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

fn item(value: u64, bytes: usize) -> Item {
    Item { value, bytes }
}

#[test]
fn slots_bound_the_ring_exactly() {
    let (mut producer, mut consumer) = channel(3, 1000);
    for value in 0..3 {
        producer.push(item(value, 1)).unwrap();
    }
    assert_eq!(producer.push(item(3, 1)), Err(Full(item(3, 1))));
    assert_eq!((producer.len(), producer.bytes()), (3, 3));
    assert_eq!(consumer.pop(), Some(item(0, 1)));
    producer.push(item(3, 1)).unwrap();
    assert_eq!((consumer.len(), consumer.bytes()), (3, 3));
}

#[test]
fn bytes_bound_the_ring_and_an_oversize_value_passes_alone() {
    let (mut producer, mut consumer) = channel(8, 10);
    producer.push(item(0, 6)).unwrap();
    assert!(producer.push(item(1, 5)).is_err());
    producer.push(item(1, 4)).unwrap();
    assert!(producer.push(item(2, 1)).is_err());
    assert!(producer.push(item(2, 100)).is_err());
    consumer.pop().unwrap();
    consumer.pop().unwrap();
    producer.push(item(2, 100)).unwrap();
    assert!(producer.push(item(3, 1)).is_err());
    assert_eq!(consumer.pop(), Some(item(2, 100)));
    producer.push(item(3, 1)).unwrap();
}

#[test]
fn closing_is_seen_and_what_was_pushed_stays() {
    let (mut producer, mut consumer) = channel(4, 10);
    producer.push(item(1, 1)).unwrap();
    assert!(!consumer.is_closed());
    drop(producer);
    assert!(consumer.is_closed());
    assert_eq!(consumer.pop(), Some(item(1, 1)));
    assert_eq!(consumer.pop(), None);
    let (producer, consumer) = channel::<Item>(4, 10);
    drop(consumer);
    assert!(producer.is_closed());
}

#[test]
fn values_left_inside_are_dropped_once() {
    struct Held(#[expect(dead_code)] Arc<()>);
    impl Weigh for Held {
        fn bytes(&self) -> usize {
            1
        }
    }
    let token = Arc::new(());
    let (mut producer, mut consumer) = channel(5, 100);
    // Around the end of the slots, so that the values left lie on both sides of it.
    for _ in 0..6 {
        assert!(producer.push(Held(token.clone())).is_ok());
        drop(consumer.pop().unwrap());
    }
    for _ in 0..5 {
        assert!(producer.push(Held(token.clone())).is_ok());
    }
    drop(consumer.pop());
    assert_eq!(Arc::strong_count(&token), 5);
    drop(consumer);
    drop(producer);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn two_threads_lose_nothing_and_keep_the_order() {
    const VALUES: u64 = 200_000;
    let (mut producer, mut consumer) = channel(64, 1000);
    let writer = std::thread::spawn(move || {
        for value in 0..VALUES {
            let mut next = item(value, (value % 40) as usize);
            while let Err(Full(back)) = producer.push(next) {
                next = back;
                std::thread::yield_now();
            }
        }
    });
    let mut expected = 0;
    while expected < VALUES {
        match consumer.pop() {
            Some(got) => {
                assert_eq!(got, item(expected, (expected % 40) as usize));
                expected += 1;
            }
            None => std::thread::yield_now(),
        }
    }
    writer.join().unwrap();
    assert_eq!((consumer.len(), consumer.bytes()), (0, 0));
}

#[test]
fn sleeping_and_waking_never_hangs() {
    const VALUES: u64 = 20_000;
    let (mut producer, mut consumer) = channel::<Item>(8, 1000);
    let reader = std::thread::spawn(move || {
        let mut expected = 0;
        while expected < VALUES {
            match consumer.pop() {
                Some(got) => {
                    assert_eq!(got.value, expected);
                    expected += 1;
                }
                // `park` returns at once when the unpark came first, as an event descriptor would.
                None if consumer.prepare_sleep() => std::thread::park(),
                None => {}
            }
        }
    });
    let sleeper = reader.thread().clone();
    for value in 0..VALUES {
        let mut next = item(value, 1);
        while let Err(Full(back)) = producer.push(next) {
            next = back;
            if producer.should_wake() {
                sleeper.unpark();
            }
            std::thread::yield_now();
        }
        if producer.should_wake() {
            sleeper.unpark();
        }
    }
    reader.join().unwrap();
}

proptest! {
    #[test]
    fn behaves_as_a_bounded_queue(
        slots in 1usize..9,
        bytes_max in 1usize..40,
        steps in prop::collection::vec(prop::option::of(0usize..50), 0..200),
    ) {
        let (mut producer, mut consumer) = channel(slots, bytes_max);
        let mut model: VecDeque<Item> = VecDeque::new();
        for (value, step) in steps.into_iter().enumerate() {
            match step {
                Some(bytes) => {
                    let held: usize = model.iter().map(|item| item.bytes).sum();
                    let fits = model.len() < slots && (model.is_empty() || held + bytes <= bytes_max);
                    let next = item(value as u64, bytes);
                    prop_assert_eq!(producer.push(next.clone()).is_ok(), fits);
                    if fits {
                        model.push_back(next);
                    }
                }
                None => prop_assert_eq!(consumer.pop(), model.pop_front()),
            }
            prop_assert_eq!(consumer.len(), model.len());
            prop_assert_eq!(consumer.bytes(), model.iter().map(|item| item.bytes).sum::<usize>());
        }
    }
}
