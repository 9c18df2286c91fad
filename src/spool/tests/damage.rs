//! Damage stays where it is: a byte costs a frame, which is counted and named, and the rest goes out.

use super::*;
use crate::spool::file::Disk;
use crate::spool::file::memory::Random;
use crate::spool::{Completion, OpenError};
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

/// Ten frames of 500 bytes, five in each of two commits, in one segment; the newest log of it.
fn ten() -> (MemoryDisk, String) {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit(&log, 0..5, 500).unwrap();
    commit(&log, 5..10, 500).unwrap();
    let name = durability::segment_names(&disk)[0].clone();
    (disk, name)
}

#[test]
fn one_flipped_bit_anywhere_costs_at_most_one_frame() {
    let (disk, name) = ten();
    let mut random = Random(1);
    let used = 4096 + 2 * 4096;
    for _ in 0..1500 {
        let (at, bit) = (random.below(used) as usize, random.below(8));
        let damaged = disk.after_kill();
        damaged.tamper(&name, |bytes| bytes[at] ^= 1 << bit);
        let (log, report) = open(&damaged);
        let lost: Rc<RefCell<Vec<Completion>>> = Rc::default();
        let ear = lost.clone();
        log.observe(Box::new(move |completion| {
            if completion.fate == Fate::Lost {
                ear.borrow_mut().push(completion);
            }
        }));
        let got = drain(&log, 100);
        assert!(got.len() >= 9, "byte {at} bit {bit}: {got:?}");
        let missing: Vec<u64> = (0..10).filter(|tag| !got.contains(tag)).collect();
        // The last frame cannot be told from the torn end of a commit; any other is named.
        if let Some(missing) = missing.first().filter(|missing| **missing != 9) {
            assert_eq!(lost.borrow().len(), 1);
            let lost = lost.borrow()[0];
            assert_eq!((lost.first_seq, lost.last_seq), (missing + 1, missing + 1));
            assert_eq!(lost.points, points(*missing..missing + 1));
            assert_eq!(log.stats().lost_points, lost.points);
        } else {
            assert!(lost.borrow().is_empty());
        }
        assert_eq!(log.stats().spooled_points, 0);
        assert_eq!(report.spooled_points, log.stats().delivered_points + log.stats().lost_points);
    }
}

#[test]
fn four_kilobytes_of_rubbish_cost_the_frames_they_hit() {
    let (disk, name) = ten();
    for at in (0..12 << 10).step_by(4096) {
        for rubbish in [0u8, 0xff] {
            let damaged = disk.after_kill();
            damaged.tamper(&name, |bytes| bytes[at..at + 4096].fill(rubbish));
            let (log, _) = open(&damaged);
            let got = drain(&log, 100);
            let expected: Vec<u64> = match at {
                0 => (0..10).collect(),
                4096 => (5..10).collect(),
                _ => (0..5).collect(),
            };
            assert_eq!(got, expected, "at {at}");
        }
    }
}

#[test]
fn a_damaged_segment_in_the_middle_is_met_when_it_is_delivered() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..12, 3000);
    let names = durability::segment_names(&disk);
    assert_eq!(names.len(), 4);
    // Header and all.
    disk.tamper(&names[1], |bytes| bytes.fill(0x55));
    let (log, report) = open(&disk);
    assert_eq!(report.spooled_points, points(0..12), "nobody has looked inside");
    assert_eq!(drain(&log, 2), [0, 1, 2, 6, 7, 8, 9, 10, 11]);
    let stats = log.stats();
    assert_eq!((stats.lost_frames, stats.lost_points), (3, points(3..6)));
    assert_eq!(stats.spooled_points, 0);
}

#[test]
fn a_missing_segment_is_counted_and_passed_over() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..12, 3000);
    let names = durability::segment_names(&disk);
    block_on(crate::spool::file::Disk::remove(&disk, &names[2])).unwrap();
    let (other, _) = open(&disk.after_kill());
    assert_eq!(drain(&other, 100), [0, 1, 2, 3, 4, 5, 9, 10, 11]);
    assert_eq!(other.stats().lost_points, points(6..9));
    // The same while it runs.
    assert_eq!(drain(&log, 100), [0, 1, 2, 3, 4, 5, 9, 10, 11]);
}

#[test]
fn a_truncated_segment_gives_its_readable_part() {
    let (disk, name) = ten();
    for len in [0, 1, 4095, 4096, 5000, 8192, 8193, 9000] {
        let cut = disk.after_kill();
        cut.tamper(&name, |bytes| bytes.truncate(len));
        let (log, _) = open(&cut);
        let got = drain(&log, 100);
        assert_eq!(got, (0..got.len() as u64).collect::<Vec<_>>());
        assert_eq!(got.len() >= 5, len >= 8192, "cut at {len}: {got:?}");
        commit(&log, 20..21, 100).unwrap();
        assert_eq!(drain(&log, 100), [20]);
    }
}

#[test]
fn a_lost_or_damaged_cursor_costs_duplicates_and_never_data() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..12, 3000);
    for _ in 0..3 {
        log.complete(window(&log, frames(2)), Fate::Delivered);
    }
    block_on(log.flush()).unwrap();
    let clean = disk.contents("cursor");
    let forms: Vec<Vec<u8>> =
        vec![Vec::new(), clean[..5000].to_vec(), vec![0; clean.len()], vec![0xa5; clean.len()]];
    for form in forms {
        let damaged = disk.after_kill();
        damaged.tamper("cursor", |bytes| *bytes = form.clone());
        let (log, _) = open(&damaged);
        let got = drain(&log, 100);
        assert!(got.ends_with(&[6, 7, 8, 9, 10, 11]), "{got:?}");
        assert_eq!(log.stats().lost_frames, 0);
    }
    // One bit: an older slot takes over.
    let mut random = Random(3);
    for _ in 0..300 {
        let damaged = disk.after_kill();
        let at = random.below(clean.len() as u64) as usize;
        damaged.tamper("cursor", |bytes| bytes[at] ^= 0x10);
        let (log, report) = open(&damaged);
        assert!(!report.cursor_lost);
        assert!(drain(&log, 100).ends_with(&[6, 7, 8, 9, 10, 11]));
        assert_eq!(log.stats().lost_frames, 0);
    }
}

#[test]
fn foreign_files_are_left_alone_and_named() {
    let (disk, name) = ten();
    disk.plant("core.1234", b"whatever");
    disk.plant("segment-000000000000zzzz", b"whatever");
    // A segment of another log: of the same shape, another identity.
    let other = MemoryDisk::default();
    let (log, _) = block_on(Log::open(other.clone(), CATEGORY, [9; 16], small())).unwrap();
    commit(&log, 90..95, 500).unwrap();
    disk.plant("segment-00000000000000aa", &other.contents(&name));
    let (log, report) = open(&disk);
    assert_eq!(report.ignored, ["core.1234", "segment-000000000000zzzz", "segment-00000000000000aa"]);
    assert_eq!(drain(&log, 100), (0..10).collect::<Vec<_>>());
    for foreign in report.ignored {
        assert!(disk.names().contains(&foreign));
    }
}

#[test]
fn a_later_versions_files_are_refused_and_untouched() {
    let (disk, name) = ten();
    let newer = |bytes: &mut Vec<u8>, body: usize| {
        bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..body]);
        bytes[body..body + 4].copy_from_slice(&crc.to_le_bytes());
    };
    disk.tamper(&name, |bytes| newer(bytes, 88));
    let before = (disk.names(), disk.contents(&name));
    let refused = block_on(Log::open(disk.clone(), CATEGORY, ID, small())).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { version: 2, .. }), "{refused}");
    assert!(refused.to_string().contains("later version"));
    assert_eq!((disk.names(), disk.contents(&name)), before);
}

#[test]
fn hostile_segments_never_panic() {
    // Real segments, mangled: bytes changed, blocks moved, lengths cut, whole sectors from elsewhere.
    let base = MemoryDisk::default();
    let (log, _) = open(&base);
    commit_each(&log, 0..9, 3000);
    commit(&log, 9..30, 100).unwrap();
    log.complete(window(&log, frames(2)), Fate::Delivered);
    let _out = window(&log, frames(2));
    let names = base.names();
    for seed in 0..600 {
        let mut random = Random(seed);
        let disk = base.after_kill();
        for _ in 0..1 + random.below(6) {
            let name = &names[random.below(names.len() as u64) as usize];
            let mut bytes = disk.contents(name);
            let len = bytes.len() as u64;
            match random.below(5) {
                _ if len == 0 => {}
                0 => bytes.truncate(random.below(len) as usize),
                1 => {
                    let at = random.below(len) as usize;
                    bytes[at] = random.draw() as u8;
                }
                2 => {
                    let (from, to) = (random.below(len) as usize, random.below(len) as usize);
                    let count = (random.below(9000) as usize).min(bytes.len() - from.max(to));
                    bytes.copy_within(from..from + count, to);
                }
                3 => {
                    let at = random.below(len) as usize;
                    let other = disk.contents(&names[random.below(names.len() as u64) as usize]);
                    let count = other.len().min(bytes.len() - at).min(8192);
                    bytes[at..at + count].copy_from_slice(&other[..count]);
                }
                _ => {
                    let at = (random.below(len) / 8 * 8) as usize;
                    let count = 8.min(bytes.len() - at);
                    bytes[at..at + count].copy_from_slice(&random.draw().to_le_bytes()[..count]);
                }
            }
            disk.tamper(name, |contents| *contents = bytes.clone());
        }
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let (log, _) = block_on(Log::open(disk.clone(), CATEGORY, ID, small())).ok()?;
            let got = drain(&log, 3);
            assert!(got.iter().all(|tag| *tag < 30));
            commit(&log, 40..41, 100).unwrap();
            assert_eq!(drain(&log, 3).last(), Some(&40));
            assert_eq!(log.stats().spooled_points, 0);
            Some(())
        }));
        if let Err(panic) = opened {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_segment_without_its_header_is_read_and_so_is_one_whose_frames_do_not_say_of_which_they_are() {
    let (disk, name) = ten();
    disk.tamper(&name, |bytes| bytes[..4096].fill(0));
    let (log, report) = open(&disk.after_kill());
    assert_eq!((drain(&log, 3), report.segments_salvaged), ((0..10).collect::<Vec<_>>(), 1));
    // As earlier builds wrote them.
    disk.tamper(&name, |bytes| {
        for at in (0..bytes.len() - 80)
            .step_by(8)
            .filter(|at| bytes[*at..].starts_with(b"KGF1"))
            .collect::<Vec<_>>()
        {
            assert_eq!(bytes[at + 70..at + 72], [2, 0]);
            bytes[at + 70] = 0;
            let route = usize::from(bytes[at + 68]);
            let crc =
                crc32c::crc32c_append(crc32c::crc32c(&bytes[at..at + 76]), &bytes[at + 80..at + 80 + route]);
            bytes[at + 76..at + 80].copy_from_slice(&crc.to_le_bytes());
        }
    });
    let (log, report) = open(&disk);
    assert_eq!((drain(&log, 3), report.segments_salvaged), ((0..10).collect::<Vec<_>>(), 1));
}

#[test]
fn what_a_lost_segment_left_in_a_spare_is_not_taken_for_the_segment_that_it_becomes() {
    let ready = MemoryDisk::default();
    let (log, _) = open(&ready);
    commit_each(&log, 0..12, 3000);
    assert_eq!(drain(&log, 100), (0..12).collect::<Vec<_>>());
    drop(log);
    let spares: Vec<String> = ready.names().into_iter().filter(|name| name.starts_with("spare-")).collect();
    let [first, second] = spares.as_slice() else { panic!("{spares:?}") };
    // The second becomes a segment, and a power cut takes its name back, its header, and not its frame.
    let lost = ready.after_kill();
    block_on(lost.remove(first)).unwrap();
    commit(&open(&lost).0, 12..13, 3000).unwrap();
    let name = durability::segment_names(&lost).pop().unwrap();
    let mut left = lost.contents(&name);
    left[..4096].fill(0);
    assert!(!lost.names().contains(second), "it is the one that was used");
    ready.tamper(second, |bytes| bytes.clone_from(&left));
    // Its number is given again, to a frame in the first spare; and some time the second is a segment without a header.
    let (mut operations, mut survived) = (0, false);
    while !survived {
        let disk = ready.after_kill();
        let (log, _) = open(&disk);
        disk.faults(|faults| faults.operations_left = Some(operations));
        let acked: Vec<u64> = (20..30).take_while(|tag| commit(&log, *tag..tag + 1, 3000).is_ok()).collect();
        survived = acked.len() == 10;
        drop(log);
        let (log, _) = open(&disk.after_kill());
        let got = drain(&log, 100);
        assert!(
            got.starts_with(&acked),
            "{got:?}, acknowledged {acked:?}, died after {operations} operations"
        );
        assert_eq!((log.stats().lost_frames, log.totals().lost), (0, 0));
        operations += 1;
    }
    assert!(operations > 20, "{operations} operations");
}

#[test]
fn frames_of_a_failed_commit_are_not_taken_for_those_of_the_next_life_of_their_file() {
    let disk = MemoryDisk::default();
    let config = LogConfig { spares_max: 0, ..small() };
    let (log, _) = open_with(&disk, config.clone());
    commit(&log, 0..1, 3000).unwrap();
    disk.faults(|faults| faults.syncs_failing = 2);
    commit(&log, 50..53, 500).unwrap_err();
    // Their numbers go to others, in another segment.
    commit_each(&log, 1..4, 3000);
    block_on(log.maintain()).unwrap();
    drop(log);
    let disk = disk.after_kill();
    let old = durability::segment_names(&disk).remove(0);
    let before = disk.contents(&old);
    let (log, _) = open_with(&disk, config.clone());
    for tag in 0..2 {
        let out = window(&log, frames(1));
        assert_eq!(tags(&out), [tag]);
        log.complete(out, Fate::Delivered);
    }
    block_on(log.flush()).unwrap();
    // The delivered file becomes the next segment, and only the beginning of its header gets there.
    commit(&log, 60..61, 3000).unwrap();
    assert_eq!(log.stats().segments_reused, 1);
    let torn = disk.after_kill();
    let name = durability::segment_names(&torn).pop().unwrap();
    torn.tamper(&name, |bytes| bytes[60..].copy_from_slice(&before[60..]));
    let (log, report) = open_with(&torn, config);
    assert_eq!((drain(&log, 100), log.stats().lost_frames), (vec![2, 3], 0));
    assert_eq!(report.segments_salvaged, 0);
}
