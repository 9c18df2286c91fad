//! Storage that is damaged, full, slow, gone or not what it seems.

use super::*;
use crate::spool::file::memory::{Faults, Random, pend};
use crate::spool::file::{Disk, Durability};
use crate::spool::{CommitFailure, FullState};
use std::cell::Cell;
use std::io;

fn remove_all(disk: &MemoryDisk) {
    for name in disk.names() {
        block_on(disk.remove(&name)).unwrap();
    }
    block_on(disk.sync_dir()).unwrap();
}

#[test]
fn a_copy_of_a_damaged_segment_is_kept_and_only_a_few_of_them() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..30, 3000);
    let names = durability::segment_names(&disk);
    let mut kept = Vec::new();
    for name in names.iter().take(6) {
        disk.tamper(name, |bytes| bytes[2 * 4096 + 300] ^= 4);
        kept.push(disk.contents(name));
    }
    let got = drain(&log, 4);
    assert_eq!(got.len(), 24);
    assert_eq!(log.stats().lost_frames, 6);
    let copies: Vec<String> =
        disk.names().into_iter().filter(|name| name.starts_with("quarantined-")).collect();
    assert_eq!(copies.len(), 4, "{:?}", disk.names());
    assert_eq!(copies.iter().map(|name| disk.contents(name)).collect::<Vec<_>>(), kept[2..]);
    let (log, report) = open(&disk.after_kill());
    assert_eq!((report.quarantined, report.ignored.len()), (4, 0));
    assert_eq!(log.stats().spooled_points, 0);
    // A disk without room keeps no copies: they go before anybody is refused.
    disk.faults(|faults| faults.room_bytes = Some(0));
    let (log, _) = open(&disk);
    for next in 40..60 {
        commit(&log, next..next + 1, 3000).unwrap();
        assert_eq!(drain(&log, 4), [next]);
    }
}

#[test]
fn four_kilobytes_of_chance_in_the_middle_cost_what_they_hit_and_no_wild_length_is_believed() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    for next in 0..3 {
        commit(&log, next * 5..next * 5 + 5, 500).unwrap();
    }
    let name = durability::segment_names(&disk)[0].clone();
    for seed in 0..60 {
        let mut random = Random(seed);
        let damaged = disk.after_kill();
        let rubbish: Vec<u8> = (0..4096).map(|_| random.draw() as u8).collect();
        damaged.tamper(&name, |bytes| {
            bytes[8192..12_288].copy_from_slice(&rubbish);
            // Looks like a frame of this segment, with lengths beyond everything.
            let (frame, _) = bytes[4096..].split_at(80);
            let mut wild = frame.to_vec();
            wild[64..68].fill(0xff);
            wild[68..70].fill(0xff);
            bytes[8192 + 8 * (seed as usize)..][..80].copy_from_slice(&wild);
        });
        let (log, _) = open(&damaged);
        let (_, before) = damaged.read_so_far();
        assert_eq!(drain(&log, 100), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
        let (_, after) = damaged.read_so_far();
        assert!(after - before <= 64 << 10, "{} bytes", after - before);
        assert_eq!(log.totals().lost, points(5..10));
    }
}

#[test]
fn a_disk_that_fills_up_at_any_write_shows_no_torn_frame_refuses_and_resumes_alone() {
    // Headers, payloads, the cursor and its renewal, rotation, spares: wherever it hits.
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        for lazy_room in [false, true] {
            for sectors in 0..60 {
                let disk = MemoryDisk::default();
                disk.faults(|faults| {
                    faults.room_bytes = Some(sectors * 4096);
                    faults.lazy_room = lazy_room;
                    faults.no_room = Some(kind);
                });
                let (log, _) = open(&disk);
                let mut acked = Vec::new();
                let mut refused = 0;
                for tag in 0..20 {
                    match commit(&log, tag..tag + 1, 3000) {
                        Ok(()) => acked.push(tag),
                        Err(error) => {
                            assert!(matches!(error.reason, CommitFailure::Full), "{error:?}");
                            assert!(log.is_full());
                            refused += 1;
                        }
                    }
                    let _ = block_on(log.maintain());
                }
                assert!(refused > 0 || sectors > 30, "{sectors} sectors");
                assert!(refused == 0 || sectors < 55, "{sectors} sectors: {refused} refused");
                let (other, _) = open(&disk.after_power_cut(&mut Random(sectors)));
                assert_eq!((drain(&other, 3), other.stats().lost_frames), (acked.clone(), 0));
                // Room comes back, and nobody says so.
                disk.faults(|faults| faults.room_bytes = Some(1 << 20));
                if log.is_full() {
                    block_on(log.maintenance_needed());
                    block_on(log.maintain()).unwrap();
                }
                assert!(!log.is_full());
                commit(&log, 20..21, 3000).unwrap();
                acked.push(20);
                assert_eq!(drain(&log, 3), acked);
            }
        }
    }
}

#[test]
fn deleting_and_delivering_go_on_while_the_disk_is_full() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..30, 3000);
    disk.faults(|faults| faults.room_bytes = Some(0));
    while commit(&log, 99..100, 3000).is_ok() {}
    assert_eq!(log.stats().full, FullState::Disk);
    assert_eq!(block_on(log.drop_before(7)).unwrap(), points(0..6));
    let before = log.stats().disk_bytes_with_spares;
    let out = window(&log, frames(10));
    log.complete(out, Fate::Delivered);
    let _ = block_on(log.maintain());
    assert!(log.stats().disk_bytes_with_spares < before);
}

#[test]
fn a_read_only_and_a_failing_disk_refuse_keep_everything_and_resume_alone() {
    let errors: [fn(&mut Faults); 4] = [
        |faults| (faults.writes_failing, faults.creates_failing) = (u32::MAX, u32::MAX),
        |faults| faults.syncs_failing = u32::MAX,
        |faults| faults.dir_syncs_failing = u32::MAX,
        |faults| {
            (faults.names_failing, faults.creates_failing, faults.syncs_failing) =
                (u32::MAX, u32::MAX, u32::MAX)
        },
    ];
    for fail in errors {
        let disk = MemoryDisk::default();
        let (log, _) = open_with(&disk, LogConfig { spares_max: 0, ..small() });
        commit_each(&log, 0..4, 3000);
        disk.faults(fail);
        let mut refused = 0;
        for _ in 0..10 {
            match commit(&log, 50..51, 3000) {
                Ok(()) => assert_eq!(refused, 0, "a failing name does not matter until one is needed"),
                Err(error) => {
                    assert!(matches!(error.reason, CommitFailure::Io(_)), "{error:?}");
                    refused += 1;
                }
            }
        }
        assert!(refused >= 7);
        assert!(!log.is_full(), "failing is not full");
        disk.faults(|faults| *faults = Faults::default());
        commit_each(&log, 4..8, 3000);
        let expected: Vec<u64> = (0..8).collect();
        let known = |tags: Vec<u64>| tags.into_iter().filter(|tag| *tag < 50).collect::<Vec<_>>();
        assert_eq!(known(drain(&open(&disk.after_power_cut(&mut Random(1))).0, 3)), expected);
        assert_eq!(known(drain(&log, 3)), expected);
        assert_eq!(log.stats().lost_frames, 0);
    }
}

#[test]
fn a_segment_of_which_nothing_can_be_read_is_passed_over_with_its_count_and_others_flow() {
    let disk = MemoryDisk::default();
    commit_each(&open(&disk).0, 0..12, 3000);
    let (log, _) = open(&disk);
    let names = durability::segment_names(&disk);
    disk.faults(|faults| faults.unreadable = vec![names[1].clone()]);
    assert_eq!(tags(&window(&log, frames(3))), [0, 1, 2]);
    // Not at the first failure: it might be the device, and end.
    let mut failures = 0;
    let next = loop {
        match block_on(log.try_window(&frames(4))) {
            Ok(next) => break next.unwrap(),
            Err(_) => failures += 1,
        }
    };
    assert!((3..10).contains(&failures), "{failures}");
    assert_eq!(tags(&next), [6, 7, 8, 9]);
    log.complete(next, Fate::Delivered);
    assert_eq!((log.stats().lost_points, log.totals().lost), (points(3..6), points(3..6)));
    assert_eq!(drain(&log, 3), [10, 11]);
    // The device as a whole: nothing is passed over, however long it takes.
    let device = MemoryDisk::default();
    commit_each(&open(&device).0, 0..12, 3000);
    let (log, _) = open(&device);
    device.faults(|faults| faults.reads_failing = u32::MAX);
    for _ in 0..30 {
        assert!(block_on(log.try_window(&ALL)).is_err());
    }
    device.faults(|faults| faults.reads_failing = 0);
    assert_eq!(drain(&log, 3), (0..12).collect::<Vec<_>>());
    assert_eq!(log.stats().lost_frames, 0);
}

#[test]
fn a_slow_disk_is_absorbed_by_larger_commits_in_bounded_memory() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    disk.faults(|faults| faults.slowness = 3000);
    let queue = Cell::new(0_u64);
    let next = Cell::new(0_u64);
    // One block every fifty polls; what has gathered goes into one commit.
    let sender = async {
        for _ in 0..400 {
            pend(50).await;
            queue.set(queue.get() + 1);
        }
    };
    let committer = async {
        while next.get() < 400 {
            let gathered: Vec<Block> =
                (next.get()..next.get() + queue.take()).map(|tag| block(tag, 300)).collect();
            if gathered.is_empty() {
                pend(1).await;
                continue;
            }
            next.set(next.get() + gathered.len() as u64);
            log.commit(&gathered).await.unwrap();
        }
    };
    let tasks: Vec<executor::Task> = vec![Box::pin(sender), Box::pin(committer)];
    executor::interleave(tasks, &mut Random(1), 5_000_000, || log.stats().committed_frames == 400);
    let stats = log.stats();
    assert_eq!(stats.committed_frames, 400);
    assert!(stats.commits < 60, "{} commits", stats.commits);
    assert!(stats.tail_bytes <= 4 << 10);
    disk.faults(|faults| faults.slowness = 0);
    let (log, _) = open(&disk.after_power_cut(&mut Random(2)));
    assert_eq!(drain(&log, 100), (0..400).collect::<Vec<_>>());
}

#[test]
fn a_sync_that_takes_for_ever_holds_up_nothing_that_needs_no_disk() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..4, 100);
    let out = window(&log, frames(2));
    disk.faults(|faults| faults.slowness = 100_000);
    let blocks = [block(9, 100)];
    let mut committing = Box::pin(log.commit(&blocks));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..100 {
        assert!(committing.as_mut().poll(&mut context).is_pending());
    }
    log.complete(out, Fate::Delivered);
    assert_eq!(log.totals().delivered, points(0..2));
    assert_eq!(log.stats().spooled_frames, 2);
    assert!(!log.is_full());
    assert!(block_on(committing).is_ok());
}

#[test]
fn a_directory_that_is_deleted_while_running_stops_acknowledging_at_once() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..4, 100);
    remove_all(&disk);
    disk.faults(|faults| faults.creates_failing = u32::MAX);
    // The open files still take everything, and forget it.
    for _ in 0..5 {
        assert!(matches!(commit(&log, 50..51, 100).unwrap_err().reason, CommitFailure::Io(_)));
    }
    assert!(log.stats().commits_failed >= 5);
    // It is put back, empty: what was there is counted as lost, and the log goes on.
    disk.faults(|faults| faults.creates_failing = 0);
    commit_each(&log, 4..8, 100);
    let (other, _) = open(&disk.after_power_cut(&mut Random(1)));
    assert!(drain(&other, 3).ends_with(&[4, 5, 6, 7]));
    assert_eq!(drain(&log, 3), [0, 1, 2, 3, 4, 5, 6, 7], "these were in memory");
}

#[test]
fn permissions_taken_away_while_running_are_an_error_and_end_by_themselves() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, LogConfig { spares_max: 0, tail_bytes_max: 1 << 20, ..small() });
    commit_each(&log, 0..3, 3000);
    disk.faults(|faults| (faults.creates_failing, faults.names_failing) = (u32::MAX, u32::MAX));
    assert!(matches!(commit(&log, 3..4, 3000).unwrap_err().reason, CommitFailure::Io(_)));
    assert_eq!(tags(&window(&log, frames(1))), [0], "what is open and what is in memory goes on");
    disk.faults(|faults| *faults = Faults::default());
    commit_each(&log, 3..6, 3000);
    assert_eq!(drain(&open(&disk.after_kill()).0, 100), (0..6).collect::<Vec<_>>());
}

#[test]
fn what_a_sync_is_worth_is_reported() {
    for durability in [Durability::Disk, Durability::Buffered, Durability::Layer, Durability::Memory] {
        let disk = MemoryDisk::default();
        disk.faults(|faults| faults.durability = durability);
        let (log, report) = open(&disk);
        assert_eq!(report.durability, durability);
        commit_each(&log, 0..2, 100);
        assert_eq!(drain(&log, 2), [0, 1]);
    }
}
