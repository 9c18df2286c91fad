//! What was committed is there after a restart, whatever was written behind it.

use super::*;
use crate::spool::file::memory::Random;

#[test]
fn committed_blocks_survive_a_power_cut() {
    let disk = MemoryDisk::default();
    let (log, report) = open(&disk);
    assert_eq!(report, RecoveryReport::default());
    commit(&log, 0..10, 500).unwrap();
    commit_each(&log, 10..40, 700);
    for seed in 0..20 {
        let (log, report) = open(&disk.after_power_cut(&mut Random(seed)));
        assert_eq!((report.spooled_frames, report.spooled_points), (40, points(0..40)));
        assert_eq!(drain(&log, 7), (0..40).collect::<Vec<_>>());
        assert_eq!(log.stats().spooled_points, 0);
        assert_eq!(log.stats().lost_frames, 0);
    }
}

#[test]
fn a_commit_torn_at_any_byte_costs_nothing_that_was_acknowledged() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..3, 600).unwrap();
    let name = segment_names(&disk)[0].clone();
    let before = disk.contents(&name);
    commit(&log, 3..6, 600).unwrap();
    let after = disk.contents(&name);
    let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    assert!(changed > 1000);
    // The second commit was torn: it is there up to some byte.
    let first = before.iter().zip(&after).position(|(old, new)| old != new).unwrap();
    let last = before.iter().zip(&after).rposition(|(old, new)| old != new).unwrap();
    for cut in first..=last {
        let torn = disk.after_kill();
        torn.tamper(&name, |bytes| bytes[cut..].copy_from_slice(&before[cut..]));
        let (log, report) = open(&torn);
        let got = drain(&log, 100);
        assert!(got.len() >= 3 && got.len() < 6, "cut at {cut}: {got:?}");
        assert_eq!(got, (0..got.len() as u64).collect::<Vec<_>>());
        assert_eq!(report.spooled_frames, got.len() as u64);
        assert_eq!(log.stats().lost_frames, 0, "torn is not lost");
        // And the log goes on.
        if cut % 64 == 0 {
            commit(&log, 50..52, 100).unwrap();
            assert_eq!(drain(&log, 100), [50, 51]);
        }
    }
}

#[test]
fn recovery_changes_nothing_that_a_second_recovery_would_see() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..30, 900);
    log.complete(window(&log, frames(5)), Fate::Delivered);
    let out = window(&log, frames(5));
    block_on(log.flush()).unwrap();
    let (_, first) = open(&disk);
    for _ in 0..3 {
        let (_, again) = open(&disk);
        assert_eq!(again, first);
    }
    let (log, _) = open(&disk);
    assert_eq!(window(&log, ALL).first_seq, out.first_seq);
}

#[test]
fn stale_frames_of_a_recycled_segment_are_never_read() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    let mut next = 0;
    for _ in 0..30 {
        // Fill more than a segment, deliver it, let it become a spare, and begin it anew with less than it held.
        commit_each(&log, next..next + 5, 2500);
        assert_eq!(drain(&log, 100), (next..next + 5).collect::<Vec<_>>());
        next += 5;
        commit(&log, next..next + 1, 100).unwrap();
        let (other, report) = open(&disk.after_power_cut(&mut Random(next)));
        assert_eq!(report.spooled_frames, 1);
        assert_eq!(drain(&other, 100), [next]);
        assert_eq!(drain(&log, 100), [next]);
        next += 1;
    }
    assert!(log.stats().segments_reused > 10, "{:?}", log.stats());
    assert!(log.stats().disk_bytes_with_spares < 6 * (16 << 10));
}

#[test]
fn spares_of_a_log_that_is_gone_bring_nothing_back() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..30, 2500);
    drain(&log, 100);
    assert!(log.stats().spares > 0);
    // All but the spares is lost: the new log counts from one again, and what is in the spares has larger numbers.
    for name in disk.names().iter().filter(|name| !name.starts_with("spare-")) {
        block_on(crate::spool::file::Disk::remove(&disk, name)).unwrap();
    }
    let (log, _) = open(&disk);
    commit(&log, 50..51, 100).unwrap();
    assert_eq!(log.stats().segments_reused, 1);
    let (other, report) = open(&disk.after_kill());
    assert_eq!((report.spooled_frames, report.torn_bytes), (1, 0));
    assert_eq!(drain(&other, 100), [50]);
    assert_eq!(drain(&log, 100), [50]);
}

#[test]
fn numbers_are_not_given_twice_when_all_is_delivered_and_gone() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..10, 100).unwrap();
    drain(&log, 100);
    let id = *log.id();
    drop(log);
    let (log, report) = open(&disk);
    assert_eq!(report.spooled_frames, 0);
    assert_eq!(block_on(log.commit(&[block(1, 100)])).unwrap(), 11..12);
    assert_eq!(*log.id(), id);
}

#[test]
fn the_log_keeps_its_identity_without_its_cursor() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..3, 100).unwrap();
    block_on(log.flush()).unwrap();
    let again = block_on(Log::open(disk, CATEGORY, [9; 16], small())).unwrap().0;
    assert_eq!(*again.id(), ID);
}

pub fn segment_names(disk: &MemoryDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.starts_with("segment-")).collect()
}
