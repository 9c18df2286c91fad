//! What is put aside: fresh frames go on at once, windows are cut from the stretch aside, nothing is repackaged, and the
//! disk between does not fill up.

use super::*;
use crate::spool::file::memory::Random;
use crate::spool::{DEFERRED_MAX, FullState, WINDOWS_DEFERRED_MAX, WINDOWS_OPEN_MAX, WhenFull};

fn deferred(log: &Log<MemoryDisk>, limits: WindowLimits) -> Option<Window> {
    block_on(log.try_deferred_window(&limits)).unwrap()
}

fn drain_deferred(log: &Log<MemoryDisk>, frames_max: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(next) = deferred(log, frames(frames_max)) {
        all.extend(tags(&next));
        log.complete(next, Fate::Delivered);
    }
    all
}

#[test]
fn fresh_frames_go_first_and_from_memory_and_the_backlog_in_order() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..40, 900);
    let out = window(&log, frames(3));
    assert_eq!(log.defer(), points(3..40));
    assert_eq!(log.defer(), 0, "there is nothing more");
    let aside = log.deferred();
    assert_eq!((aside.frames, aside.points), (37, points(3..40)));
    assert_eq!(log.stats().deferred, aside);
    assert!(try_window(&log, ALL).is_none());
    let from_memory = log.stats().windows_from_memory;
    commit_each(&log, 40..42, 900);
    assert_eq!(tags(&window(&log, ALL)), [40, 41]);
    assert_eq!(log.stats().windows_from_memory, from_memory + 1);
    assert_eq!(drain_deferred(&log, 5), (3..40).collect::<Vec<_>>());
    log.complete(out, Fate::Delivered);
    assert_eq!(log.delivered_through(), 40);
    assert_eq!(log.deferred().frames, 0);
}

#[test]
fn what_lies_aside_stays_there_over_a_restart_and_its_windows_keep_their_boundaries() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..20, 900);
    log.defer();
    commit_each(&log, 20..30, 900);
    let fresh = window(&log, frames(2));
    let (first, second) = (deferred(&log, frames(3)).unwrap(), deferred(&log, frames(4)).unwrap());
    let bounds = |window: &Window| (window.first_seq, window.last_seq, window.replayed);
    for seed in 0..8 {
        let (log, report) = open(&disk.after_power_cut(&mut Random(seed)));
        assert_eq!(report.windows, 3);
        let aside = log.deferred();
        assert_eq!((aside.frames, aside.points), (20, points(0..20)));
        assert_eq!(bounds(&window(&log, ALL)), (fresh.first_seq, fresh.last_seq, true));
        assert_eq!(bounds(&deferred(&log, ALL).unwrap()), (first.first_seq, first.last_seq, true));
        assert_eq!(bounds(&deferred(&log, ALL).unwrap()), (second.first_seq, second.last_seq, true));
        assert_eq!(drain(&log, 4), (22..30).collect::<Vec<_>>());
        assert_eq!(drain_deferred(&log, 6), (7..20).collect::<Vec<_>>());
    }
}

#[test]
fn a_crash_at_every_operation_of_a_life_with_a_backlog_loses_and_repackages_nothing() {
    for operations in 0..150 {
        for seed in 0..4 {
            let disk = MemoryDisk::default();
            disk.faults(|armed| armed.operations_left = Some(operations));
            let mut acked = 0;
            let mut sent = Vec::new();
            let life = async {
                let (log, _) = Log::open(disk.clone(), CATEGORY, ID, small()).await.ok()?;
                for step in 0..12 {
                    log.commit(&[block(step, 2500)]).await.ok()?;
                    acked = step + 1;
                    if step % 4 == 3 {
                        log.defer();
                    } else if step > 4 {
                        for aside in [false, true] {
                            let taken = if aside {
                                log.try_deferred_window(&frames(2)).await
                            } else {
                                log.try_window(&frames(2)).await
                            };
                            let Some(window) = taken.ok()? else { continue };
                            sent.push((window.first_seq, window.last_seq));
                            log.complete(window, Fate::Delivered);
                        }
                        log.maintain().await.ok()?;
                    }
                }
                Some(())
            };
            let lived = block_on(life).is_some();
            assert!(operations < 149 || lived, "the life is longer than the test");
            let after = if seed == 0 { disk.after_kill() } else { disk.after_power_cut(&mut Random(seed)) };
            let (log, _) = open(&after);
            let totals = log.totals();
            assert_eq!(totals.gone(), totals.delivered);
            let mut seen: Vec<u64> = sent.iter().flat_map(|(first, last)| first - 1..*last).collect();
            while let Some(window) = deferred(&log, frames(3)).or_else(|| try_window(&log, frames(3))) {
                for (first, last) in &sent {
                    let apart = window.last_seq < *first || *last < window.first_seq;
                    assert!(apart || (window.first_seq, window.last_seq) == (*first, *last), "repackaged");
                }
                seen.extend(tags(&window));
                log.complete(window, Fate::Delivered);
            }
            for tag in 0..acked {
                assert!(seen.contains(&tag), "{tag} is lost after {operations} operations");
            }
            assert_eq!(log.totals().spooled(), 0);
        }
    }
}

#[test]
fn fresh_frames_that_are_delivered_leave_the_disk_behind_a_backlog() {
    let disk = MemoryDisk::default();
    let config = LogConfig { capacity_bytes: 128 << 10, ..small() };
    let (log, _) = open_with(&disk, config.clone());
    commit_each(&log, 0..9, 3000);
    log.defer();
    // Far more than the capacity goes by.
    for next in 9..200 {
        commit(&log, next..next + 1, 3000).unwrap();
        assert_eq!(drain(&log, 10), [next]);
    }
    assert_eq!(log.stats().full, FullState::Room);
    assert!(log.stats().disk_bytes <= 5 * (16 << 10), "{:?}", log.stats());
    for seed in 0..8 {
        let (log, report) = open_with(&disk.after_power_cut(&mut Random(seed)), config.clone());
        assert_eq!(report.spooled_frames, 9);
        assert_eq!(log.totals().delivered, points(9..200));
        commit(&log, 200..201, 3000).unwrap();
        assert_eq!(drain(&log, 10), [200]);
        assert_eq!(drain_deferred(&log, 2), (0..9).collect::<Vec<_>>());
        assert_eq!(log.stats().lost_frames, 0);
    }
    assert_eq!(drain_deferred(&log, 2), (0..9).collect::<Vec<_>>());
}

#[test]
fn stretches_and_their_windows_are_bounded_and_leave_room_for_what_is_fresh() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    let mut next = 0;
    let mut out = Vec::new();
    for _ in 0..DEFERRED_MAX + 3 {
        commit(&log, next..next + 4, 20).unwrap();
        out.push(window(&log, frames(1)));
        log.defer();
        next += 4;
    }
    let aside = log.deferred().frames;
    assert_eq!(aside, 3 * DEFERRED_MAX as u64, "the ninth finds no place and stays where it is");
    let mut backlog: Vec<Window> = std::iter::from_fn(|| deferred(&log, frames(1))).collect();
    assert_eq!(backlog.len(), WINDOWS_DEFERRED_MAX.min(aside as usize));
    let open = WINDOWS_OPEN_MAX - out.len() - backlog.len();
    commit(&log, next..next + 60, 20).unwrap();
    let fresh: Vec<Window> = std::iter::from_fn(|| try_window(&log, frames(1))).collect();
    assert_eq!(fresh.len(), open);
    // The most spans there can be fit the journal.
    for window in fresh.into_iter().step_by(2).chain(backlog.drain(..).step_by(2)) {
        log.complete(window, Fate::Delivered);
    }
    block_on(log.flush()).unwrap();
    let (log, _) = open_with(&disk.after_kill(), small());
    let left = log.stats().spooled_frames;
    assert_eq!((drain(&log, 1).len() + drain_deferred(&log, 1).len()) as u64, left);
    assert_eq!(log.stats().spooled_points, 0);
}

#[test]
fn room_is_made_from_what_lies_aside_first() {
    let disk = MemoryDisk::default();
    let config = LogConfig { capacity_bytes: 64 << 10, when_full: WhenFull::EvictOldest, ..small() };
    let (log, _) = open_with(&disk, config.clone());
    commit_each(&log, 0..6, 3000);
    log.defer();
    let out = deferred(&log, frames(1)).unwrap();
    commit_each(&log, 6..13, 3000);
    // The first segment went, but for the window that is out; the second stays whole.
    assert_eq!(log.totals().evicted, points(1..3));
    assert_eq!((log.deferred().frames, log.deferred().points), (3, points(3..6)));
    log.complete(out, Fate::Delivered);
    block_on(log.flush()).unwrap();
    let (log, _) = open_with(&disk.after_power_cut(&mut Random(1)), config);
    assert_eq!(drain(&log, 100), (6..13).collect::<Vec<_>>());
    assert_eq!(drain_deferred(&log, 100), [3, 4, 5]);
    assert_eq!((log.totals().evicted, log.totals().lost), (points(1..3), 0));
}

#[test]
fn a_waiting_taker_of_the_backlog_is_woken() {
    let disk = MemoryDisk::default();
    let (log, _) = open(&disk);
    commit_each(&log, 0..5, 100);
    let seen = std::cell::RefCell::new(Vec::new());
    let taker = async {
        while let Some(next) = log.next_deferred_window(&frames(2)).await.unwrap() {
            seen.borrow_mut().extend(tags(&next));
            log.complete(next, Fate::Delivered);
        }
    };
    let deferrer = async {
        crate::spool::file::memory::pend(100).await;
        log.defer();
        while log.delivered_through() < 5 {
            log.delivery_changed().await;
        }
        log.close();
    };
    let tasks: Vec<executor::Task> = vec![Box::pin(taker), Box::pin(deferrer)];
    let ending = executor::interleave(tasks, &mut Random(1), 10_000, || log.closed.get());
    assert_eq!(ending, executor::Ending::Stopped);
    assert_eq!(*seen.borrow(), [0, 1, 2, 3, 4]);
}
