//! The machine dies between any two operations of the disk: every one of them, for lives that are short enough for that.
//! `simulation` has the long ones.

use super::books::{Books, lane_block, lane_of, watch};
use super::*;
use crate::spool::file::memory::Random;
use std::cell::RefCell;
use std::rc::Rc;

/// One commit, one window, its completion, a second commit, a roll; what is acknowledged is noted.
async fn short_life(disk: &MemoryDisk, config: &LogConfig, books: &RefCell<Books>) -> Option<()> {
    let (log, _) = Log::open(disk.clone(), CATEGORY, ID, config.clone()).await.ok()?;
    for step in 0..8 {
        books.borrow_mut().attempted.insert(step);
        let range = log.commit(&[lane_block(step, 2500)]).await.ok()?;
        books.borrow_mut().acked.insert(range.start, step);
        if step % 2 == 1 {
            let window = log.try_window(&frames(2)).await.ok()??;
            books.borrow_mut().sent(&window);
            log.complete(window, Fate::Delivered);
            log.maintain().await.ok()?;
        }
    }
    Some(())
}

/// Everything that was acknowledged comes out, as it was, and the sums say so.
fn check(disk: &MemoryDisk, config: &LogConfig, books: &Rc<RefCell<Books>>, died_after: u64) {
    let (log, report) = open_with(disk, config.clone());
    assert_eq!(log.totals().spooled(), report.spooled_points);
    watch(&log, books);
    while let Some(window) = try_window(&log, ALL) {
        books.borrow_mut().sent(&window);
        log.complete(window, Fate::Delivered);
    }
    let totals = log.totals();
    assert_eq!((totals.committed, totals.spooled()), (totals.delivered + totals.lost, 0));
    assert!(log.lanes().iter().all(|(_, sums)| sums.spooled() == 0));
    let books = books.borrow();
    for tag in books.acked.values() {
        assert!(books.seq_of.contains_key(tag), "{tag} is lost after {died_after} operations");
    }
}

#[test]
fn a_crash_at_every_operation_of_a_short_life() {
    let config = LogConfig { lane_of, ..small() };
    for operations in 0..140 {
        // A kill, and power cuts with what was written since the last sync old, new or torn, in any order.
        for cut in 0..6 {
            let disk = MemoryDisk::default();
            disk.faults(|armed| armed.operations_left = Some(operations));
            let books = Rc::new(RefCell::new(Books::default()));
            let lived = block_on(short_life(&disk, &config, &books));
            assert!(operations < 139 || lived.is_some(), "the life is longer than the test");
            let after = if cut == 0 { disk.after_kill() } else { disk.after_power_cut(&mut Random(cut)) };
            check(&after, &config, &books, operations);
        }
    }
}

#[test]
fn a_crash_at_every_two_operations_of_two_lives() {
    let config = LogConfig { lane_of, ..small() };
    for first in (0..90).step_by(3) {
        for second in 0..70 {
            let mut random = Random(first * 1000 + second);
            let disk = MemoryDisk::default();
            disk.faults(|armed| armed.operations_left = Some(first));
            let books = Rc::new(RefCell::new(Books::default()));
            let _ = block_on(short_life(&disk, &config, &books));
            let disk = if random.chance(2) { disk.after_kill() } else { disk.after_power_cut(&mut random) };
            disk.faults(|armed| armed.operations_left = Some(second));
            let _ = block_on(async {
                let (log, _) = Log::open(disk.clone(), CATEGORY, ID, config.clone()).await.ok()?;
                watch(&log, &books);
                for tag in 10..16 {
                    books.borrow_mut().attempted.insert(tag);
                    let range = log.commit(&[lane_block(tag, 2500)]).await.ok()?;
                    books.borrow_mut().acked.insert(range.start, tag);
                    if tag == 12 {
                        log.defer();
                    }
                    let window = log.try_window(&frames(3)).await.ok()?;
                    if let Some(window) = window {
                        books.borrow_mut().sent(&window);
                        log.complete(window, Fate::Delivered);
                    }
                }
                Some(())
            });
            let disk = if random.chance(2) { disk.after_kill() } else { disk.after_power_cut(&mut random) };
            let (log, _) = open_with(&disk, config.clone());
            watch(&log, &books);
            while let Some(window) = block_on(log.try_deferred_window(&ALL)).unwrap() {
                books.borrow_mut().sent(&window);
                log.complete(window, Fate::Delivered);
            }
            block_on(log.flush()).unwrap();
            check(&disk, &config, &books, second);
        }
    }
}
