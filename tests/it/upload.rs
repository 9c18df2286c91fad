//! Several destinations: whole processes, real sockets, real side lanes on disk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::harness::Gateway;
use super::harness::dataway::{Dataway, Step};

const LOGGING: &str = "/v1/write/logging";

/// A `[dataway]` table with two addresses.
fn table(first: &Dataway, second: &Dataway, more: &str) -> String {
    let token = "token=tkn_0123456789abcdef0123456789abcdef";
    format!(
        "[dataway]\nurls = [\"http://{}?{token}\", \"http://{}?{token}\"]\nretry_delay = \"50ms\"\n\
         retry_delay_max = \"200ms\"\n{more}",
        first.address(),
        second.address()
    )
}

/// Each point's id at a destination; a point under two ids is a fault.
fn ids(dataway: &Dataway) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for package in dataway.packages() {
        for point in &package.points {
            let before = ids.insert(format!("{:?}", point.fields), package.id().to_owned());
            assert!(before.is_none_or(|before| before == package.id()), "{point:?} has two ids");
        }
    }
    ids
}

#[test]
fn d13_a_dead_copy_costs_the_healthy_one_nothing_and_gets_everything_later() {
    let (healthy, dead) = (Dataway::start(), Dataway::start());
    dead.always(Step::Close);
    let mut gateway = Gateway::start("", &table(&healthy, &dead, ""));
    let started = Instant::now();
    let mut sent = 0;
    // Until the dead one is known to be dead, and a while beyond.
    while started.elapsed() < Duration::from_secs(16) {
        assert_eq!(gateway.post(LOGGING, format!("m,a=b n={sent}i").as_bytes()).status, 200);
        sent += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    let points = healthy.await_points(sent);
    assert_eq!(points.len(), sent, "each point once");
    assert!(gateway.metric("kitgate_upload_side_packages{category=\"logging\"}") > 0.0);
    // A restart in between: what was set aside is still there.
    gateway.kill();
    gateway.run();
    dead.always(Step::Take);
    dead.await_points(sent);
    gateway.await_metric("kitgate_upload_side_packages{category=\"logging\"}", 0.0);
    gateway.await_metric("kitgate_points_in_flight{category=\"logging\"}", 0.0);
    let (at_first, at_second) = (ids(&healthy), ids(&dead));
    assert_eq!(at_second.len(), sent);
    assert_eq!(at_first, at_second, "the same packages under the same ids");
    assert!(gateway.stop().success());
}

#[test]
fn d14_the_second_takes_over_while_the_first_is_down() {
    let (first, second) = (Dataway::start(), Dataway::start());
    let mut gateway = Gateway::start("", &table(&first, &second, "mode = \"failover\"\n"));
    assert_eq!(gateway.post(LOGGING, b"m,a=b n=1i").status, 200);
    first.await_points(1);
    first.always(Step::Close);
    for n in 2..6 {
        assert_eq!(gateway.post(LOGGING, format!("m,a=b n={n}i").as_bytes()).status, 200);
    }
    second.await_points(4);
    assert_eq!(first.points().len(), 1);
    gateway.await_metric("kitgate_points_delivered_total{category=\"logging\"}", 5.0);
    assert!(gateway.stop().success());
}
