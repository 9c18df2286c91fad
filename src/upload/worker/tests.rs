//! The workers against a scripted destination on a virtual clock.

use std::path::PathBuf;

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::sink::{Accepts, Coding, Format};
use crate::upload::body::Unreadable;
use crate::upload::dead::DeadLetter;
use crate::upload::dead::decode_all;
use crate::upload::source::Frame;
use crate::upload::testing::Sim;
use crate::upload::testing::destination::{Say, Scripted as Destination, Seen};
use crate::upload::testing::source::{Scripted as Log, frame, seqs};

pub(super) const S: Duration = Duration::from_secs(1);
pub(super) const MS: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Books {
    pub delivered: Cell<u64>,
    pub dead: RefCell<Vec<(Refusal, u64)>>,
    pub parked: Cell<u64>,
    pub standing: RefCell<BTreeMap<usize, Standing>>,
    pub eta: Cell<Option<Duration>>,
    attempts: RefCell<Vec<Option<u16>>>,
}

impl Ledger for Books {
    fn attempt(&self, _category: Category, status: Option<u16>, _body_bytes: u64, _took: Duration) {
        self.attempts.borrow_mut().push(status);
    }

    fn delivered(&self, _category: Category, points: u64) {
        self.delivered.set(self.delivered.get() + points);
    }

    fn dead(&self, _category: Category, refusal: Refusal, points: u64) {
        self.dead.borrow_mut().push((refusal, points));
    }

    fn parked(&self, _category: Category, points: u64) {
        self.parked.set(self.parked.get() + points);
    }

    fn target(&self, target: usize, standing: Standing) {
        self.standing.borrow_mut().insert(target, standing);
    }

    fn backlog(&self, _category: Category, _backlog: Backlog, eta: Option<Duration>) {
        self.eta.set(eta);
    }
}

/// Frames, a destination, and what came of them.
pub(super) struct World {
    pub sim: Sim,
    pub log: Rc<Log>,
    pub destination: Destination,
    pub books: Rc<Books>,
    dir: tempfile::TempDir,
    pub settings: Settings,
    pub urls: Vec<&'static str>,
}

impl World {
    pub fn new(
        frames: Vec<Frame>,
        frames_per_window: usize,
        script: impl FnMut(&Seen, usize) -> Say + 'static,
    ) -> World {
        let sim = Sim::new();
        World {
            log: Log::with(frames, frames_per_window),
            destination: Destination::new(&sim, 10 * MS, script),
            sim,
            books: Rc::default(),
            dir: tempfile::tempdir().unwrap(),
            // Every window is full: the tests of gathering set this.
            settings: Settings { workers: 1, window_raw_bytes: 0, ..Settings::default() },
            urls: vec!["http://h:1?token=tkn_0123456789"],
        }
    }

    pub fn start(&self) -> Rc<Uploads<impl Carrier + use<>, Sim>> {
        self.start_accepting(Accepts {
            format: Format::Protobuf,
            coding: Coding::Identity,
            joined_members: true,
        })
    }

    pub fn start_accepting(&self, accepts: Accepts) -> Rc<Uploads<impl Carrier + use<>, Sim>> {
        let carrier = self.destination.carrier_accepting(&self.urls, accepts);
        let dead = DeadLetters::new(self.dead_dir());
        let uploads = Uploads::new(carrier, self.sim.clone(), self.settings.clone(), dead, 7);
        for worker in uploads.workers(Rc::clone(&self.log), Rc::clone(&self.books)) {
            self.sim.spawn(worker);
        }
        uploads
    }

    /// Runs until all is sent.
    pub fn run(&self) {
        let _uploads = self.start();
        self.log.close();
        self.sim.run_to_end();
    }

    fn dead_dir(&self) -> PathBuf {
        self.dir.path().join("dead")
    }

    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let path = self.dead_dir().join("logging/2026-01-31.dead");
        std::fs::read(path).map(|bytes| decode_all(&bytes)).unwrap_or_default()
    }

    pub fn completed(&self) -> Vec<u64> {
        self.log.completed.borrow().iter().copied().collect()
    }
}

pub(super) fn frames(count: u64) -> Vec<Frame> {
    (0..count).map(|seq| frame(seq, "", 1)).collect()
}

pub(super) fn ok(_: &Seen, _: usize) -> Say {
    Say::Status(200)
}

#[test]
fn windows_become_packages_and_are_completed_in_order() {
    let mut all = frames(5);
    all[1] = frame(1, "storage_index=audit", 10);
    let world = World::new(all, 3, ok);
    world.run();
    let seen = world.destination.seen();
    let bodies: Vec<Vec<u64>> = seen.iter().map(|seen| seqs(&seen.body)).collect();
    assert_eq!(bodies, [vec![0, 2], vec![1], vec![3, 4]]);
    assert_eq!(seen[0].header("X-Points"), Some("2"));
    assert_eq!(seen[0].header("X-Storage-Index-Name"), None);
    assert_eq!(seen[1].header("X-Points"), Some("10"));
    assert_eq!(seen[1].header("X-Storage-Index-Name"), Some("audit"));
    assert_eq!(world.completed(), [0, 1, 2, 3, 4]);
    assert_eq!(world.books.delivered.get(), 14);
}

#[test]
fn retries_keep_id_and_body_and_wait_longer_each_time() {
    let world = World::new(frames(2), 2, |_, before| match before {
        0 | 2 => Say::Break,
        1 | 3 => Say::Status(500),
        4 => Say::Status(302),
        _ => Say::Status(204),
    });
    world.run();
    let seen = world.destination.seen();
    assert_eq!(seen.len(), 6);
    for again in &seen[1..] {
        assert_eq!((again.id(), &again.head, &again.body), (seen[0].id(), &seen[0].head, &seen[0].body));
    }
    for (pair, expected) in seen.windows(2).zip([1, 2, 4, 8, 16]) {
        let wait = pair[1].at - pair[0].at - 10 * MS;
        assert!(wait >= expected * S / 2 && wait <= expected * S, "{wait:?} of {expected} s");
    }
    assert_eq!(world.completed(), [0, 1]);
    assert_eq!(world.books.delivered.get(), 2);
    assert_eq!(*world.books.attempts.borrow(), [None, Some(500), None, Some(500), Some(302), Some(204)]);
}

#[test]
fn nothing_is_completed_before_its_answer() {
    let world = World::new(frames(3), 1, |_, before| if before < 1 { Say::Status(200) } else { Say::Break });
    let uploads = world.start();
    world.sim.run(world.sim.sleep(3600 * S));
    assert_eq!(world.completed(), [0]);
    assert_eq!(world.books.delivered.get(), 1);
    let stopped = world.sim.run(uploads.stop(S));
    assert_eq!(stopped.windows_abandoned, 1);
    assert_eq!(world.completed(), [0]);
    assert_eq!(*world.log.given_back.borrow(), [1].into());
}

#[test]
fn a_destination_that_comes_back_is_used_at_once_by_all() {
    let mut world =
        World::new(frames(8), 1, |seen, _| if seen.at < 100 * S { Say::Break } else { Say::Status(200) });
    world.settings.workers = 4;
    world.run();
    assert_eq!(world.completed().len(), 8);
    let seen = world.destination.seen();
    let first = seen.iter().find(|seen| seen.at >= 100 * S).unwrap().at;
    assert!(world.sim.elapsed() < first + 2 * S, "{first:?}, all at {:?}", world.sim.elapsed());
    assert!(seen.len() < 60, "{} requests in 100 s to a dead destination", seen.len());
}

#[test]
fn too_many_requests_pauses_every_category() {
    let throttled = "HTTP/1.1 429 X\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n";
    let mut world =
        World::new(
            frames(6),
            1,
            move |_, before| {
                if before == 2 { Say::Raw(throttled) } else { Say::Status(200) }
            },
        );
    world.settings.workers = 3;
    let uploads = world.start();
    let other = Log::with(frames(0), 1);
    for worker in uploads.workers(Rc::clone(&other), Rc::clone(&world.books)) {
        world.sim.spawn(worker);
    }
    world.sim.run(world.sim.sleep(S));
    other.push(frame(100, "", 1));
    world.log.close();
    other.close();
    world.sim.run_to_end();
    let seen = world.destination.seen();
    let ats: Vec<Duration> = seen.iter().map(|seen| seen.at).collect();
    assert_eq!(ats[..3], [Duration::ZERO; 3], "three at once, of which the third is told to wait");
    assert_eq!(ats[3..5], [10 * MS; 2], "the first two took another before the third was told");
    // Nobody else, the other category included, until the pause is over; then one, and after its success the rest.
    let over = 10 * MS + 20 * S;
    assert_eq!(ats[5], over);
    assert!(ats[6..].iter().all(|at| *at >= over + 10 * MS), "{ats:?}");
    assert_eq!(ats.len(), 8);
    assert_eq!(world.books.delivered.get(), 7);
}

#[test]
fn throttled_without_a_time_waits_longer_each_time() {
    let world = World::new(frames(1), 1, |_, before| match before {
        0..=3 => Say::Status(429),
        4..=5 => Say::Status(408),
        _ => Say::Status(200),
    });
    world.run();
    let seen = world.destination.seen();
    for (pair, expected) in seen.windows(2).zip([1, 2, 4, 8, 16, 32]) {
        let wait = pair[1].at - pair[0].at - 10 * MS;
        assert!(wait >= expected * S / 2 && wait <= expected * S, "{wait:?} of {expected} s");
    }
    assert_eq!(world.completed(), [0]);
}

#[test]
fn a_server_error_with_retry_after_is_honoured() {
    let world = World::new(frames(1), 1, |_, before| match before {
        0 => Say::Raw(
            "HTTP/1.1 503 X\r\nRetry-After: Sat, 31 Jan 2026 08:17:30 GMT\r\nContent-Length: 0\r\n\r\n",
        ),
        _ => Say::Status(200),
    });
    world.run();
    let seen = world.destination.seen();
    assert_eq!(seen[1].at, 120 * S + 10 * MS, "the date is two minutes after the start");
}

#[test]
fn a_refused_token_pauses_the_category_and_keeps_the_data() {
    let mut world = World::new(frames(4), 1, |seen, before| {
        if before == 0 || (before < 4 && seen.at > Duration::ZERO) {
            Say::Status(403)
        } else {
            Say::Status(200)
        }
    });
    world.settings.workers = 2;
    let uploads = world.start();
    let other = Log::with(vec![frame(100, "", 1)], 1);
    other.close();
    world.sim.run(world.sim.sleep(S));
    for worker in uploads.workers(Rc::clone(&other), Rc::clone(&world.books)) {
        world.sim.spawn(worker);
    }
    world.log.close();
    world.sim.run_to_end();
    let seen = world.destination.seen();
    let other_at = seen.iter().find(|seen| seqs(&seen.body) == [100]).unwrap().at;
    assert_eq!(other_at, S, "another category goes on");
    assert_eq!(world.completed(), [0, 1, 2, 3]);
    assert_eq!(world.books.delivered.get(), 5);
    assert!(world.dead_letters().is_empty());
}

#[test]
fn too_large_is_halved_down_to_the_frame_that_is() {
    let world = World::new(frames(7), 7, |seen, _| {
        let seqs = seqs(&seen.body);
        match seqs.len() > 2 || seqs.contains(&5) {
            true => Say::Raw("HTTP/1.1 413 X\r\nContent-Length: 9\r\n\r\ntoo large"),
            false => Say::Status(200),
        }
    });
    world.run();
    let bodies: Vec<Vec<u64>> = world.destination.seen().iter().map(|seen| seqs(&seen.body)).collect();
    let expected: [&[u64]; 9] =
        [&[0, 1, 2, 3, 4, 5, 6], &[0, 1, 2, 3], &[0, 1], &[2, 3], &[4, 5, 6], &[4, 5], &[4], &[5], &[6]];
    assert_eq!(bodies, expected);
    let mut ids: Vec<String> = world.destination.seen().iter().map(|seen| seen.id().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 9);
    assert_eq!(world.completed(), [0, 1, 2, 3, 4, 5, 6], "the window is through");
    assert_eq!(world.books.delivered.get(), 6);
    assert_eq!(*world.books.dead.borrow(), [(Refusal::TooLarge, 1)]);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].note.seq, letters[0].note.status), (5, Some(413)));
    assert_eq!((letters[0].note.answer.as_str(), &letters[0].data[..]), ("too large", &b"5;"[..]));
    assert_eq!(world.log.told(), (1, 0));
}

#[test]
fn what_is_refused_for_ever_is_a_dead_letter_without_its_token() {
    let world = World::new(frames(3), 2, |seen, _| match seqs(&seen.body).contains(&2) {
        false => {
            Say::Raw("HTTP/1.1 400 X\r\nContent-Length: 37\r\n\r\ntoken=tkn_0123456789 says:\r\nbad point")
        }
        true => Say::Status(200),
    });
    world.run();
    assert_eq!(world.destination.seen().len(), 4, "the whole, its halves, and none of them again");
    assert_eq!(world.completed(), [0, 1, 2]);
    assert_eq!(world.books.delivered.get(), 1);
    assert_eq!(*world.books.dead.borrow(), [(Refusal::Invalid, 1), (Refusal::Invalid, 1)]);
    let letters = world.dead_letters();
    assert_eq!(letters.iter().map(|letter| letter.note.seq).collect::<Vec<_>>(), [0, 1]);
    let note = &letters[0].note;
    assert_eq!((note.reason.as_str(), note.destination.as_str()), ("invalid", "http://h:1"));
    assert_eq!(note.answer, "token=*** says:  bad point");
    assert_eq!(note.package, world.destination.seen()[1].id());
    assert_eq!(note.history.iter().map(|tried| tried.status).collect::<Vec<_>>(), [Some(400), Some(400)]);
}

#[test]
fn a_window_waits_until_its_dead_letters_can_be_written() {
    let world = World::new(frames(1), 1, |_, _| Say::Status(400));
    std::fs::write(world.dead_dir(), "a file where the folder should be").unwrap();
    let _uploads = world.start();
    world.log.close();
    world.sim.run(world.sim.sleep(100 * S));
    assert!(world.completed().is_empty());
    assert!(world.books.dead.borrow().is_empty());
    std::fs::remove_file(world.dead_dir()).unwrap();
    world.sim.run_to_end();
    assert_eq!(world.completed(), [0]);
    assert_eq!(world.dead_letters().len(), 1);
    assert_eq!(world.destination.seen().len(), 1, "not sent again meanwhile");
}

#[test]
fn every_target_gets_each_package_once() {
    let mut world = World::new(frames(2), 1, |seen, _| match (seen.target.as_str(), seqs(&seen.body)[0]) {
        ("http://a:1", _) if seen.at < 5 * S => Say::Status(500),
        ("http://b:2", 1) => Say::Status(400),
        _ => Say::Status(200),
    });
    world.urls = vec!["http://a:1?token=t1", "http://b:2?token=t2"];
    world.run();
    let seen = world.destination.seen();
    let times = |target: &str, seq: u64| {
        seen.iter().filter(|seen| seen.target == target && seqs(&seen.body) == [seq]).count()
    };
    assert!(times("http://a:1", 0) > 1, "a failed at first");
    assert_eq!((times("http://b:2", 0), times("http://b:2", 1)), (1, 1), "b is not sent again what it has");
    assert_eq!(times("http://a:1", 1), 1);
    assert!(seen.iter().all(|seen| seen.head.contains(if seen.target == "http://a:1" {
        "t1 "
    } else {
        "t2 "
    })));
    assert_eq!(world.books.delivered.get(), 1);
    assert_eq!(*world.books.dead.borrow(), [(Refusal::Invalid, 1)]);
}

#[test]
fn blocks_are_converted_once_and_unreadable_ones_buried() {
    let mut all = frames(3);
    all[1].block.raw_bytes += 1;
    let world = World::new(all, 3, |_, before| if before == 0 { Say::Status(500) } else { Say::Status(200) });
    let accepts = Accepts { format: Format::Protobuf, coding: Coding::Zstd, joined_members: false };
    let _uploads = world.start_accepting(accepts);
    world.log.close();
    world.sim.run_to_end();
    let seen = world.destination.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, seen[1].body);
    assert_eq!(seqs(&zstd::decode_all(&seen[0].body[..]).unwrap()), [0, 2]);
    assert_eq!(seen[0].header("X-Points"), Some("2"));
    assert_eq!(seen[0].header("Content-Encoding"), Some("zstd"));
    assert_eq!(world.books.delivered.get(), 2);
    assert_eq!(*world.books.dead.borrow(), [(Refusal::Unreadable, 1)]);
    assert_eq!(world.dead_letters()[0].note.seq, 1);
}

#[test]
fn points_that_cannot_be_written_as_text_are_buried() {
    let world = World::new(frames(1), 1, ok);
    let _render_that_fails: fn(&[u8], &mut Vec<u8>) -> Result<u64, Unreadable> = |_, _| Err(Unreadable);
    let accepts = Accepts { format: Format::LineProtocol, coding: Coding::Identity, joined_members: true };
    let _uploads = world.start_accepting(accepts);
    world.log.close();
    world.sim.run_to_end();
    assert!(world.destination.seen().is_empty(), "an empty package is not sent");
    assert_eq!(*world.books.dead.borrow(), [(Refusal::Unreadable, 1)]);
}

#[test]
fn an_unknown_route_is_buried_and_the_rest_goes_on() {
    let world = World::new(vec![frame(0, "tenant=x", 1), frame(1, "", 1)], 2, ok);
    world.run();
    assert_eq!(world.destination.seen().len(), 1);
    assert_eq!(world.completed(), [0, 1]);
    assert_eq!(world.dead_letters()[0].note.route, "tenant=x");
}

#[test]
fn a_lone_frame_goes_at_once_and_a_stream_is_gathered() {
    let mut world = World::new(Vec::new(), 1000, ok);
    world.settings = Settings { workers: 4, gather: 20 * MS, ..Settings::default() };
    let _uploads = world.start();
    world.sim.run(async {
        world.sim.sleep(S).await;
        // A frame a millisecond for half a second.
        for seq in 0..500 {
            world.log.push(frame(seq, "", 1));
            world.sim.sleep(MS).await;
        }
    });
    world.log.close();
    world.sim.run_to_end();
    let seen = world.destination.seen();
    assert_eq!((seen[0].at, seqs(&seen[0].body)), (S, vec![0]), "the first waits for nothing");
    assert!((20..=30).contains(&seen.len()), "{} requests for 500 frames", seen.len());
    assert_eq!(
        seen.iter().flat_map(|seen| seqs(&seen.body)).collect::<Vec<_>>(),
        (0..500).collect::<Vec<_>>()
    );
}

#[test]
fn a_small_request_that_hangs_does_not_hold_up_small_ones_for_ever() {
    let mut world = World::new(vec![frame(0, "", 1)], 1000, |_, before| match before {
        0 => Say::Hang,
        _ => Say::Status(200),
    });
    world.settings = Settings { workers: 2, gather: 20 * MS, ..Settings::default() };
    let uploads = world.start();
    world.sim.run(async {
        world.sim.sleep(10 * MS).await;
        world.log.push(frame(1, "", 1));
        world.sim.sleep(S).await;
    });
    assert_eq!(world.completed(), [1]);
    world.sim.run(uploads.stop(S));
}

#[test]
fn full_windows_are_sent_by_all_workers_at_once() {
    let mut world = World::new(frames(8), 1, ok);
    world.settings.workers = 4;
    world.run();
    let ats: Vec<Duration> = world.destination.seen().iter().map(|seen| seen.at).collect();
    assert_eq!(ats, [[Duration::ZERO; 4], [10 * MS; 4]].concat());
}

#[test]
fn a_stop_lets_requests_end_and_breaks_off_what_hangs() {
    let mut world = World::new(frames(10), 1, |_, before| match before {
        0 => Say::Hang,
        1 => Say::Status(500),
        _ => Say::Status(200),
    });
    world.settings.workers = 3;
    world.destination = Destination::new(&world.sim, S, |_, before| match before {
        0 => Say::Hang,
        1 => Say::Status(500),
        _ => Say::Status(200),
    });
    let uploads = world.start();
    world.sim.run(world.sim.sleep(1500 * MS));
    let stopped = world.sim.run(uploads.stop(10 * S));
    // One hung, one was in its backoff, one got its answer half a second after the stop.
    assert_eq!(stopped.windows_abandoned, 2);
    assert_eq!(world.completed(), [2, 3]);
    assert_eq!(world.sim.elapsed(), 11_500 * MS, "the hanging one used up the budget");
    world.sim.run_to_end();
    assert_eq!(world.destination.seen().len(), 4, "nothing is taken after the stop");
}

#[test]
fn a_stop_of_idle_workers_is_immediate() {
    let world = World::new(Vec::new(), 1, ok);
    let uploads = world.start();
    world.sim.run(world.sim.sleep(S));
    let stopped = world.sim.run(uploads.stop(10 * S));
    assert_eq!((stopped.windows_abandoned, world.sim.elapsed()), (0, S));
}

#[test]
fn ledger_balances_under_every_answer() {
    // A destination that goes through everything it can say, and a check that each point is accounted for once.
    let statuses = [200, 500, 413, 400, 302, 429, 401, 404, 503, 204, 408, 403, 422];
    let mut world = World::new(
        (0..60).map(|seq| frame(seq, "", 1 + seq as u32 % 7)).collect(),
        5,
        move |seen, before| {
            if before % 11 == 10 || seen.body.is_empty() {
                return Say::Break;
            }
            Say::Status(statuses[(before * 7 + seen.body.len()) % statuses.len()])
        },
    );
    world.settings.workers = 4;
    world.run();
    let all: u64 = (0..60).map(|seq| 1 + seq % 7).sum();
    let dead: u64 = world.books.dead.borrow().iter().map(|(_, points)| points).sum();
    assert_eq!(world.books.delivered.get() + dead, all);
    assert!(dead > 0 && world.books.delivered.get() > 0);
    assert_eq!(world.completed(), (0..60).collect::<Vec<_>>());
    let buried: u64 = world.dead_letters().iter().map(|letter| u64::from(letter.note.points)).sum();
    assert_eq!(buried, dead);
}
