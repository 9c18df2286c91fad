//! Scripts on the real program: read from folders and from the destination, chosen by points, run before points are stored;
//! what they drop and make is in the ledger.

use std::fs;
use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use super::harness::dataway::Dataway;
use super::harness::points::{Point, Value};
use super::harness::{Gateway, PATIENCE};

const LOGGING: &str = "/v1/write/logging";

/// Scripts that come with the gateway.
const SHIPPED: f64 = 11.0;

fn put(gateway: &Gateway, path: &str, text: &str) {
    let path = gateway.data_dir().join(path);
    fs::create_dir_all(path.parent().unwrap_or_else(|| Path::new("/"))).expect("a folder");
    fs::write(path, text).expect("a script");
}

/// In, dropped by scripts, delivered: once all that was taken is somewhere.
fn account(gateway: &Gateway, category: &str) -> (f64, f64, f64) {
    gateway.await_metric(&format!("kitgate_points_in_flight{{category=\"{category}\"}}"), 0.0);
    gateway.await_metric(&format!("kitgate_points_spooled{{category=\"{category}\"}}"), 0.0);
    let value = |name: &str, more: &str| gateway.metric(&format!("{name}{{category=\"{category}\"{more}}}"));
    (
        value("kitgate_points_in_total", ""),
        value("kitgate_points_dropped_total", ",reason=\"script\""),
        value("kitgate_points_delivered_total", ""),
    )
}

fn named<'p>(points: &'p [Point], name: &str) -> Vec<&'p Point> {
    points.iter().filter(|point| point.name == name).collect()
}

fn text(point: &Point, key: &str) -> String {
    match point.fields.get(key) {
        Some(Value::Text(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_script_in_a_folder_rewrites_drops_and_makes_points() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::prepared("", &dataway.table());
    put(
        &gateway,
        "pipeline/shop.p",
        "if message == \"noise\" { drop() }\nadd_key(shop, message)\nuppercase(shop)\nset_tag(shop)\nadd_key(status, \"w\")\n\
         create_point(\"orders\", {\"of\": message}, {\"n\": 1}, category=\"M\")\n",
    );
    put(&gateway, "pipeline/logging/fails.p", "add_key(before, 1)\nx = 1 + nil\nadd_key(after, 1)\n");
    put(&gateway, "pipeline/logging/broken.p", "x = @");
    gateway.run();
    gateway.await_metric("kitgate_scripts{category=\"logging\"}", SHIPPED + 2.0);
    assert_eq!(gateway.metric("kitgate_scripts_broken"), 1.0);

    let lines = "shop message=\"noise\" 1700000000000000000\nshop message=\"ab\" 1700000000000000000\n\
                 other message=\"ab\" 1700000000000000000\nfails message=\"ab\" 1700000000000000000\n";
    assert_eq!(gateway.post(LOGGING, lines.as_bytes()).status, 200);
    let points = dataway.await_points(5);
    let shop = named(&points, "shop");
    assert_eq!(shop.len(), 1);
    assert_eq!((shop[0].tags["shop"].as_str(), text(shop[0], "status").as_str()), ("AB", "warning"));
    assert_eq!(shop[0].time_ns, 1_700_000_000_000_000_000);
    assert!(!named(&points, "other")[0].tags.contains_key("shop"));
    let fails = named(&points, "fails")[0];
    assert!(fails.fields.contains_key("before") && !fails.fields.contains_key("after"));
    // Dropping ends nothing: both points made one.
    assert_eq!(named(&points, "orders").len(), 2);
    assert_eq!(account(&gateway, "logging"), (4.0, 1.0, 3.0));
    assert_eq!(account(&gateway, "metric"), (2.0, 0.0, 2.0));
    let of = "category=\"logging\",name=\"shop.p\",namespace=\"default\"";
    assert_eq!(gateway.metric(&format!("kitgate_script_points_total{{{of}}}")), 2.0);
    assert_eq!(gateway.metric(&format!("kitgate_script_created_points_total{{{of}}}")), 2.0);
    assert_eq!(gateway.metric(&format!("datakit_pipeline_drop_point_total{{{of}}}")), 1.0);
    let of = "category=\"logging\",name=\"fails.p\",namespace=\"default\"";
    assert_eq!(gateway.metric(&format!("kitgate_script_errors_total{{{of}}}")), 1.0);

    // A body of nothing but what is dropped, and one that only leaves what was made.
    assert_eq!(gateway.post(LOGGING, b"shop message=\"noise\"").status, 200);
    assert_eq!(account(&gateway, "metric"), (3.0, 0.0, 3.0));

    // Other scripts at a reload; nothing of the configuration has changed.
    put(&gateway, "pipeline/shop.p", "set_tag(shop, \"new\")");
    fs::remove_file(gateway.data_dir().join("pipeline/logging/fails.p")).expect("it was there");
    assert_eq!(gateway.tool(&["reload"]).0, 0);
    let large: String = (0..40_000).map(|n| format!("shop n={n}i\n")).collect();
    assert_eq!(gateway.post(LOGGING, large.as_bytes()).status, 200);
    let json = br#"[{"measurement":"shop","fields":{"n":1}}]"#;
    let sent = gateway.client().request("POST", LOGGING, &[("Content-Type", "application/json")], json);
    assert_eq!(sent.status, 200);
    assert_eq!(account(&gateway, "logging"), (40_006.0, 2.0, 40_004.0));
    let points = dataway.points();
    let new = named(&points, "shop")
        .into_iter()
        .filter(|point| point.tags.get("shop").is_some_and(|shop| shop == "new"));
    assert_eq!(new.count(), 40_001);
    gateway.stop();
}

#[test]
fn logs_of_usual_servers_are_taken_apart_as_it_comes() {
    let line = r#"127.0.0.1 - - [24/Mar/2021:13:54:19 +0800] "GET /shop?id=7 HTTP/1.1" 503 97 "-" "-""#;
    let body =
        |source: &str| format!(r#"[{{"measurement":"{source}","fields":{{"message":{}}}}}]"#, json!(line));
    let json_type = [("Content-Type", "application/json")];
    let dataway = Dataway::start();
    let mut gateway = Gateway::start("", &dataway.table());
    for source in ["nginx", "mine"] {
        assert_eq!(
            gateway.client().request("POST", LOGGING, &json_type, body(source).as_bytes()).status,
            200
        );
    }
    let points = dataway.await_points(2);
    let nginx = named(&points, "nginx")[0];
    assert_eq!(
        (text(nginx, "http_url"), text(nginx, "status")),
        ("/shop?id=7".to_owned(), "error".to_owned())
    );
    assert_eq!(nginx.time_ns, 1_616_565_259_000_000_000);
    assert!(!named(&points, "mine")[0].fields.contains_key("http_url"));
    gateway.stop();

    // One of the user's in its place.
    let dataway = Dataway::start();
    let mut gateway = Gateway::prepared("", &dataway.table());
    put(&gateway, "pipeline/logging/nginx.p", "add_key(mine, true)");
    gateway.run();
    gateway.await_metric("kitgate_scripts{category=\"logging\"}", SHIPPED);
    assert_eq!(gateway.client().request("POST", LOGGING, &json_type, body("nginx").as_bytes()).status, 200);
    let points = dataway.await_points(1);
    assert!(points[0].fields.contains_key("mine") && !points[0].fields.contains_key("http_url"));
    gateway.stop();
}

#[test]
fn what_large_bodies_make_is_durable_too() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::prepared("", &dataway.table());
    put(
        &gateway,
        "pipeline_confd/metric/cpu.p",
        "create_point(\"made\", {}, {\"message\": \"of a metric\"}, category=\"L\")\ndrop()",
    );
    gateway.run();
    let large: String = (0..30_000).map(|n| format!("cpu n={n}i\n")).collect();
    assert_eq!(gateway.post("/v1/write/metric", large.as_bytes()).status, 200);
    assert_eq!(account(&gateway, "metric"), (30_000.0, 30_000.0, 0.0));
    assert_eq!(account(&gateway, "logging"), (30_000.0, 0.0, 30_000.0));
    gateway.stop();
}

#[test]
fn scripts_of_the_workspace_are_pulled_and_outlive_a_restart() {
    let dataway = Dataway::start();
    let script = |name: &str, text: &str, as_default: bool| json!({"name": name, "category": "logging", "as_default": as_default, "base64text": BASE64_STANDARD.encode(text)});
    let answer = json!({"remote_pipelines": {
        "update_time": 7,
        "pipelines": [
            script("web.p", "set_tag(by, \"web\")", false),
            script("rest.p", "set_tag(by, \"rest\")", true),
            script("local.p", "x = @", false),
        ],
        "relation_update_time": 8,
        "relation": [{"category": "logging", "source": "nginx", "name": "web.p"}],
    }});
    dataway.answer_scripts(&answer.to_string());
    let mut gateway = Gateway::prepared("", &dataway.table());
    put(&gateway, "pipeline/local.p", "set_tag(by, \"local\")");
    gateway.run();
    gateway.await_metric("kitgate_scripts{category=\"logging\"}", SHIPPED + 3.0);
    let asked = dataway.asked_scripts();
    assert!(asked[0].target.ends_with("&remote_pipelines=true&ts=0&relation_ts=0"), "{}", asked[0].target);
    let lines = b"nginx f=1i\nlocal f=1i\nany f=1i\n";
    assert_eq!(gateway.post(LOGGING, lines).status, 200);
    let by = |points: &[Point], name: &str| named(points, name)[0].tags["by"].clone();
    let points = dataway.await_points(3);
    assert_eq!((by(&points, "nginx"), by(&points, "any")), ("web".to_owned(), "rest".to_owned()));
    assert_eq!(by(&points, "local"), "local", "the one of the workspace does not compile");
    gateway.stop();

    // The first point after a restart meets them, whatever the destination says.
    dataway.answer_scripts("{\"remote_pipelines\":{\"update_time\":-1,\"relation_update_time\":-1}}");
    gateway.run();
    assert_eq!(gateway.post(LOGGING, b"nginx f=2i").status, 200);
    let points = dataway.await_points(4);
    assert!(points.iter().all(|point| point.tags.contains_key("by")));
    let deadline = std::time::Instant::now() + PATIENCE;
    while dataway.asked_scripts().len() < 2 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let target = dataway.asked_scripts()[1].target.clone();
    assert!(target.ends_with("&ts=7&relation_ts=8"), "{target}");
    gateway.stop();
}
