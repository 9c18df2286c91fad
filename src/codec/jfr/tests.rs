//! Recordings as a JVM wrote them, and what is left of them when they are damaged.

use std::collections::BTreeMap;

use super::*;

/// What a program that did a little of everything recorded with OpenJDK 17; and one whose events have Datadog's names.
pub(crate) fn recording(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/profiles/{name}.jfr.zst", env!("CARGO_MANIFEST_DIR"));
    zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap()
}

const WANTED: [Wanted; 9] = [
    Wanted { event: "jdk.CPULoad", fields: &["jvmUser", "machineTotal"] },
    Wanted { event: "jdk.CPUInformation", fields: &["hwThreads", "cpu"] },
    Wanted { event: "jdk.GCHeapSummary", fields: &["heapUsed", "startTime"] },
    Wanted { event: "jdk.FileWrite", fields: &["bytesWritten", "duration", "path"] },
    Wanted { event: "jdk.JavaMonitorEnter", fields: &["duration"] },
    Wanted { event: "jdk.JVMInformation", fields: &["jvmStartTime", "pid"] },
    Wanted { event: "jdk.NoSuchThing", fields: &["x"] },
    Wanted { event: "datadog.DatadogProfilerConfig", fields: &["cpuInterval"] },
    Wanted { event: "datadog.ObjectSample", fields: &["weight", "size", "nothing"] },
];

type Events = BTreeMap<&'static str, Vec<Vec<Value>>>;

fn events(bytes: &[u8]) -> Result<(Recording, Events), Error> {
    let mut found = Events::new();
    let recording = read(bytes, &WANTED, &mut |index, values| {
        found.entry(WANTED[index].event).or_default().push(values.to_vec());
    })?;
    Ok((recording, found))
}

#[test]
fn events_are_found_by_their_names() {
    let (recording, events) = events(&recording("openjdk-17")).unwrap();
    // What `jfr summary` and `jfr print` say of it.
    assert_eq!(recording.chunks, 1);
    assert_eq!(recording.end_nanos - recording.start_nanos, 2_533_796_926);
    let counts: Vec<(&str, usize)> = events.iter().map(|(name, events)| (*name, events.len())).collect();
    let expected = [
        ("jdk.CPUInformation", 1),
        ("jdk.CPULoad", 5),
        ("jdk.FileWrite", 5),
        ("jdk.GCHeapSummary", 1304),
        ("jdk.JVMInformation", 1),
        ("jdk.JavaMonitorEnter", 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!(events["jdk.CPUInformation"][0], [Value::Int(2), Value::Absent]);
    let started = events["jdk.JVMInformation"][0][0].int().unwrap();
    assert_eq!(recording.start_nanos / 1_000_000 - started / 1_000_000, 706);
    let waited = events["jdk.JavaMonitorEnter"][0][0].int().unwrap();
    assert!((20_000_000..200_000_000).contains(&waited), "{waited}");
    let written: i64 = events["jdk.FileWrite"].iter().map(|values| values[0].int().unwrap()).sum();
    assert_eq!(written, 4 * 65_536 + 25);
    for values in &events["jdk.FileWrite"] {
        assert!((1_000..10_000_000).contains(&values[1].int().unwrap()) && values[2] == Value::Absent);
    }
    for values in &events["jdk.GCHeapSummary"] {
        let at = values[1].int().unwrap();
        assert!((recording.start_nanos..recording.end_nanos).contains(&at));
        assert!((100_000..64 << 20).contains(&values[0].int().unwrap()));
    }
    for values in &events["jdk.CPULoad"] {
        assert!(values.iter().all(|value| (0.0..=1.0).contains(&value.float().unwrap())));
    }
}

#[test]
fn events_of_others_are_found_too_and_units_are_converted() {
    let (_, events) = events(&recording("datadog-names")).unwrap();
    assert_eq!(events["datadog.DatadogProfilerConfig"], [vec![Value::Int(20_000_000)]]);
    let samples = &events["datadog.ObjectSample"];
    assert_eq!(samples.len(), 10);
    for (size, values) in (1_000..).zip(samples) {
        assert_eq!(*values, [Value::Float(2.5), Value::Int(size), Value::Absent]);
    }
}

#[test]
fn a_recording_of_several_chunks_is_read_through() {
    let (a, b) = (recording("openjdk-17"), recording("datadog-names"));
    let (recording, events) = events(&[&a[..], &b, &a].concat()).unwrap();
    assert_eq!((recording.chunks, events["jdk.CPULoad"].len()), (3, 10));
    assert_eq!(events["datadog.ObjectSample"].len(), 10);
    // The second was recorded forty seconds after the first.
    let seconds = (recording.end_nanos - recording.start_nanos) / 1_000_000_000;
    assert!((30..90).contains(&seconds), "{seconds}");
}

#[test]
fn what_is_no_recording_is_refused() {
    let error = |bytes: &[u8]| events(bytes).map(drop).unwrap_err().to_string();
    let good = recording("datadog-names");
    assert_eq!(error(b""), "no flight recording: it is empty");
    assert_eq!(error(&good[..50]), "no flight recording: a chunk is cut short");
    assert_eq!(error(&good[..good.len() - 1]), "no flight recording: a chunk is cut short");
    assert_eq!(error(&[&good[..], b"more"].concat()), "no flight recording: a chunk is cut short");
    assert_eq!(error(&[b'x'; 100]), "no flight recording: a chunk does not begin as one");
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        error(&changed)
    };
    assert_eq!(with(4, &[0, 1, 0, 0]), "a flight recording of version 1.0, not 2.x");
    assert_eq!(with(8, &[0; 8]), "no flight recording: a chunk is not finished");
    assert_eq!(with(24, &[0; 8]), "no flight recording: a chunk is not finished");
    assert_eq!(
        with(24, &[0, 0, 0, 0, 0, 0, 0, 68]),
        "no flight recording: something else where the metadata should be"
    );
    assert_eq!(with(24, &[0x7f; 8]), "no flight recording: it ends in the middle");
    assert_eq!(with(56, &[0; 8]), "no flight recording: a clock that stands still");
    assert_eq!(with(68, &[0, 0]), "no flight recording: an event of an impossible size");
}

#[test]
fn mutilated_recordings_are_errors_or_recordings() {
    let good = recording("datadog-names");
    let mut read = 0;
    for at in (0..good.len()).step_by(1_499) {
        // The size of the chunk says where it ends: cut there, the rest has to be what it seems.
        let mut cut = good[..at].to_vec();
        if let Some(size) = cut.get_mut(8..16) {
            size.copy_from_slice(&(at as u64).to_be_bytes());
        }
        let _ = events(&cut);
        let mut changed = good.clone();
        changed[at] = !changed[at];
        read += usize::from(events(&changed).is_ok());
    }
    assert!(read > 0, "what is not asked for is not looked at");
}

/// A class with fields of every kind, a list and a structure among them.
fn small() -> Vec<u8> {
    let texts = [
        "root",
        "metadata",
        "class",
        "field",
        "annotation",
        "id",
        "name",
        "value",
        "dimension",
        "1",
        "2",
        "3",
        "4",
        "long",
        "float",
        "java.lang.String",
        "jdk.FileWrite",
        "bytesWritten",
        "duration",
        "path",
        "jdk.jfr.Timespan",
        "TICKS",
        "5",
        "list",
        "inside",
        "6",
    ];
    let class = |id: u8, name: u8, fields: &[&[u8]]| {
        [&[2, 2, 5, id, 6, name, fields.len() as u8][..], &fields.concat()].concat()
    };
    let field = |name: u8, class: u8| [3, 2, 6, name, 2, class, 0];
    let span = [3, 2, 6, 18, 2, 9, 1, 4, 2, 2, 22, 7, 21, 0];
    let list = [3, 3, 6, 23, 2, 11, 8, 9, 0];
    let classes = [
        class(9, 13, &[]),
        class(10, 14, &[]),
        class(11, 15, &[]),
        class(22, 20, &[]),
        class(25, 24, &[&field(17, 10)]),
        class(12, 16, &[&span, &list, &field(24, 25), &field(19, 11), &field(17, 9)]),
    ];
    let tree = [&[0, 0, 1, 1, 0, classes.len() as u8][..], &classes.concat()].concat();
    // Duration, a list of two texts, a structure, no path, the bytes.
    chunk(&texts, &tree, &[4, 200, 1, 2, 3, 1, b'a', 4, 2, b'b', b'c', 1, 2, 3, 4, 0, 77])
}

#[test]
fn integers_may_have_their_full_width() {
    let int = |value: i32| value.to_be_bytes();
    let texts = [
        "root",
        "metadata",
        "class",
        "field",
        "id",
        "name",
        "1",
        "2",
        "long",
        "jdk.FileWrite",
        "bytesWritten",
    ];
    // The class of metadata is 0, as are its start, duration and id.
    let mut metadata: Vec<u8> = [vec![0; 32], int(texts.len() as i32).to_vec()].concat();
    for text in texts {
        metadata.push(3);
        metadata.extend_from_slice(&int(text.len() as i32));
        metadata.extend_from_slice(text.as_bytes());
    }
    let tree =
        [&[0, 0, 1, 1, 0, 2][..], &[2, 2, 4, 6, 5, 8, 0], &[2, 2, 4, 7, 5, 9, 1, 3, 2, 5, 10, 2, 6, 0]];
    tree.concat().into_iter().for_each(|place| metadata.extend_from_slice(&int(place)));
    let event = [2i64.to_be_bytes(), 70_000i64.to_be_bytes()].concat();
    let sized = |content: &[u8]| [&int(content.len() as i32 + 4)[..], content].concat();
    let mut wide = small()[..HEADER_BYTES].to_vec();
    wide[67] = 0;
    wide.extend(sized(&metadata));
    wide.extend(sized(&event));
    let size = wide.len() as u64;
    wide[8..16].copy_from_slice(&size.to_be_bytes());
    let read = events(&wide).unwrap().1;
    assert_eq!(read["jdk.FileWrite"], [[Value::Int(70_000), Value::Absent, Value::Absent]]);
    for at in 0..wide.len() {
        let mut changed = wide.clone();
        changed[at] = !changed[at];
        let _ = events(&changed);
    }
}

#[test]
fn a_small_recording_survives_whatever_is_done_to_it() {
    let good = small();
    let read = events(&good).unwrap().1;
    assert_eq!(read["jdk.FileWrite"], [[Value::Int(77), Value::Int(200_000_000), Value::Absent]]);
    for at in 0..good.len() {
        let _ = events(&good[..at]);
        for value in [0, 1, 2, 3, 5, 7, 0x0c, 0x7f, 0x80, 0xff] {
            let mut changed = good.clone();
            changed[at] = value;
            let _ = events(&changed);
        }
    }
}

/// A chunk of one event whose metadata is made up: texts, then the tree as places of texts and counts.
fn chunk(texts: &[&str], tree: &[u8], event: &[u8]) -> Vec<u8> {
    let sized = |content: Vec<u8>| {
        let size = (content.len() + 4) as u32;
        let padded: [u8; 4] =
            std::array::from_fn(|n| (size >> (7 * n)) as u8 & 0x7f | if n < 3 { 0x80 } else { 0 });
        [&padded[..], &content].concat()
    };
    let mut metadata = vec![0, 0, 0, 1, texts.len() as u8];
    for text in texts {
        metadata.extend_from_slice(&[3, text.len() as u8]);
        metadata.extend_from_slice(text.as_bytes());
    }
    metadata.extend_from_slice(tree);
    let body = [sized(metadata), sized(event.to_vec())].concat();
    let mut chunk = b"FLR\0\0\x02\0\0".to_vec();
    let longs = [HEADER_BYTES as u64 + body.len() as u64, 0, HEADER_BYTES as u64, 0, 1, 0, 1_000];
    longs.iter().for_each(|value| chunk.extend_from_slice(&value.to_be_bytes()));
    chunk.extend_from_slice(&[0, 0, 0, 1]);
    [chunk, body].concat()
}

#[test]
fn structures_without_an_end_come_to_one() {
    let texts =
        ["root", "metadata", "class", "field", "id", "name", "7", "jdk.CPULoad", "dimension", "1", "jvmUser"];
    // A class 7 with two fields that are of class 7.
    let field = [3, 2, 5, 10, 2, 6, 0];
    let class = [&[2, 2, 4, 6, 5, 7, 2][..], &field, &field].concat();
    let tree = [&[0, 0, 1, 1, 0, 1][..], &class].concat();
    let result = events(&chunk(&texts, &tree, &[7, 0, 0, 0]));
    assert_eq!(result.unwrap_err(), Error::TooLarge("structures inside each other"));
    // A list of four thousand million structures that have no fields, in an event of a few bytes.
    let texts = [
        "root",
        "metadata",
        "class",
        "field",
        "id",
        "name",
        "7",
        "jdk.CPULoad",
        "dimension",
        "1",
        "jvmUser",
        "8",
    ];
    let list = [3, 3, 5, 10, 2, 11, 8, 9, 0];
    let classes = [&[2, 2, 4, 6, 5, 7, 1][..], &list, &[2, 1, 4, 11, 0]].concat();
    let tree = [&[0, 0, 1, 1, 0, 2][..], &classes].concat();
    let result = events(&chunk(&texts, &tree, &[7, 0xff, 0xff, 0xff, 0xff, 0x07]));
    assert_eq!(result.unwrap_err(), Error::TooLarge("values"));
}
