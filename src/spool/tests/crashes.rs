//! Random lives of a log: committing, sending and maintaining at once, the machine dying between any two operations of
//! the disk, during recovery too, by a kill or by a power cut. After each schedule the books are compared.
//!
//! A failure prints its seed; `SPOOL_SEED=<seed> cargo test --lib spool::tests::crashes` runs that one alone, and
//! `SPOOL_SCHEDULES=<n>` runs more of them.

use super::*;
use crate::spool::file::memory::Random;
use crate::spool::{CommitFailure, WhenFull};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;

/// Schedules in a test run: some seconds of them.
const SCHEDULES: u64 = 1500;

/// What the outside world knows.
#[derive(Default)]
struct Books {
    /// Tags handed to a commit.
    attempted: BTreeSet<u64>,
    /// Acknowledged: number and tag.
    acked: BTreeMap<u64, u64>,
    /// Seen in a window: number to tag, tag to number, number to the window's first, first to last.
    tag_of: BTreeMap<u64, u64>,
    seq_of: BTreeMap<u64, u64>,
    window_of: BTreeMap<u64, (u64, u64)>,
    /// Delivered, as the destination counts.
    delivered: BTreeSet<u64>,
    /// Delivered, and the cursor flushed after that: never to be seen again.
    settled: BTreeSet<u64>,
    /// Reported as lost: the torn part of a commit that nobody was told of, with something whole behind it.
    lost: BTreeSet<u64>,
    next_tag: u64,
}

impl Books {
    /// A window is about to be sent.
    fn sent(&mut self, window: &Window) {
        let bounds = (window.first_seq, window.last_seq);
        let seqs: BTreeSet<u64> = window.frames.iter().map(|frame| frame.seq).collect();
        for seq in window.first_seq..=window.last_seq {
            assert_ne!(
                seqs.contains(&seq),
                self.lost.contains(&seq),
                "{seq} is neither here nor reported, or both"
            );
        }
        for frame in &window.frames {
            let tag = tag(&frame.block);
            assert_eq!(frame.block.payload, block(tag, frame.block.payload.len()).payload, "altered");
            assert!(self.attempted.contains(&tag), "{tag} was invented");
            assert!(!self.settled.contains(&tag), "{tag} was settled and comes again");
            assert_eq!(
                *self.tag_of.entry(frame.seq).or_insert(tag),
                tag,
                "another frame under number {}",
                frame.seq
            );
            assert_eq!(*self.seq_of.entry(tag).or_insert(frame.seq), frame.seq, "{tag} under two numbers");
            let first = *self.window_of.entry(frame.seq).or_insert(bounds);
            assert_eq!(first, bounds, "frame {} in two packages", frame.seq);
        }
    }
}

/// Has losses noted. What was acknowledged is never among them.
fn watch(log: &Log<MemoryDisk>, books: &Rc<RefCell<Books>>) {
    let books = books.clone();
    log.observe(Box::new(move |completion| {
        if completion.fate == Fate::Lost {
            let mut books = books.borrow_mut();
            for seq in completion.first_seq..=completion.last_seq {
                assert!(!books.acked.contains_key(&seq), "{seq} was acknowledged and is lost");
                assert!(!books.tag_of.contains_key(&seq), "{seq} went out, and what it was built on is gone");
                books.lost.insert(seq);
            }
        }
    }));
}

/// One life: from opening to death. False if it died while opening.
fn live(disk: &MemoryDisk, config: &LogConfig, books: &Rc<RefCell<Books>>, random: &mut Random) -> bool {
    let Ok((log, report)) = block_on(Log::open(disk.clone(), CATEGORY, fresh_id(random), config.clone()))
    else {
        return false;
    };
    assert!(!report.cursor_lost || books.borrow().window_of.is_empty(), "the cursor was lost");
    watch(&log, books);
    let ok =
        |error: &std::io::Error| error.kind() == std::io::ErrorKind::Other || error.raw_os_error() == Some(5);
    let mut of_committer = Random(random.draw());
    let committer = async {
        for _ in 0..60 {
            let sizes = [10, 200, 900, 3000, 9000, 20_000];
            let spread = if of_committer.chance(12) { 6 } else { 4 };
            let count = 1 + of_committer.below(4);
            let blocks: Vec<Block> = (0..count)
                .map(|_| {
                    let mut books = books.borrow_mut();
                    let tag = books.next_tag;
                    books.next_tag += 1;
                    books.attempted.insert(tag);
                    block(tag, sizes[of_committer.below(spread) as usize])
                })
                .collect();
            let committed = match log.commit(&blocks).await {
                Ok(range) => {
                    assert_eq!(range.end - range.start, count);
                    range
                }
                Err(error) => {
                    match &error.reason {
                        CommitFailure::Full => {}
                        CommitFailure::Io(error) => assert!(ok(error), "{error}"),
                        CommitFailure::TooLarge => panic!("nothing is too large here"),
                    }
                    error.committed
                }
            };
            let mut books = books.borrow_mut();
            for (seq, block) in committed.zip(&blocks) {
                assert_eq!(books.acked.insert(seq, tag(block)), None, "number {seq} given twice");
            }
        }
    };
    let sender = |mut random: Random| {
        let log = &log;
        async move {
            let mut kept = None;
            loop {
                let limits = frames(1 + random.below(5) as usize);
                let Ok(Some(window)) = log.next_window(&limits).await else { continue };
                books.borrow_mut().sent(&window);
                match random.below(8) {
                    0 => log.give_back(window),
                    // Out of order: this one a little later.
                    1 | 2 if kept.is_none() => kept = Some(window),
                    _ => {
                        let sent = tags(&window);
                        books.borrow_mut().delivered.extend(&sent);
                        log.complete(window, Fate::Delivered);
                        if random.chance(4) && log.flush().await.is_ok() {
                            books.borrow_mut().settled.extend(sent);
                        }
                    }
                }
                if random.chance(3)
                    && let Some(window) = kept.take()
                {
                    books.borrow_mut().delivered.extend(tags(&window));
                    log.complete(window, Fate::Delivered);
                }
            }
        }
    };
    let maintainer = async {
        loop {
            log.maintenance_needed().await;
            if log.maintain().await.is_err() {
                // The pause that the shard makes.
                for _ in 0..20 {
                    let mut given = false;
                    std::future::poll_fn(|_| {
                        if std::mem::replace(&mut given, true) {
                            std::task::Poll::Ready(())
                        } else {
                            std::task::Poll::Pending
                        }
                    })
                    .await;
                }
            }
        }
    };
    let (first, second) = (Random(random.draw()), Random(random.draw()));
    let tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> =
        vec![Box::pin(committer), Box::pin(sender(first)), Box::pin(sender(second)), Box::pin(maintainer)];
    let dead = || disk.is_dead();
    executor::interleave(tasks, random, 4000, dead);
    true
}

fn fresh_id(random: &mut Random) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random.draw().to_le_bytes());
    id
}

/// One schedule: a few lives, then a last one without faults in which everything must turn up.
fn schedule(seed: u64, faults: bool) {
    let mut random = Random(seed);
    let config = LogConfig {
        segment_bytes: [12 << 10, 16 << 10, 64 << 10][random.below(3) as usize],
        capacity_bytes: [80 << 10, 200 << 10, 1 << 20][random.below(3) as usize],
        when_full: WhenFull::Refuse,
        tail_bytes_max: [0, 4 << 10, 1 << 20][random.below(3) as usize],
        spares_max: random.below(3) as usize,
        ..LogConfig::default()
    };
    let books = Rc::new(RefCell::new(Books::default()));
    let mut disk = MemoryDisk::default();
    for _ in 0..1 + random.below(5) {
        // A page cache that lies, and a kill that lets its lies be read, is the one thing not promised: see recover.
        let forgets = faults && random.chance(2);
        let operations = if random.chance(3) { random.below(30) } else { random.below(600) };
        disk.faults(|armed| {
            armed.operations_left = Some(operations);
            if faults {
                armed.one_in_fails = [0, 20, 100][random.below(3) as usize];
                armed.random = Random(random.draw());
                armed.room_bytes = random.chance(3).then(|| random.below(300 << 10));
                armed.lazy_room = random.chance(2);
                armed.failed_syncs_forget = forgets;
            }
        });
        live(&disk, &config, &books, &mut random);
        disk =
            if random.chance(2) && !forgets { disk.after_kill() } else { disk.after_power_cut(&mut random) };
    }
    let (log, report) =
        block_on(Log::open(disk.clone(), CATEGORY, ID, config)).unwrap_or_else(|error| panic!("{error}"));
    let spooled = log.stats();
    assert_eq!(spooled.spooled_points, report.spooled_points);
    watch(&log, &books);
    let (mut found_points, mut found_frames) = (0, 0);
    while let Some(window) = try_window(&log, frames(3)) {
        let mut books = books.borrow_mut();
        books.sent(&window);
        books.delivered.extend(tags(&window));
        found_points += window.points;
        found_frames += window.frames.len() as u64;
        log.complete(window, Fate::Delivered);
    }
    // The books of the spool were exact from the first moment.
    let stats = log.stats();
    assert_eq!(found_points + stats.lost_points, spooled.spooled_points);
    assert_eq!(found_frames + stats.lost_frames, spooled.spooled_frames);
    assert_eq!(log.stats().spooled_points, 0);
    let books = books.borrow();
    for (seq, tag) in &books.acked {
        assert!(books.delivered.contains(tag), "{tag}, acknowledged as {seq}, is lost");
        assert_eq!(books.seq_of.get(tag), Some(seq), "acknowledged under one number, sent under another");
    }
    // And the log works.
    block_on(log.maintain()).unwrap();
    block_on(log.commit(&[block(books.next_tag, 100)])).unwrap();
    assert_eq!(drain(&log, 10), [books.next_tag]);
}

fn schedules(name: &str, faults: bool, first: u64) {
    let env = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = env("SPOOL_SEED") {
        return schedule(seed, faults);
    }
    for seed in first..first + env("SPOOL_SCHEDULES").unwrap_or(SCHEDULES) {
        let outcome = std::panic::catch_unwind(|| schedule(seed, faults));
        if let Err(panic) = outcome {
            eprintln!("{name}: seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_repackaged_by_crashes() {
    schedules("crashes", false, 0);
}

#[test]
fn nothing_acknowledged_is_lost_or_repackaged_by_crashes_on_a_failing_disk() {
    schedules("crashes on a failing disk", true, 1_000_000);
}

#[test]
fn a_crash_at_every_operation_of_a_short_life() {
    // Exhaustive where it can be: one commit, one window, its completion, a second commit, a roll.
    for operations in 0..120 {
        for cut in 0..4 {
            let disk = MemoryDisk::default();
            disk.faults(|armed| armed.operations_left = Some(operations));
            let books = Rc::new(RefCell::new(Books::default()));
            let life = async {
                let (log, _) = Log::open(disk.clone(), CATEGORY, ID, small()).await.ok()?;
                for step in 0..8 {
                    let tag = step;
                    books.borrow_mut().attempted.insert(tag);
                    let range = log.commit(&[block(tag, 2500)]).await.ok()?;
                    books.borrow_mut().acked.insert(range.start, tag);
                    if step % 2 == 1 {
                        let window = log.try_window(&frames(2)).await.ok()??;
                        books.borrow_mut().sent(&window);
                        log.complete(window, Fate::Delivered);
                        log.maintain().await.ok()?;
                    }
                }
                Some(())
            };
            let lived = block_on(life);
            assert!(operations < 119 || lived.is_some(), "the life is longer than the test");
            let after = if cut == 0 { disk.after_kill() } else { disk.after_power_cut(&mut Random(cut)) };
            let (log, _) = open(&after);
            watch(&log, &books);
            while let Some(window) = try_window(&log, ALL) {
                books.borrow_mut().sent(&window);
                log.complete(window, Fate::Delivered);
            }
            let books = books.borrow();
            for tag in books.acked.values() {
                assert!(books.seq_of.contains_key(tag), "{tag} is lost after {operations} operations");
            }
        }
    }
}
