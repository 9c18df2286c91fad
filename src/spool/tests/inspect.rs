//! A look from outside sees what the log itself would find, a repair keeps every good frame under its number, and no file
//! makes the inspection fall over.

use super::*;
use crate::spool::OpenError;
use crate::spool::file::memory::Random;
use crate::spool::inspect::{DamageKind, Export, Found, LogView, Quarantine, SegmentCheck, Stand};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

/// The files of a disk, as files.
fn spread(disk: &MemoryDisk, dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for name in disk.names() {
        std::fs::write(dir.join(&name), disk.contents(&name)).unwrap();
    }
}

/// And back.
fn gather(dir: &Path) -> MemoryDisk {
    let disk = MemoryDisk::default();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        disk.plant(entry.file_name().to_str().unwrap(), &std::fs::read(entry.path()).unwrap());
    }
    disk
}

fn check_all(view: &LogView) -> SegmentCheck {
    let mut all = SegmentCheck::default();
    if let Some(damage) = view.front_gap().unwrap() {
        all.lost.add(damage.lost);
        all.damages.push(damage);
    }
    for segment in &view.segments {
        let one = view.check(segment, false).unwrap();
        all.whole.add(one.whole);
        all.spooled.add(one.spooled);
        all.lost.add(one.lost);
        all.missing.add(one.missing);
        all.damages_count += one.damages_count;
        all.damages.extend(one.damages);
        all.tail = one.tail;
    }
    all
}

/// What the log itself delivers and what it says is lost: tags, frames, points.
fn delivered_and_lost(disk: &MemoryDisk) -> (Vec<u64>, u64, u64) {
    let (log, _) = open(disk);
    let lost: Rc<RefCell<(u64, u64)>> = Rc::default();
    let ear = lost.clone();
    log.observe(Box::new(move |completion| {
        if completion.fate == Fate::Lost {
            let mut lost = ear.borrow_mut();
            *lost = (lost.0 + completion.last_seq - completion.first_seq + 1, lost.1 + completion.points);
        }
    }));
    let tags = drain(&log, 3);
    let (frames, points) = *lost.borrow();
    (tags, frames, points)
}

/// Several segments, some of it delivered, one window out.
fn busy_log() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    for tag in 0..10 {
        commit(&log, tag * 3..tag * 3 + 3, 900).unwrap();
    }
    for _ in 0..2 {
        let next = window(&log, frames(2));
        log.complete(next, Fate::Delivered);
    }
    let _out = window(&log, frames(2));
    let done = window(&log, frames(2));
    log.complete(done, Fate::Delivered);
    block_on(log.flush()).unwrap();
    disk.after_kill()
}

#[test]
fn a_whole_log_is_seen_as_it_is() {
    let disk = busy_log();
    let dir = tempfile::tempdir().unwrap();
    spread(&disk, dir.path());
    let (log, _) = open(&disk.after_kill());
    let stats = log.stats();
    let view = LogView::open(dir.path(), CATEGORY).unwrap();
    assert_eq!(view.id, Some(*log.id()));
    let sums = view.not_done(view.acked(), view.end().unwrap());
    assert_eq!(
        (sums.frames, sums.points, sums.bytes),
        (stats.spooled_frames, stats.spooled_points, stats.spooled_bytes)
    );
    let all = check_all(&view);
    assert_eq!((all.damages_count, all.tail), (0, None));
    assert_eq!(all.spooled, sums);
    assert_eq!(view.oldest_ms().unwrap(), Some(1_000_004));
    assert_eq!(
        [3, 5, 7, 9, 30].map(|seq| view.stand(seq)),
        [Stand::Done, Stand::Out, Stand::Done, Stand::Waiting, Stand::Waiting]
    );
}

#[test]
fn damage_is_seen_as_the_log_itself_will_find_it_and_a_repair_keeps_every_good_frame() {
    let clean = busy_log();
    let names = durability::segment_names(&clean);
    let (mut random, dir, away) = (Random(11), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut repaired = 0;
    for round in 0..200 {
        let damaged = clean.after_kill();
        for _ in 0..=random.below(3) {
            let name = &names[random.below(names.len() as u64) as usize];
            let len = damaged.contents(name).len() as u64;
            let (at, kind) = (random.below(len) as usize, random.below(5));
            damaged.tamper(name, |bytes| match kind {
                0 => bytes[at] ^= 0x10,
                1 => {
                    let end = bytes.len().min(at + 4096);
                    bytes[at..end].fill(0);
                }
                2 if at > 4096 => bytes.truncate(at),
                3 => bytes[..4096].fill(0xee),
                _ => {
                    let end = bytes.len().min(at + 600);
                    bytes[at..end].fill(0xff);
                }
            });
        }
        spread(&damaged, dir.path());
        let view = LogView::open(dir.path(), CATEGORY).unwrap();
        let seen = check_all(&view);
        let (tags, lost_frames, lost_points) = delivered_and_lost(&damaged.after_kill());
        assert_eq!(
            (seen.spooled.frames, seen.lost.frames, seen.lost.points),
            (tags.len() as u64, lost_frames, lost_points),
            "round {round}: {seen:?}"
        );

        // Front to back: each segment that is mended may move what is known of the next.
        let quarantine = Quarantine { dir: away.path().join(round.to_string()) };
        let mut steps = 0;
        loop {
            let view = LogView::open(dir.path(), CATEGORY).unwrap();
            let bad = view.segments.iter().find(|one| view.check(one, false).unwrap().damages_count > 0);
            let Some(bad) = bad else { break };
            let mended = quarantine.mend(&view, bad).unwrap();
            assert!(mended.quarantined.exists());
            repaired += 1;
            steps += 1;
            assert!(steps <= 2 * names.len(), "round {round}: repair does not end");
        }
        let (after, _, lost_after) = delivered_and_lost(&gather(dir.path()));
        assert_eq!(after, tags, "round {round}");
        assert_eq!(lost_after, lost_points, "round {round}: what is lost stays counted");
    }
    assert!(repaired > 150, "{repaired}");
}

#[test]
fn a_repair_that_is_cut_off_is_done_again() {
    let disk = busy_log();
    let name = durability::segment_names(&disk)[1].clone();
    disk.tamper(&name, |bytes| bytes[4096 + 100] ^= 1);
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    spread(&disk, dir.path());
    // As a crash between the copy and the rename leaves it.
    std::fs::write(away.path().join(&name), disk.contents(&name)).unwrap();
    std::fs::write(dir.path().join(name.replace("segment", "unfinished")), b"half").unwrap();
    let view = LogView::open(dir.path(), CATEGORY).unwrap();
    let bad = view.segments.iter().find(|one| one.name == name).unwrap();
    assert_eq!(view.check(bad, false).unwrap().damages[0].kind, DamageKind::Payload);
    let quarantine = Quarantine { dir: away.path().to_path_buf() };
    let mended = quarantine.mend(&view, bad).unwrap();
    assert_eq!(mended.quarantined, away.path().join(&name));
    assert_eq!(std::fs::read_dir(away.path()).unwrap().count(), 1, "the copy was there");
    let again = LogView::open(dir.path(), CATEGORY).unwrap();
    let check = check_all(&again);
    assert_eq!((check.damages_count, check.missing.frames), (0, 1));
}

#[test]
fn what_a_later_version_wrote_is_refused() {
    let disk = busy_log();
    let name = durability::segment_names(&disk)[1].clone();
    disk.tamper(&name, |bytes| {
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..88]);
        bytes[88..92].copy_from_slice(&crc.to_le_bytes());
    });
    let dir = tempfile::tempdir().unwrap();
    spread(&disk, dir.path());
    let refused = LogView::open(dir.path(), CATEGORY).unwrap_err();
    assert!(matches!(&refused, OpenError::Newer { file, version: 9 } if *file == name), "{refused}");
}

#[test]
fn exported_frames_are_a_segment() {
    let disk = busy_log();
    let dir = tempfile::tempdir().unwrap();
    spread(&disk, dir.path());
    let view = LogView::open(dir.path(), CATEGORY).unwrap();
    let file = dir.path().join("frames");
    let mut export = Export::new(std::fs::File::create(&file).unwrap(), CATEGORY, view.id);
    let mut blocks = Vec::new();
    for segment in &view.segments {
        let mut walk = view.walk(segment, true).unwrap();
        while let Some(found) = walk.next_found().unwrap() {
            let Found::Frame(frame) = found else { panic!("{found:?}") };
            blocks.extend(walk.block(&frame).unwrap());
            export.frame(&frame.header, walk.bytes(&frame).unwrap().unwrap()).unwrap();
        }
    }
    export.finish().unwrap();
    let read = LogView::of_file(&file).unwrap();
    let mut walk = read.walk(&read.segments[0], true).unwrap();
    let mut got = Vec::new();
    while let Some(Found::Frame(frame)) = walk.next_found().unwrap() {
        assert!(frame.is_whole);
        got.extend(walk.block(&frame).unwrap());
    }
    let key = |blocks: &[Block]| blocks.iter().map(|block| (tag(block), block.points)).collect::<Vec<_>>();
    assert!(got.len() > 20);
    assert_eq!(key(&got), key(&blocks));
    assert_eq!(got[0].route, blocks[0].route);
}

/// Everything an inspection does with a file, on `bytes`.
fn inspect_file(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let Ok(view) = LogView::of_file(path) else { return };
    for segment in &view.segments {
        let _ = view.check(segment, false);
        let _ = view.check(segment, true);
        let Ok(mut walk) = view.walk(segment, true) else { continue };
        while let Ok(Some(found)) = walk.next_found() {
            if let Found::Frame(frame) = found
                && frame.header.frame_bytes() < 1 << 20
            {
                let _ = walk.block(&frame);
            }
        }
    }
    let _ = (view.end(), view.oldest_ms());
}

#[test]
fn b15_hostile_segments_neither_crash_nor_grow_an_inspection() {
    let disk = busy_log();
    let clean = disk.contents(&durability::segment_names(&disk)[1]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment-0000000000000002");
    let mut random = Random(5);
    for round in 0..600 {
        let mut bytes = clean.clone();
        for _ in 0..1 + random.below(12) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.draw() as u8,
                1 => bytes.truncate(at.max(1)),
                // Frames in odd places, and lengths that lie.
                2 => {
                    let from = 4096 + random.below(8) as usize * 8;
                    let end = bytes.len().min(from + 88);
                    let piece = bytes.get(from.min(end)..end).unwrap_or(&[]).to_vec();
                    let to = (at - at % 8).min(bytes.len().saturating_sub(piece.len()));
                    bytes[to..to + piece.len()].copy_from_slice(&piece);
                }
                _ => {
                    let end = bytes.len().min(at + 4);
                    bytes[at..end].fill(0xff);
                }
            }
        }
        // Half of them with checksums that hold again: whoever makes a file up can do sums.
        if round % 2 == 0 {
            resign(&mut bytes);
        }
        inspect_file(&path, &bytes);
    }
    for len in [0usize, 1, 80, 4095, 4096, 4176, 20_000] {
        let noise: Vec<u8> = (0..len).map(|_| random.draw() as u8).collect();
        inspect_file(&path, &noise);
    }
    // A frame that says it is as long as a frame may be, in a sparse file that is: nothing is taken into memory.
    let before = peak_kib();
    let mut bytes = clean;
    bytes[4096 + 64..4096 + 68].copy_from_slice(&(900u32 << 20).to_le_bytes());
    resign(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    let view = LogView::of_file(&path).unwrap();
    let check = view.check(&view.segments[0], false).unwrap();
    assert_eq!(check.whole.frames, 0, "{check:?}");
    assert!(peak_kib() - before < 256 << 10, "it took {} KiB", peak_kib() - before);
}

/// Makes the checksums of all headers hold, whatever they say.
fn resign(bytes: &mut [u8]) {
    if bytes.len() > 92 {
        let crc = crc32c::crc32c(&bytes[..88]);
        bytes[88..92].copy_from_slice(&crc.to_le_bytes());
    }
    for at in (4096..bytes.len().saturating_sub(80)).step_by(8) {
        if &bytes[at..at + 4] == b"KGF1" {
            let route = usize::from(u16::from_le_bytes([bytes[at + 68], bytes[at + 69]]));
            let Some(route) = bytes.get(at + 80..at + 80 + route) else { continue };
            let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[at..at + 76]), route);
            bytes[at + 76..at + 80].copy_from_slice(&crc.to_le_bytes());
        }
    }
}

/// The most memory that this process has had. Other tests grow it too: only a jump says anything.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
