//! Random lives of a log: committing, sending, putting aside, giving up and maintaining at once, the machine dying between
//! any two operations of the disk, during recovery too, by a kill or by a power cut. After each death the sums are compared
//! with what the world outside knows; after the last, that everything is there (safety). In some lives the faults end
//! instead: then everything must come to an end by itself, by nothing but its own wake-ups (liveness).
//!
//! A schedule is a number. A failure prints it: `KITGATE_SIM_SEED=<seed> cargo test --lib spool::tests::simulation` runs
//! that one alone, `KITGATE_SIM_SCHEDULES=<n>` so many fresh ones, from the clock. What once failed is kept in seeds.txt.

use super::books::{Books, Outcome, audit, lane_of, watch};
use super::executor::{Ending, Task, interleave};
use super::*;
use crate::spool::file::memory::{Random, pend};
use crate::spool::{CommitFailure, WhenFull};
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first of the schedules of a plain test run.
const FIRST: u64 = 1;
/// Fresh schedules in a test run: some seconds of them.
const SCHEDULES: u64 = 2000;
/// Seeds that found something once, and some others.
const KEPT: &str = include_str!("seeds.txt");
/// Polls in one life.
const STEPS: usize = 6000;
/// Polls in which everything must come to an end once the faults have.
const STEPS_CALM: usize = 400_000;

/// What a schedule draws once.
#[derive(Debug)]
struct Plan {
    config: LogConfig,
    faults: bool,
    /// Bits flip between lives.
    damage: bool,
    lives: u64,
}

impl Plan {
    fn draw(random: &mut Random) -> Plan {
        let when_full = if random.chance(4) { WhenFull::EvictOldest } else { WhenFull::Refuse };
        let config = LogConfig {
            segment_bytes: [12 << 10, 16 << 10, 64 << 10][random.below(3) as usize],
            capacity_bytes: [80 << 10, 200 << 10, 1 << 20][random.below(3) as usize],
            when_full,
            tail_bytes_max: [0, 4 << 10, 1 << 20][random.below(3) as usize],
            spares_max: random.below(3) as usize,
            max_age: random.chance(6).then(|| Duration::from_secs(60 * random.below(5))),
            reserve_bytes: [0, 20 << 10][random.below(2) as usize],
            lane_of,
        };
        let damage = when_full == WhenFull::Refuse && random.chance(8);
        Plan { config, faults: random.chance(2), damage, lives: 1 + random.below(5) }
    }
}

/// One life: from opening to its end. False if it ended while opening.
fn live(disk: &MemoryDisk, plan: &Plan, books: &Rc<RefCell<Books>>, random: &mut Random, calm: bool) -> bool {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random.draw().to_le_bytes());
    let Ok((log, _)) = block_on(Log::open(disk.clone(), CATEGORY, id, plan.config.clone())) else {
        assert!(!calm, "does not open");
        return false;
    };
    watch(&log, books);
    let committing = Cell::new(true);
    let mut of_committer = Random(random.draw());
    let committer = async {
        for _ in 0..if calm { 10 } else { 60 } {
            let sizes = [10, 200, 900, 3000, 9000, 20_000];
            let spread = if of_committer.chance(12) { 6 } else { 4 };
            let blocks: Vec<Block> = (0..1 + of_committer.below(4))
                .map(|_| books.borrow_mut().next_block(sizes[of_committer.below(spread) as usize]))
                .collect();
            let first = log.ledger.borrow().end.seq;
            books.borrow_mut().attempt(first, &blocks);
            let committed = match log.commit(&blocks).await {
                Ok(range) => {
                    assert_eq!(range.end - range.start, blocks.len() as u64);
                    range
                }
                Err(error) => {
                    match &error.reason {
                        CommitFailure::Full => {}
                        CommitFailure::Io(cause) => {
                            let known = cause.kind() == ErrorKind::Other || cause.raw_os_error() == Some(5);
                            assert!(known && !calm, "{error:?}");
                        }
                        CommitFailure::TooLarge => panic!("nothing is too large here"),
                    }
                    // The sender comes again.
                    pend(50).await;
                    error.committed
                }
            };
            books.borrow_mut().acknowledged(committed, &blocks);
        }
        committing.set(false);
        while log.ledger.borrow().acked != log.ledger.borrow().end {
            log.delivery_changed().await;
        }
        log.close();
    };
    let sender = |mut random: Random, deferred: bool| {
        let log = &log;
        async move {
            let mut kept: Option<Window> = None;
            let mut newest = 0;
            loop {
                let limits = frames(1 + random.below(5) as usize);
                // With one kept back, it must not wait for what may never come.
                let taken = match (deferred, kept.is_some()) {
                    (false, false) => log.next_window(&limits).await,
                    (false, true) => log.try_window(&limits).await,
                    (true, false) => log.next_deferred_window(&limits).await,
                    (true, true) => log.try_deferred_window(&limits).await,
                };
                let window = match taken {
                    Ok(Some(window)) => window,
                    Ok(None) if kept.is_none() => return,
                    Ok(None) => {
                        if let Some(window) = kept.take() {
                            books.borrow_mut().done(&window, |_| Settled::default());
                            log.complete(window, Fate::Delivered);
                        }
                        continue;
                    }
                    Err(_) => {
                        pend(20).await;
                        continue;
                    }
                };
                books.borrow_mut().sent(&window);
                if !window.replayed {
                    assert!(window.first_seq > newest, "out of order: {} behind {newest}", window.first_seq);
                    newest = window.first_seq;
                }
                match random.below(10) {
                    0 => {
                        log.give_back(window);
                        pend(5).await;
                    }
                    // Out of order: this one a little later.
                    1 | 2 if kept.is_none() => kept = Some(window),
                    what => {
                        let sent = tags(&window);
                        let dice = random.draw();
                        let settle = |seq: u64| match (seq ^ dice) % 11 {
                            0 => Settled { dead_points: 1, parked_points: 0 },
                            1 => Settled { dead_points: 1, parked_points: 2 },
                            2 => Settled { dead_points: 0, parked_points: u32::MAX },
                            _ => Settled::default(),
                        };
                        if what == 3 {
                            books.borrow_mut().done(&window, settle);
                            log.complete_each(window, settle);
                        } else {
                            let fate = [Fate::Delivered, Fate::Dead, Fate::Parked][(what / 4) as usize];
                            let all = Settled {
                                dead_points: if fate == Fate::Dead { u32::MAX } else { 0 },
                                parked_points: if fate == Fate::Parked { u32::MAX } else { 0 },
                            };
                            books.borrow_mut().done(&window, |_| all);
                            log.complete(window, fate);
                        }
                        if random.chance(4) && log.flush().await.is_ok() {
                            books.borrow_mut().settled.extend(sent);
                        }
                    }
                }
                if random.chance(3)
                    && let Some(window) = kept.take()
                {
                    books.borrow_mut().done(&window, |_| Settled::default());
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
                pend(20).await;
            }
        }
    };
    let mut of_operator = Random(random.draw());
    let operator = async {
        let mut now_ms = 1_000_000_000;
        while committing.get() {
            pend(of_operator.below(400) as u32).await;
            now_ms += of_operator.below(40_000);
            log.expire(now_ms).await;
            match of_operator.below(12) {
                0..=3 => {
                    log.defer();
                }
                4 => {
                    let seq = log.delivered_through() + of_operator.below(20);
                    let _ = log.drop_before(seq).await;
                }
                5 => {
                    let _ = log.flush().await;
                }
                _ => {}
            }
        }
    };
    let tasks: Vec<Task> = vec![
        Box::pin(committer),
        Box::pin(sender(Random(random.draw()), false)),
        Box::pin(sender(Random(random.draw()), false)),
        Box::pin(sender(Random(random.draw()), true)),
        Box::pin(maintainer),
        Box::pin(operator),
    ];
    if calm {
        let ending = interleave(tasks, random, STEPS_CALM, || log.closed.get());
        assert_eq!(ending, Ending::Stopped, "no end of it: {:?}", log.stats());
        assert_eq!(log.stats().spooled_points, 0);
    } else {
        let dead = || disk.is_dead();
        interleave(tasks, random, STEPS, dead);
    }
    true
}

fn arm(disk: &MemoryDisk, faults: bool, forgets: bool, random: &mut Random) {
    let operations = if random.chance(3) { random.below(40) } else { random.below(600) };
    disk.faults(|armed| {
        armed.operations_left = Some(operations);
        armed.random = Random(random.draw());
        armed.slowness = [0, 0, 3, 30][random.below(4) as usize];
        if faults {
            armed.one_in_fails = [0, 20, 100][random.below(3) as usize];
            armed.room_bytes = random.chance(3).then(|| random.below(300 << 10));
            armed.lazy_room = random.chance(2);
            armed.failed_syncs_forget = forgets;
        }
    });
}

/// Flips a bit somewhere in a segment.
fn flip(disk: &MemoryDisk, random: &mut Random) -> bool {
    let names = durability::segment_names(disk);
    if names.is_empty() {
        return false;
    }
    let name = &names[random.below(names.len() as u64) as usize];
    let at = random.draw();
    disk.tamper(name, |bytes| {
        if let Some(byte) = bytes.len().checked_sub(1).map(|last| &mut bytes[at as usize % (last + 1)]) {
            *byte ^= 1 << (at >> 60 & 7);
        }
    });
    true
}

/// One schedule: a few lives, then a last one in which everything must turn up.
fn schedule(seed: u64) {
    let mut random = Random(seed);
    let plan = Plan::draw(&mut random);
    let books = Rc::new(RefCell::new(Books::default()));
    let mut disk = MemoryDisk::default();
    for _ in 0..plan.lives {
        // A page cache that lies, and a kill that lets its lies be read, is the one thing not promised: see recover.
        let forgets = plan.faults && random.chance(2);
        arm(&disk, plan.faults, forgets, &mut random);
        live(&disk, &plan, &books, &mut random, false);
        disk =
            if random.chance(2) && !forgets { disk.after_kill() } else { disk.after_power_cut(&mut random) };
        if plan.damage && flip(&disk, &mut random) {
            books.borrow_mut().forgiven += 1;
        }
        audit(&disk.after_kill(), &plan.config, &books, !plan.damage);
    }
    if random.chance(3) {
        // The faults end, and nobody does anything about it.
        live(&disk, &plan, &books, &mut random, true);
        audit(&disk.after_power_cut(&mut random), &plan.config, &books, !plan.damage);
    }
    let (log, report) = open_with(&disk, plan.config.clone());
    let spooled = log.stats();
    assert_eq!(spooled.spooled_points, report.spooled_points);
    watch(&log, &books);
    let (mut found_points, mut found_frames) = (0, 0);
    for deferred in [true, false] {
        let take = |limits| match deferred {
            true => block_on(log.try_deferred_window(&limits)).unwrap(),
            false => try_window(&log, limits),
        };
        while let Some(window) = take(frames(3)) {
            books.borrow_mut().sent(&window);
            books.borrow_mut().done(&window, |_| Settled::default());
            found_points += window.points;
            found_frames += window.frames.len() as u64;
            log.complete(window, Fate::Delivered);
        }
    }
    // The books of the spool were exact from the first moment.
    let stats = log.stats();
    assert_eq!(found_points + stats.lost_points, spooled.spooled_points);
    assert_eq!(found_frames + stats.lost_frames, spooled.spooled_frames);
    let totals = log.totals();
    assert_eq!((stats.spooled_points, totals.spooled()), (0, 0));
    for (lane, sums) in log.lanes() {
        assert_eq!(sums.spooled(), 0, "{lane:?}");
    }
    {
        let mut books = books.borrow_mut();
        for (seq, tag) in &books.acked.clone() {
            let there = books.tag_of.get(seq).is_some_and(|seen| seen == tag);
            if !there && !books.given_up.contains(seq) && !books.lost.contains(seq) {
                assert!(books.forgiven > 0, "{seq} was acknowledged and is lost without a word");
                books.forgiven -= 1;
            }
            assert!(matches!(books.outcomes.get(seq), Some(Outcome::Sent { .. } | Outcome::Gone(_)) | None));
        }
    }
    // And the log works.
    block_on(log.maintain()).unwrap();
    let block = books.borrow_mut().next_block(100);
    block_on(log.commit(std::slice::from_ref(&block))).unwrap();
    assert_eq!(drain(&log, 10), [tag(&block)]);
}

fn run(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| schedule(seed));
        if let Err(panic) = outcome {
            eprintln!("KITGATE_SIM_SEED={seed}: {:?}", Plan::draw(&mut Random(seed)));
            std::panic::resume_unwind(panic);
        }
    }
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn fresh_schedules_are_safe_and_live() {
    if let Some(seed) = env("KITGATE_SIM_SEED") {
        return run(std::iter::once(seed));
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_nanos() as u64);
    // The same ones every time, unless more are asked for: a change is to blame for what it breaks, and not chance.
    let asked = env("KITGATE_SIM_SCHEDULES");
    let first = env("KITGATE_SIM_FIRST").unwrap_or_else(|| if asked.is_some() { clock } else { FIRST });
    let count = asked.unwrap_or(SCHEDULES);
    eprintln!("schedules {first} and {count} from there");
    run((0..count).map(|index| first.wrapping_add(index)));
}

#[test]
fn kept_schedules_are_safe_and_live() {
    let seeds = KEPT.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    run(seeds.map(|line| line.split(' ').next().unwrap().parse().unwrap()));
}
