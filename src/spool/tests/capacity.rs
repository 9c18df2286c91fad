//! The bounds: refuse or evict, oversize blocks, spares, and exact sums while they bite.

use super::*;
use crate::spool::file::memory::Random;
use crate::spool::{CommitFailure, Completion, FullState, WhenFull};
use std::cell::RefCell;
use std::rc::Rc;

fn tight(when_full: WhenFull) -> LogConfig {
    LogConfig { capacity_bytes: 64 << 10, when_full, ..small() }
}

#[test]
fn refuse_keeps_what_is_spooled_and_takes_again_after_delivery() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, tight(WhenFull::Refuse));
    // Four segments of three sectors.
    commit_each(&log, 0..12, 3000);
    assert!(!log.is_full());
    assert!(matches!(commit(&log, 12..13, 3000).unwrap_err().reason, CommitFailure::Full));
    assert!(log.is_full());
    assert_eq!(log.stats().full, FullState::Capacity);
    assert!(log.stats().disk_bytes <= 64 << 10);
    let out = window(&log, frames(3));
    log.complete(out, Fate::Delivered);
    assert!(log.is_full(), "the cursor is not durable yet");
    block_on(log.flush()).unwrap();
    assert!(!log.is_full());
    commit_each(&log, 12..15, 3000);
    assert_eq!(drain(&log, 100), (3..15).collect::<Vec<_>>());
}

#[test]
fn a_small_block_still_fits_where_a_large_one_is_refused() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, LogConfig { capacity_bytes: 32 << 10, ..small() });
    commit_each(&log, 0..5, 3000);
    assert!(matches!(commit(&log, 5..6, 10_000).unwrap_err().reason, CommitFailure::Full));
    commit(&log, 5..6, 3000).unwrap();
    assert_eq!(drain(&log, 100), (0..6).collect::<Vec<_>>());
}

#[test]
fn a_full_log_opens_refuses_delivers_and_goes_on() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, tight(WhenFull::Refuse));
    commit_each(&log, 0..12, 3000);
    let _out = window(&log, frames(2));
    drop(log);
    let (log, _) = open_with(&disk, tight(WhenFull::Refuse));
    assert!(matches!(commit(&log, 12..13, 3000).unwrap_err().reason, CommitFailure::Full));
    assert_eq!(drain(&log, 2), (0..12).collect::<Vec<_>>());
    commit(&log, 12..13, 3000).unwrap();
}

#[test]
fn evict_oldest_drops_whole_segments_and_counts_every_point() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, tight(WhenFull::EvictOldest));
    let told: Rc<RefCell<Vec<Completion>>> = Rc::default();
    let ear = told.clone();
    log.observe(Box::new(move |completion| ear.borrow_mut().push(completion)));
    commit_each(&log, 0..30, 3000);
    let stats = log.stats();
    assert!(stats.disk_bytes <= 64 << 10);
    assert_eq!(stats.spooled_points + stats.evicted_points, points(0..30));
    assert_eq!(stats.evicted_points, points(0..18));
    let told_points: u64 = told.borrow().iter().map(|completion| completion.points).sum();
    assert_eq!(told_points, stats.evicted_points);
    assert!(told.borrow().iter().all(|completion| completion.fate == Fate::Evicted));
    // The same after a restart.
    let (other, report) = open_with(&disk.after_power_cut(&mut Random(1)), tight(WhenFull::EvictOldest));
    assert_eq!(report.spooled_points, stats.spooled_points);
    assert_eq!(drain(&other, 100), (18..30).collect::<Vec<_>>());
    assert_eq!(other.stats().lost_points, 0);
    assert_eq!(drain(&log, 100), (18..30).collect::<Vec<_>>());
    assert_eq!(log.stats().spooled_points, 0);
}

#[test]
fn a_window_that_is_out_survives_the_eviction_of_its_segment() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, tight(WhenFull::EvictOldest));
    commit_each(&log, 0..6, 3000);
    let out = window(&log, frames(2));
    commit_each(&log, 6..18, 3000);
    assert_eq!(log.stats().evicted_points, points(2..6));
    assert_eq!(tags(&out), [0, 1]);
    log.complete(out, Fate::Delivered);
    let stats = log.stats();
    assert_eq!((stats.delivered_points, stats.spooled_points), (points(0..2), points(6..18)));
    assert_eq!(drain(&log, 5), (6..18).collect::<Vec<_>>());
}

#[test]
fn a_window_that_waits_to_go_out_again_can_be_evicted() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, tight(WhenFull::EvictOldest));
    commit_each(&log, 0..6, 3000);
    let (first, second) = (window(&log, frames(2)), window(&log, frames(2)));
    log.give_back(second);
    log.give_back(first);
    // The first segment goes: frames 0, 1, 2; the first window with it, half of the second.
    commit_each(&log, 6..15, 3000);
    let left = drain(&log, 100);
    assert_eq!(left, (3..15).collect::<Vec<_>>());
    let stats = log.stats();
    assert_eq!(stats.evicted_points + stats.lost_points, points(0..3));
    assert_eq!(stats.delivered_points, points(3..15));
    assert_eq!(stats.spooled_points, 0);
}

#[test]
fn a_full_disk_evicts_too_if_that_is_the_policy() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, LogConfig { when_full: WhenFull::EvictOldest, ..small() });
    disk.faults(|faults| faults.room_bytes = Some(90 << 10));
    commit_each(&log, 0..60, 3000);
    let stats = log.stats();
    assert_eq!(stats.evicted_points + stats.spooled_points, points(0..60));
    assert!(stats.evicted_points > 0);
    assert_eq!(drain(&log, 100).last(), Some(&59));
}

#[test]
fn a_block_larger_than_a_segment_gets_one_of_its_own() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..1, 100).unwrap();
    commit(&log, 1..2, 100_000).unwrap();
    commit(&log, 2..4, 100).unwrap();
    // In one commit, between small ones.
    let mixed = [block(4, 100), block(5, 70_000), block(6, 100)];
    assert_eq!(block_on(log.commit(&mixed)).unwrap(), 5..8);
    for log in [open(&disk.after_power_cut(&mut Random(7))).0, log] {
        assert_eq!(drain(&log, 2), (0..7).collect::<Vec<_>>());
        assert_eq!(log.stats().lost_frames, 0);
        commit(&log, 7..8, 50_000).unwrap();
        assert_eq!(drain(&log, 2), [7]);
    }
    // Segments of odd length are not kept.
    assert!(disk.names().iter().all(|name| disk.contents(name).len() <= 60_000), "{:?}", disk.names());
}

#[test]
fn a_block_larger_than_the_capacity_is_refused_for_good() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, tight(WhenFull::EvictOldest));
    commit(&log, 0..1, 100).unwrap();
    let error = block_on(log.commit(&[block(1, 100), block(2, 70_000), block(3, 100)])).unwrap_err();
    assert!(matches!(error.reason, CommitFailure::TooLarge));
    assert_eq!(error.committed, 2..3);
    assert!(log.block_bytes_max() < 70_000);
    let largest = log.block_bytes_max() as usize;
    block_on(log.commit(&[Block { route: Default::default(), ..block(4, largest) }])).unwrap();
    assert_eq!(drain(&log, 100), [4]);
}

#[test]
fn spares_are_prepared_when_the_active_segment_fills_and_kept_in_bounds() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    block_on(log.maintain()).unwrap();
    assert_eq!(disk.names(), Vec::<String>::new(), "an unused category takes no room");
    commit(&log, 0..1, 100).unwrap();
    block_on(log.maintenance_needed());
    block_on(log.maintain()).unwrap();
    assert_eq!(log.stats().spares, 1);
    commit_each(&log, 1..40, 3000);
    drain(&log, 100);
    let stats = log.stats();
    assert_eq!(stats.segments_created, stats.segments - 1 + 13);
    assert_eq!(stats.spares, 2);
    assert!(stats.disk_bytes_with_spares <= 3 * (16 << 10));
    // A restart keeps them, and removes what was being prepared.
    disk.plant("unfinished-00000000000000ff", b"x");
    let (log, _) = open(&disk);
    assert_eq!(log.stats().spares, 2);
    block_on(log.maintain()).unwrap();
    assert!(!disk.names().iter().any(|name| name.starts_with("unfinished")));
}

#[test]
fn memory_stays_flat_while_nothing_is_delivered() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..150, 1000);
    let stats = log.stats();
    assert!(stats.tail_bytes <= 4 << 10);
    assert_eq!(stats.spooled_points, points(0..150));
    assert_eq!(drain(&log, 10), (0..150).collect::<Vec<_>>());
}

#[test]
fn a_window_that_was_out_when_its_segment_went_and_comes_back_is_told_as_lost() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, tight(WhenFull::EvictOldest));
    let told: Rc<RefCell<Vec<Completion>>> = Rc::default();
    let ear = told.clone();
    log.observe(Box::new(move |completion| ear.borrow_mut().push(completion)));
    commit_each(&log, 0..6, 3000);
    let out = window(&log, frames(2));
    commit_each(&log, 6..18, 3000);
    assert_eq!(log.totals().evicted, points(2..6));
    log.give_back(out);
    assert_eq!(drain(&log, 5), (6..18).collect::<Vec<_>>());
    let lost: Vec<_> =
        told.borrow().iter().filter(|completion| completion.fate == Fate::Lost).copied().collect();
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].first_seq, lost[0].last_seq, lost[0].points), (1, 2, points(0..2)));
    assert_eq!((log.totals().lost, log.totals().spooled()), (points(0..2), 0));
}

#[test]
fn what_is_evicted_while_the_cursor_cannot_be_written_is_evicted_or_comes_back_and_never_lost() {
    for operations in 0..40 {
        let disk = MemoryDisk::default();
        let (log, _) = open_with(&disk, tight(WhenFull::EvictOldest));
        commit_each(&log, 0..12, 3000);
        // The disk fails from some operation on, for a while.
        disk.faults(|faults| faults.operations_left = Some(operations));
        let mut acked = 12;
        while acked < 15 && commit(&log, acked..acked + 1, 3000).is_ok() {
            acked += 1;
        }
        let (other, _) =
            open_with(&disk.after_power_cut(&mut Random(operations)), tight(WhenFull::EvictOldest));
        let evicted = other.totals().evicted;
        assert!(evicted == 0 || evicted == points(0..3), "{evicted}");
        let expected = if evicted == 0 { 0..acked } else { 3..acked };
        let got = drain(&other, 5);
        assert!(got.starts_with(&expected.collect::<Vec<_>>()), "{got:?} after {operations}");
        assert_eq!((other.totals().lost, other.totals().spooled()), (0, 0));
    }
}

#[test]
fn a_reuse_that_fails_half_way_leaves_the_name_free() {
    let disk = MemoryDisk::default();
    let config = LogConfig { spares_max: 0, ..small() };
    let (log, _) = open_with(&disk, config);
    commit_each(&log, 0..6, 3000);
    // Delivered and not yet put away: the next segment is to be made of it. It is renamed, and cannot be opened.
    for next in [6, 9, 12] {
        while let Some(out) = try_window(&log, ALL) {
            log.complete(out, Fate::Delivered);
        }
        block_on(log.flush()).unwrap();
        assert!(log.stats().disk_bytes_with_spares > log.stats().disk_bytes);
        disk.faults(|faults| faults.opens_failing = 1);
        commit_each(&log, next..next + 3, 3000);
        disk.faults(|faults| faults.opens_failing = 0);
    }
    assert_eq!(drain(&open(&disk.after_power_cut(&mut Random(1))).0, 5), [12, 13, 14]);
    assert_eq!(drain(&log, 5), [12, 13, 14]);
}
