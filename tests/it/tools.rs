//! `kitgate spool` and `kitgate dlq` on the directories that the real gateway makes: stopped and running, as text and as
//! JSON, whole and damaged.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::harness::{
    BINARY, Gateway,
    dataway::{Dataway, Step},
    points, scratch,
};

/// Nobody listens there.
const DEAD: &str = "[dataway]\nurls = [\"http://127.0.0.1:9?token=tkn_0123456789abcdef0123456789abcdef\"]\n";

const TOKEN: &str = "tkn_fedcba9876543210fedcba9876543210";

fn kitgate(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the binary runs")
}

/// A tool on a gateway's configuration.
fn tool(gateway: &Gateway, arguments: &[&str]) -> Output {
    let config = gateway.config_file().to_str().expect("UTF-8");
    kitgate(&[arguments, &["--config", config]].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What a tool says as text; panics unless its exit code is this.
fn said(gateway: &Gateway, code: i32, arguments: &[&str]) -> String {
    let output = tool(gateway, arguments);
    let both = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {both}");
    both
}

/// What a tool says as JSON.
fn json(gateway: &Gateway, code: i32, arguments: &[&str]) -> Value {
    let output = tool(gateway, &[arguments, &["--format", "json"]].concat());
    let both = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {both}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {both}"))
}

/// Points that can be told apart, each request a frame of its own.
fn fill(gateway: &Gateway, category: &str, numbers: std::ops::Range<i64>) {
    let mut client = gateway.client();
    for n in numbers {
        let line = format!("tool,kind=a n={n}i {}", 1_700_000_000_000_000_000 + n);
        let answer =
            client.request("POST", &format!("/v1/write/{category}?precision=n"), &[], line.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// The numbers that have arrived, in order, each as often as it came.
fn arrived(points: &[points::Point]) -> Vec<i64> {
    let mut numbers: Vec<i64> = points
        .iter()
        .map(|point| match point.fields["n"] {
            points::Value::Int(n) => n,
            ref other => panic!("n is {other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .expect("a log")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("segment-")))
        .collect();
    found.sort();
    found
}

/// Where in a segment its frames begin.
fn frames_in(segment: &Path) -> Vec<usize> {
    let bytes = fs::read(segment).expect("a segment");
    (4096..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"KGF1")).collect()
}

fn flip(segment: &Path, at: usize) {
    let file = fs::OpenOptions::new().read(true).write(true).open(segment).expect("a segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x40], at as u64).expect("written");
}

/// Every file below, with its bytes.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else if path.is_file() {
            let bytes = fs::read(&path).expect("a file");
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in tree(from) {
        let to = to.join(path.strip_prefix(from).expect("below"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::write(&to, bytes).expect("copied");
    }
}

#[test]
fn what_waits_is_seen_while_the_gateway_runs_and_when_it_is_stopped() {
    let mut gateway = Gateway::start("", DEAD);
    fill(&gateway, "logging", 0..20);
    fill(&gateway, "metric", 0..3);
    for running in [true, false] {
        if !running {
            assert!(gateway.stop().success());
        }
        let ls = json(&gateway, 0, &["spool", "ls"]);
        let row = |name: &str| {
            let rows = ls["logs"].as_array().expect("rows");
            rows.iter().find(|row| row["category"] == name).cloned().expect("a row")
        };
        assert_eq!((&row("logging")["points"], &row("logging")["frames"]), (&20.into(), &20.into()), "{ls}");
        assert_eq!((&row("metric")["points"], &row("rum")["points"]), (&3.into(), &0.into()));
        assert_eq!(row("logging")["state"], "ok");
        assert!(row("logging")["oldest_ms"].as_u64() > Some(1_700_000_000_000));
        let table = said(&gateway, 0, &["spool", "ls"]);
        assert!(table.lines().any(|line| line.starts_with("logging ") && line.contains("  20  ")), "{table}");

        let stat = json(&gateway, 0, &["spool", "stat", "logging"]);
        assert_eq!(stat["logs"][0]["waiting_points"], 20);
        assert_eq!(stat["logs"][0]["segments"][0]["frames"], 20, "{stat}");
        assert!(
            said(&gateway, 0, &["spool", "stat", "logging"]).contains("waiting   20 frames with 20 points")
        );

        let verify = json(&gateway, 0, &["spool", "verify"]);
        assert_eq!((&verify["damages"], &verify["in_use"]), (&0.into(), &running.into()), "{verify}");
        let verified = said(&gateway, 0, &["spool", "verify", "logging"]);
        assert!(verified.starts_with("logging: 20 frames in 1 segment"), "{verified}");

        let lines = said(&gateway, 0, &["spool", "dump", "metric"]);
        let points: Vec<&str> = lines.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(points.len(), 3, "{lines}");
        assert!(points[1].starts_with("tool,") && points[1].contains("n=1i"), "{lines}");
        let headers = said(&gateway, 0, &["spool", "dump", "logging", "--as", "headers"]);
        assert_eq!(headers.lines().count(), 20);
        let dumped = tool(&gateway, &["spool", "dump", "logging", "--as", "json"]);
        let numbers: Vec<i64> = text(&dumped.stdout)
            .lines()
            .map(|line| {
                let frame: Value = serde_json::from_str(line).expect("JSON");
                let fields = frame["points"][0]["fields"].as_array().cloned().expect("fields");
                let field = fields.iter().find(|field| field["key"] == "n").cloned().expect("n");
                field["i"]
                    .as_str()
                    .map_or_else(|| field["i"].as_i64(), |text| text.parse().ok())
                    .expect("a number")
            })
            .collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn damage_is_named_and_repaired_and_the_rest_is_delivered() {
    let dataway = Dataway::start();
    let (address, table) = (dataway.address(), dataway.table());
    drop(dataway);
    let mut gateway = Gateway::start("", &table);
    fill(&gateway, "logging", 0..30);
    assert_eq!(said(&gateway, 75, &["spool", "repair", "logging"]).lines().count(), 1);
    gateway.kill();
    let dir = gateway.data_dir().join("spool/logging");
    let segment = segments(&dir).remove(0);
    let frames = frames_in(&segment);
    assert_eq!(frames.len(), 30);
    flip(&segment, frames[4] + 90); // a payload
    flip(&segment, frames[10] + 20); // a header
    let verify = json(&gateway, 1, &["spool", "verify", "logging"]);
    assert_eq!((&verify["damages"], &verify["logs"][0]["points_lost"]), (&2.into(), &2.into()), "{verify}");
    let damages = &verify["logs"][0]["segments"][0]["damages"];
    assert_eq!((&damages[0]["what"], &damages[0]["first_seq"]), (&"payload".into(), &5.into()));
    assert_eq!((&damages[1]["what"], &damages[1]["first_seq"]), (&"frames".into(), &11.into()));
    let verified = said(&gateway, 1, &["spool", "verify"]);
    assert!(verified.contains("frame 5: the payload of a frame is damaged; 1 point lost"), "{verified}");
    assert!(verified.contains("frame 11: frames cannot be read; 1 point lost"), "{verified}");
    assert!(said(&gateway, 1, &["spool", "dump", "logging"]).contains("2 damaged frames with 2 points"));

    let damaged = fs::read(&segment).expect("the segment");
    let repaired = json(&gateway, 0, &["spool", "repair", "logging"]);
    assert_eq!(repaired["logs"][0]["segments"][0]["frames_kept"], 28, "{repaired}");
    let quarantined = repaired["logs"][0]["segments"][0]["quarantined"].as_str().expect("a path");
    assert_eq!(fs::read(quarantined).expect("the copy"), damaged);
    assert!(quarantined.starts_with(gateway.data_dir().join("quarantine/logging").to_str().expect("UTF-8")));
    said(&gateway, 0, &["spool", "verify"]);
    assert!(said(&gateway, 0, &["spool", "repair", "logging"]).contains("nothing to repair"));

    let dataway = Dataway::start_at(address);
    gateway.run();
    let wanted: Vec<i64> = (0..30).filter(|n| ![4, 10].contains(n)).collect();
    assert_eq!(arrived(&dataway.await_points(28)), wanted);
    assert!(gateway.stop().success());
    said(&gateway, 0, &["spool", "verify"]);
}

#[test]
fn b11_a_directory_that_was_copied_from_another_host_replays() {
    let mut gateway = Gateway::start("", DEAD);
    fill(&gateway, "logging", 0..12);
    fill(&gateway, "metric", 100..103);
    let copied = scratch();
    // While it runs, as a backup does it, and with the clock of another host.
    copy(&gateway.data_dir().join("spool"), &copied.path().join("spool"));
    for (path, _) in tree(copied.path()) {
        let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
        let ahead = SystemTime::now() + Duration::from_secs(400 * 86_400);
        file.set_modified(ahead).expect("a time");
    }
    gateway.kill();

    let dataway = Dataway::start();
    let mut other = Gateway::start("", &dataway.table());
    let from = copied.path().to_str().expect("UTF-8");
    let before = tree(copied.path());
    let replayed = json(&other, 0, &["spool", "replay", from]);
    assert_eq!((&replayed["frames"], &replayed["points"]), (&15.into(), &15.into()), "{replayed}");
    let points = dataway.await_points(15);
    assert_eq!(arrived(&points), (0..12).chain(100..103).collect::<Vec<_>>());
    assert!(
        points.iter().all(|point| point.time_ns / 1_000_000_000 == 1_700_000_000),
        "points keep their time"
    );
    // The same again, and with the gateway stopped: nothing is spooled twice.
    assert_eq!(json(&other, 0, &["spool", "replay", from])["frames"], 0);
    assert!(other.stop().success());
    assert_eq!(json(&other, 0, &["spool", "replay", from])["frames_known"], 15);
    assert_eq!(json(&other, 0, &["spool", "replay", &format!("{from}/spool/metric"), "--all"])["frames"], 3);
    assert_eq!(tree(copied.path()), before, "the copy is left as it is");
    other.run();
    dataway.await_points(18);
    assert!(other.stop().success());
}

#[test]
fn frames_travel_in_a_file() {
    let mut gateway = Gateway::start("", DEAD);
    fill(&gateway, "logging", 0..5);
    let folder = scratch();
    let file = folder.path().join("frames");
    let dumped = tool(&gateway, &["spool", "dump", "logging", "--as", "frames"]);
    assert_eq!(dumped.status.code(), Some(0), "{}", text(&dumped.stderr));
    fs::write(&file, &dumped.stdout).expect("written");
    assert_eq!(tool(&gateway, &["spool", "dump", "--as", "frames"]).status.code(), Some(2));
    let path = file.to_str().expect("UTF-8");
    let own = said(&gateway, 2, &["spool", "replay", path]);
    assert!(own.contains("this gateway's own log"), "{own}");
    let own = gateway.data_dir();
    assert!(said(&gateway, 2, &["spool", "replay", own.to_str().expect("UTF-8")]).contains("own spool"));
    assert!(gateway.stop().success());
    let dataway = Dataway::start();
    let other = Gateway::start("", &dataway.table());
    assert_eq!(json(&other, 0, &["spool", "replay", path])["frames"], 5);
    assert_eq!(arrived(&dataway.await_points(5)), [0, 1, 2, 3, 4]);
}

#[test]
fn an_operator_gives_up_what_is_spooled() {
    let mut gateway = Gateway::start("", DEAD);
    fill(&gateway, "logging", 0..10);
    fill(&gateway, "metric", 0..4);
    let asked = said(&gateway, 2, &["spool", "drop", "metric", "--all"]);
    assert!(asked.contains("4 points") && asked.contains("--yes"), "{asked}");
    assert!(
        said(&gateway, 2, &["spool", "drop", "metric", "--before", "yesterday"])
            .contains("neither a frame's")
    );
    assert_eq!(tool(&gateway, &["spool", "drop", "metric", "--yes"]).status.code(), Some(2));
    assert!(gateway.stop().success());
    let dropped = json(&gateway, 0, &["spool", "drop", "logging", "--before", "7", "--yes"]);
    // A window that was out stays: its boundaries are promised.
    let gone = dropped["points_dropped"].as_u64().expect("a number");
    let left = 10 - gone;
    let ls = json(&gateway, 0, &["spool", "ls"]);
    let row = ls["logs"].as_array().expect("rows").iter().find(|row| row["category"] == "logging").cloned();
    assert_eq!(row.expect("a row")["points"], left, "{dropped} {ls}");
    assert_eq!(
        json(&gateway, 0, &["spool", "drop", "metric", "--before", "36h", "--yes"])["points_dropped"],
        0
    );
    gateway.run();
    let dropped = json(&gateway, 0, &["spool", "drop", "metric", "--all", "--yes"]);
    let left = 4 - dropped["points_dropped"].as_u64().expect("a number");
    gateway.await_metric("kitgate_points_spooled{category=\"metric\"}", left as f64);
}

#[test]
fn a16_what_a_later_version_wrote_is_refused_with_a_plain_message_and_left_untouched() {
    let mut gateway = Gateway::start("", DEAD);
    fill(&gateway, "logging", 0..5);
    assert!(gateway.stop().success());
    let segment = segments(&gateway.data_dir().join("spool/logging")).remove(0);
    let mut bytes = fs::read(&segment).expect("a segment");
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..88]);
    bytes[88..92].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, &bytes).expect("written");
    // Locks are held and let go; what is kept must stay as it is.
    let kept = |gateway: &Gateway| -> Vec<(PathBuf, Vec<u8>)> {
        tree(&gateway.data_dir()).into_iter().filter(|(path, _)| !path.ends_with("LOCK")).collect()
    };
    let before = kept(&gateway);
    let from = gateway.data_dir();
    let from = from.to_str().expect("UTF-8");
    for arguments in [
        &["spool", "ls"][..],
        &["spool", "stat", "logging"],
        &["spool", "verify"],
        &["spool", "repair", "logging"],
        &["spool", "dump", "logging"],
        &["spool", "drop", "logging", "--all", "--yes"],
    ] {
        let told = said(&gateway, 1, arguments);
        assert!(
            told.contains("written by a later version (format 9); it is left as it is"),
            "{arguments:?}: {told}"
        );
    }
    let other = Gateway::prepared("", DEAD);
    fs::create_dir_all(other.data_dir()).expect("made");
    assert!(said(&other, 1, &["spool", "replay", from]).contains("later version"));
    assert_eq!(kept(&gateway), before);
}

#[test]
fn b15_a_hostile_segment_given_to_the_tools_is_survived() {
    let mut gateway = Gateway::start("", DEAD);
    fill(&gateway, "logging", 0..8);
    assert!(gateway.stop().success());
    let dir = gateway.data_dir().join("spool/logging");
    let segment = segments(&dir).remove(0);
    let frames = frames_in(&segment);
    // A frame that says it is a gigabyte, with a checksum that holds, in a file that is as long: sparse.
    let mut bytes = fs::read(&segment).expect("a segment");
    let at = frames[2];
    bytes[at + 64..at + 68].copy_from_slice(&(1_000_000_000_u32).to_le_bytes());
    bytes[at + 60..at + 64].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[at..at + 76]);
    bytes[at + 76..at + 80].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, &bytes).expect("written");
    fs::OpenOptions::new().write(true).open(&segment).expect("it").set_len(1 << 30).expect("longer");
    for noise in ["segment-0000000000000abc", "segment-ffffffffffffffff"] {
        let noise_bytes: Vec<u8> =
            (0..50_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(dir.join(noise), noise_bytes).expect("written");
    }
    fs::write(dir.join("cursor"), [0xff; 5000]).expect("written");
    let path = segment.to_str().expect("UTF-8");
    let other = Gateway::prepared("", DEAD);
    fs::create_dir_all(other.data_dir()).expect("made");
    for arguments in [
        &["spool", "ls"][..],
        &["spool", "stat", "logging"],
        &["spool", "verify"],
        &["spool", "dump"],
        &["spool", "dump", "logging", "--as", "json"],
        &["spool", "dump", "logging", "--as", "frames"],
    ] {
        let output = tool(&gateway, arguments);
        assert!(output.status.code().is_some_and(|code| code <= 1), "{arguments:?}: {output:?}");
        assert!(!text(&output.stderr).contains("panicked"), "{arguments:?}: {output:?}");
    }
    let replayed = json(&other, 1, &["spool", "replay", path]);
    assert_eq!(replayed["frames"], 2, "{replayed}");
}

#[test]
fn dead_letters_are_shown_without_tokens_and_redriven_once() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::start("", &dataway.table());
    dataway.always(Step::Status(400));
    let target = format!("/v1/write/logging?token={TOKEN}&storage_index=idx");
    assert_eq!(gateway.post(&target, b"tool,kind=a n=1i 5").status, 200);
    fill(&gateway, "metric", 10..13);
    gateway.await_metric("kitgate_points_dead_total{category=\"logging\"}", 1.0);
    gateway.await_metric("kitgate_points_dead_total{category=\"metric\"}", 3.0);

    let ls = json(&gateway, 0, &["dlq", "ls"]);
    let categories = ls["categories"].as_array().expect("categories");
    let points: u64 = categories.iter().filter_map(|one| one["points"].as_u64()).sum();
    assert_eq!((categories.len(), points), (2, 4), "{ls}");
    assert!(said(&gateway, 0, &["dlq", "ls"]).contains("invalid"));
    let shown = said(&gateway, 0, &["dlq", "show", "logging", "--points"]);
    assert!(shown.contains("route        storage_index=idx&token=tkn_***"), "{shown}");
    assert!(shown.contains("invalid with 400") && shown.contains("n=1i"), "{shown}");
    let output = tool(&gateway, &["dlq", "show", "logging", "--points", "--format", "json"]);
    let letter: Value = serde_json::from_slice(&output.stdout).expect("one letter");
    assert_eq!(
        (&letter["token"], &letter["status"], &letter["state"]),
        (&"tkn_***".into(), &400.into(), &"waiting".into())
    );
    for told in [shown, text(&output.stdout), said(&gateway, 0, &["spool", "dump", "--delivered"])] {
        assert!(!told.contains(&TOKEN[4..]) && !told.contains("dGtuX2Zl"), "{told}");
    }

    assert_eq!(tool(&gateway, &["dlq", "redrive"]).status.code(), Some(2));
    dataway.always(Step::Take);
    let package = letter["package"].as_str().expect("an id");
    // Running, by package.
    assert_eq!(json(&gateway, 0, &["dlq", "redrive", "--package", package])["points"], 1);
    let points = dataway.await_points(1);
    assert_eq!(arrived(&points), [1]);
    let taken = dataway.taken().remove(0);
    assert_eq!(taken.query, format!("token={TOKEN}"));
    assert_eq!(taken.headers.get("x-storage-index-name").map(String::as_str), Some("idx"));
    assert_eq!(json(&gateway, 0, &["dlq", "redrive", "logging"])["letters"], 0);
    assert!(gateway.stop().success());
    // Stopped, all that is left.
    assert_eq!(json(&gateway, 0, &["dlq", "redrive", "--reason", "invalid"])["points"], 3);
    assert_eq!(json(&gateway, 0, &["dlq", "redrive", "--all"])["points"], 0);
    gateway.run();
    assert_eq!(arrived(&dataway.await_points(4)), [1, 10, 11, 12]);
    let purged = said(&gateway, 2, &["dlq", "purge", "--all"]);
    assert!(purged.contains("--yes"), "{purged}");
    assert!(gateway.stop().success());
    let purged = json(&gateway, 0, &["dlq", "purge", "--all", "--yes"]);
    assert_eq!(purged["files_removed"], 2, "{purged}");
    assert!(said(&gateway, 0, &["dlq", "ls"]).contains("no dead letters"));
}

#[test]
fn the_old_agents_queue_is_imported_into_a_running_gateway() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("", &dataway.table());
    let old = scratch();
    let queue = old.path().join("dw-wal/logging");
    fs::create_dir_all(&queue).expect("made");
    // CacheData: category 9, protobuf, a point `tool` with the field n = 7 at time 5, an index, a time.
    let point = b"\x0a\x0f\x0a\x04tool\x12\x05\x0a\x01n\x10\x07\x18\x05";
    let header = b"\x0a\x14X-Storage-Index-Name\x12\x03idx";
    let mut record = vec![0x08, 9, 0x10, 1, 0x1a, point.len() as u8];
    record.extend_from_slice(point);
    record.extend_from_slice(&[0x20, 1, 0x32, header.len() as u8]);
    record.extend_from_slice(header);
    record.extend_from_slice(&[0x40, 0x80, 0xe2, 0xcf, 0xaa, 0x06]);
    let mut file = (record.len() as u32).to_le_bytes().to_vec();
    file.extend_from_slice(&record);
    file.extend_from_slice(&0xdead_beef_u32.to_le_bytes());
    fs::write(queue.join("data.00000000000000000000000000000000"), &file).expect("written");
    let from = old.path().join("dw-wal");
    let from = from.to_str().expect("UTF-8");
    let imported = said(&gateway, 0, &["spool", "import-datakit", from]);
    assert!(imported.starts_with("imported 1 record with 1 point\n"), "{imported}");
    assert_eq!(arrived(&dataway.await_points(1)), [7]);
    let taken = dataway.taken().remove(0);
    assert_eq!(taken.headers.get("x-storage-index-name").map(String::as_str), Some("idx"));
    assert_eq!(json(&gateway, 0, &["spool", "import-datakit", from])["records"], 0);
}

#[test]
fn wrong_arguments_and_directories_are_told_apart() {
    let folder = scratch();
    let absent = folder.path().join("absent");
    let absent = absent.to_str().expect("UTF-8");
    for (arguments, code) in [
        (&["spool"][..], 2),
        (&["spool", "stat", "logs"], 2),
        (&["spool", "ls", "--data-dir", absent, "--config", "x"], 2),
        (&["spool", "ls", "--data-dir", absent], 1),
        (&["spool", "replay", absent, "--data-dir", absent], 1),
        (&["dlq", "show", "--seq", "x"], 2),
        (&["spool", "ls", "--config", absent], 78),
    ] {
        let output = kitgate(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty());
    }
    assert!(!Path::new(absent).exists(), "looking makes nothing");
    // A lock that is held, and nobody who takes orders.
    let lock = fs::File::create(folder.path().join("LOCK")).expect("a lock");
    lock.lock().expect("held");
    let dir = folder.path().to_str().expect("UTF-8");
    fs::create_dir_all(folder.path().join("spool/metric")).expect("made");
    for arguments in [
        &["spool", "repair", "metric", "--data-dir", dir][..],
        &["dlq", "redrive", "--all", "--data-dir", dir],
        &["spool", "drop", "metric", "--all", "--yes", "--data-dir", dir],
    ] {
        assert_eq!(kitgate(arguments).status.code(), Some(75), "{arguments:?}");
    }
}
