//! The sums: exact for every way a point can end, by lane, over restarts, and from an old version's cursor on.

use super::books::{lane_block, lane_of};
use super::*;
use crate::spool::cursor::{Cursor, SlotError};
use crate::spool::file::memory::Random;
use crate::spool::{LANES_MAX, LaneKey, Totals};

fn config() -> LogConfig {
    LogConfig { lane_of, ..small() }
}

fn commit_lanes(log: &Log<MemoryDisk>, tags: std::ops::Range<u64>, bytes: usize) {
    for tag in tags {
        block_on(log.commit(&[lane_block(tag, bytes)])).unwrap();
    }
}

/// Points of these tags that are of a lane.
fn of_lane(lane: u64, tags: impl Iterator<Item = u64>) -> u64 {
    tags.filter(|tag| tag % 5 == lane).map(|tag| u64::from(block(tag, 8).points)).sum()
}

fn lane(log: &Log<MemoryDisk>, lane: u64) -> Totals {
    log.lanes().into_iter().find(|(key, _)| key.0 == lane).map(|(_, totals)| totals).unwrap_or_default()
}

#[test]
fn every_fate_is_counted_and_kept_over_a_power_cut() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    commit_lanes(&log, 0..40, 900);
    for (count, fate) in [(4, Fate::Delivered), (3, Fate::Dead), (5, Fate::Parked), (2, Fate::Dropped)] {
        log.complete(window(&log, frames(count)), fate);
    }
    block_on(log.drop_before(18)).unwrap();
    block_on(log.flush()).unwrap();
    let expected = Totals {
        committed: points(0..40),
        delivered: points(0..4),
        dead: points(4..7),
        parked: points(7..12),
        dropped: points(12..17),
        ..Totals::default()
    };
    assert_eq!(log.totals(), expected);
    assert_eq!(expected.spooled(), points(17..40));
    for seed in 0..10 {
        let (log, report) = open_with(&disk.after_power_cut(&mut Random(seed)), config());
        assert_eq!(log.totals(), expected);
        assert_eq!(report.spooled_points, expected.spooled());
        for key in 0..5 {
            let sums = lane(&log, key);
            assert_eq!(sums.committed, of_lane(key, 0..40), "lane {key}");
            assert_eq!((sums.delivered, sums.dead), (of_lane(key, 0..4), of_lane(key, 4..7)));
            assert_eq!((sums.parked, sums.dropped), (of_lane(key, 7..12), of_lane(key, 12..17)));
        }
    }
}

#[test]
fn what_was_not_yet_durable_is_counted_once_when_it_goes_out_again() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    commit_lanes(&log, 0..10, 100);
    log.complete(window(&log, frames(4)), Fate::Delivered);
    assert_eq!(log.totals().delivered, points(0..4));
    let (log, _) = open_with(&disk.after_power_cut(&mut Random(1)), config());
    assert_eq!(log.totals(), Totals { committed: points(0..10), ..Totals::default() });
    assert_eq!(drain(&log, 3).len(), 10);
    assert_eq!(log.totals().delivered, points(0..10));
    assert!(log.lanes().iter().all(|(_, sums)| sums.spooled() == 0));
}

#[test]
fn a_frame_can_end_in_parts() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    // 7, 1 and 2 points.
    commit_lanes(&log, 6..9, 100);
    let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let ear = told.clone();
    log.observe(Box::new(move |completion| ear.borrow_mut().push(completion)));
    log.complete_each(window(&log, ALL), |seq| match seq {
        1 => Settled { dead_points: 2, parked_points: 1 },
        2 => Settled { dead_points: 0, parked_points: 9 },
        _ => Settled::default(),
    });
    let totals = log.totals();
    assert_eq!((totals.delivered, totals.dead, totals.parked), (4 + 2, 2, 1 + 1));
    assert_eq!(lane(&log, 1), Totals { committed: 7, delivered: 4, dead: 2, parked: 1, ..Totals::default() });
    let told: Vec<_> =
        told.borrow().iter().map(|c| (c.first_seq, c.fate, c.points, c.delivered_points)).collect();
    assert_eq!(told, [(1, Fate::Dead, 7, 4), (2, Fate::Parked, 1, 0), (3, Fate::Delivered, 2, 2)]);
    let stats = log.stats();
    assert_eq!((stats.delivered_points, stats.dead_points, stats.parked_points), (6, 2, 2));
}

#[test]
fn damage_is_counted_as_lost_when_its_window_ends_and_on_its_lane_when_nothing_is_left() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    commit_lanes(&log, 0..10, 500);
    let name = durability::segment_names(&disk)[0].clone();
    // The third frame's payload: a sector a commit.
    disk.tamper(&name, |bytes| bytes[3 * 4096 + 200] ^= 1);
    let (log, _) = open_with(&disk, config());
    let out = window(&log, frames(5));
    assert_eq!(tags(&out), [0, 1, 3, 4]);
    assert_eq!((log.stats().lost_points, log.totals().lost), (points(2..3), 0));
    log.complete(out, Fate::Delivered);
    assert_eq!(log.totals().lost, points(2..3));
    assert_eq!(log.totals().spooled(), points(5..10));
    let unknown = Totals { committed: 3, lost: 3, ..Totals::default() };
    assert_eq!(lane(&log, LaneKey::UNKNOWN.0), unknown);
    drain(&log, 100);
    assert_eq!(lane(&log, LaneKey::UNKNOWN.0), Totals::default());
    assert_eq!(lane(&log, 2).lost, 3);
    assert!(log.lanes().iter().all(|(_, sums)| sums.spooled() == 0));
}

#[test]
fn lanes_behind_the_newest_cursor_are_found_again_without_reading_the_backlog() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    commit_lanes(&log, 0..60, 900);
    // As the shard does: soon after a segment has begun.
    block_on(log.maintain()).unwrap();
    commit_lanes(&log, 60..62, 900);
    let cut = disk.after_power_cut(&mut Random(3));
    let segments = durability::segment_names(&cut).len() as u64;
    assert!(segments > 15);
    let (log, _) = open_with(&cut, config());
    for key in 0..5 {
        assert_eq!(lane(&log, key).committed, of_lane(key, 0..62), "lane {key}");
    }
    let (reads, bytes) = cut.read_so_far();
    assert!(reads <= segments + 8 && bytes <= segments * 4096 + 48 * 1024 + 32 * 1024, "{reads} {bytes}");
}

#[test]
fn more_lanes_than_fit_count_as_one_over_restarts() {
    let disk = MemoryDisk::default();
    let config = LogConfig { lane_of: |route| u64::from(route[0]) << 8 | u64::from(route[1]), ..small() };
    let (log, _) = open_with(&disk, config.clone());
    let of = |lane: u16| Block { route: Bytes::from(lane.to_be_bytes().to_vec()), ..block(6, 20) };
    for lane in 1..=100_u16 {
        block_on(log.commit(&[of(lane)])).unwrap();
    }
    let mut sent = 0;
    while sent < 90 {
        let next = window(&log, frames(90 - sent));
        sent += next.frames.len();
        log.complete(next, Fate::Delivered);
    }
    block_on(log.flush()).unwrap();
    for lane in 1..=100_u16 {
        block_on(log.commit(&[of(lane)])).unwrap();
    }
    let before = log.lanes();
    let (log, _) = open_with(&disk.after_power_cut(&mut Random(1)), config);
    assert_eq!(log.lanes(), before);
    assert_eq!(before.len(), LANES_MAX + 1);
    let (key, other) = before[LANES_MAX];
    assert_eq!((key, other.committed, other.delivered), (LaneKey::OTHER, 2 * 36 * 7, 26 * 7));
    drain(&log, 100);
    assert!(log.lanes().iter().all(|(_, sums)| sums.spooled() == 0));
}

/// Bytes of the frames before this one, of blocks of 3000 bytes.
fn bytes_before(seq: u64) -> u64 {
    (0..seq - 1).map(|tag| crate::spool::format::frame_bytes(&lane_block(tag, 3000)) as u64).sum()
}

/// A slot as version 1 wrote it: built from its documented offsets, not by today's code.
fn slot_v1(generation: u64, acked: (u64, u64, u64), floor: u64, spans: &[(u64, u64, u64, u64)]) -> Vec<u8> {
    let mut slot = vec![0; 4096];
    slot[..8].copy_from_slice(b"KITGCUR\n");
    slot[8] = 1;
    slot[12] = CATEGORY;
    slot[16..32].copy_from_slice(&ID);
    let mut put = |at: usize, value: u64| slot[at..at + 8].copy_from_slice(&value.to_le_bytes());
    for (index, value) in
        [generation, acked.0, acked.1, floor, acked.2, spans.len() as u64].into_iter().enumerate()
    {
        put(32 + 8 * index, value);
    }
    for (index, span) in spans.iter().enumerate() {
        for (field, value) in [span.0, span.1, span.2, span.3].into_iter().enumerate() {
            put(80 + 32 * index + 8 * field, value);
        }
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&slot[..76]), &slot[80..80 + 32 * spans.len()]);
    slot[76..80].copy_from_slice(&crc.to_le_bytes());
    slot
}

#[test]
fn a_directory_of_version_1_is_read_and_upgraded_and_its_sums_begin_there() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    commit_lanes(&log, 0..12, 3000);
    let place = |seq: u64| (seq, points(0..seq - 1), bytes_before(seq));
    // Acknowledged up to the fourth; a window of two is out, the two behind it are done, two more are out.
    let ends = [(6, 0), (8, 1), (10, 0)];
    let spans: Vec<_> =
        ends.iter().map(|(seq, done)| (*seq, points(0..seq - 1), bytes_before(*seq), *done)).collect();
    let mut old = vec![0; 4 * 4096];
    old[4096..8192].copy_from_slice(&slot_v1(5, place(4), 2, &spans));
    old[3 * 4096..].copy_from_slice(&slot_v1(7, place(4), 2, &spans));
    let disk = disk.after_kill();
    disk.tamper("cursor", |bytes| *bytes = old.clone());
    // And segments that say nothing of their age.
    for name in durability::segment_names(&disk) {
        disk.tamper(&name, |bytes| bytes[92..104].fill(0));
    }
    let left = points(3..5) + points(7..12);
    for upgraded in [false, true] {
        let (log, report) = open_with(&disk, config());
        assert_eq!((report.cursor_lost, report.windows, report.spooled_points), (false, 2, left));
        assert_eq!(log.totals(), Totals { committed: left, ..Totals::default() });
        assert_eq!(disk.contents("cursor").len(), if upgraded { 48 << 10 } else { 16 << 10 });
        block_on(log.flush()).unwrap();
    }
    let (log, _) = open_with(&disk, config());
    assert_eq!(drain(&log, 100), [3, 4, 7, 8, 9, 10, 11]);
    assert_eq!(log.totals(), Totals { committed: left, delivered: left, ..Totals::default() });
    for key in 0..5 {
        let expected = of_lane(key, (3..5).chain(7..12));
        assert_eq!(
            (lane(&log, key).committed, lane(&log, key).delivered),
            (expected, expected),
            "lane {key}"
        );
    }
}

#[test]
fn a_crash_at_every_operation_of_the_upgrade_loses_nothing() {
    let disk = MemoryDisk::default();
    commit_lanes(&open_with(&disk, config()).0, 0..6, 3000);
    let old = [slot_v1(1, (3, points(0..2), bytes_before(3)), 1, &[]), vec![0; 3 * 4096]].concat();
    disk.tamper("cursor", |bytes| *bytes = old.clone());
    for operations in 0..40 {
        for seed in 0..4 {
            let disk = disk.after_kill();
            disk.faults(|faults| faults.operations_left = Some(operations));
            let upgrade = async {
                let (log, _) = Log::open(disk.clone(), CATEGORY, ID, config()).await.ok()?;
                log.try_window(&frames(2)).await.ok()?
            };
            let _ = block_on(upgrade);
            let after = if seed == 0 { disk.after_kill() } else { disk.after_power_cut(&mut Random(seed)) };
            let (log, report) = open_with(&after, config());
            assert!(!report.cursor_lost);
            assert_eq!(log.totals().committed, points(2..6));
            assert_eq!(drain(&log, 2), [2, 3, 4, 5]);
        }
    }
}

#[test]
fn version_1_sees_that_this_cursor_is_newer_wherever_it_looks() {
    // It read one sector at four places, and checked the first CRC before the version.
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    commit_lanes(&log, 0..3, 100);
    let bytes = disk.contents("cursor");
    let seen = [0, 4096, 8192, 12_288].map(|at| {
        let slot = &bytes[at..at + 4096];
        let word = |at: usize| u32::from_le_bytes(slot[at..at + 4].try_into().unwrap());
        &slot[..8] == b"KITGCUR\n" && word(72) == 0 && word(76) == crc32c::crc32c(&slot[..76]) && word(8) == 3
    });
    assert_eq!(seen, [true, false, false, true]);
}

#[test]
fn a_slot_is_read_as_it_was_written_and_every_flipped_bit_is_noticed() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    commit_lanes(&log, 0..30, 100);
    log.complete(window(&log, frames(3)), Fate::Parked);
    let _out = window(&log, frames(3));
    log.complete(window(&log, frames(3)), Fate::Dead);
    log.defer();
    block_on(log.flush()).unwrap();
    let bytes = disk.contents("cursor");
    let newest =
        bytes.chunks(3 * 4096).filter_map(|slot| Cursor::decode(slot).ok()).max_by_key(|c| c.generation);
    let newest = newest.unwrap();
    assert_eq!(newest.spans.len(), 3);
    let mut slot = vec![0; 3 * 4096];
    assert_eq!(newest.encode(&mut slot), 4096);
    assert_eq!(Cursor::decode(&slot), Ok(newest));
    let used = 256 + 3 * 32 + 7 * 72;
    for bit in 0..used * 8 {
        let mut damaged = slot.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Cursor::decode(&damaged), Err(SlotError::Unreadable), "bit {bit}");
    }
    for length in [0, 8, 100, 4095] {
        assert_eq!(Cursor::decode(&slot[..length]), Err(SlotError::Unreadable));
    }
}

/// The CRC of a text and its own CRC behind it says nothing about the text.
#[test]
fn a_slot_torn_behind_its_head_is_no_state() {
    let disk = MemoryDisk::default();
    let (log, _) = open_with(&disk, config());
    let newest = || {
        let slots = disk.contents("cursor");
        let slots =
            slots.chunks(3 * 4096).filter_map(|slot| Some((Cursor::decode(slot).ok()?, slot.to_vec())));
        slots.max_by_key(|(cursor, _)| cursor.generation).unwrap()
    };
    commit_lanes(&log, 0..4, 100);
    let _out = window(&log, frames(2));
    block_on(log.flush()).unwrap();
    let (before, old) = newest();
    let _too = window(&log, frames(2));
    block_on(log.flush()).unwrap();
    let (_, new) = newest();
    for torn in 1..512 {
        let mixed = [&new[..torn], &old[torn..]].concat();
        let read = Cursor::decode(&mixed);
        // Either of them whole, or neither.
        let same = [&old, &new].iter().any(|whole| mixed[..1024] == whole[..1024]);
        assert_eq!(read.is_ok(), same, "torn at {torn}");
    }

    // As version 2 wrote it.
    let mut second = old.clone();
    second[8] = 2;
    let crc = crc32c::crc32c(&second[..76]);
    second[76..80].copy_from_slice(&crc.to_le_bytes());
    let end =
        256 + before.spans.len() * 32 + u32::from_le_bytes(old[204..208].try_into().unwrap()) as usize * 72;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&second[..252]), &second[256..end]);
    second[252..256].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Cursor::decode(&second), Ok(before));
}
