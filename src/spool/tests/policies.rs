//! Giving up on purpose: by age, by an operator, and the room that is never taken.

use super::*;
use crate::spool::file::memory::Random;
use crate::spool::{CommitFailure, FullState};
use std::time::Duration;

const SECOND: u64 = 1000;
const NOW: u64 = 1_700_000_000_000;

/// Two minutes, in segments of three frames.
fn aging() -> LogConfig {
    LogConfig { max_age: Some(Duration::from_secs(120)), ..small() }
}

/// Looks at the clock every ten seconds; gives the points that went.
fn pass(log: &Log<MemoryDisk>, now_ms: &mut u64, seconds: u64) -> u64 {
    let steps = seconds / 10;
    (0..steps)
        .map(|_| {
            *now_ms += 10 * SECOND;
            block_on(log.expire(*now_ms))
        })
        .sum()
}

#[test]
fn what_is_too_old_goes_in_whole_segments_and_is_counted() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, aging());
    let mut now = NOW;
    block_on(log.expire(now));
    commit_each(&log, 0..3, 3000);
    assert_eq!(pass(&log, &mut now, 60), 0);
    commit_each(&log, 3..8, 3000);
    assert_eq!(pass(&log, &mut now, 60), 0, "two minutes are not more than two minutes");
    assert_eq!(pass(&log, &mut now, 10), points(0..3));
    assert_eq!(pass(&log, &mut now, 50), 0);
    // The last one too, though it could still be written to.
    assert_eq!(pass(&log, &mut now, 10), points(3..8));
    let totals = log.totals();
    assert_eq!(
        (totals.expired, totals.spooled(), log.stats().expired_points),
        (points(0..8), 0, points(0..8))
    );
    commit_each(&log, 8..9, 3000);
    let (other, _) = open_with(&disk.after_power_cut(&mut Random(1)), aging());
    assert_eq!(other.totals(), log.totals());
    assert_eq!(drain(&other, 10), [8]);
    assert_eq!(drain(&log, 10), [8]);
}

#[test]
fn neither_sleep_nor_a_clock_that_jumps_nor_a_stop_ages_what_nobody_could_send() {
    let disk = MemoryDisk::default();
    let config = LogConfig { max_age: Some(Duration::from_secs(240)), ..small() };
    let (log, _) = open_with(&disk, config.clone());
    let mut now = NOW;
    block_on(log.expire(now));
    commit_each(&log, 0..6, 3000);
    assert_eq!(pass(&log, &mut now, 30), 0);
    // Asleep for eight hours; ten years forward; 1970. A look counts a minute at most, and nothing backwards.
    for then in [now + 8 * 3600 * SECOND, 5 * NOW, 0] {
        assert_eq!(block_on(log.expire(then)), 0);
    }
    block_on(log.maintain()).unwrap();
    drop(log);
    // A year off: age goes on where the cursor has it, and the first look only starts the clock.
    let (log, _) = open_with(&disk.after_kill(), config);
    let mut now = NOW + 365 * 24 * 3600 * SECOND;
    assert_eq!(block_on(log.expire(now)), 0);
    assert_eq!(pass(&log, &mut now, 90), 0, "two minutes and a half were lived before");
    assert_eq!(pass(&log, &mut now, 10), points(0..6));
}

#[test]
fn age_is_kept_over_restarts() {
    let disk = MemoryDisk::default();
    let mut now = NOW;
    let mut gone = 0;
    let mut lived = 0;
    commit_each(&open_with(&disk, aging()).0, 0..4, 3000);
    // A kill every ninety seconds, of which the last thirty may be forgotten.
    while gone == 0 && lived < 2000 {
        let (log, _) = open_with(&disk, aging());
        block_on(log.expire(now));
        gone += pass(&log, &mut now, 90);
        lived += 90;
        block_on(log.maintain()).unwrap();
    }
    assert_eq!(gone, points(0..4));
    assert_eq!(lived, 180);
}

#[test]
fn a_window_that_is_out_is_not_taken_away_by_age() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, aging());
    let mut now = NOW;
    block_on(log.expire(now));
    commit_each(&log, 0..6, 3000);
    let out = window(&log, frames(1));
    assert_eq!(pass(&log, &mut now, 300), 0);
    log.complete(out, Fate::Delivered);
    assert_eq!(pass(&log, &mut now, 10), points(1..6));
    assert_eq!(log.totals().spooled(), 0);
}

#[test]
fn without_a_limit_nothing_is_ever_too_old() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..6, 3000);
    assert_eq!(pass(&log, &mut NOW.clone(), 100_000), 0);
    assert_eq!(drain(&log, 10), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn an_operator_drops_what_is_spooled_before_a_number_and_not_what_is_out() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..20, 900);
    let out = window(&log, frames(3));
    log.defer();
    commit_each(&log, 20..30, 900);
    assert_eq!(block_on(log.drop_before(1)).unwrap(), 0);
    assert_eq!(block_on(log.drop_before(11)).unwrap(), points(3..10));
    assert_eq!(log.deferred().frames, 10);
    assert_eq!(block_on(log.drop_before(24)).unwrap(), points(10..23));
    assert_eq!(log.totals().dropped, points(3..23));
    let (other, _) = open(&disk.after_power_cut(&mut Random(1)));
    assert_eq!(other.totals().dropped, points(3..23));
    assert_eq!(drain(&other, 100), [vec![0, 1, 2], (23..30).collect()].concat());
    log.complete(out, Fate::Delivered);
    assert_eq!(block_on(log.drop_before(u64::MAX)).unwrap(), points(23..30));
    assert_eq!(log.totals().spooled(), 0);
    commit_each(&log, 30..31, 900);
    assert_eq!(drain(&log, 10), [30]);
    assert_eq!(log.totals().lost, 0);
}

#[test]
fn dropping_passes_over_a_damaged_frame() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..6, 3000);
    let name = durability::segment_names(&disk)[0].clone();
    // The header of the second frame.
    disk.tamper(&name, |bytes| bytes[2 * 4096 + 20] ^= 1);
    assert_eq!(block_on(log.drop_before(3)).unwrap(), points(0..2));
    assert_eq!(drain(&log, 10), [2, 3, 4, 5]);
    let (log, _) = open(&disk.after_kill());
    assert_eq!(block_on(log.drop_before(2)).unwrap(), 0, "all of it is gone already");
}

#[test]
fn the_reserve_is_left_free_and_everything_but_new_segments_goes_on() {
    let disk = MemoryDisk::default();
    let config = LogConfig { reserve_bytes: 100 << 10, ..small() };
    let (log, _) = open_with(&disk, config);
    disk.faults(|faults| faults.room_bytes = Some(200 << 10));
    let mut acked = 0;
    let error = loop {
        match commit(&log, acked..acked + 1, 3000) {
            Ok(()) => acked += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error.reason, CommitFailure::Full), "{error:?}");
    assert_eq!(log.stats().full, FullState::Disk);
    let mut left = 0;
    disk.faults(|faults| left = faults.room_bytes.unwrap());
    assert!((100 << 10..116 << 10).contains(&left), "{left}");
    assert!(acked >= 6);
    // A lost cursor finds room for a new one, and delivery makes room.
    block_on(crate::spool::file::Disk::remove(&disk, "cursor")).unwrap();
    assert_eq!(drain(&log, 3), (0..acked).collect::<Vec<_>>());
    commit(&log, acked..acked + 1, 3000).unwrap();
    assert!(!log.is_full());
}

#[test]
fn a_log_that_is_held_refuses_and_delivers() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..3, 100);
    log.hold(true);
    assert!(matches!(commit(&log, 3..4, 100).unwrap_err().reason, CommitFailure::Full));
    assert!(log.is_full());
    assert_eq!(log.stats().full, FullState::Total);
    assert_eq!(drain(&log, 10), [0, 1, 2]);
    log.hold(false);
    assert!(!log.is_full());
    commit_each(&log, 3..4, 100);
    assert_eq!(drain(&log, 10), [3]);
}

#[test]
fn asked_from_outside_the_oldest_segment_goes() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..7, 3000);
    assert!(block_on(log.evict_oldest()));
    assert_eq!((log.totals().evicted, log.stats().segments), (points(0..3), 2));
    assert!(block_on(log.evict_oldest()));
    assert!(!block_on(log.evict_oldest()), "the one that is written to stays");
    assert_eq!(drain(&log, 10), [6]);
}
