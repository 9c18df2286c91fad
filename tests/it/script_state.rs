//! Scripts on the real program that keep something, look something up, or ask others.

use std::fs;

use super::harness::Gateway;
use super::harness::dataway::Dataway;
use super::harness::points::{Point, Value};
use super::pipeline::world::http_base;
use super::rum::mmdb;

const LOGGING: &str = "/v1/write/logging";
const METRIC: &str = "/v1/write/metric";

fn put(gateway: &Gateway, path: &str, text: &str) {
    let path = gateway.data_dir().join("pipeline").join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a script");
}

fn post(gateway: &Gateway, path: &str, lines: &str) {
    assert_eq!(gateway.post(path, lines.as_bytes()).status, 200, "{lines}");
}

/// The values of a field, in the order of arrival.
fn values(points: &[Point], name: &str, field: &str) -> Vec<String> {
    let of = points.iter().filter(|point| point.name == name);
    of.map(|point| match point.fields.get(field) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Float(value)) => value.to_string(),
        other => format!("{other:?}"),
    })
    .collect()
}

#[test]
fn what_scripts_keep_is_the_same_for_all_requests() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::prepared("", &dataway.table());
    put(&gateway, "seen.p", "if cache_get(message) == nil { cache_set(message, 1) } else { drop() }");
    put(
        &gateway,
        "lines.p",
        "point_window(1, 2, [\"file\"])\nif message == \"hit\" { window_hit() } else { drop() }",
    );
    put(
        &gateway,
        "metric/cpu.p",
        "agg_create(\"sums\", on_interval=\"1h\")\nagg_metric(\"sums\", \"total\", \"sum\", [\"cpu\"], \"usage\")\n\
         agg_create(\"pairs\", on_count=2, category=\"L\")\n\
         agg_metric(\"pairs\", \"last\", \"set\", [\"cpu\"], \"usage\", category=\"L\")\ndrop()",
    );
    put(
        &gateway,
        "metric/often.p",
        "agg_create(\"ticks\", on_interval=\"1s\")\nagg_metric(\"ticks\", \"n\", \"sum\", [], \"n\")",
    );
    gateway.run();
    for message in ["a", "b", "a", "a", "b"] {
        post(&gateway, LOGGING, &format!("seen message=\"{message}\""));
    }
    for message in ["1", "2", "hit", "3", "4"] {
        post(&gateway, LOGGING, &format!("lines,file=f message=\"{message}\""));
    }
    for usage in [1, 2, 4] {
        post(&gateway, METRIC, &format!("cpu,cpu=c usage={usage}"));
    }
    let points = dataway.await_points(2 + 3 + 1);
    assert_eq!(values(&points, "seen", "message"), ["a", "b"]);
    let mut lines = values(&points, "lines", "message");
    lines.sort();
    assert_eq!(lines, ["2", "3", "hit"]);
    assert_eq!(values(&points, "pairs", "last"), ["2"]);

    // By the clock, with a time and the tags of the host.
    post(&gateway, METRIC, "often n=5i");
    let points = dataway.await_points(6 + 2);
    assert_eq!(values(&points, "ticks", "n"), ["5"]);
    let ticks = points.iter().find(|point| point.name == "ticks").expect("there");
    assert!(ticks.tags.contains_key("host") && ticks.time_ns > 1_700_000_000_000_000_000);

    // Another script in its place: what the old one has added up is given out. So it is at the end.
    put(&gateway, "metric/other.p", "add_key(a, 1)");
    assert_eq!(gateway.tool(&["reload"]).0, 0);
    let points = dataway.await_points(8 + 2);
    assert_eq!(
        (values(&points, "sums", "total"), values(&points, "pairs", "last").len()),
        (vec!["7".into()], 2)
    );
    post(&gateway, METRIC, "cpu,cpu=c usage=30");
    gateway.stop();
    // They are on disk by then.
    gateway.run();
    let points = dataway.await_points(10 + 2);
    assert_eq!(values(&points, "sums", "total"), ["7", "30"]);
    gateway.stop();
}

#[test]
fn tables_are_looked_up_and_other_hosts_asked() {
    let dataway = Dataway::start();
    let base = http_base();
    let more = format!("[pipeline]\nrefer_table_url = \"{base}/tables\"\n{}", dataway.table());
    let mut gateway = Gateway::prepared("", &more);
    put(&gateway, "look.p", "query_refer_table(\"users\", \"id\", id)");
    put(
        &gateway,
        "ask.p",
        &format!(
            "r = http_request(\"POST\", \"{base}/x\", {{\"X-Test\": \"t\"}}, message)\nadd_key(answer, r[\"body\"])"
        ),
    );
    gateway.run();
    // They are fetched beside the start.
    let mut asked = 0;
    while !values(&dataway.await_points(asked), "look", "name").contains(&"two".to_owned()) {
        assert!(asked < 100, "no tables");
        std::thread::sleep(std::time::Duration::from_millis(50));
        post(&gateway, LOGGING, "look id=2i");
        asked += 1;
    }
    post(&gateway, LOGGING, "look id=9i\nask message=\"hello\"");
    let points = dataway.await_points(asked + 2);
    assert_eq!(values(&points, "look", "name").last().map(String::as_str), Some("None"));
    assert_eq!(values(&points, "ask", "answer"), ["POST|t|hello"]);
    // As many as there are threads that wait, and more: each gets its answer, and the shards serve others meanwhile.
    let clients: Vec<_> = (0..24)
        .map(|n| {
            let mut client = gateway.client();
            std::thread::spawn(move || {
                client.request("POST", LOGGING, &[], format!("ask message=\"{n}\"").as_bytes()).status
            })
        })
        .collect();
    assert!(gateway.get("/v1/ping").status == 200);
    assert!(clients.into_iter().all(|client| client.join().expect("no panic") == 200));
    let answers = values(&dataway.await_points(asked + 2 + 24), "ask", "answer");
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("POST|t|")).count(), 25);

    // Behind its switch.
    gateway.edit(|text| text.replace("[pipeline]\n", "[pipeline]\ndisable_http_request_func = true\n"));
    assert_eq!(gateway.tool(&["reload"]).0, 0);
    post(&gateway, LOGGING, "ask message=\"none\"");
    let points = dataway.await_points(asked + 2 + 24 + 1);
    assert!(values(&points, "ask", "answer").contains(&"None".to_owned()));
    gateway.stop();
}

#[test]
fn addresses_are_looked_up_in_the_files_of_the_configuration() {
    let dataway = Dataway::start();
    let files = "[pipeline.ipdb_attr]\niploc_file = \"City.mmdb\"\nisp_file = \"Isp.mmdb\"\n";
    let mut gateway = Gateway::prepared("", &format!("{}\n{files}", dataway.table()));
    let folder = gateway.data_dir().join("ipdb/geolite2");
    fs::create_dir_all(&folder).expect("a folder");
    let city = mmdb::city(Some("London"), Some("England"), Some("GB"));
    let cities = mmdb::Mmdb::new("Test-City").put("81.2.69.0", 24, &city).finish();
    let providers = mmdb::Mmdb::new("Test-ISP").put("81.2.0.0", 16, &mmdb::isp("isp", "Andrews")).finish();
    fs::write(folder.join("City.mmdb"), cities).expect("a file");
    fs::write(folder.join("Isp.mmdb"), providers).expect("a file");
    put(&gateway, "visits.p", "add_key(ip, message)\ngeoip(ip)");
    gateway.run();
    post(&gateway, LOGGING, "visits message=\"81.2.69.7\"\nvisits message=\"nowhere\"\n");
    let points = dataway.await_points(2);
    for (key, found) in [("city", "London"), ("province", "England"), ("country", "GB"), ("isp", "Andrews")] {
        assert_eq!(values(&points[..1], "visits", key), [found]);
    }
    gateway.stop();
}
