//! The tools over spools in memory: what is done twice, what is done once, and what a failure in the middle leaves.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use super::arguments::{DlqVerb, Format, SpoolVerb, Which};
use super::datakit::testing::{Sample, file};
use super::testing::{MemorySpools, block};
use super::*;
use crate::config::secret::Secret;
use crate::spool::inspect::Export;
use crate::spool::{Block, Frame, Kind, LogStats};
use crate::upload::dead::{DeadLetter, DeadLetters, KeptToken, Note};
use crate::upload::parked::{Head, Parked};

thread_local! {
    /// What is opened where a test says so; tests run on a thread each.
    static SPOOLS: Rc<RefCell<MemorySpools>> = Rc::default();
}

struct Shared(Rc<RefCell<MemorySpools>>);

impl Spools for Shared {
    fn commit(&mut self, category: Category, blocks: Vec<Block>) -> Result<(), String> {
        self.0.borrow_mut().commit(category, blocks)
    }

    fn drop_before(&mut self, category: Category, seq: u64) -> Result<u64, String> {
        self.0.borrow_mut().drop_before(category, seq)
    }

    fn stats(&mut self, category: Category) -> Result<LogStats, String> {
        self.0.borrow_mut().stats(category)
    }
}

fn spools() -> Rc<RefCell<MemorySpools>> {
    SPOOLS.with(Rc::clone)
}

fn committed(category: Category) -> Vec<Block> {
    spools().borrow().committed.get(&category).cloned().unwrap_or_default()
}

/// Runs a tool; what it said as JSON, and its exit code.
fn run(
    data_dir: &Path,
    verb: impl FnOnce(&mut Tools<'_>) -> Result<u8, Failure>,
) -> Result<(Value, u8), Failure> {
    let mut settings = Settings { data_dir: data_dir.to_path_buf(), ..Settings::default() };
    settings.spool.dir = data_dir.join("spool");
    let mut out = Vec::new();
    let mut tools = Tools {
        settings: &settings,
        open_offline: |_| Ok(Box::new(Shared(spools()))),
        format: Format::Json,
        out: &mut out,
        now_ms: 1_700_000_500_000,
    };
    let code = verb(&mut tools)?;
    Ok((serde_json::from_slice(&out).unwrap_or(Value::Null), code))
}

fn note(seq: u64, package: &str) -> Note {
    serde_json::from_value(serde_json::json!({
        "package": package, "seq": seq, "category": "logging", "route": "storage_index=a", "kind": "points",
        "codec": "identity", "points": 2, "raw_bytes": 4, "sealed_ms": 1, "died_ms": 2, "destination": "http://h",
        "reason": "invalid", "status": 400, "answer": "no",
    }))
    .unwrap()
}

fn letter(seq: u64, package: &str) -> DeadLetter {
    DeadLetter { note: note(seq, package), data: bytes::Bytes::from_static(b"data") }
}

fn redrive(dir: &Path, which: Which) -> Result<(Value, u8), Failure> {
    run(dir, |tools| tools.dlq(&DlqVerb::Redrive { which }))
}

fn all() -> Which {
    Which { all: true, ..Which::default() }
}

#[test]
fn letters_are_sent_again_once() {
    let dir = tempfile::tempdir().unwrap();
    let dead = DeadLetters::new(dir.path().join("dead"));
    let mut with_token = letter(3, "dk_b");
    with_token.note.route = "storage_index=a&token=tkn_***".to_owned();
    with_token.note.token = Some(KeptToken(Secret::new("tkn_secret")));
    dead.append(Category::Logging, &[letter(1, "dk_a"), letter(2, "dk_a"), with_token], 0).unwrap();
    dead.append(Category::Logging, &[letter(4, "dk_c")], 86_400_000).unwrap();

    assert_eq!(redrive(dir.path(), Which::default()).unwrap_err().code(), EXIT_USAGE);
    let package = Which { package: Some("dk_a".to_owned()), ..Which::default() };
    let (said, code) = redrive(dir.path(), package.clone()).unwrap();
    assert_eq!((&said["letters"], &said["points"], code), (&2.into(), &4.into(), 0));
    assert_eq!(redrive(dir.path(), package).unwrap().0["letters"], 0);
    let (said, _) = redrive(dir.path(), all()).unwrap();
    assert_eq!(said["letters"], 2);
    assert_eq!(redrive(dir.path(), all()).unwrap().0["letters"], 0);

    let blocks = committed(Category::Logging);
    let routes: Vec<&[u8]> = blocks.iter().map(|block| &block.route[..]).collect();
    assert_eq!(
        routes,
        [
            &b"storage_index=a"[..],
            b"storage_index=a",
            b"storage_index=a&token=tkn%5Fsecret",
            b"storage_index=a"
        ]
    );
    assert!(blocks.iter().all(|block| &block.payload[..] == b"data" && block.points == 2));
    assert!(blocks.iter().all(|block| block.sealed_ms == 1_700_000_500_000), "they count their age from now");
}

/// A crash between a letter and the note of it has the letter written again: its points are spooled once.
#[test]
fn two_letters_of_the_same_points_are_sent_again_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let dead = DeadLetters::new(dir.path().join("dead"));
    let mut part = letter(7, "dk_a");
    part.note.first_point = 3;
    dead.append(Category::Logging, &[letter(7, "dk_a"), letter(7, "dk_a"), part], 0).unwrap();
    dead.append(Category::Logging, &[letter(7, "dk_a")], 86_400_000).unwrap();
    let (said, code) = redrive(dir.path(), all()).unwrap();
    assert_eq!((&said["letters"], &said["points"], code), (&2.into(), &4.into(), 0));
    assert_eq!(redrive(dir.path(), all()).unwrap().0["letters"], 0, "the doubles are marked too");
    // One that turns up after its double was sent.
    dead.append(Category::Logging, &[letter(7, "dk_a")], 2 * 86_400_000).unwrap();
    assert_eq!(redrive(dir.path(), all()).unwrap().0["letters"], 0);
    assert_eq!(committed(Category::Logging).len(), 2);
}

#[test]
fn a_redrive_that_fails_marks_nothing_that_is_not_durable() {
    let dir = tempfile::tempdir().unwrap();
    let dead = DeadLetters::new(dir.path().join("dead"));
    let letters: Vec<DeadLetter> = (0..600).map(|seq| letter(seq, "dk_a")).collect();
    dead.append(Category::Logging, &letters, 0).unwrap();
    spools().borrow_mut().commits_left = Some(1);
    assert!(redrive(dir.path(), all()).unwrap_err().text().contains("the spool is full"));
    let first = committed(Category::Logging).len();
    assert!(first > 0 && first < 600, "{first}");
    // A tool that was killed while it marked: its last line has no end.
    let marks = dir.path().join("dead/logging/1970-01-01.dead.marks");
    let mut text = std::fs::read(&marks).unwrap();
    text.extend_from_slice(b"77 0000");
    std::fs::write(&marks, text).unwrap();
    spools().borrow_mut().commits_left = None;
    assert_eq!(redrive(dir.path(), all()).unwrap().0["letters"], 600 - first);
    assert_eq!(committed(Category::Logging).len(), 600);
    assert_eq!(redrive(dir.path(), all()).unwrap().0["letters"], 0);
}

#[test]
fn a_letter_whose_token_was_not_kept_is_not_sent_under_another() {
    let dir = tempfile::tempdir().unwrap();
    let dead = DeadLetters::new(dir.path().join("dead"));
    let mut orphan = letter(1, "dk_a");
    orphan.note.route = "token=tkn_***".to_owned();
    dead.append(Category::Logging, &[orphan, letter(2, "dk_b")], 0).unwrap();
    let (said, code) = redrive(dir.path(), all()).unwrap();
    assert_eq!((&said["letters"], &said["kept"]["its token was not kept"], code), (&1.into(), &1.into(), 1));
}

#[test]
fn damaged_letters_are_passed_over_and_purged_files_go() {
    let dir = tempfile::tempdir().unwrap();
    let dead = DeadLetters::new(dir.path().join("dead"));
    dead.append(Category::Logging, &[letter(1, "dk_a"), letter(2, "dk_b"), letter(3, "dk_c")], 0).unwrap();
    let path = dir.path().join("dead/logging/1970-01-01.dead");
    let mut bytes = std::fs::read(&path).unwrap();
    let third = bytes.len() / 3;
    bytes[third + 40] ^= 1;
    bytes.extend_from_slice(b"KGDEAD01 cut off");
    std::fs::write(&path, &bytes).unwrap();
    let (said, code) = run(dir.path(), |tools| tools.dlq(&DlqVerb::Ls)).unwrap();
    let logging = &said["categories"][0];
    assert_eq!(
        (&logging["letters"], &logging["damaged_spots"], &logging["torn_bytes"], code),
        (&2.into(), &1.into(), &16.into(), 1)
    );
    let purge = |which: Which, yes: bool| run(dir.path(), |tools| tools.dlq(&DlqVerb::Purge { which, yes }));
    assert_eq!(purge(all(), false).unwrap_err().code(), EXIT_USAGE);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let (said, _) = purge(Which { seq: Some(1), ..Which::default() }, true).unwrap();
    assert_eq!((&said["letters"], &said["files_removed"]), (&1.into(), &0.into()));
    assert_eq!(redrive(dir.path(), all()).unwrap().0["letters"], 1, "the purged one is gone");
    let (said, _) = purge(all(), true).unwrap();
    assert_eq!((&said["letters"], &said["files_removed"]), (&0.into(), &1.into()));
    assert!(!path.exists() && !dir.path().join("dead/logging/1970-01-01.dead.marks").exists());
}

#[test]
fn frames_are_replayed_once_whatever_file_they_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let away = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let write = |name: &str, id: u8, count: u32| {
        let path = away.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        let mut export = Export::new(file, Category::Logging as u8, Some([id; 16]));
        (1..=count).for_each(|points| export.block(&block(points, b"some points", "token=tkn%5Fa")).unwrap());
        export.finish().unwrap();
        path
    };
    let replay = |from: std::path::PathBuf, all: bool| {
        run(&data, |tools| tools.spool(&SpoolVerb::Replay { from, all }))
    };
    let (said, code) = replay(write("one", 7, 3), false).unwrap();
    assert_eq!((&said["frames"], &said["points"], code), (&3.into(), &6.into(), 0));
    // The same log in another file, with more in it.
    let (said, _) = replay(write("two", 7, 5), false).unwrap();
    assert_eq!((&said["frames"], &said["frames_known"]), (&2.into(), &3.into()));
    // Another log with the same numbers.
    assert_eq!(replay(write("three", 8, 2), false).unwrap().0["frames"], 2);
    assert_eq!(replay(write("one", 7, 3), true).unwrap().0["frames"], 3);
    let blocks = committed(Category::Logging);
    assert_eq!(blocks.len(), 10);
    assert!(blocks.iter().all(|block| &block.route[..] == b"token=tkn%5Fa"));
    assert!(replay(away.path().join("absent"), false).is_err());
    let empty = away.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert!(replay(empty, false).is_err());
}

#[test]
fn a_replay_that_is_cut_off_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("frames");
    let mut export =
        Export::new(std::fs::File::create(&path).unwrap(), Category::Logging as u8, Some([1; 16]));
    (0..700).for_each(|_| export.block(&block(1, b"x", "")).unwrap());
    export.finish().unwrap();
    let replay = || {
        let from = path.clone();
        run(dir.path(), |tools| tools.spool(&SpoolVerb::Replay { from, all: false }))
    };
    spools().borrow_mut().commits_left = Some(2);
    assert!(replay().is_err());
    let first = committed(Category::Logging).len() as u64;
    assert!(first > 0 && first < 700);
    spools().borrow_mut().commits_left = None;
    let (said, _) = replay().unwrap();
    assert_eq!((&said["frames"], &said["frames_known"]), (&(700 - first).into(), &first.into()));
    assert_eq!(committed(Category::Logging).len(), 700);
}

#[test]
fn side_lanes_are_seen_and_what_they_park_is_replayed_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (data, old) = (dir.path().join("data"), dir.path().join("old"));
    std::fs::create_dir(&data).unwrap();
    let lane = old.join("side/logging/h-1");
    std::fs::create_dir_all(&lane).unwrap();
    std::fs::create_dir_all(old.join("spool/logging")).unwrap();
    let frames = vec![
        Frame { seq: 5, block: block(1, POINT, "token=tkn%5Fa") },
        Frame { seq: 6, block: block(2, b"more", "token=tkn%5Fa") },
    ];
    let head = Head {
        package: "dk_p".to_owned(),
        first_seq: 5,
        last_seq: 6,
        first_point: 0,
        is_part: false,
        attempts: 7,
        history: Vec::new(),
    };
    let parked = Parked { head, frames }.block(3).unwrap();
    let file = std::fs::File::create(lane.join("segment-0000000000000000")).unwrap();
    let mut export = Export::new(file, Category::Logging as u8, Some([3; 16]));
    export.block(&parked).unwrap();
    export.finish().unwrap();

    let (said, code) = run(&old, |tools| tools.spool(&SpoolVerb::Ls)).unwrap();
    let lanes = said["logs"].as_array().unwrap();
    assert_eq!((&lanes[1]["side_lane"], &lanes[1]["points"], code), (&"h-1".into(), &3.into(), 0), "{said}");
    assert_eq!(run(&old, |tools| tools.spool(&SpoolVerb::Verify { category: None })).unwrap().1, 0);
    let mut text = Vec::new();
    assert!(!dump::content_lines(&parked, &mut text), "the second block is no points");
    assert!(text.starts_with(b"m f=7i 5\n"), "the first one is");

    let from = old;
    let (said, _) = run(&data, |tools| tools.spool(&SpoolVerb::Replay { from, all: false })).unwrap();
    assert_eq!((&said["frames"], &said["points"]), (&1.into(), &3.into()));
    let blocks = committed(Category::Logging);
    let got: Vec<(&[u8], u32, Kind)> =
        blocks.iter().map(|block| (&block.payload[..], block.points, block.kind)).collect();
    assert_eq!(got, [(POINT, 1, Kind::Points), (b"more", 2, Kind::Points)]);
    assert!(blocks.iter().all(|block| &block.route[..] == b"token=tkn%5Fa"));
}

/// One point `m` with the field `f` = 7 at time 5.
const POINT: &[u8] = b"\x0a\x0c\x0a\x01m\x12\x05\x0a\x01f\x10\x07\x18\x05";

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::codec::compress::Gzip::default().compress(bytes, &mut out).unwrap();
    out
}

/// The old agent's cache, with something of everything in it.
fn cache(dir: &Path) {
    let write = |queue: &str, name: &str, bytes: Vec<u8>| {
        std::fs::create_dir_all(dir.join(queue)).unwrap();
        std::fs::write(dir.join(queue).join(name), bytes).unwrap();
    };
    let point = POINT.to_vec();
    let sample = Sample { category: 9, payload_type: 1, payload: &point, headers: &[], url: "" };
    let indexed = Sample { headers: &[("X-Storage-Index-Name", "idx"), ("X-Odd", "1")], ..sample };
    let rotated = "data.00000000000000000000000000000000";
    write("logging", rotated, file(&[sample.record(), indexed.record()]));
    let bad = Sample { payload: b"\xff\xffno points", ..sample };
    write("logging", "data", [sample.record(), bad.record(), sample.record()].concat());
    // The agent has sent the first of these.
    let sent = Sample { category: 3, payload_type: 0, payload: b"sent f=1i 5", ..sample };
    let lines = Sample { payload: b"cpu,host=a f=1i 5\ncpu,host=b f=2i", ..sent };
    write("metric", rotated, file(&[sent.record(), lines.record()]));
    let position = (sent.record().len() as i64).to_le_bytes();
    write("metric", ".pos", [&position[..], b"/old/cache/metric/", rotated.as_bytes()].concat());
    let packed = gzipped(POINT);
    let failed = Sample { category: 11, payload: &packed, ..sample };
    let no_such = Sample { category: 14, ..sample };
    write("fc", "data", [failed.record(), no_such.record()].concat());
    let url = "http://dw:9527/v1/write/logging?token=tkn_other";
    let dynamic = Sample { category: 1, url, ..sample };
    write("dynamic_dw", rotated, [dynamic.record(), dynamic.record()[..20].to_vec()].concat());
    write("dialtesting", rotated, file(&[Sample { category: 14, ..sample }.record()]));
}

#[test]
fn the_old_agents_queue_is_imported_once() {
    let dir = tempfile::tempdir().unwrap();
    let (data, old) = (dir.path().join("data"), dir.path().join("dw-wal"));
    std::fs::create_dir(&data).unwrap();
    cache(&old);
    let before = tree(&old);
    let import = || {
        let from = old.clone();
        run(&data, |tools| tools.spool(&SpoolVerb::ImportDatakit { from }))
    };
    let (said, code) = import().unwrap();
    assert_eq!(code, 0);
    assert_eq!((&said["records"], &said["points"]), (&7.into(), &8.into()), "{said}");
    assert_eq!(said["categories"]["metric"]["points"], 2);
    assert_eq!(said["headers_left_out"], 1);
    let bad: Vec<&str> = said["bad"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(bad.len(), 4, "{bad:?}");
    assert!(
        bad[0].starts_with("dialtesting/data.") && bad[0].contains("a queue of \"dialtesting\""),
        "{bad:?}"
    );
    assert!(bad[1].starts_with("dynamic_dw/data.") && bad[1].contains("cut off"), "{bad:?}");
    assert!(bad[2].starts_with("fc/data at ") && bad[2].contains("dialtesting"), "{bad:?}");
    assert!(bad[3].starts_with("logging/data at ") && bad[3].contains("no protobuf points"), "{bad:?}");

    let logging = committed(Category::Logging);
    let routes: Vec<&[u8]> = logging.iter().map(|block| &block.route[..]).collect();
    assert_eq!(routes, [&b"token=tkn%5Fother"[..], b"", b"storage_index=idx", b"", b""]);
    assert!(logging.iter().all(|block| blocks::unpack(block).unwrap() == POINT));
    assert_eq!(blocks::unpack(&committed(Category::Rum)[0]).unwrap(), POINT);
    let mut text = Vec::new();
    assert!(dump::content_lines(&committed(Category::Metric)[0], &mut text));
    assert_eq!(text, b"cpu,host=a f=1i 5\ncpu,host=b f=2i 1700000000000000000\n");

    // Nothing is taken a second time, also when the agent has renamed the file it was writing and gone on.
    assert_eq!(import().unwrap().0["records"], 0);
    assert_eq!(tree(&old), before, "the source is left as it is");
    let record = Sample { category: 9, payload_type: 1, payload: POINT, headers: &[], url: "" }.record();
    let grown = [std::fs::read(old.join("logging/data")).unwrap(), file(&[record])].concat();
    std::fs::remove_file(old.join("logging/data")).unwrap();
    std::fs::write(old.join("logging/data.00000000000000000000000000000001"), grown).unwrap();
    assert_eq!(import().unwrap().0["records"], 1);
    assert_eq!(committed(Category::Logging).len(), 6);
}

#[test]
fn an_import_that_is_cut_off_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (data, old) = (dir.path().join("data"), dir.path().join("dw-wal"));
    std::fs::create_dir(&data).unwrap();
    std::fs::create_dir_all(old.join("logging")).unwrap();
    let record = Sample { category: 9, payload_type: 1, payload: POINT, headers: &[], url: "" }.record();
    std::fs::write(old.join("logging/data"), file(&vec![record; 1000])).unwrap();
    let import = || {
        let from = old.clone();
        run(&data, |tools| tools.spool(&SpoolVerb::ImportDatakit { from }))
    };
    spools().borrow_mut().commits_left = Some(2);
    assert!(import().unwrap_err().text().contains("full"));
    let first = committed(Category::Logging).len();
    assert!(first > 0 && first < 1000);
    spools().borrow_mut().commits_left = None;
    assert_eq!(import().unwrap().0["records"], 1000 - first);
    assert_eq!(committed(Category::Logging).len(), 1000);
}

/// Every file below with its bytes.
fn tree(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path))
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()))
        }
    }
    found.sort();
    found
}
