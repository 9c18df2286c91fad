//! Windows: formed as asked, stable over restarts, completed in any order.

use super::*;
use crate::spool::{Completion, WINDOWS_OPEN_MAX, package_id};
use std::cell::RefCell;
use std::rc::Rc;

fn bounds(window: &Window) -> (u64, u64) {
    (window.first_seq, window.last_seq)
}

#[test]
fn windows_respect_their_limits_and_take_at_least_one_frame() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..10, 100).unwrap();
    assert_eq!(tags(&window(&log, frames(3))), [0, 1, 2]);
    assert_eq!(tags(&window(&log, WindowLimits { raw_bytes_max: 500, ..ALL })), [3, 4]);
    assert_eq!(tags(&window(&log, WindowLimits { stored_bytes_max: 350, ..ALL })), [5, 6, 7]);
    assert_eq!(tags(&window(&log, WindowLimits { raw_bytes_max: 1, ..ALL })), [8]);
    assert_eq!(tags(&window(&log, ALL)), [9]);
    assert!(try_window(&log, ALL).is_none());
}

#[test]
fn limits_hold_the_same_when_read_from_disk() {
    let disk = MemoryDisk::default();
    commit(&open(&disk).0, 0..10, 100).unwrap();
    let (log, _) = open(&disk);
    assert_eq!(tags(&window(&log, frames(3))), [0, 1, 2]);
    assert_eq!(tags(&window(&log, WindowLimits { raw_bytes_max: 500, ..ALL })), [3, 4]);
    assert_eq!(tags(&window(&log, WindowLimits { stored_bytes_max: 350, ..ALL })), [5, 6, 7]);
    assert_eq!(tags(&window(&log, WindowLimits { raw_bytes_max: 1, ..ALL })), [8]);
    assert_eq!(tags(&window(&log, ALL)), [9]);
    assert!(try_window(&log, ALL).is_none());
    assert_eq!(log.stats().windows_from_disk, 5);
}

#[test]
fn windows_complete_in_any_order_and_the_cursor_follows_without_gaps() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..9, 100).unwrap();
    let (a, b, c) = (window(&log, frames(3)), window(&log, frames(3)), window(&log, frames(3)));
    let left = log.stats().spooled_points;
    let of_b = b.points;
    log.complete(b, Fate::Delivered);
    assert_eq!(log.delivered_through(), 0);
    assert_eq!(log.stats().spooled_points, left - of_b);
    log.complete(a, Fate::Delivered);
    assert_eq!(log.delivered_through(), 6);
    log.complete(c, Fate::Dead);
    assert_eq!(log.delivered_through(), 9);
    let stats = log.stats();
    assert_eq!((stats.spooled_points, stats.spooled_bytes, stats.spooled_frames), (0, 0, 0));
    assert_eq!((stats.delivered_points, stats.dead_points), (points(0..6), points(6..9)));
}

#[test]
fn boundaries_are_the_same_after_a_restart_whatever_the_limits_are_then() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..20, 900);
    let out: Vec<Window> = [3, 1, 5].into_iter().map(|max| window(&log, frames(max))).collect();
    let expected: Vec<_> = out.iter().map(bounds).collect();
    let mut out = out.into_iter();
    let first = out.next().unwrap();
    log.complete(out.next().unwrap(), Fate::Delivered);
    block_on(log.flush()).unwrap();
    drop(first);
    let (log, report) = open(&disk.after_kill());
    assert_eq!(report.windows, 2);
    let again = window(&log, ALL);
    assert!(again.replayed);
    assert_eq!(bounds(&again), expected[0]);
    assert_eq!(bounds(&window(&log, ALL)), expected[2]);
    let fresh = window(&log, ALL);
    assert!(!fresh.replayed);
    assert_eq!((fresh.first_seq, fresh.last_seq), (10, 20));
    let id = |window: &Window| {
        let first = &window.frames[0].block;
        package_id(log.id(), CATEGORY, window.first_seq, window.last_seq, &first.route, first.sealed_ms)
    };
    assert_ne!(id(&again), id(&fresh));
}

#[test]
fn a_window_given_back_goes_out_again_as_it_was() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..6, 100).unwrap();
    let first = window(&log, frames(2));
    let second = window(&log, frames(2));
    let expected = (bounds(&first), tags(&first));
    log.give_back(first);
    let again = window(&log, frames(1));
    assert_eq!((bounds(&again), tags(&again)), expected);
    assert!(again.replayed);
    log.complete(second, Fate::Delivered);
    log.complete(again, Fate::Delivered);
    assert_eq!(log.delivered_through(), 4);
}

#[test]
fn a_dropped_taker_leaves_its_window_to_the_next() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..6, 100).unwrap();
    // Polled until it has opened the window and waits for the journal, then dropped.
    let mut polls = 0;
    while log.stats().windows_open == 0 {
        polls += 1;
        let mut taking = Box::pin(log.try_window(&ALL));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            assert!(taking.as_mut().poll(&mut context).is_pending());
        }
    }
    assert_eq!(tags(&window(&log, frames(1))), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn windows_that_are_out_are_bounded() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..WINDOWS_OPEN_MAX as u64 + 5, 20).unwrap();
    let mut out: Vec<Window> = (0..WINDOWS_OPEN_MAX).map(|_| window(&log, frames(1))).collect();
    assert!(try_window(&log, frames(1)).is_none());
    // Every second one done: the most spans that can be, and they fit the journal.
    let mut at = 0;
    out.retain_mut(|_| {
        at += 1;
        at % 2 == 1
    });
    for first in out {
        log.complete(first, Fate::Delivered);
    }
    block_on(log.flush()).unwrap();
    while let Some(next) = try_window(&log, frames(1)) {
        drop(next);
    }
    let (log, _) = open(&disk);
    let mut seen = drain(&log, 1);
    seen.sort_unstable();
    assert_eq!(seen.len(), WINDOWS_OPEN_MAX / 2 + 5);
}

#[test]
fn waiting_ends_with_a_commit_and_with_closing() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    let seen = RefCell::new(Vec::new());
    let taker = async {
        while let Some(next) = log.next_window(&ALL).await.unwrap() {
            seen.borrow_mut().extend(tags(&next));
            log.complete(next, Fate::Delivered);
        }
        seen.borrow_mut().push(u64::MAX);
    };
    let committer = async {
        log.commit(&[block(1, 10)]).await.unwrap();
        log.commit(&[block(2, 10)]).await.unwrap();
        while log.delivered_through() < 2 {
            log.delivery_changed().await;
        }
        log.close();
    };
    let mut random = crate::spool::file::memory::Random(1);
    executor::interleave(vec![Box::pin(taker), Box::pin(committer)], &mut random, 10_000, || false);
    assert_eq!(*seen.borrow(), [1, 2, u64::MAX]);
}

#[test]
fn the_observer_hears_of_every_frame_once() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    let heard: Rc<RefCell<Vec<Completion>>> = Rc::default();
    let ear = heard.clone();
    log.observe(Box::new(move |completion| ear.borrow_mut().push(completion)));
    commit(&log, 0..4, 10).unwrap();
    let (a, b) = (window(&log, frames(2)), window(&log, ALL));
    log.complete(b, Fate::Delivered);
    log.complete(a, Fate::Dead);
    let heard: Vec<_> = heard.borrow().iter().map(|c| (c.first_seq, c.last_seq, c.points, c.fate)).collect();
    assert_eq!(heard, [(3, 4, points(2..4), Fate::Delivered), (1, 2, points(0..2), Fate::Dead)]);
}

#[test]
fn a_caught_up_reader_reads_memory_and_one_that_fell_behind_the_disk_in_flat_memory() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    for next in 0..20 {
        commit(&log, next..next + 1, 500).unwrap();
        assert_eq!(drain(&log, 10), [next]);
    }
    let stats = log.stats();
    assert_eq!((stats.windows_from_memory, stats.windows_from_disk, stats.tail_bytes), (20, 0, 0));
    commit_each(&log, 20..160, 500);
    assert!(log.stats().tail_bytes <= 4 << 10);
    let got = drain(&log, 6);
    assert_eq!(got, (20..160).collect::<Vec<_>>());
    let stats = log.stats();
    assert!(stats.windows_from_disk > 20);
    assert!(stats.windows_from_memory > 20, "the newest come from memory");
    assert_eq!(stats.tail_bytes, 0);
}

#[test]
fn the_age_of_the_oldest_is_told() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    assert_eq!(log.stats().oldest_ms, None);
    commit(&log, 3..6, 10).unwrap();
    assert_eq!(log.stats().oldest_ms, Some(1_000_003));
    let out = window(&log, frames(1));
    assert_eq!(log.stats().oldest_ms, Some(1_000_003));
    log.complete(out, Fate::Delivered);
    assert_eq!(log.stats().oldest_ms, Some(1_000_004));
    assert_eq!(open(&disk).0.stats().oldest_ms, Some(1_000_003));
}

#[test]
fn no_block_goes_out_before_its_commit_returns() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    let returned = std::cell::Cell::new(false);
    let seen = std::cell::Cell::new(0);
    // Over three segments: three syncs, each with a reader at the door.
    let blocks: Vec<Block> = (0..8).map(|tag| block(tag, 3500)).collect();
    let committer = async {
        log.commit(&blocks).await.unwrap();
        returned.set(true);
    };
    let taker = async {
        while seen.get() < 8 {
            let next = log.next_window(&frames(1)).await.unwrap().unwrap();
            assert!(returned.get());
            seen.set(seen.get() + 1);
            log.complete(next, Fate::Delivered);
        }
    };
    let mut random = crate::spool::file::memory::Random(1);
    executor::interleave(vec![Box::pin(taker), Box::pin(committer)], &mut random, 100_000, || false);
    assert_eq!(seen.get(), 8);
}

/// A frame of several reads is read in pieces, and what was read ahead behind it is not lost.
#[test]
fn large_frames_come_from_disk_as_small_ones_do() {
    let large = LogConfig { segment_bytes: 16 << 20, capacity_bytes: 64 << 20, ..small() };
    let sizes = [100, (1 << 20) - 300, 1 << 20, 3_000_001, 50, 5 << 20, 70, 900_000];
    let blocks: Vec<Block> = sizes.iter().zip(0..).map(|(size, tag)| block(tag, *size)).collect();
    for limit in [1, 2, 100] {
        let disk = MemoryDisk::default();
        block_on(open_with(&disk, large.clone()).0.commit(&blocks)).unwrap();
        let (log, _) = open_with(&disk, large.clone());
        let mut seen = 0;
        while seen < blocks.len() {
            let next = window(&log, WindowLimits { frames_max: limit, ..ALL });
            for frame in &next.frames {
                let expected = &blocks[seen];
                assert!(
                    frame.block.payload == expected.payload && frame.block.route == expected.route,
                    "{seen}"
                );
                seen += 1;
            }
            log.complete(next, Fate::Delivered);
        }
        let stats = log.stats();
        assert!(stats.windows_from_disk > 0 && stats.spooled_points == 0);
    }
}

#[test]
fn the_newest_frame_is_delivered_from_memory_however_large_it_is() {
    let (log, _) = open(&MemoryDisk::default());
    commit(&log, 0..1, 9_000).unwrap();
    assert_eq!(log.stats().tail_bytes / 1000, 9);
    assert_eq!(drain(&log, 10), [0]);
    // Of two the older one goes.
    commit(&log, 1..3, 6_000).unwrap();
    assert_eq!(log.stats().tail_bytes / 1000, 6);
    assert_eq!(drain(&log, 10), [1, 2]);
    let stats = log.stats();
    assert_eq!((stats.windows_from_memory, stats.windows_from_disk, stats.tail_bytes), (2, 1, 0));
}
