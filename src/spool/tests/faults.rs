//! Failing writes, failing syncs, and a disk that runs out of room and gets it back.

use super::*;
use crate::spool::file::memory::{Faults, Random};
use crate::spool::{CommitFailure, FullState};

#[test]
fn a_failed_sync_is_never_taken_for_a_good_one() {
    // The next sync says that all is well, and what the failed one forgot is gone all the same.
    for seed in 0..50 {
        let disk = MemoryDisk::default();
        let (log, _) = open(&disk);
        commit(&log, 0..3, 400).unwrap();
        disk.faults(|faults| {
            faults.failed_syncs_forget = true;
            faults.syncs_failing = 1;
        });
        commit(&log, 3..6, 400).unwrap();
        commit(&log, 6..7, 400).unwrap();
        assert_eq!(log.stats().segments_poisoned, 1);
        let (log, _) = open(&disk.after_power_cut(&mut Random(seed)));
        assert_eq!(drain(&log, 100), (0..7).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(log.stats().lost_frames, 0);
    }
}

#[test]
fn a_failed_write_goes_to_another_segment_once_and_its_remains_are_not_read() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..3, 400).unwrap();
    disk.faults(|faults| faults.writes_failing = 1);
    commit(&log, 3..6, 400).unwrap();
    commit(&log, 6..9, 400).unwrap();
    assert_eq!(log.stats().segments, 2);
    let (other, _) = open(&disk.after_kill());
    assert_eq!(drain(&other, 100), (0..9).collect::<Vec<_>>());
    assert_eq!(drain(&log, 100), (0..9).collect::<Vec<_>>());
}

#[test]
fn remains_of_a_failed_commit_are_not_read_when_what_took_their_numbers_is_delivered_and_gone() {
    let disk = MemoryDisk::default();
    let config = LogConfig { spares_max: 0, ..small() };
    let (log, _) = open_with(&disk, config.clone());
    commit(&log, 0..1, 3000).unwrap();
    disk.faults(|faults| faults.syncs_failing = 2);
    commit(&log, 50..51, 500).unwrap_err();
    // As many bytes and not as many points, in another segment.
    commit(&log, 2..3, 500).unwrap();
    drop(log);
    let disk = disk.after_kill();
    let (log, _) = open_with(&disk, config.clone());
    let first = window(&log, frames(1));
    let second = window(&log, frames(1));
    assert_eq!((tags(&first), tags(&second)), (vec![0], vec![2]));
    log.complete(second, Fate::Delivered);
    block_on(log.flush()).unwrap();
    block_on(log.maintain()).unwrap();
    assert_eq!(durability::segment_names(&disk).len(), 1);
    drop(log);
    // The file is left alone: a power cut may bring an older cursor back, to which these frames are still to be sent.
    let name = durability::segment_names(&disk).remove(0);
    let before = disk.contents(&name);
    let disk = disk.after_kill();
    let (log, report) = open_with(&disk, config);
    assert_eq!(disk.contents(&name), before);
    assert!(!report.cursor_lost);
    assert_eq!((drain(&log, 100), log.stats().lost_frames), (vec![0], 0));
    let totals = log.totals();
    assert_eq!((totals.committed, totals.delivered), (points(0..1) + points(2..3), totals.committed));
}

#[test]
fn a_disk_that_fails_twice_fails_the_commit_and_the_log_goes_on_when_it_is_well() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..2, 400).unwrap();
    for fail in [
        |faults: &mut Faults| faults.writes_failing = 2,
        |faults: &mut Faults| faults.syncs_failing = 2,
        |faults: &mut Faults| (faults.writes_failing, faults.dir_syncs_failing) = (1, 1),
        |faults: &mut Faults| (faults.syncs_failing, faults.creates_failing) = (1, 1),
    ] {
        commit(&log, 20..21, 400).unwrap();
        disk.faults(fail);
        let error = commit(&log, 10..12, 400).unwrap_err();
        assert!(matches!(error.reason, CommitFailure::Io(_)), "{error:?}");
        assert!(error.committed.is_empty());
    }
    commit(&log, 2..4, 400).unwrap();
    let expected = [0, 1, 20, 20, 20, 20, 2, 3];
    // What failed was not acknowledged, and a restart does not dig it up.
    assert_eq!(drain(&open(&disk.after_kill()).0, 100), expected);
    assert_eq!(drain(&log, 100), expected);
}

#[test]
fn blocks_before_the_failure_are_acknowledged_by_number() {
    let disk = MemoryDisk::default();
    let config = LogConfig { capacity_bytes: 32 << 10, ..small() };
    let (log, _) = open_with(&disk, config);
    // Three segments' worth where two fit.
    let blocks: Vec<Block> = (0..9).map(|tag| block(tag, 3500)).collect();
    let error = block_on(log.commit(&blocks)).unwrap_err();
    assert!(matches!(error.reason, CommitFailure::Full));
    assert_eq!(error.committed, 1..7);
    assert_eq!(drain(&open(&disk.after_kill()).0, 100), (0..6).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_is_a_state_that_ends_by_itself() {
    for lazy_room in [false, true] {
        let disk = MemoryDisk::default();
        let (log, _) = open(&disk);
        disk.faults(|faults| {
            faults.room_bytes = Some(102 << 10);
            faults.lazy_room = lazy_room;
        });
        let mut acked = 0;
        let error = loop {
            match commit(&log, acked..acked + 1, 3000) {
                Ok(()) => acked += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error.reason, CommitFailure::Full), "{error:?}");
        assert!(log.is_full());
        assert_eq!(log.stats().full, FullState::Disk);
        assert!(acked >= 8, "{acked}");
        // Deleting, the cursor and reading need no room: delivery goes on.
        let out = window(&log, frames(2));
        assert_eq!(tags(&out), [0, 1]);
        log.complete(out, Fate::Delivered);
        block_on(log.flush()).unwrap();
        // Somebody else gives room back; nobody commits, so that maintenance must find out.
        assert!(block_on(log.maintain()).is_err());
        assert!(log.is_full());
        disk.faults(|faults| faults.room_bytes = Some(1 << 20));
        block_on(log.maintenance_needed());
        block_on(log.maintain()).unwrap();
        assert!(!log.is_full());
        commit(&log, acked..acked + 1, 3000).unwrap();
        assert_eq!(
            drain(&open(&disk.after_power_cut(&mut Random(1))).0, 100),
            (2..=acked).collect::<Vec<_>>()
        );
        assert_eq!(drain(&log, 100), (2..=acked).collect::<Vec<_>>());
    }
}

#[test]
fn a_log_opens_reads_and_delivers_on_a_disk_without_any_room() {
    let disk = MemoryDisk::default();
    commit(&open(&disk).0, 0..5, 1000).unwrap();
    block_on(open(&disk).0.flush()).unwrap();
    let full = disk.after_kill();
    full.faults(|faults| faults.room_bytes = Some(0));
    let (log, _) = open(&full);
    let out = window(&log, frames(2));
    log.complete(out, Fate::Delivered);
    assert!(matches!(commit(&log, 9..10, 100).unwrap_err().reason, CommitFailure::Full));
    assert_eq!(drain(&log, 100), [2, 3, 4]);
    // What was delivered has made room.
    commit(&log, 9..10, 100).unwrap();
}

#[test]
fn a_failed_cursor_write_hands_nothing_out_and_the_next_one_succeeds() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..4, 100).unwrap();
    for fail in [
        |faults: &mut Faults| faults.syncs_failing = 1,
        |faults: &mut Faults| faults.writes_failing = 1,
        |faults: &mut Faults| (faults.syncs_failing, faults.failed_syncs_forget) = (1, true),
        |faults: &mut Faults| faults.dir_syncs_failing = 1,
    ] {
        log.complete(window(&log, frames(1)), Fate::Delivered);
        commit(&log, 4..5, 100).unwrap();
        disk.faults(fail);
        let mut failed = 0;
        let out = loop {
            match block_on(log.try_window(&frames(1))) {
                Ok(out) => break out.unwrap(),
                Err(_) => failed += 1,
            }
        };
        assert!(failed <= 1);
        // The file that failed is not trusted: what is durable is in a new one.
        let (other, _) = open(&disk.after_power_cut(&mut Random(failed)));
        let again = window(&other, ALL);
        assert_eq!((again.first_seq, again.last_seq), (out.first_seq, out.last_seq));
        log.complete(out, Fate::Delivered);
    }
}

#[test]
fn a_segment_that_cannot_be_read_now_is_not_passed_over() {
    let disk = MemoryDisk::default();
    commit(&open(&disk).0, 0..5, 1000).unwrap();
    let (log, _) = open(&disk);
    disk.faults(|faults| faults.reads_failing = u32::MAX);
    assert!(block_on(log.try_window(&ALL)).is_err());
    disk.faults(|faults| faults.reads_failing = 0);
    assert_eq!(drain(&log, 100), [0, 1, 2, 3, 4]);
    assert_eq!(log.stats().lost_frames, 0);
}

#[test]
fn a_commit_dropped_half_way_leaves_its_segment_for_good() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..2, 100).unwrap();
    let names = durability::segment_names(&disk);
    for polls in 1..4 {
        let blocks = [block(50, 100)];
        let mut dropped = Box::pin(log.commit(&blocks));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            assert!(dropped.as_mut().poll(&mut context).is_pending());
        }
    }
    let before = disk.contents(&names[0]);
    commit(&log, 2..4, 100).unwrap();
    assert_eq!(disk.contents(&names[0]), before);
    assert_eq!(drain(&open(&disk.after_power_cut(&mut Random(3))).0, 100), [0, 1, 2, 3]);
    assert_eq!(drain(&log, 100), [0, 1, 2, 3]);
}
