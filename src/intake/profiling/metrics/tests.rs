//! Profiles that real profilers sent, and what comes out of them.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use super::*;

const SECOND: i64 = 1_000_000_000;

pub(super) fn golden(path: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/tests/golden/captured/{path}.jsonl.zst", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The files of a recorded form.
fn files(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let boundary = &body[..memmem::find(body, b"\r\n").unwrap()];
    let ends: Vec<usize> = memmem::find_iter(body, boundary).collect();
    let parts = ends.windows(2).map(|pair| &body[pair[0] + boundary.len() + 2..pair[1] - 2]);
    let files = parts.map(|part| {
        let head_end = memmem::find(part, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&part[..head_end]).unwrap();
        let name = head.split("name=\"").nth(1).unwrap().split('"').next().unwrap();
        (name.to_owned(), part[head_end + 4..].to_vec())
    });
    files.collect()
}

fn recorded(client: &str, request: &str) -> Vec<(String, Vec<u8>)> {
    let cases = golden(client);
    let case = cases.iter().find(|case| case["name"] == format!("{client}/{request}").as_str()).unwrap();
    files(&STANDARD.decode(case["body_b64"].as_str().unwrap()).unwrap())
}

fn look(language: &str, files: &[(String, Vec<u8>)], duration_ns: i64) -> Result<Metrics, String> {
    let files: Vec<ProfileFile<'_>> =
        files.iter().map(|(name, body)| ProfileFile { name, file_name: name, body }).collect();
    of(language, &files, duration_ns)
}

fn names(metrics: &Metrics) -> Vec<&'static str> {
    metrics.iter().map(|(name, _)| *name).collect()
}

fn get(metrics: &Metrics, name: &str) -> f64 {
    let (_, value) = metrics.iter().find(|(known, _)| *known == name).unwrap();
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
    }
}

const PYTHON: [&str; 11] = [
    "prof_python_cpu_cores",
    "prof_python_alloc_bytes_total",
    "prof_python_alloc_bytes_per_sec",
    "prof_python_allocs_per_sec",
    "prof_python_lock_acquisitions_per_sec",
    "prof_python_lock_acquisition_time",
    "prof_python_lock_hold_time",
    "prof_python_exceptions_total",
    "prof_python_exceptions_per_sec",
    "prof_python_wall_time",
    "prof_python_lifetime_heap_bytes",
];

#[test]
fn python_of_both_ages_gives_all_fields() {
    // Gzip from the old profiler, zstd from the new one.
    for (client, request) in [("ddtrace-py-1.20.19", "004"), ("ddtrace-py-4.16.0", "024")] {
        let files = recorded(client, request);
        let metrics = look("python", &files, 4 * SECOND).unwrap();
        assert_eq!(names(&metrics), PYTHON, "{client}");
        let cores = get(&metrics, "prof_python_cpu_cores");
        assert!((0.05..4.0).contains(&cores), "{client}: {cores}");
        let (total, rate) = ("prof_python_alloc_bytes_total", "prof_python_alloc_bytes_per_sec");
        assert!((get(&metrics, rate) * 4.0 - get(&metrics, total)).abs() < 1.0);
        assert!(get(&metrics, "prof_python_wall_time") > 1e9);
        // Without a length there are no rates; the sums stay.
        let timeless = look("python", &files, 0).unwrap();
        assert!(names(&timeless).contains(&total) && !names(&timeless).contains(&rate));
    }
}

#[test]
fn what_is_no_profile_is_an_error_that_names_it() {
    let event = vec![("event".to_owned(), b"{}".to_vec())];
    assert_eq!(look("python", &event, SECOND).unwrap_err(), "there is no pprof file");
    let broken = vec![("auto".to_owned(), b"\x1f\x8b broken".to_vec())];
    assert_eq!(look("python", &broken, SECOND).unwrap_err(), "auto: no gzip that can be read");
    let text = vec![("prof\n".repeat(40) + ".pprof", b"text".to_vec())];
    let error = look("python", &text, SECOND).unwrap_err();
    assert!(error.len() < 200 && !error.contains('\n'), "{error}");
    for language in ["nodejs", "ruby", "unknown", ""] {
        assert_eq!(look(language, &broken, SECOND), Ok(Vec::new()), "{language}");
    }
}

fn go_profiles() -> Vec<(String, Vec<u8>)> {
    let body = |path: &str| {
        let cases = golden("go-pprof-1.24");
        let case = cases.iter().find(|case| case["path"] == path).unwrap();
        STANDARD.decode(case["response"]["body_b64"].as_str().unwrap()).unwrap()
    };
    vec![
        ("cpu.pprof".to_owned(), body("/debug/pprof/profile?seconds=10")),
        ("goroutines.pprof".to_owned(), body("/debug/pprof/goroutine")),
        ("delta-heap.pprof".to_owned(), body("/debug/pprof/heap")),
        ("delta-mutex.pprof".to_owned(), body("/debug/pprof/mutex")),
        ("delta-block.pprof".to_owned(), body("/debug/pprof/block")),
    ]
}

#[test]
fn go_is_counted_from_its_profiles() {
    let metrics = look("golang", &go_profiles(), 10 * SECOND).unwrap();
    let expected = [
        "prof_go_cpu_cores",
        "prof_go_blocked_time",
        "prof_go_mutex_delay_time",
        "prof_go_num_goroutine",
        "prof_go_lifetime_heap_bytes",
        "prof_go_lifetime_heap_objects",
    ];
    assert_eq!(names(&metrics), expected);
    assert!((0.01..4.0).contains(&get(&metrics, "prof_go_cpu_cores")));
    assert!(get(&metrics, "prof_go_num_goroutine") > 1.0, "Go calls them goroutine, in the singular");
    assert!(get(&metrics, "prof_go_lifetime_heap_bytes") > 1e3);
}

#[test]
fn go_is_taken_from_what_it_computed_and_the_rest_is_derived() {
    let json = br#"[["go_alloc_bytes_per_sec",232769.5],["go_allocs_per_sec",388],["go_frees_per_sec",358.2],
        ["go_gcs_per_sec",0.5],["go_gc_pause_time",0.00965],["go_max_gc_pause_time",581178],["go_new_thing",1],
        ["go_num_goroutine",26]]"#;
    let mut files = vec![("metrics.json".to_owned(), json.to_vec())];
    let metrics = look("golang", &files, 10 * SECOND).unwrap();
    let expected = [
        ("prof_go_cpu_cores_gc_overhead", Value::Float(0.00965)),
        ("prof_go_alloc_bytes_per_sec", Value::Float(232769.5)),
        ("prof_go_alloc_bytes_total", Value::Float(2327695.0)),
        ("prof_go_frees_per_sec", Value::Float(358.2)),
        ("prof_go_allocs_per_sec", Value::Int(388)),
        ("prof_go_gcs_per_sec", Value::Float(0.5)),
        ("prof_go_max_gc_pause_time", Value::Int(581_178)),
        ("prof_go_gc_pause_time", Value::Float(0.00965)),
        ("prof_go_num_goroutine", Value::Int(26)),
    ];
    assert_eq!(metrics, expected);
    // What was computed goes before what is counted, and both stand together.
    files.extend(go_profiles());
    let both = look("golang", &files, 10 * SECOND).unwrap();
    assert_eq!(get(&both, "prof_go_num_goroutine"), 26.0);
    assert_eq!(both.len(), expected.len() + 5);
    // Nanoseconds of pauses are divided by nanoseconds.
    let nanos = vec![("data[metrics.json]".to_owned(), br#"[["go_gc_pause_time",50000000]]"#.to_vec())];
    let metrics = look("go", &nanos, 10 * SECOND).unwrap();
    assert_eq!(metrics[0], ("prof_go_cpu_cores_gc_overhead", Value::Float(0.005)));
}

#[test]
fn one_bad_file_does_not_spoil_the_others() {
    let mut files = go_profiles();
    files[2].1.truncate(100);
    files.push(("metrics.json".to_owned(), b"[[1,2]]".to_vec()));
    let metrics = look("golang", &files, 10 * SECOND).unwrap();
    assert_eq!(metrics.len(), 4);
    let alone = look("golang", &files[5..], 10 * SECOND).unwrap_err();
    assert!(alone.starts_with("metrics.json: invalid type"), "{alone}");
}

/// A frame of LZ4 with its content in blocks that are not compressed; `checksum` is XXH32 of the descriptor's two bytes.
fn lz4_frame(content: &[u8]) -> Vec<u8> {
    let mut frame = b"\x04\x22\x4d\x18\x60\x40\x82".to_vec();
    for block in content.chunks(64 << 10) {
        frame.extend_from_slice(&(block.len() as u32 | 1 << 31).to_le_bytes());
        frame.extend_from_slice(block);
    }
    frame.extend_from_slice(&[0; 4]);
    frame
}

#[test]
fn files_are_unpacked_by_their_first_bytes() {
    let plain: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let packed = [
        gzip.finish().unwrap(),
        zstd::encode_all(&plain[..], 1).unwrap(),
        lz4_frame(&plain),
        [lz4_frame(&plain[..5]), lz4_frame(b""), lz4_frame(&plain[5..])].concat(),
    ];
    assert_eq!(unpack(&plain).unwrap(), plain);
    for packed in &packed {
        assert_eq!(unpack(packed).unwrap(), plain);
        for cut in [8, packed.len() / 2, packed.len() - 1] {
            // The reader of LZ4 takes an end between blocks for the end; whoever reads on misses the rest.
            let cut = unpack(&packed[..cut]);
            assert!(cut.is_err() || packed.starts_with(b"\x04") && plain.starts_with(&cut.unwrap()));
        }
        assert!(unpack(&[&packed[..], b"and then something"].concat()).is_err());
    }
    // A run of zeros as a copy of itself, in a frame that says nothing of its size.
    let mut bomb = b"\x04\x22\x4d\x18\x60\x70\x73".to_vec();
    let mut block = b"\x1f\0\x01\0".to_vec();
    block.extend(std::iter::repeat_n(0xff, 16_000));
    block.extend_from_slice(b"\x00\x50\0\0\0\0\0");
    for _ in 0..70 {
        bomb.extend_from_slice(&(block.len() as u32).to_le_bytes());
        bomb.extend_from_slice(&block);
    }
    bomb.extend_from_slice(&[0; 4]);
    assert_eq!(unpack(&bomb).unwrap_err(), TOO_LARGE_TEXT);
    // One by the ratio, which is reached sooner.
    let bomb = zstd::encode_all(&vec![0; 64 << 20][..], 1).unwrap();
    assert_eq!(unpack(&bomb).unwrap_err(), TOO_LARGE_TEXT);
}

const TOO_LARGE_TEXT: &str = "more than may be unpacked";

/// A recording that is on disk, under the name that Datadog's agent gives it.
fn recording(name: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!("{}/tests/golden/profiles/{name}.jfr.zst", env!("CARGO_MANIFEST_DIR"));
    vec![("event".to_owned(), b"{}".to_vec()), ("main".to_owned(), std::fs::read(path).unwrap())]
}

#[test]
fn java_is_counted_from_what_the_jdk_records() {
    let metrics = look("java", &recording("openjdk-17"), 2 * SECOND).unwrap();
    let value = |name: &str| get(&metrics, &format!("prof_jvm_{name}"));
    // What `jfr print` and `jfr summary` say of the same recording.
    assert_eq!(value("throws_total"), 29.0);
    assert_eq!(value("throws_per_sec"), 14.5);
    assert_eq!(value("threads_created_per_sec"), 3.0);
    assert_eq!(value("locks_per_sec"), 0.5);
    assert_eq!(value("file_io_write_bytes"), 262_169.0);
    assert_eq!(value("file_io_max_write_bytes"), 65_536.0);
    assert_eq!(value("socket_io_read_bytes"), 1_400.0);
    assert_eq!(value("socket_io_max_write_bytes"), 700.0);
    assert_eq!(value("gc_pauses_per_sec"), 326.0);
    assert_eq!(value("threads_deadlocked"), 0.0);
    assert!((20e6..200e6).contains(&value("locks_max_wait_time")));
    assert!((30e6..200e6).contains(&value("socket_io_max_read_time")), "the other side slept for 40 ms");
    assert!((0.1..2.0).contains(&value("cpu_cores")));
    assert!((2e9..5e9).contains(&value("uptime_nanoseconds")));
    assert!(value("alloc_bytes_total") > 100e6);
    assert_eq!(value("class_loads_per_sec"), 0.0, "all 1,636 before the first count");
    assert!((100e3..64e6).contains(&value("lifetime_heap_bytes")));
    assert!(value("compilation_time") > 1e6 && value("context_switches_per_sec") > 1.0);
    assert!(value("max_gc_pause_time") <= value("gc_pause_time"));
    assert_eq!(value("file_io_time"), value("file_io_read_time") + value("file_io_write_time"));
    assert!(!names(&metrics).contains(&"prof_jvm_allocs_per_sec"), "samples do not say how often");
}

#[test]
fn java_is_counted_from_what_datadog_records() {
    let metrics = look("java", &recording("datadog-names"), 10 * SECOND).unwrap();
    let value = |name: &str| get(&metrics, &format!("prof_jvm_{name}"));
    // 50 samples of weights 1, 2, 3 in turn, every 20 ms; ten of 1,000 bytes and more, for 2.5 each.
    assert_eq!(value("cpu_cores"), 99.0 * 0.02 / 10.0);
    assert_eq!(value("alloc_bytes_total"), 2.5 * 10_045.0);
    assert_eq!(value("allocs_per_sec"), 2.5);
    assert_eq!(value("direct_alloc_bytes_per_sec"), 4.0 * 1_048_576.0 / 10.0);
    assert_eq!(value("throws_total"), 5.0);
    assert_eq!(value("lifetime_heap_bytes"), 33_000_000.0);
    assert_eq!(value("lifetime_heap_objects"), 7.0);
    assert_eq!(value("threads_deadlocked"), 2.0);
    assert_eq!((value("gc_pause_time"), value("avg_gc_pause_time")), (0.0, 0.0));
    let mut expected: Vec<String> = JVM.iter().map(|name| format!("prof_jvm_{name}")).collect();
    for (io, behind) in [("file_io", JVM.len() - 11), ("socket_io", 0)] {
        for direction in ["read", "write"] {
            for (kind, what) in [("max_", "bytes"), ("", "bytes"), ("max_", "time"), ("", "time")] {
                let at = expected.len() - behind;
                expected.insert(at, format!("prof_jvm_{io}_{kind}{direction}_{what}"));
            }
        }
    }
    assert_eq!(names(&metrics), expected);
    assert_eq!(metrics.len(), 38);
}

/// All fields but those of files and sockets: eleven, the former, the rest, the latter.
const JVM: [&str; 22] = [
    "cpu_cores",
    "uptime_nanoseconds",
    "alloc_bytes_total",
    "alloc_bytes_per_sec",
    "allocs_per_sec",
    "direct_alloc_bytes_per_sec",
    "class_loads_per_sec",
    "compilation_time",
    "context_switches_per_sec",
    "throws_total",
    "throws_per_sec",
    "file_io_time",
    "avg_gc_pause_time",
    "max_gc_pause_time",
    "gc_pause_time",
    "gc_pauses_per_sec",
    "lifetime_heap_bytes",
    "lifetime_heap_objects",
    "locks_max_wait_time",
    "locks_per_sec",
    "threads_created_per_sec",
    "threads_deadlocked",
];

#[test]
fn java_without_a_recording_is_an_error() {
    let none = vec![("main".to_owned(), Vec::new()), ("x.pprof".to_owned(), b"y".to_vec())];
    assert_eq!(look("java", &none, SECOND).unwrap_err(), "there is no jfr file");
    let text = vec![("rec.jfr".to_owned(), vec![b'x'; 99])];
    let error = look("java", &text, SECOND).unwrap_err();
    assert_eq!(error, "rec.jfr: no flight recording: a chunk does not begin as one");
}
