//! What destinations do to a gateway, one scenario a test, on a virtual clock. The names of the scenarios (D1 …) are those
//! of the table in the documents.

use super::tests::{MS, S, World, frames, ok};
use super::*;
use crate::sink::Refusal;
use crate::upload::dead::DeadLetter;
use crate::upload::source::Frame;
use crate::upload::testing::destination::{Say, Seen};
use crate::upload::testing::source::{numbered_frame, numbers, seqs};

const TOO_LARGE: Say = Say::Status(413);

/// Frames of ten numbered points each.
fn numbered(count: u64) -> Vec<Frame> {
    (0..count).map(|seq| numbered_frame(seq, "", seq * 10..seq * 10 + 10)).collect()
}

/// The numbers of the points that were taken: those of requests with a 200.
fn taken(world: &World, refuses: impl Fn(&Seen) -> bool) -> Vec<u64> {
    let seen = world.destination.seen();
    let mut taken: Vec<u64> =
        seen.iter().filter(|seen| !refuses(seen)).flat_map(|seen| numbers(&seen.body)).collect();
    taken.sort_unstable();
    taken
}

fn buried(letters: &[DeadLetter]) -> Vec<(u64, u32, u32)> {
    letters.iter().map(|letter| (letter.note.seq, letter.note.first_point, letter.note.points)).collect()
}

fn requests_of(world: &World, seq: u64) -> Vec<Seen> {
    world.destination.seen().into_iter().filter(|seen| seqs(&seen.body) == [seq]).collect()
}

// D1

#[test]
fn d1_a_slow_destination_gets_less_at_once_and_each_package_under_one_id() {
    // Fast for a while, then 25 s, then slower than the time-out, then fast again.
    let mut world = World::new(frames(500), 1, |seen, _| match seen.at.as_secs() {
        0..5 => Say::Status(200),
        5..200 => Say::Late(25 * S, 200),
        200..500 => Say::TimeOut,
        _ => Say::Status(200),
    });
    world.settings.workers = 40;
    world.settings.in_flight_max = 32;
    let uploads = world.start();
    world.sim.run(world.sim.sleep(S));
    for seq in 500..1000 {
        world.log.push(crate::upload::testing::source::frame(seq, "", 1));
    }
    world.sim.run(world.sim.sleep(4 * S));
    for seq in 1000..1400 {
        world.log.push(crate::upload::testing::source::frame(seq, "", 1));
    }
    world.sim.run(world.sim.sleep(195 * S));
    let limit = |world: &World| world.books.standing.borrow()[&0].limit;
    assert!(limit(&world) <= 8, "slow: {}", limit(&world));
    world.sim.run(world.sim.sleep(300 * S));
    assert!(limit(&world) <= 2, "silent: {}", limit(&world));
    let seen = world.destination.seen();
    let silent = seen.iter().filter(|seen| (200..500).contains(&seen.at.as_secs())).count();
    assert!(silent < 60, "{silent} requests in 300 s to a destination that does not answer");
    assert!(seen.iter().all(|seen| seen.in_flight <= 32));
    world.log.close();
    world.sim.run_to_end();
    assert_eq!(world.completed().len(), 1400);
    let mut ids = std::collections::BTreeMap::new();
    for seen in world.destination.seen() {
        assert_eq!(*ids.entry(seqs(&seen.body)).or_insert_with(|| seen.id().to_owned()), seen.id());
    }
    drop(uploads);
}

// D2

#[test]
fn d2_a_success_whose_answer_is_lost_is_repeated_under_the_same_id() {
    let world = World::new(frames(1), 1, |_, before| if before < 2 { Say::Break } else { Say::Status(200) });
    world.run();
    let ids: Vec<String> = world.destination.seen().iter().map(|seen| seen.id().to_owned()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(world.books.delivered.get(), 1);
}

// D3

#[test]
fn d3_poisonous_points_are_found_and_the_rest_is_delivered() {
    let poison = [37, 38, 91];
    let refuses = move |seen: &Seen| numbers(&seen.body).iter().any(|number| poison.contains(number));
    let world = World::new(numbered(12), 12, move |seen, _| {
        if refuses(seen) {
            Say::Raw("HTTP/1.1 400 X\r\nContent-Length: 3\r\n\r\nbad")
        } else {
            Say::Status(200)
        }
    });
    world.run();
    let expected: Vec<u64> = (0..120).filter(|number| !poison.contains(number)).collect();
    assert_eq!(taken(&world, refuses), expected, "each good point once");
    let mut letters = world.dead_letters();
    letters.sort_by_key(|letter| (letter.note.seq, letter.note.first_point));
    assert_eq!(buried(&letters), [(3, 7, 1), (3, 8, 1), (9, 1, 1)]);
    for (letter, number) in letters.iter().zip(poison) {
        assert_eq!(numbers(&letter.data), [number]);
        assert_eq!((letter.note.reason.as_str(), letter.note.answer.as_str()), ("invalid", "bad"));
        assert!(letter.note.history.len() > 3, "the whole, a half, …");
    }
    assert_eq!((world.books.delivered.get(), world.log.told()), (117, (3, 0)));
    let requests = world.destination.seen().len();
    assert!(requests < 50, "{requests} requests for three points of 120");
}

#[test]
fn d3_a_poisonous_batch_holds_up_nobody() {
    let refuses = |seen: &Seen| numbers(&seen.body).contains(&5);
    let mut world =
        World::new(
            numbered(40),
            1,
            move |seen, _| {
                if refuses(seen) { Say::Status(422) } else { Say::Status(200) }
            },
        );
    world.settings.workers = 2;
    let uploads = world.start();
    world.sim.run(world.sim.sleep(S));
    assert_eq!(world.completed().len(), 40, "all within a second");
    assert_eq!(world.books.delivered.get(), 399);
    world.sim.run(uploads.stop(S));
}

#[test]
fn d3_the_pieces_have_the_same_ids_after_a_restart() {
    let refuses = |seen: &Seen| numbers(&seen.body).contains(&13);
    let ids = || {
        let world =
            World::new(
                numbered(5),
                5,
                move |seen, _| {
                    if refuses(seen) { Say::Status(400) } else { Say::Status(200) }
                },
            );
        world.run();
        let seen = world.destination.seen();
        seen.iter().map(|seen| (seen.id().to_owned(), numbers(&seen.body))).collect::<Vec<_>>()
    };
    let first = ids();
    assert_eq!(first, ids());
    let different: std::collections::BTreeSet<&String> = first.iter().map(|(id, _)| id).collect();
    assert_eq!(different.len(), first.len());
}

#[test]
fn d3_a_destination_that_refuses_everything_costs_a_few_requests_a_package() {
    let mut world = World::new(numbered(200), 10, |seen, _| match seen.at.as_secs() {
        0..1000 => Say::Status(400),
        _ => Say::Status(200),
    });
    world.settings.workers = 1;
    let uploads = world.start();
    world.sim.run(world.sim.sleep(900 * S));
    assert_eq!(world.completed().len(), 200);
    // The first is looked at closely, the 19 others hardly.
    let requests = world.destination.seen().len() as u32;
    assert_eq!(requests, pieces::REFUSALS_MAX + 19 * pieces::REFUSALS_MAX_IN_DOUBT);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 200, "whole frames");
    assert!(letters.iter().all(|letter| letter.note.points == 10 && letter.note.first_point == 0));
    assert_eq!((world.books.delivered.get(), world.log.told()), (0, (2000, 0)));
    world.sim.run(uploads.stop(S));
}

#[test]
fn d3_what_cannot_be_told_apart_in_time_dies_together() {
    // Every third point of many is poisonous.
    let world = World::new(vec![numbered_frame(0, "", 0..6000)], 1, |seen, _| {
        match numbers(&seen.body).iter().any(|number| number % 3 == 0) && numbers(&seen.body).len() > 1 {
            true => Say::Status(400),
            false if numbers(&seen.body)[0].is_multiple_of(3) => Say::Status(400),
            false => Say::Status(200),
        }
    });
    world.run();
    assert_eq!(world.completed(), [0]);
    let requests = world.destination.seen().len() as u32;
    assert!(requests <= 2 * pieces::REQUESTS_MAX, "{requests}");
    let dead: u64 = world.dead_letters().iter().map(|letter| u64::from(letter.note.points)).sum();
    assert_eq!(world.books.delivered.get() + dead, 6000);
}

// D4: `tests::too_many_requests_pauses_every_category`, `tests::throttled_without_a_time_waits_longer_each_time`,
// `retry::retry_after_in_every_form`.

// D5

#[test]
fn d5_a_refused_token_of_a_workspace_waits_and_nobody_else_does() {
    let bad = "token=bad%5F1";
    let mut world =
        World::new(Vec::new(), 1, |seen, _| match seen.head.contains("token=bad_1") && seen.at < 1000 * S {
            true => Say::Status(403),
            false => Say::Status(200),
        });
    world.settings.workers = 2;
    let uploads = world.start();
    world.sim.run(async {
        for seq in 0..100 {
            let route = if seq % 2 == 0 { bad } else { "" };
            world.log.push(crate::upload::testing::source::frame(seq, route, 1));
            world.sim.sleep(S).await;
        }
        world.sim.sleep(S).await;
    });
    assert_eq!(world.completed().len(), 100, "nothing waits in the main lane");
    assert_eq!(world.books.delivered.get(), 50);
    assert_eq!(world.log.told(), (0, 50));
    assert!(world.books.parked.get() >= 50, "some were tried, and went back");
    assert_eq!(world.books.standing.borrow()[&0].tokens_refused, 1);
    let asked = world.destination.seen().iter().filter(|seen| seen.head.contains("bad_1")).count();
    assert!(asked < 20, "{asked} requests with a token that is refused");
    assert!(world.dead_letters().is_empty());
    // Somebody mends it: all of it goes out, each package under its id.
    world.sim.run(world.sim.sleep(1100 * S));
    assert_eq!(world.books.delivered.get(), 100);
    let mut ids = std::collections::BTreeMap::new();
    for seen in world.destination.seen() {
        assert_eq!(*ids.entry(seqs(&seen.body)).or_insert_with(|| seen.id().to_owned()), seen.id());
    }
    assert_eq!(world.books.standing.borrow()[&0].tokens_refused, 0);
    world.sim.run(uploads.stop(S));
}

#[test]
fn d5_a_full_side_lane_makes_the_main_lane_wait_and_loses_nothing() {
    let route = "token=bad%5F1";
    let mut world = World::new(
        (0..3).map(|seq| crate::upload::testing::source::frame(seq, route, 1)).collect(),
        1,
        |seen, _| if seen.at < 100 * S { Say::Status(401) } else { Say::Status(200) },
    );
    world.settings.workers = 1;
    world.log.sides_full.set(true);
    let uploads = world.start();
    world.sim.run(world.sim.sleep(200 * S));
    assert!(world.completed().is_empty());
    world.log.sides_full.set(false);
    world.sim.run(world.sim.sleep(200 * S));
    assert_eq!((world.completed().len(), world.books.delivered.get()), (3, 3));
    world.sim.run(uploads.stop(S));
}

// D6

#[test]
fn d6_what_is_not_about_the_points_is_not_cut() {
    for (status, reason) in
        [(404, "no_such_place"), (405, "no_such_place"), (410, "no_such_place"), (406, "not_acceptable")]
    {
        let world = World::new(numbered(4), 4, move |_, _| Say::Status(status));
        world.run();
        assert_eq!(world.destination.seen().len(), 1, "{status}");
        let letters = world.dead_letters();
        assert_eq!(letters.len(), 4, "{status}");
        assert!(letters.iter().all(|letter| letter.note.reason == reason), "{status}");
    }
}

#[test]
fn d6_too_large_is_cut_between_points_down_to_the_one_that_is() {
    let world = World::new(vec![numbered_frame(0, "", 0..10)], 1, |seen, _| {
        let numbers = numbers(&seen.body);
        if numbers.len() > 3 || numbers.contains(&7) { TOO_LARGE } else { Say::Status(200) }
    });
    world.run();
    let refuses = |seen: &Seen| numbers(&seen.body).len() > 3 || numbers(&seen.body).contains(&7);
    assert_eq!(taken(&world, refuses), [0, 1, 2, 3, 4, 5, 6, 8, 9]);
    assert_eq!(buried(&world.dead_letters()), [(0, 7, 1)]);
    assert_eq!(world.books.delivered.get(), 9);
    assert_eq!(*world.books.dead.borrow(), [(Refusal::TooLarge, 1)]);
}

#[test]
fn d6_a_destination_for_which_everything_is_too_large_costs_a_few_requests() {
    let world = World::new(numbered(100), 100, |_, _| TOO_LARGE);
    world.run();
    let requests = world.destination.seen().len();
    assert!(requests < 20, "{requests} requests for a thousand points");
    assert_eq!(buried(&world.dead_letters()).len(), 100, "whole frames");
    assert_eq!(world.log.told(), (1000, 0));
}

// D7

#[test]
fn d7_a_package_that_fails_alone_goes_out_of_the_way_and_comes_back() {
    let mut world = World::new(Vec::new(), 1, |seen, _| {
        if seqs(&seen.body) == [3] && seen.at < 600 * S { Say::Status(500) } else { Say::Status(200) }
    });
    world.settings.workers = 2;
    let uploads = world.start();
    world.sim.run(async {
        for seq in 0..100 {
            world.log.push(crate::upload::testing::source::frame(seq, "", 1));
            world.sim.sleep(S).await;
        }
    });
    assert_eq!(world.completed().len(), 100);
    assert_eq!((world.books.delivered.get(), world.log.told()), (99, (0, 1)));
    // Others came in order all the time.
    let others: Vec<Seen> =
        world.destination.seen().into_iter().filter(|seen| seqs(&seen.body) != [3]).collect();
    assert!(others.iter().all(|seen| seen.at < Duration::from_secs(seqs(&seen.body)[0]) + S));
    world.sim.run(world.sim.sleep(1000 * S));
    assert_eq!(world.books.delivered.get(), 100);
    let tries = requests_of(&world, 3);
    assert!(tries.iter().all(|seen| seen.id() == tries[0].id()), "under its id");
    assert!((8..80).contains(&tries.len()), "{} tries in ten minutes", tries.len());
    world.sim.run(uploads.stop(S));
}

#[test]
fn d7_bad_packages_at_every_worker_do_not_hide_that_others_would_pass() {
    let mut world =
        World::new(
            frames(30),
            1,
            |seen, _| {
                if seqs(&seen.body)[0] < 4 { Say::Status(500) } else { Say::Status(200) }
            },
        );
    world.settings.workers = 4;
    let uploads = world.start();
    world.sim.run(world.sim.sleep(180 * S));
    assert_eq!(world.books.delivered.get(), 26, "{:?}", world.completed());
    world.sim.run(uploads.stop(S));
}

// D8

#[test]
fn d8_two_days_of_errors_lose_nothing() {
    let end = Duration::from_secs(48 * 3600);
    let mut world =
        World::new(
            frames(50),
            1,
            move |seen, _| {
                if seen.at < end { Say::Status(503) } else { Say::Status(200) }
            },
        );
    world.settings.workers = 4;
    let uploads = world.start();
    world.sim.run(world.sim.sleep(end));
    assert_eq!(world.books.delivered.get(), 0);
    assert!(world.dead_letters().is_empty());
    let standing = world.books.standing.borrow()[&0];
    assert!(standing.is_down && standing.opened == 1, "{standing:?}");
    let requests = world.destination.seen().len();
    assert!(requests < 48 * 3600 / 15, "{requests}: one probe a rest, and no more");
    world.log.close();
    world.sim.run_to_end();
    assert_eq!(world.books.delivered.get(), 50);
    assert!(world.sim.elapsed() < end + 200 * S);
    drop(uploads);
}

// D9

#[test]
fn d9_after_an_outage_fresh_data_goes_first_and_the_backlog_at_its_pace() {
    let outage = 1000 * S;
    let mut world = World::new(
        Vec::new(),
        1,
        move |seen, _| {
            if seen.at < outage { Say::Break } else { Say::Status(200) }
        },
    );
    world.settings = Settings {
        workers: 4,
        window_raw_bytes: 0,
        defer_bytes: 1000,
        backlog: Arc::new(Pace::new(100)),
        ..Settings::default()
    };
    let uploads = world.start();
    world.sim.run(async {
        for seq in 0..1000 {
            world.log.push(crate::upload::testing::source::frame(seq, "", 1));
            world.sim.sleep(S).await;
        }
        // It is back; the traffic goes on.
        for seq in 1000..1060 {
            world.log.push(crate::upload::testing::source::frame(seq, "", 1));
            world.sim.sleep(S).await;
        }
    });
    let at = |seq: u64| requests_of(&world, seq).last().map(|seen| seen.at);
    for seq in 1035..1059 {
        let sent = Duration::from_secs(seq);
        assert!(at(seq).is_some_and(|at| at < sent + S / 2), "{seq}: {:?}", at(seq));
    }
    let eta = world.books.eta.get();
    assert!(eta.is_some_and(|eta| !eta.is_zero() && eta < 100 * S), "{eta:?}");
    // Four bytes a frame, a hundred a second.
    let behind = 1060 - world.completed().len();
    assert!(behind > 0, "the backlog does not go out at once");
    world.sim.run(world.sim.sleep(60 * S));
    assert_eq!(world.books.delivered.get(), 1060);
    assert_eq!(world.books.eta.get(), Some(Duration::ZERO));
    world.sim.run(uploads.stop(S));
}

#[test]
fn d9_a_start_with_a_backlog_puts_it_aside() {
    let mut world = World::new(frames(100), 1, ok);
    world.settings = Settings {
        workers: 1,
        window_raw_bytes: 0,
        defer_bytes: 100,
        backlog: Arc::new(Pace::new(10)),
        ..Settings::default()
    };
    let uploads = world.start();
    world.sim.run(world.sim.sleep(S));
    world.log.push(crate::upload::testing::source::frame(100, "", 1));
    world.sim.run(world.sim.sleep(S));
    assert!(requests_of(&world, 100)[0].at < S + 100 * MS);
    assert!(world.completed().len() < 20);
    world.sim.run(world.sim.sleep(60 * S));
    assert_eq!(world.completed().len(), 101);
    world.sim.run(uploads.stop(S));
}

// D13

#[test]
fn d13_a_dead_target_does_not_hold_up_the_healthy_one() {
    let mut world = World::new(Vec::new(), 1, |seen, _| match seen.target.as_str() {
        "http://b:2" if seen.at < 1000 * S => Say::Break,
        _ => Say::Status(200),
    });
    world.urls = vec!["http://a:1?token=t1", "http://b:2?token=t2"];
    world.settings.workers = 2;
    let uploads = world.start();
    world.sim.run(async {
        for seq in 0..500 {
            world.log.push(crate::upload::testing::source::frame(seq, "", 1));
            world.sim.sleep(S).await;
        }
    });
    assert!(world.completed().len() >= 499, "{}", world.completed().len());
    let to = |world: &World, target: &str| -> Vec<(u64, Duration)> {
        let seen = world.destination.seen();
        seen.iter().filter(|seen| seen.target == target).map(|seen| (seqs(&seen.body)[0], seen.at)).collect()
    };
    let healthy = to(&world, "http://a:1");
    assert_eq!(healthy.len(), 500, "each package once");
    let late = healthy.iter().filter(|(seq, at)| *at > Duration::from_secs(*seq) + S).count();
    assert!(late < 30, "{late} came late, all at the beginning");
    assert!(healthy.iter().all(|(seq, at)| *seq < 40 || *at < Duration::from_secs(*seq) + S));
    assert_eq!(world.books.delivered.get() + world.books.parked.get(), world.completed().len() as u64);
    world.sim.run(world.sim.sleep(700 * S));
    let other: std::collections::BTreeSet<u64> =
        to(&world, "http://b:2").iter().filter(|(_, at)| *at >= 1000 * S).map(|(seq, _)| *seq).collect();
    assert_eq!(other.len(), 500, "the other one got everything in the end");
    assert_eq!(to(&world, "http://a:1").len(), 500, "and the first nothing again");
    assert_eq!(world.books.delivered.get(), 500, "each point counts once");
    world.sim.run(uploads.stop(S));
}

#[test]
fn d13_with_both_targets_dead_everything_stays_where_it_is() {
    let mut world = World::new(frames(10), 1, |seen, _| match (seen.target.as_str(), seen.at.as_secs()) {
        ("http://a:1", 0..300) | ("http://b:2", 0..600) => Say::Break,
        _ => Say::Status(200),
    });
    world.urls = vec!["http://a:1?token=t1", "http://b:2?token=t2"];
    world.settings.workers = 2;
    let uploads = world.start();
    world.sim.run(world.sim.sleep(299 * S));
    assert_eq!((world.completed().len(), world.books.parked.get()), (0, 0));
    world.sim.run(world.sim.sleep(100 * S));
    assert_eq!((world.completed().len(), world.books.parked.get()), (10, 10));
    world.sim.run(world.sim.sleep(600 * S));
    assert_eq!(world.books.delivered.get(), 10);
    world.sim.run(uploads.stop(S));
}

// D14

fn failover(world: &mut World) {
    world.urls = vec!["http://a:1?token=t1", "http://b:2?token=t2"];
    world.settings.failover = true;
    world.settings.workers = 2;
}

#[test]
fn d14_the_second_target_takes_over_and_gives_back() {
    let mut world = World::new(Vec::new(), 1, |seen, _| {
        match seen.target.as_str() == "http://a:1" && (100..400).contains(&seen.at.as_secs()) {
            true => Say::Break,
            false => Say::Status(200),
        }
    });
    failover(&mut world);
    let uploads = world.start();
    world.sim.run(async {
        for seq in 0..600 {
            world.log.push(crate::upload::testing::source::frame(seq, "", 1));
            world.sim.sleep(S).await;
        }
    });
    assert_eq!(world.completed().len(), 600);
    assert_eq!(world.books.delivered.get(), 600);
    let seen = world.destination.seen();
    let second: Vec<u64> =
        seen.iter().filter(|seen| seen.target == "http://b:2").map(|seen| seen.at.as_secs()).collect();
    assert!(second.first().is_some_and(|at| (110..130).contains(at)), "{:?}", second.first());
    assert!(second.last().is_some_and(|at| (455..480).contains(at)), "{:?}", second.last());
    let mut ids = std::collections::BTreeMap::new();
    for seen in &seen {
        assert_eq!(*ids.entry(seqs(&seen.body)).or_insert_with(|| seen.id().to_owned()), seen.id());
    }
    world.sim.run(uploads.stop(S));
}

#[test]
fn d14_flapping_every_second_moves_nothing_to_and_fro() {
    let mut world = World::new(Vec::new(), 1, |seen, _| {
        match seen.target.as_str() == "http://a:1" && seen.at.as_secs().is_multiple_of(2) {
            true => Say::Break,
            false => Say::Status(200),
        }
    });
    failover(&mut world);
    let uploads = world.start();
    world.sim.run(async {
        for seq in 0..1200 {
            world.log.push(crate::upload::testing::source::frame(seq, "", 1));
            world.sim.sleep(S / 4).await;
        }
        world.sim.sleep(60 * S).await;
    });
    assert_eq!(world.completed().len(), 1200);
    let (_, moves) = uploads.failover.as_ref().unwrap().borrow().active();
    assert!(moves <= 2, "{moves} moves in five minutes");
    let requests = world.destination.seen().len();
    assert!(requests < 1200 + 300, "{requests} requests for 1200 packages");
    world.sim.run(uploads.stop(S));
}

// What a redirect asks for is not done.

#[test]
fn d12_a_redirect_is_not_followed_and_the_package_waits() {
    let moved = "HTTP/1.1 307 X\r\nLocation: http://evil:1/\r\nContent-Length: 0\r\n\r\n";
    let world = World::new(
        frames(1),
        1,
        move |_, before| if before < 3 { Say::Raw(moved) } else { Say::Status(200) },
    );
    world.run();
    let seen = world.destination.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|seen| seen.target == "http://h:1"));
    assert_eq!(world.books.delivered.get(), 1);
}
