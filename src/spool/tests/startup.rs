//! Starting on whatever the last life left: at the limit, with a hundred gigabytes, with more out than there is room, with
//! names that cannot be, in the middle of anything.

use super::*;
use crate::spool::file::Disk;
use crate::spool::file::memory::Random;
use crate::spool::format::SegmentHeader;
use crate::spool::place::Place;
use crate::spool::{CommitFailure, OpenError, WhenFull};

#[test]
fn a_kill_at_every_operation_of_a_segment_rotation_keeps_order_and_gives_no_number_twice() {
    // Create, first write, sync of the file and of its name; the segment before, sealed; a spare taken and one not.
    for spares_max in [0, 2] {
        let config = LogConfig { spares_max, ..small() };
        let ready = MemoryDisk::default();
        let (log, _) = open_with(&ready, config.clone());
        commit_each(&log, 0..3, 3000);
        block_on(log.maintain()).unwrap();
        drop(log);
        for operations in 0..40 {
            for seed in 0..4 {
                let disk = ready.after_kill();
                let (log, _) = open_with(&disk, config.clone());
                disk.faults(|faults| faults.operations_left = Some(operations));
                let mut acked: Vec<u64> = (0..3).collect();
                for tag in 3..6 {
                    if commit(&log, tag..tag + 1, 3000).is_ok() {
                        acked.push(tag);
                    }
                }
                drop(log);
                let after =
                    if seed == 0 { disk.after_kill() } else { disk.after_power_cut(&mut Random(seed)) };
                let (log, report) = open_with(&after, config.clone());
                let first = block_on(log.commit(&[block(9, 100)])).unwrap().start;
                assert_eq!(first, report.spooled_frames + 1);
                let got = drain(&log, 2);
                assert!(got.starts_with(&acked) && got.is_sorted(), "{got:?}, acknowledged {acked:?}");
                assert_eq!(log.stats().lost_frames, 0);
            }
        }
    }
}

#[test]
fn a_kill_between_removing_a_consumed_segment_and_the_cursor_starts_and_goes_on() {
    // The cursor is always first; here it is not, as on a disk that lost the newest of it: an older cursor stands before
    // segments that are gone.
    let disk = MemoryDisk::default();
    let config = LogConfig { spares_max: 0, ..small() };
    let (log, _) = open_with(&disk, config.clone());
    commit_each(&log, 0..12, 3000);
    log.complete(window(&log, frames(2)), Fate::Delivered);
    block_on(log.flush()).unwrap();
    let old = disk.contents("cursor");
    log.complete(window(&log, frames(4)), Fate::Delivered);
    block_on(log.maintain()).unwrap();
    let left = durability::segment_names(&disk);
    assert_eq!(left.len(), 2, "the consumed segments are removed");
    let cut = disk.after_kill();
    cut.tamper("cursor", |bytes| bytes.clone_from(&old));
    let (log, _) = open_with(&cut, config);
    assert_eq!(drain(&log, 2), (6..12).collect::<Vec<_>>());
    assert_eq!((log.totals().lost, log.totals().spooled()), (points(2..6), 0));
    commit(&log, 12..13, 100).unwrap();
    assert_eq!(drain(&log, 2), [12]);
}

#[test]
fn recovery_killed_at_every_operation_again_and_again_is_idempotent() {
    let base = MemoryDisk::default();
    let (log, _) = open(&base);
    commit_each(&log, 0..10, 3000);
    log.complete(window(&log, frames(4)), Fate::Delivered);
    let _out = window(&log, frames(2));
    log.defer();
    base.faults(|faults| faults.syncs_failing = 9);
    let _ = commit(&log, 10..14, 3000);
    for seed in 0..30 {
        let mut random = Random(seed);
        let mut disk = base.after_power_cut(&mut random);
        let (whole, expected) = open(&disk.after_kill());
        let totals = whole.totals();
        // Dies at every operation in turn, on what the death before left.
        for operations in 0..40 {
            disk.faults(|faults| faults.operations_left = Some(operations));
            let _ = block_on(Log::open(disk.clone(), CATEGORY, ID, small()));
            disk = if random.chance(2) { disk.after_kill() } else { disk.after_power_cut(&mut random) };
        }
        let (log, report) = open(&disk);
        // What was cut stays cut, and is not reported twice.
        assert_eq!(RecoveryReport { torn_bytes: 0, ..report }, RecoveryReport { torn_bytes: 0, ..expected });
        assert_eq!(log.totals(), totals);
    }
}

/// A log of so many segments of which only the headers and the last one are there, the rest holes.
fn vast(segments: u64, with_cursor: bool) -> MemoryDisk {
    const SEGMENT_BYTES: u64 = 32 << 20;
    const POINTS: u64 = 100_000;
    let disk = MemoryDisk::default();
    let place = |id: u64| Place {
        seq: 1 + (id - 1) * 1000,
        points: (id - 1) * POINTS,
        bytes: (id - 1) * SEGMENT_BYTES,
    };
    for id in 1..=segments {
        let header = SegmentHeader {
            category: CATEGORY,
            log_id: ID,
            segment_id: id,
            salt: id,
            first: place(id),
            opened_ms: 1,
            file_bytes: SEGMENT_BYTES,
            mended: false,
            opened_lived_ms: Some(id),
        };
        let mut bytes = header.encode().to_vec();
        bytes.resize(4096, 0);
        disk.plant_sparse(&format!("segment-{id:016x}"), &bytes, SEGMENT_BYTES);
    }
    if with_cursor {
        let (log, _) = open_with(&disk, LogConfig { capacity_bytes: 200 << 30, ..LogConfig::default() });
        block_on(log.flush()).unwrap();
    }
    disk.after_kill()
}

#[test]
fn a_backlog_of_a_hundred_gigabytes_starts_with_one_sector_a_segment_and_takes_data_at_once() {
    let segments = 3200;
    for with_cursor in [false, true] {
        let disk = vast(segments, with_cursor);
        let config = LogConfig { capacity_bytes: 200 << 30, ..LogConfig::default() };
        let (log, report) = open_with(&disk, config);
        assert_eq!(report.segments, segments);
        assert_eq!(report.spooled_points, (segments - 1) * 100_000);
        let (reads, bytes) = disk.read_so_far();
        // The headers, the last segment as a whole, the cursor.
        assert!(reads <= segments + 40, "{reads} reads");
        assert!(bytes <= segments * 4096 + (33 << 20), "{bytes} bytes");
        // What is kept of a segment is a few words, and the intake does not wait for the scan of anything.
        assert!(size_of::<crate::spool::ledger::Segment>() <= 200);
        let before = disk.read_so_far();
        block_on(log.commit(&[block(1, 100)])).unwrap();
        assert_eq!(disk.read_so_far(), before);
        assert_eq!(log.totals().spooled(), (segments - 1) * 100_000 + 2);
    }
}

#[test]
fn a_crash_exactly_at_the_capacity_limit_is_no_deadlock() {
    let config = LogConfig { capacity_bytes: 64 << 10, ..small() };
    for when_full in [WhenFull::Refuse, WhenFull::EvictOldest] {
        let disk = MemoryDisk::default();
        let config = LogConfig { when_full, ..config.clone() };
        let (log, _) = open_with(&disk, config.clone());
        commit_each(&log, 0..12, 3000);
        assert_eq!(log.stats().disk_bytes, 64 << 10);
        drop(log);
        for seed in 0..6 {
            let (log, _) = open_with(&disk.after_power_cut(&mut Random(seed)), config.clone());
            let taken = commit(&log, 12..13, 3000);
            assert_eq!(taken.is_ok(), when_full == WhenFull::EvictOldest);
            let got = drain(&log, 5);
            assert_eq!(got.len() as u64 + log.stats().evicted_points.min(3), 12 + u64::from(taken.is_ok()));
            commit(&log, 13..14, 3000).unwrap();
            assert_eq!(drain(&log, 5), [13]);
        }
    }
}

#[test]
fn windows_that_are_out_and_larger_than_the_room_that_is_left_are_delivered_first() {
    let disk = MemoryDisk::default();
    let config = LogConfig { capacity_bytes: 64 << 10, ..small() };
    let (log, _) = open_with(&disk, config.clone());
    commit_each(&log, 0..12, 3000);
    // All of it is out when the machine dies, and there is room for nothing.
    let out: Vec<Window> = std::iter::from_fn(|| try_window(&log, frames(5))).collect();
    assert_eq!(out.iter().map(|window| window.frames.len()).sum::<usize>(), 12);
    disk.faults(|faults| faults.room_bytes = Some(0));
    let disk = disk.after_power_cut(&mut Random(1));
    disk.faults(|faults| faults.room_bytes = Some(0));
    let (log, report) = open_with(&disk, config);
    assert_eq!((report.windows, report.spooled_frames), (out.len() as u64, 12));
    assert!(matches!(commit(&log, 12..13, 3000).unwrap_err().reason, CommitFailure::Full));
    for before in &out {
        let again = window(&log, ALL);
        assert_eq!((again.first_seq, again.last_seq), (before.first_seq, before.last_seq));
        log.complete(again, Fate::Delivered);
    }
    block_on(log.maintain()).unwrap();
    commit(&log, 12..13, 3000).unwrap();
}

#[test]
fn very_large_ids_and_numbers_neither_wrap_nor_wait_for_a_file_that_cannot_be() {
    // Names at the end of all numbers are not ours, and do not push ours there.
    let disk = MemoryDisk::default();
    for name in ["segment-ffffffffffffffff", "spare-fffffffffffffffe", "unfinished-ffffffffffffffff"] {
        disk.plant(name, &[0; 8192]);
    }
    let (log, report) = open(&disk);
    assert_eq!(report.ignored.len(), 3);
    commit_each(&log, 0..6, 3000);
    assert_eq!(drain(&log, 2), [0, 1, 2, 3, 4, 5]);
    // A log that is very old: everything near the end of what is taken for real.
    let disk = MemoryDisk::default();
    let old = Place { seq: (1 << 61) - 1, points: 1 << 61, bytes: 1 << 61 };
    let id = (1 << 61) + 5;
    let header = SegmentHeader {
        category: CATEGORY,
        log_id: ID,
        segment_id: id,
        salt: 7,
        first: old,
        opened_ms: 1,
        file_bytes: 16 << 10,
        mended: false,
        opened_lived_ms: Some(u64::MAX),
    };
    let mut bytes = header.encode().to_vec();
    bytes.resize(16 << 10, 0);
    disk.plant(&format!("segment-{id:016x}"), &bytes);
    let (log, _) = open(&disk);
    assert_eq!(block_on(log.commit(&[block(1, 3000)])).unwrap().start, old.seq);
    commit_each(&log, 2..9, 3000);
    assert_eq!(block_on(log.expire(5)), 0);
    let (log, report) = open(&disk.after_power_cut(&mut Random(1)));
    assert_eq!(report.spooled_points, points(1..9));
    assert_eq!(drain(&log, 3), (1..9).collect::<Vec<_>>());
    // A segment, a frame and a cursor that claim to lie at the end of all numbers are damaged, and stop nobody.
    for seq in [u64::MAX - 1, u64::MAX] {
        let disk = MemoryDisk::default();
        commit_each(&open(&disk).0, 0..2, 100);
        let wild =
            SegmentHeader { segment_id: 99, first: Place { seq, points: seq, bytes: seq }, ..header.clone() };
        let mut bytes = wild.encode().to_vec();
        bytes.resize(8192, 0);
        let frame = crate::spool::format::FrameHeader::of(&block(1, 8), wild.first, 7, 0);
        bytes[4096..4176].copy_from_slice(&frame.encode(&block(1, 8).route));
        disk.plant("segment-0000000000000063", &bytes);
        let (log, _) = open(&disk);
        commit_each(&log, 2..4, 100);
        assert!(drain(&log, 3).ends_with(&[2, 3]));
    }
}

#[test]
fn a_later_versions_cursor_is_refused_and_untouched() {
    let disk = MemoryDisk::default();
    commit_each(&open(&disk).0, 0..2, 100);
    disk.tamper("cursor", |bytes| {
        for slot in bytes.chunks_exact_mut(3 * 4096) {
            slot[8..12].copy_from_slice(&4u32.to_le_bytes());
            let crc = crc32c::crc32c(&slot[..76]);
            slot[76..80].copy_from_slice(&crc.to_le_bytes());
        }
    });
    let before = (disk.names(), disk.contents("cursor"));
    let refused = block_on(Log::open(disk.clone(), CATEGORY, ID, small())).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { version: 4, .. }), "{refused}");
    assert_eq!((disk.names(), disk.contents("cursor")), before);
}

#[test]
fn a_capacity_that_was_made_smaller_deletes_nothing_by_itself() {
    let disk = MemoryDisk::default();
    commit_each(&open(&disk).0, 0..30, 3000);
    for when_full in [WhenFull::Refuse, WhenFull::EvictOldest] {
        let config = LogConfig { capacity_bytes: 64 << 10, when_full, ..small() };
        let (log, report) = open_with(&disk.after_kill(), config.clone());
        block_on(log.maintain()).unwrap();
        assert_eq!((report.spooled_frames, log.stats().spooled_frames), (30, 30));
        let taken = commit(&log, 30..31, 3000);
        if when_full == WhenFull::Refuse {
            assert!(matches!(taken.unwrap_err().reason, CommitFailure::Full));
            assert_eq!(drain(&log, 7), (0..30).collect::<Vec<_>>());
            commit(&log, 30..31, 3000).unwrap();
        } else {
            // What the policy says is given up, counted, and no more than it takes.
            taken.unwrap();
            let totals = log.totals();
            assert!(log.stats().disk_bytes <= 64 << 10);
            assert_eq!((totals.evicted, totals.lost), (points(0..21), 0));
            assert_eq!(drain(&log, 7), (21..31).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_huge_foreign_file_is_not_looked_into() {
    let disk = MemoryDisk::default();
    commit_each(&open(&disk).0, 0..3, 100);
    disk.plant_sparse("core.4711", b"ELF", 1 << 40);
    disk.plant_sparse("segment-0000000000000042.bak", b"KITGSEG\n", 1 << 40);
    let before = disk.after_kill();
    let (log, report) = open(&before);
    assert_eq!(report.ignored, ["core.4711", "segment-0000000000000042.bak"]);
    let (_, bytes) = before.read_so_far();
    assert!(bytes <= (48 + 3 * 16) << 10, "{bytes}");
    assert_eq!(drain(&log, 10), [0, 1, 2]);
    assert!(before.names().contains(&"core.4711".to_owned()));
}

#[test]
fn a_segment_that_cannot_be_opened_for_a_moment_is_not_taken_for_lost() {
    let disk = MemoryDisk::default();
    commit_each(&open(&disk).0, 0..12, 3000);
    for failures in 1..5 {
        let disk = disk.after_kill();
        disk.faults(|faults| faults.names_failing = failures);
        // The cursor's own opening may be hit, which is an error, and nothing is lost by it.
        let opened = block_on(Log::open(disk.clone(), CATEGORY, ID, small()));
        let log = opened.map_or_else(|_| open(&disk).0, |(log, _)| log);
        assert_eq!(drain(&log, 5), (0..12).collect::<Vec<_>>());
        assert_eq!(log.stats().lost_frames, 0);
    }
    let names = block_on(disk.list()).unwrap().len();
    assert!(names > 4);
}
