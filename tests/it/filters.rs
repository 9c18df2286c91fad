//! Filters and the sinker on the real program: rules that the destination has, rules of the configuration, what is left of
//! points that meet them, and packages that say what their points have in common.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::harness::dataway::{Dataway, Step};
use super::harness::{Gateway, PATIENCE};

const LOGGING: &str = "/v1/write/logging";
const METRIC: &str = "/v1/write/metric";
const TYPE: &str = "Content-Type";

/// An answer with rules for one category, and the shortest interval there is.
fn rules(category: &str, rules: &[&str]) -> String {
    let rules = serde_json::to_string(rules).expect("texts");
    format!("{{\"filters\":{{\"{category}\":{rules}}},\"pull_interval\":1000000000}}")
}

fn await_rules(gateway: &Gateway, category: &str, rules: u32) {
    gateway.await_metric(&format!("kitgate_filter_rules{{category=\"{category}\"}}"), f64::from(rules));
}

/// Taken, filtered, delivered: once all that was taken is somewhere.
fn account(gateway: &Gateway, category: &str) -> (f64, f64, f64) {
    gateway.await_metric(&format!("kitgate_points_in_flight{{category=\"{category}\"}}"), 0.0);
    gateway.await_metric(&format!("kitgate_points_spooled{{category=\"{category}\"}}"), 0.0);
    let value = |name: &str, more: &str| gateway.metric(&format!("{name}{{category=\"{category}\"{more}}}"));
    (
        value("kitgate_points_in_total", ""),
        value("kitgate_points_dropped_total", ",reason=\"filtered\""),
        value("kitgate_points_delivered_total", ""),
    )
}

#[test]
fn rules_of_the_destination_hold_change_and_outlive_a_restart() {
    let dataway = Dataway::start();
    dataway.answer_rules(200, &rules("logging", &["{ source = 'noise' }", "{ not a rule"]));
    let mut gateway = Gateway::start("", &dataway.table());
    await_rules(&gateway, "logging", 1);
    assert_eq!(gateway.metric("kitgate_filter_refused_rules"), 1.0);
    let asked = &dataway.await_asked(1)[0];
    assert_eq!(asked.target, "/v1/datakit/pull?token=tkn_0123456789abcdef0123456789abcdef&filters=true");
    assert_eq!(asked.headers.get("referer").map(String::as_str), Some("DataKit"));
    assert!(asked.headers["user-agent"].starts_with("datakit-"), "{asked:?}");
    assert!(!asked.headers.contains_key("x-global-tags"), "the sinker is off");

    assert_eq!(gateway.post(LOGGING, b"noise f=1i\nkept f=2i\n").status, 200);
    assert_eq!(gateway.post(LOGGING, b"noise f=3i").status, 200, "all of it is filtered");
    assert_eq!(gateway.post(METRIC, b"noise f=4i").status, 200, "another category");
    let echo = gateway.post(&format!("{LOGGING}?echo=lp"), b"noise f=5i 1700000000000000000");
    assert!(echo.text().starts_with("noise "), "an echo shows what was written: {}", echo.text());
    let names: Vec<String> = dataway.await_points(2).into_iter().map(|point| point.name).collect();
    assert!(names.contains(&"kept".to_owned()) && names.len() == 2, "{names:?}");
    assert_eq!(account(&gateway, "logging"), (4.0, 3.0, 1.0));
    assert_eq!(account(&gateway, "metric"), (1.0, 0.0, 1.0));

    // Other rules: at most some seconds later.
    dataway.answer_rules(200, &rules("metric", &["{}"]));
    await_rules(&gateway, "metric", 1);
    await_rules(&gateway, "logging", 0);
    assert_eq!(gateway.post(LOGGING, b"noise f=6i").status, 200);
    assert_eq!(gateway.post(METRIC, b"noise f=7i").status, 200);
    assert_eq!(account(&gateway, "logging"), (5.0, 3.0, 2.0));
    assert_eq!(account(&gateway, "metric"), (2.0, 1.0, 1.0));

    // What is no answer changes nothing, and neither does silence.
    for (status, body) in [(500, "{}"), (200, "no"), (200, "{\"filters\":[]}")] {
        let before = gateway.metric("kitgate_filter_pulls_total{result=\"failed\"}");
        dataway.answer_rules(status, body);
        let deadline = Instant::now() + PATIENCE;
        while gateway.metric("kitgate_filter_pulls_total{result=\"failed\"}") == before {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(20));
        }
        await_rules(&gateway, "metric", 1);
    }
    // Without the destination they hold from the first point on.
    dataway.always(Step::Close);
    assert!(gateway.stop().success());
    gateway.run();
    assert_eq!(gateway.post(METRIC, b"noise f=8i").status, 200);
    assert_eq!(gateway.metric("kitgate_points_dropped_total{category=\"metric\",reason=\"filtered\"}"), 1.0);
    gateway.stop();
}

#[test]
fn rules_of_the_configuration_meet_points_of_every_format() {
    let dataway = Dataway::start();
    dataway.answer_rules(200, &rules("logging", &["{}"]));
    let filters = "[io.filters]\nlogging = [\"{ level = 'debug' and host != nil }\"]\n\
                   rum = [\"{ app_id = 'noise' }\"]\ntracing = [\"{ service = 'noise' }\"]\n";
    let mut gateway = Gateway::start("", &format!("{}{filters}", dataway.table()));
    await_rules(&gateway, "logging", 1);
    let post = |target: &str, headers: &[(&str, &str)], body: &[u8]| {
        let status = gateway.client().request("POST", target, headers, body).status;
        assert_eq!(status, 200, "{target}");
    };
    post(LOGGING, &[], b"a,level=debug f=1i\na,level=info f=2i\n");
    let json = br#"[{"measurement":"a","tags":{"level":"debug"},"fields":{"f":3}},{"measurement":"a","fields":{"f":4}}]"#;
    post(LOGGING, &[(TYPE, "application/json")], json);
    let large: String =
        (0..40_000).map(|n| format!("a,level={} f={n}i\n", ["debug", "info"][n % 2])).collect();
    post(LOGGING, &[], large.as_bytes());
    post("/v1/write/logstreaming?source=a&tags=level=debug", &[], b"one\ntwo\n");
    let (taken, filtered, delivered) = account(&gateway, "logging");
    assert_eq!((taken, filtered, delivered), (40_006.0, 20_004.0, 20_002.0));
    assert!(
        dataway.points().iter().all(|point| point.tags.get("level").is_none_or(|level| level != "debug"))
    );

    let spans = br#"[{"traceId":"1","id":"1","name":"n","timestamp":1,"duration":1,"localEndpoint":{"serviceName":"noise"}},
                     {"traceId":"1","id":"2","name":"n","timestamp":1,"duration":1,"localEndpoint":{"serviceName":"kept"}}]"#;
    let answer = gateway.client().request("POST", "/api/v2/spans", &[(TYPE, "application/json")], spans);
    assert_eq!(answer.status / 100, 2, "{answer:?}");
    assert_eq!(account(&gateway, "tracing"), (2.0, 1.0, 1.0));

    for (app, status) in [("noise", 202), ("a", 200)] {
        let body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"app_id\"\r\n\r\n{app}\r\n--x\r\n\
             Content-Disposition: form-data; name=\"segment\"; filename=\"s\"\r\n\r\nbytes\r\n--x--\r\n"
        );
        let headers = [(TYPE, "multipart/form-data; boundary=x")];
        let answer = gateway.client().request("POST", "/v1/write/rum/replay", &headers, body.as_bytes());
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{app}");
    }
    assert_eq!(account(&gateway, "session_replay"), (2.0, 1.0, 1.0));
    // What RUM refuses is refused, filtered or not.
    let view = |measurement: &str| format!("{measurement},app_id=noise,sdk_name=s f=1");
    assert_eq!(gateway.post("/v1/write/rum", view("view").as_bytes()).status, 200);
    assert_eq!(gateway.post("/v1/write/rum", view("nothing").as_bytes()).status, 400);
    assert_eq!(account(&gateway, "rum"), (1.0, 1.0, 0.0));

    assert!(dataway.asked().is_empty(), "who has rules of its own asks nobody");
    gateway.edit(|text| text.replace("level = 'debug'", "level = 'info'"));
    assert_eq!(gateway.tool(&["reload"]).0, 0);
    post(LOGGING, &[], b"a,level=debug f=1i\na,level=info f=2i\n");
    assert_eq!(account(&gateway, "logging"), (40_008.0, 20_005.0, 20_003.0));
    assert!(gateway.stop().success());
}

#[test]
fn the_sinker_sends_each_group_under_its_header() {
    let dataway = Dataway::start();
    let sinker = "enable_sinker = true\nglobal_customer_keys = [\"app\", \"source\"]\n";
    let tags = "[global_host_tags]\nhost = \"edge\"\nzone = \"z\"\n";
    let mut gateway = Gateway::start("hostname = \"edge\"", &format!("{}{sinker}{tags}", dataway.table()));
    let asked = &dataway.await_asked(1)[0];
    assert_eq!(asked.headers.get("x-global-tags").map(String::as_str), Some("host=edge,zone=z"));
    let body = b"a,app=1 f=1i\na,app=2,host=own f=2i\na,app=1 f=3i\nb f=4i\n";
    assert_eq!(gateway.post(LOGGING, body).status, 200);
    assert_eq!(gateway.post(&format!("{LOGGING}?ignore_global_tags=1"), b"c f=5i").status, 200);
    assert_eq!(gateway.post(&format!("{METRIC}?ignore_global_tags=1&ack=memory"), b"c f=6i").status, 200);
    let large: String = (0..20_000).map(|n| format!("a,app={} f={n}i\n", n % 3)).collect();
    assert_eq!(gateway.post(METRIC, large.as_bytes()).status, 200);
    let replay = "--x\r\nContent-Disposition: form-data; name=\"app\"\r\n\r\nshop\r\n--x--\r\n";
    let headers = [(TYPE, "multipart/form-data; boundary=x"), ("X-Global-Tags", "forged=1")];
    let answer = gateway.client().request("POST", "/v1/write/rum/replay", &headers, replay.as_bytes());
    assert_eq!(answer.status, 200);
    dataway.await_points(20_006);
    dataway.await_raw(1);

    let mut groups: BTreeMap<(String, String), usize> = BTreeMap::new();
    for package in dataway.taken() {
        let path = package.path.rsplit('/').next().expect("a category").to_owned();
        let value = package.headers.get("x-global-tags").expect("every package says it").clone();
        for point in &package.points {
            assert!(
                point.tags.get("app").is_none_or(|app| value.contains(&format!("app={app}"))),
                "{value} {point:?}"
            );
        }
        *groups.entry((path, value)).or_default() += package.points.len();
    }
    let groups: Vec<(&str, &str, usize)> =
        groups.iter().map(|((path, value), points)| (path.as_str(), value.as_str(), *points)).collect();
    assert_eq!(
        groups,
        [
            ("logging", "app=1,host=edge,zone=z,source=a", 2),
            ("logging", "app=2,host=own,zone=z,source=a", 1),
            ("logging", "host=edge,zone=z,source=b", 1),
            ("logging", "source=c", 1),
            ("metric", "", 1),
            ("metric", "app=0,host=edge,zone=z", 6_667),
            ("metric", "app=1,host=edge,zone=z", 6_667),
            ("metric", "app=2,host=edge,zone=z", 6_666),
            ("replay", "app=shop", 0),
        ]
    );
    assert_eq!(account(&gateway, "metric"), (20_001.0, 0.0, 20_001.0));

    // More values than a request may bring: nothing of it is taken, and the sender keeps it.
    let many: String = (0..300).map(|n| format!("a,app={n} f=1i\n")).collect();
    assert_eq!(gateway.post(METRIC, many.as_bytes()).status, 503);
    assert_eq!(account(&gateway, "metric"), (20_001.0, 0.0, 20_001.0));
    assert!(gateway.stop().success());
}
