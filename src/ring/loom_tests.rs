//! Every interleaving of a few operations, under loom. Small on purpose: the state space grows with each step.

use super::{Weigh, channel};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

struct Item(usize);

impl Weigh for Item {
    fn bytes(&self) -> usize {
        1
    }
}

#[test]
fn values_arrive_once_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = channel::<Item>(2, 2);
        let writer = thread::spawn(move || {
            let mut refused = 0;
            for value in 1..=3 {
                let mut item = Item(value);
                while let Err(super::Full(back)) = producer.push(item) {
                    item = back;
                    refused += 1;
                    thread::yield_now();
                }
            }
            refused
        });
        let mut expected = 1;
        while expected <= 3 {
            match consumer.pop() {
                Some(Item(value)) => {
                    assert_eq!(value, expected);
                    expected += 1;
                }
                None => thread::yield_now(),
            }
        }
        assert!(consumer.pop().is_none());
        writer.join().unwrap();
    });
}

#[test]
fn a_sleeper_is_never_left_behind() {
    loom::model(|| {
        let (mut producer, mut consumer) = channel::<Item>(2, 2);
        // The wake itself, as the shards do it: a counter that the sleeper waits for.
        let wakes = Arc::new(AtomicUsize::new(0));
        let bell = wakes.clone();
        let writer = thread::spawn(move || {
            assert!(producer.push(Item(7)).is_ok());
            if producer.should_wake() {
                bell.fetch_add(1, Ordering::Release);
            }
        });
        if consumer.prepare_sleep() {
            // The ring was empty: the push comes later, and it must ring.
            while wakes.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(consumer.pop().map(|item| item.0), Some(7));
        writer.join().unwrap();
    });
}

#[test]
fn what_is_left_inside_is_dropped_once() {
    struct Counted(Arc<AtomicUsize>);
    impl Weigh for Counted {
        fn bytes(&self) -> usize {
            1
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut producer, mut consumer) = channel::<Counted>(2, 8);
        let inside = drops.clone();
        let writer = thread::spawn(move || {
            for _ in 0..2 {
                assert!(producer.push(Counted(inside.clone())).is_ok());
            }
        });
        drop(consumer.pop());
        drop(consumer);
        writer.join().unwrap();
        assert_eq!(drops.load(Ordering::Acquire), 2);
    });
}
