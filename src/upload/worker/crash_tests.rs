//! Workers over the spool's own log on a disk that forgets, cut off at random instants: whatever was acknowledged
//! arrives, and no point is ever sent under two ids. A failure names its seed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::*;
use crate::sink::{Accepts, Coding, Format};
use crate::spool::file::memory::{MemoryDisk, Random};
use crate::spool::{Block, Log, LogConfig, RecoveryReport, Settled, WindowLimits, package_id};
use crate::upload::side_log::{SideDisks, SideLog, SideLogs};
use crate::upload::source::Window;
use crate::upload::testing::Sim;
use crate::upload::testing::destination::{Say, Scripted as Destination, Seen};
use crate::upload::testing::source::{block, seqs as numbers};

const MS: Duration = Duration::from_millis(1);

/// Lives of one gateway before it is left in peace.
const LIVES: u32 = 5;

struct LogSource {
    log: Rc<Log<MemoryDisk>>,
    sides: SideLogs<MemorySides, Sim>,
    limits: WindowLimits,
}

type LogSide = SideLog<MemoryDisk, Sim>;

/// The disks of the side lanes, which outlive a crash as the main one does.
#[derive(Clone)]
struct MemorySides {
    sim: Sim,
    disks: Rc<RefCell<BTreeMap<String, MemoryDisk>>>,
    logs: Rc<RefCell<Vec<Rc<Log<MemoryDisk>>>>>,
}

impl SideDisks for MemorySides {
    type Disk = MemoryDisk;

    async fn open(&self, name: &str) -> io::Result<MemoryDisk> {
        Ok(self.disks.borrow_mut().entry(name.to_owned()).or_default().clone())
    }

    async fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disks.borrow().keys().cloned().collect())
    }

    fn opened(&self, _name: &str, log: &Rc<Log<MemoryDisk>>, _report: &RecoveryReport) {
        self.logs.borrow_mut().push(Rc::clone(log));
        let log = Rc::clone(log);
        self.sim.spawn(async move {
            loop {
                log.maintenance_needed().await;
                log.maintain().await.unwrap();
            }
        });
    }
}

impl Source for LogSource {
    type Side = LogSide;

    fn category(&self) -> Category {
        Category::Logging
    }

    fn pending_raw_bytes(&self) -> u64 {
        self.log.stats().spooled_bytes
    }

    fn waiting_bytes(&self) -> u64 {
        self.log.stats().spooled_bytes - self.log.deferred().bytes
    }

    async fn next_window(&self) -> Option<Window> {
        self.log.next_window(&self.limits).await.unwrap_or(None)
    }

    fn defer(&self) -> u64 {
        self.log.defer()
    }

    fn deferred(&self) -> Backlog {
        self.log.deferred()
    }

    async fn next_deferred_window(&self) -> Option<Window> {
        self.log.next_deferred_window(&self.limits).await.unwrap_or(None)
    }

    fn package_id(&self, first_seq: u64, last_seq: u64, route: &[u8], sealed_ms: u64) -> String {
        package_id(self.log.id(), self.log.category(), first_seq, last_seq, route, sealed_ms)
    }

    fn complete(&self, window: Window, settled: &BTreeMap<u64, Settled>) {
        self.log.complete_each(window, |seq| settled.get(&seq).copied().unwrap_or_default());
    }

    fn give_back(&self, window: Window) {
        self.log.give_back(window);
    }

    async fn side(&self, name: &str) -> Result<Rc<LogSide>, String> {
        self.sides.open(name).await
    }

    async fn sides(&self) -> Vec<String> {
        self.sides.names().await
    }
}

struct Silent;

impl Ledger for Silent {
    fn delivered(&self, _category: Category, _points: u64) {}

    fn dead(&self, _category: Category, refusal: Refusal, _points: u64) {
        panic!("nothing is refused for ever here: {refusal:?}");
    }
}

/// What outlives a crash, beside the disk: what the world outside has seen.
#[derive(Default)]
struct Outside {
    next_number: u64,
    acknowledged: BTreeSet<u64>,
    taken: BTreeSet<u64>,
    id_of: BTreeMap<u64, String>,
    /// Requests that held a point which had been sent before.
    resent: u64,
}

impl Outside {
    fn saw(&mut self, seen: &Seen) {
        let known = numbers(&seen.body).iter().any(|number| self.id_of.contains_key(number));
        self.resent += u64::from(known);
        for number in numbers(&seen.body) {
            assert!(number < self.next_number, "point {number} is invented");
            let id = self.id_of.entry(number).or_insert_with(|| seen.id().to_owned());
            assert_eq!(id, seen.id(), "point {number} has two ids");
        }
    }
}

/// A block of a few numbered points.
fn next_block(outside: &mut Outside, random: &mut Random) -> Block {
    let route = ["", "", "storage_index=a", "storage_index=b"][random.below(4) as usize];
    let points = 1 + random.below(5) as u32;
    let payload: String = (0..points)
        .map(|_| {
            outside.next_number += 1;
            format!("{};", outside.next_number - 1)
        })
        .collect();
    let (raw_bytes, payload_crc) = (payload.len() as u32, crc32c::crc32c(payload.as_bytes()));
    Block { raw_bytes, payload_crc, payload: payload.into(), ..block(route, points) }
}

/// One life: points come in, uploads run, and after `length` everything stops where it is.
fn live(
    disk: &MemoryDisk,
    sides: &Rc<RefCell<BTreeMap<String, MemoryDisk>>>,
    outside: &Rc<RefCell<Outside>>,
    random: &mut Random,
    length: Option<Duration>,
) {
    let sim = Sim::new();
    let config = LogConfig { segment_bytes: 64 << 10, capacity_bytes: 64 << 20, ..LogConfig::default() };
    let id = std::array::from_fn(|_| random.draw() as u8);
    let (log, _) = sim.run(Log::open(disk.clone(), Category::Logging as u8, id, config.clone())).unwrap();
    let log = Rc::new(log);
    let memory = MemorySides { sim: sim.clone(), disks: Rc::clone(sides), logs: Rc::default() };
    let sides = SideLogs::new(memory.clone(), sim.clone(), Category::Logging as u8, &config);

    let (peaceful, mut dice, sees) = (length.is_none(), Random(random.draw()), Rc::clone(outside));
    let destination = Destination::new(&sim, dice.below(20) as u32 * MS, move |seen, _| {
        sees.borrow_mut().saw(seen);
        let take = || sees.borrow_mut().taken.extend(numbers(&seen.body));
        match if peaceful { 0 } else { dice.below(10) } {
            0..=5 => {
                take();
                Say::Status(200)
            }
            // Taken, but the answer is lost on its way.
            6 => {
                take();
                Say::Break
            }
            7 => Say::Status(500),
            8 => Say::Status(429),
            _ => Say::Hang,
        }
    });
    let accepts = Accepts { format: Format::Protobuf, coding: Coding::Identity, joined_members: true };
    let carrier = destination.carrier_accepting(&["http://h:1"], accepts);
    let settings = Settings { workers: 3, window_raw_bytes: 1 + random.below(100), ..Settings::default() };
    let dead = DeadLetters::new("/dev/null/nothing-is-dead".into());
    let uploads = Uploads::new(carrier, sim.clone(), settings, dead, random.draw());
    // The bounds differ from life to life, as settings may.
    let limits = WindowLimits {
        frames_max: 1 + random.below(6) as usize,
        raw_bytes_max: 1 + random.below(200) as usize,
        stored_bytes_max: 1 << 20,
    };
    for worker in uploads.workers(LogSource { log: Rc::clone(&log), sides, limits }, Rc::new(Silent)) {
        sim.spawn(worker);
    }
    let maintained = Rc::clone(&log);
    sim.spawn(async move {
        loop {
            maintained.maintenance_needed().await;
            maintained.maintain().await.unwrap();
        }
    });
    let Some(length) = length else {
        sim.run(async {
            for _ in 0..10_000 {
                let aside: u64 = memory.logs.borrow().iter().map(|log| log.stats().spooled_points).sum();
                if log.stats().spooled_points + aside == 0 {
                    return;
                }
                sim.sleep(100 * MS).await;
            }
            panic!("the spool does not drain: {:?}", log.stats());
        });
        return;
    };
    let (accepting, env, outside, mut dice) =
        (Rc::clone(&log), sim.clone(), Rc::clone(outside), Random(random.draw()));
    sim.spawn(async move {
        loop {
            let blocks: Vec<Block> =
                (0..1 + dice.below(4)).map(|_| next_block(&mut outside.borrow_mut(), &mut dice)).collect();
            if accepting.commit(&blocks).await.is_ok() {
                let payloads = blocks.iter().flat_map(|block| numbers(&block.payload));
                outside.borrow_mut().acknowledged.extend(payloads);
            }
            env.sleep(dice.below(300) as u32 * MS).await;
        }
    });
    sim.run(sim.sleep(length));
}

/// Gives how many points were acknowledged and how many requests were repeated.
fn run(seed: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let mut disk = MemoryDisk::default();
    let outside = Rc::new(RefCell::new(Outside::default()));
    let sides = Rc::new(RefCell::new(BTreeMap::<String, MemoryDisk>::new()));
    for _ in 0..LIVES {
        // Some lives end in the middle of the first operations.
        let length = random.below(4000) as u32 * MS;
        if random.chance(3) {
            let left = random.below(40);
            disk.faults(|faults| faults.operations_left = Some(left));
            let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                live(&disk, &sides, &outside, &mut random, Some(length))
            }));
            // Opening or maintaining fails on a dead machine; the world outside must not have seen anything wrong.
            if let Err(panic) = lived {
                let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                assert!(text.contains("the machine is dead"), "{text}");
            }
        } else {
            live(&disk, &sides, &outside, &mut random, Some(length));
        }
        let is_kill = random.chance(2);
        let mut after = |disk: &MemoryDisk| match is_kill {
            true => disk.after_kill(),
            false => disk.after_power_cut(&mut random),
        };
        disk = after(&disk);
        let mut sides = sides.borrow_mut();
        sides.values_mut().for_each(|side| *side = after(side));
    }
    live(&disk, &sides, &outside, &mut random, None);
    let outside = outside.borrow();
    let lost: Vec<&u64> = outside.acknowledged.difference(&outside.taken).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    (outside.acknowledged.len() as u64, outside.resent)
}

#[test]
fn nothing_acknowledged_is_lost_and_no_point_has_two_ids() {
    let (mut acknowledged, mut resent) = (0, 0);
    for seed in 0..150 {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(done) => (acknowledged, resent) = (acknowledged + done.0, resent + done.1),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map_or("(no text)", String::as_str);
                panic!("seed {seed}: {text}");
            }
        }
    }
    // The schedules do what they are for.
    assert!(acknowledged > 5_000, "{acknowledged} points");
    assert!(resent > 500, "{resent} repeated requests");
}
