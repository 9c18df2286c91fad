//! Random lives of a gateway's uploads: the spool's own logs on disks that forget, destinations that flap, throttle, answer
//! slowly or not at all, take without saying so, refuse single points, large bodies and tokens, and a machine that dies
//! at random instants. Whatever was acknowledged is in the end at every destination that is to have it or in a dead
//! letter, no destination gets a point under two ids, nothing is invented, and the sums agree (safety); once all is well,
//! everything goes out by itself (liveness).
//!
//! A schedule is a number. A failure prints it: `KITGATE_SIM_SEED=<seed> cargo test --lib upload::worker::crash_tests`
//! runs that one alone, `KITGATE_SIM_SCHEDULES=<n>` so many fresh ones, from the clock. What once failed is kept in seeds.txt.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::sink::{Accepts, Coding, Format};
use crate::spool::file::memory::{MemoryDisk, Random};
use crate::spool::{Block, Log, LogConfig, RecoveryReport, Settled, WindowLimits, package_id};
use crate::upload::dead::decode_all;
use crate::upload::side_log::{SideDisks, SideLog, SideLogs};
use crate::upload::source::Window;
use crate::upload::testing::Sim;
use crate::upload::testing::destination::{Say, Scripted as Destination, Seen};
use crate::upload::testing::source::{block, numbered_points, numbers};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// The first of the schedules of a plain test run.
const FIRST: u64 = 1;
/// Fresh schedules in a test run: some seconds of them.
const SCHEDULES: u64 = 60;

/// Seeds that found something once, and some others.
const KEPT: &str = include_str!("seeds.txt");

/// Once all is well, everything is out within this time. The longest rests are a minute, and few follow each other.
const CALM: Duration = Duration::from_secs(2 * 3600);

/// What a schedule draws once.
#[derive(Clone, Debug)]
struct Plan {
    lives: u64,
    crashes: bool,
    urls: Vec<&'static str>,
    failover: bool,
    /// One point in so many is refused for ever; 0: none.
    poison_one_in: u64,
    /// One frame in so many fails with 500 until all is well; 0: none.
    sick_one_in: u64,
    /// Points of a request at most.
    too_large: usize,
    tokens: bool,
    defer_bytes: u64,
    backlog_bytes_per_s: u64,
}

impl Plan {
    fn draw(random: &mut Random) -> Plan {
        let urls: [&[&str]; 3] =
            [&["http://a:1"], &["http://a:1", "http://b:2"], &["http://a:1", "http://b:2", "http://c:3"]];
        Plan {
            lives: random.below(5),
            crashes: !random.chance(4),
            urls: urls[random.below(3) as usize].to_vec(),
            failover: random.chance(3),
            poison_one_in: [0, 0, 7, 40][random.below(4) as usize],
            sick_one_in: [0, 0, 9, 30][random.below(4) as usize],
            too_large: [usize::MAX, usize::MAX, 12, 3][random.below(4) as usize],
            tokens: random.chance(2),
            defer_bytes: [u64::MAX, 100, 2000][random.below(3) as usize],
            backlog_bytes_per_s: [0, 0, 200][random.below(3) as usize],
        }
    }

    fn is_poison(&self, number: u64) -> bool {
        self.poison_one_in > 0 && number.wrapping_mul(0x9e37_79b9) % self.poison_one_in == 1
    }

    fn is_sick(&self, number: u64) -> bool {
        self.sick_one_in > 0 && (number / 5).wrapping_mul(0x85eb_ca6b) % self.sick_one_in == 1
    }

    /// What the destination always says to this, however it is.
    fn refusal(&self, points: &[u64]) -> Option<u16> {
        match points {
            points if points.len() > self.too_large => Some(413),
            points if points.iter().any(|point| self.is_poison(*point)) => Some(400),
            _ => None,
        }
    }
}

/// How a destination is for a while.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Flapping,
    Down,
    Errors,
    Throttling,
    Slow,
    Silent,
    Forgetful,
    RefusingTokens,
}

impl Mood {
    fn draw(random: &mut Random) -> Mood {
        use Mood::*;
        [Well, Well, Well, Flapping, Down, Errors, Throttling, Slow, Silent, Forgetful, RefusingTokens]
            [random.below(11) as usize]
    }
}

struct LogSource {
    log: Rc<Log<MemoryDisk>>,
    outside: Rc<RefCell<Outside>>,
    sides: SideLogs<MemorySides, Sim>,
    limits: WindowLimits,
}

type LogSide = SideLog<MemoryDisk, Sim>;

type Disks = Rc<RefCell<BTreeMap<String, MemoryDisk>>>;

/// The disks of the side lanes, which outlive a crash as the main one does.
#[derive(Clone)]
struct MemorySides {
    sim: Sim,
    disks: Disks,
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
        maintain(&self.sim, Rc::clone(log));
    }
}

fn maintain(sim: &Sim, log: Rc<Log<MemoryDisk>>) {
    sim.spawn(async move {
        loop {
            log.maintenance_needed().await;
            // On a dead machine there is nothing more to do.
            if log.maintain().await.is_err() {
                return;
            }
        }
    });
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
        self.log.stats().spooled_bytes.saturating_sub(self.log.deferred().bytes)
    }

    async fn next_window(&self) -> Option<Window> {
        self.log.next_window(&self.limits).await.unwrap_or(None)
    }

    fn defer(&self) -> u64 {
        let points = self.log.defer();
        self.outside.borrow_mut().seen.deferred += points;
        points
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

/// What happened in a schedule: that it does what it is for.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    acknowledged: u64,
    /// Points that were taken more than once.
    again: u64,
    dead: u64,
    parked: u64,
    deferred: u64,
    opened: u64,
}

impl std::ops::AddAssign for Happened {
    fn add_assign(&mut self, other: Happened) {
        self.acknowledged += other.acknowledged;
        self.again += other.again;
        self.dead += other.dead;
        self.parked += other.parked;
        self.deferred += other.deferred;
        self.opened += other.opened;
    }
}

/// Who counts in one life.
struct Books(Rc<RefCell<Outside>>);

impl Ledger for Books {
    fn delivered(&self, _category: Category, _points: u64) {}

    fn dead(&self, _category: Category, _refusal: Refusal, _points: u64) {}

    fn parked(&self, _category: Category, points: u64) {
        self.0.borrow_mut().seen.parked += points;
    }

    fn target(&self, _target: usize, standing: Standing) {
        self.0.borrow_mut().seen.opened += u64::from(standing.is_down);
    }
}

/// What outlives a crash, beside the disks: what the world outside has seen.
#[derive(Default)]
struct Outside {
    next_number: u64,
    acknowledged: BTreeSet<u64>,
    /// By target: the points it has taken, and under which id.
    taken: BTreeMap<String, BTreeMap<u64, String>>,
    seen: Happened,
}

impl Outside {
    fn take(&mut self, seen: &Seen) {
        let taken = self.taken.entry(seen.target.clone()).or_default();
        for number in numbers(&seen.body) {
            match taken.get(&number) {
                Some(id) => {
                    assert_eq!(id, seen.id(), "{}: point {number} was taken under two ids", seen.target);
                    self.seen.again += 1;
                }
                None => {
                    taken.insert(number, seen.id().to_owned());
                }
            }
        }
    }
}

/// A block of a few numbered points.
fn next_block(plan: &Plan, outside: &mut Outside, random: &mut Random) -> Block {
    let routes = ["", "", "storage_index=a", "token=tkn%5F1", "token=tkn%5F2"];
    let route = routes[random.below(if plan.tokens { 5 } else { 3 }) as usize];
    let points = 1 + random.below(9);
    let payload = numbered_points(outside.next_number..outside.next_number + points);
    outside.next_number += points;
    let (raw_bytes, payload_crc) = (payload.len() as u32, crc32c::crc32c(&payload));
    Block { raw_bytes, payload_crc, payload: payload.into(), ..block(route, points as u32) }
}

/// The destination of one life: all moods, or none where all is well.
fn destination(
    sim: &Sim,
    plan: &Plan,
    outside: &Rc<RefCell<Outside>>,
    mut dice: Random,
    calm: bool,
) -> Destination {
    let latency = dice.below(20) as u32 * MS;
    let (plan, outside) = (plan.clone(), Rc::clone(outside));
    let mut moods: BTreeMap<String, (Mood, Duration)> = BTreeMap::new();
    Destination::new(sim, latency, move |seen, _| {
        let points = numbers(&seen.body);
        let outside = &mut *outside.borrow_mut();
        for point in &points {
            assert!(*point < outside.next_number, "point {point} is invented");
        }
        let (mood, until) = moods.entry(seen.target.clone()).or_insert((Mood::Well, Duration::ZERO));
        if seen.at >= *until {
            *mood = Mood::draw(&mut dice);
            *until = seen.at + S + dice.below(60_000) as u32 * MS;
        }
        let mood = if calm { Mood::Well } else { *mood };
        let mut take_or_refuse = |taken: Say| match plan.refusal(&points) {
            Some(status) => Say::Status(status),
            None => {
                outside.take(seen);
                taken
            }
        };
        if !calm && points.iter().any(|point| plan.is_sick(*point)) {
            return Say::Status(500);
        }
        match mood {
            Mood::Well => take_or_refuse(Say::Status(200)),
            Mood::Flapping if seen.at.as_secs().is_multiple_of(2) => Say::Break,
            Mood::Flapping => take_or_refuse(Say::Status(200)),
            Mood::Down => Say::Break,
            Mood::Errors => Say::Status([500, 502, 503][dice.below(3) as usize]),
            Mood::Throttling if dice.chance(3) => take_or_refuse(Say::Status(200)),
            Mood::Throttling => Say::Raw("HTTP/1.1 429 X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"),
            Mood::Slow => take_or_refuse(Say::Late(dice.below(25_000) as u32 * MS, 200)),
            Mood::Silent => Say::TimeOut,
            // Taken, but the answer is lost on its way.
            Mood::Forgetful => take_or_refuse(Say::Break),
            Mood::RefusingTokens if seen.head.contains("token=") => Say::Status(403),
            Mood::RefusingTokens => take_or_refuse(Say::Status(200)),
        }
    })
}

/// What a schedule has.
struct World {
    plan: Plan,
    disk: MemoryDisk,
    sides: Disks,
    outside: Rc<RefCell<Outside>>,
    dead: tempfile::TempDir,
}

impl World {
    /// One life: points come in, uploads run, and after `length` everything stops where it is. Without a length all is well,
    /// nothing comes in, and it ends when nothing is left.
    fn live(&self, random: &mut Random, length: Option<Duration>) {
        let sim = Sim::new();
        let config = LogConfig { segment_bytes: 64 << 10, capacity_bytes: 64 << 20, ..LogConfig::default() };
        let id = std::array::from_fn(|_| random.draw() as u8);
        let log = sim.run(Log::open(self.disk.clone(), Category::Logging as u8, id, config.clone()));
        let Ok((log, _)) = log else {
            assert!(self.disk.is_dead(), "a log that does not open");
            return;
        };
        let log = Rc::new(log);
        maintain(&sim, Rc::clone(&log));
        let memory = MemorySides { sim: sim.clone(), disks: Rc::clone(&self.sides), logs: Rc::default() };
        let sides = SideLogs::new(memory.clone(), sim.clone(), Category::Logging as u8, &config);

        let calm = length.is_none();
        let destination = destination(&sim, &self.plan, &self.outside, Random(random.draw()), calm);
        let accepts = Accepts { format: Format::Protobuf, coding: Coding::Identity, joined_members: true };
        let carrier = destination.carrier_accepting(&self.plan.urls, accepts);
        let settings = Settings {
            workers: 1 + random.below(4) as usize,
            window_raw_bytes: 1 + random.below(100),
            failover: self.plan.failover,
            defer_bytes: self.plan.defer_bytes,
            backlog: Arc::new(Pace::new(self.plan.backlog_bytes_per_s)),
            ..Settings::default()
        };
        let dead = DeadLetters::new(self.dead.path().to_owned());
        let uploads = Uploads::new(carrier, sim.clone(), settings, dead, random.draw());
        // The bounds differ from life to life, as settings may.
        let limits = WindowLimits {
            frames_max: 1 + random.below(6) as usize,
            raw_bytes_max: 1 + random.below(300) as usize,
            stored_bytes_max: 1 << 20,
        };
        let books = Rc::new(Books(Rc::clone(&self.outside)));
        let source = LogSource { log: Rc::clone(&log), outside: Rc::clone(&self.outside), sides, limits };
        for task in uploads.workers(source, Rc::clone(&books)) {
            sim.spawn(task);
        }
        let Some(length) = length else {
            self.drain(&sim, &log, &memory);
            return;
        };
        let (accepting, env, mut dice) = (Rc::clone(&log), sim.clone(), Random(random.draw()));
        let (plan, outside) = (self.plan.clone(), Rc::clone(&self.outside));
        sim.spawn(async move {
            loop {
                let blocks: Vec<Block> = (0..1 + dice.below(3))
                    .map(|_| next_block(&plan, &mut outside.borrow_mut(), &mut dice))
                    .collect();
                if accepting.commit(&blocks).await.is_ok() {
                    let points = blocks.iter().flat_map(|block| numbers(&block.payload));
                    outside.borrow_mut().acknowledged.extend(points);
                }
                env.sleep(dice.below(5000) as u32 * MS).await;
            }
        });
        sim.run(sim.sleep(length));
        if !self.plan.crashes {
            let stopped = sim.run(uploads.stop(dice_budget(random)));
            let _ = stopped.windows_abandoned;
            sim.run(log.flush()).unwrap();
            for side in memory.logs.borrow().iter() {
                sim.run(side.flush()).unwrap();
            }
        }
    }

    /// Until nothing is left, and then the sums.
    fn drain(&self, sim: &Sim, log: &Rc<Log<MemoryDisk>>, memory: &MemorySides) {
        let spooled = || {
            // Frames, not points: a package that another side lane has in its account stands in its own with none.
            let aside: u64 = memory.logs.borrow().iter().map(|log| log.stats().spooled_frames).sum();
            log.stats().spooled_frames + aside
        };
        sim.run(async {
            // Whatever is in side lanes is opened by the workers.
            sim.sleep(S).await;
            while spooled() > 0 {
                assert!(sim.elapsed() < CALM, "not live: {} frames, {:?}", spooled(), log.stats());
                sim.sleep(S).await;
            }
        });
        let main = log.totals();
        assert_eq!(main.spooled(), 0, "{main:?}");
        assert_eq!((main.evicted, main.expired, main.lost, main.dropped), (0, 0, 0, 0));
        let sides: Vec<_> = memory.logs.borrow().iter().map(|log| log.totals()).collect();
        for side in &sides {
            assert_eq!(side.spooled(), 0, "{side:?}");
        }
        if !self.plan.crashes {
            // What went aside is what arrived there, and each point ended once.
            let sum = |read: fn(&crate::spool::Totals) -> u64| sides.iter().map(read).sum::<u64>();
            assert_eq!(main.parked, sum(|side| side.committed - side.parked), "{main:?} {sides:?}");
            let ended = main.delivered + main.dead + sum(|side| side.delivered + side.dead);
            assert_eq!(ended, main.committed, "{main:?} {sides:?}");
            assert_eq!(main.committed, self.outside.borrow().acknowledged.len() as u64);
        }
    }

    fn crash(&mut self, random: &mut Random) {
        let is_kill = random.chance(2);
        let mut after = |disk: &MemoryDisk| match is_kill {
            true => disk.after_kill(),
            false => disk.after_power_cut(random),
        };
        self.disk = after(&self.disk);
        self.sides.borrow_mut().values_mut().for_each(|side| *side = after(side));
    }

    /// The points in dead letters.
    fn dead(&self) -> BTreeSet<u64> {
        let folder = self.dead.path().join("logging");
        let files = std::fs::read_dir(folder).into_iter().flatten();
        let bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        bytes.flat_map(|bytes| decode_all(&bytes)).flat_map(|letter| numbers(&letter.data)).collect()
    }
}

fn dice_budget(random: &mut Random) -> Duration {
    random.below(5) as u32 * S
}

fn schedule(seed: u64) -> Happened {
    let mut random = Random(seed);
    let plan = Plan::draw(&mut random);
    let (disk, sides, outside) = (MemoryDisk::default(), Disks::default(), Rc::default());
    let shared_memory = std::path::Path::new("/dev/shm");
    let dead = match shared_memory.is_dir() {
        true => tempfile::tempdir_in(shared_memory),
        false => tempfile::tempdir(),
    };
    let mut world = World { plan, disk, sides, outside, dead: dead.unwrap() };
    for _ in 0..world.plan.lives {
        let length = random.below(200_000) as u32 * MS;
        // Some lives end in the middle of the first operations.
        if world.plan.crashes && random.chance(3) {
            let left = random.below(60);
            world.disk.faults(|faults| faults.operations_left = Some(left));
            let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                world.live(&mut random, Some(length));
            }));
            // Opening or maintaining fails on a dead machine; the world outside must not have seen anything wrong.
            if let Err(panic) = lived {
                let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                assert!(text.contains("the machine is dead"), "{text}");
            }
        } else {
            world.live(&mut random, Some(length));
        }
        if world.plan.crashes {
            world.crash(&mut random);
        }
    }
    world.live(&mut random, None);
    world.live(&mut random, None);

    let dead = world.dead();
    let outside = world.outside.borrow();
    let to: Vec<&str> = world.plan.urls.clone();
    for point in &outside.acknowledged {
        let has = |target: &&&str| outside.taken.get(**target).is_some_and(|taken| taken.contains_key(point));
        let taken = to.iter().filter(has).count();
        let everywhere = if world.plan.failover { taken > 0 } else { taken == to.len() };
        assert!(everywhere || dead.contains(point), "point {point} is at {taken} of {}", to.len());
        assert!(taken == 0 || !world.plan.is_poison(*point), "point {point} was taken and is refused");
    }
    assert!(dead.iter().all(|point| *point < outside.next_number), "a dead point is invented");
    if world.plan.poison_one_in == 0 {
        assert!(dead.is_empty() || world.plan.too_large == 0, "{dead:?}");
    }
    let (acknowledged, dead) = (outside.acknowledged.len() as u64, dead.len() as u64);
    Happened { acknowledged, dead, ..outside.seen }
}

fn run(seeds: impl Iterator<Item = u64>) -> Happened {
    let mut sums = Happened::default();
    for seed in seeds {
        match std::panic::catch_unwind(|| schedule(seed)) {
            Ok(happened) => sums += happened,
            Err(panic) => {
                eprintln!("KITGATE_SIM_SEED={seed}: {:?}", Plan::draw(&mut Random(seed)));
                std::panic::resume_unwind(panic);
            }
        }
    }
    sums
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn fresh_schedules_are_safe_and_live() {
    if let Some(seed) = env("KITGATE_SIM_SEED") {
        run(std::iter::once(seed));
        return;
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
fn kept_schedules_are_safe_and_live_and_do_what_they_are_for() {
    let seeds = KEPT.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let happened = run(seeds.map(|line| line.split(' ').next().unwrap().parse().unwrap()));
    let Happened { acknowledged, again, dead, parked, deferred, opened } = happened;
    assert!(acknowledged > 5_000 && again > 500 && dead > 300, "{happened:?}");
    assert!(parked > 1_000 && deferred > 1_000 && opened > 300, "{happened:?}");
}
