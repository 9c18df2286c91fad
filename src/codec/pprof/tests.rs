//! Profiles as real programs wrote them, ones that are made up, and what is left of them when they are damaged.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::codec::protobuf::{LEN, VARINT, put_bytes, put_message, put_uint, put_varint, tag};

/// What a Go program answered when it was asked for its profiles.
pub(crate) fn recorded(path: &str) -> Vec<Vec<u8>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/captured/go-pprof-1.24.jsonl.zst");
    let mut text = String::new();
    let file = std::fs::File::open(file).unwrap();
    ::zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap();
    let cases = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let wanted = cases.filter(|case| case["path"] == path);
    let bodies = wanted.map(|case| STANDARD.decode(case["response"]["body_b64"].as_str().unwrap()).unwrap());
    let unpacked = bodies.map(|body| {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut out).unwrap();
        out
    });
    unpacked.collect()
}

const HEAP: [(&str, &str); 2] = [("alloc_objects", "count"), ("alloc_space", "bytes")];

#[test]
fn recorded_profiles_say_what_is_in_them() {
    let heap = &recorded("/debug/pprof/heap")[0];
    let profile = Profile::read(heap).unwrap();
    let types: Vec<_> = profile.types.iter().map(|it| std::str::from_utf8(it.kind).unwrap()).collect();
    assert_eq!(types, ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]);
    assert!(profile.samples > 0 && profile.sum("alloc_space").unwrap() > 1 << 20);
    assert!(profile.time_nanos > 1_700_000_000_000_000_000);
    assert_eq!(profile.sum("cpu"), None);

    let goroutines = &recorded("/debug/pprof/goroutine")[0];
    let profile = Profile::read(goroutines).unwrap();
    assert_eq!(profile.types, [ValueType { kind: b"goroutine", unit: b"count" }]);
    assert!(profile.sum("goroutine").unwrap() > 1);

    let cpu = &recorded("/debug/pprof/profile?seconds=10")[0];
    let profile = Profile::read(cpu).unwrap();
    assert!(profile.sum("cpu").unwrap() > 0 && profile.duration_nanos > 9_000_000_000);
}

/// The same profile ten seconds later, when the first stack has done again what it did: fields of protobuf add up.
pub(crate) fn later(profile: &[u8]) -> Vec<u8> {
    let mut later = profile.to_vec();
    let samples = fields(profile).filter_map(|field| match field.unwrap() {
        (number::SAMPLE, Wire::Len(bytes)) => Some(bytes),
        _ => None,
    });
    let busy = samples.max_by_key(|sample| {
        let mut values = Vec::new();
        sample_values(sample, &mut values).unwrap();
        values[0]
    });
    put_bytes(&mut later, tag(2, LEN), busy.unwrap());
    let time = Profile::read(profile).unwrap().time_nanos + 10_000_000_000;
    put_uint(&mut later, tag(9, VARINT), time as u64);
    later
}

#[test]
fn a_delta_is_the_difference_of_what_adds_up_and_the_present_of_the_rest() {
    let heap = recorded("/debug/pprof/heap").swap_remove(0);
    let heaps = [heap.clone(), later(&heap)];
    let (first, second) = (Profile::read(&heaps[0]).unwrap(), Profile::read(&heaps[1]).unwrap());
    let delta = delta(&heaps[0], &heaps[1], &HEAP).unwrap();
    let read = Profile::read(&delta.profile).unwrap();
    assert_eq!(read.types, second.types);
    for kind in ["alloc_objects", "alloc_space"] {
        assert_eq!(read.sum(kind).unwrap(), second.sum(kind).unwrap() - first.sum(kind).unwrap());
    }
    for kind in ["inuse_objects", "inuse_space"] {
        assert_eq!(read.sum(kind), second.sum(kind));
    }
    assert_eq!((delta.start_nanos, delta.end_nanos), (first.time_nanos, second.time_nanos));
    assert_eq!(read.time_nanos, second.time_nanos);
    assert_eq!(read.duration_nanos, second.time_nanos - first.time_nanos);
    assert!(!delta.restarted && delta.samples == read.samples && read.samples > 0);
    assert!(read.sum("alloc_objects").unwrap() > 0 && read.samples < second.samples);
    // What was written reads as a profile whose every reference is good.
    let again = super::delta(&heaps[0], &delta.profile, &HEAP).unwrap();
    assert!(again.restarted, "less than at first");
    let texts = String::from_utf8_lossy(&delta.profile);
    assert!(texts.contains("main") && texts.contains("bytes"));
}

#[test]
fn a_profile_less_itself_is_empty() {
    for path in ["/debug/pprof/heap", "/debug/pprof/block", "/debug/pprof/mutex"] {
        let bytes = &recorded(path)[0];
        let profile = Profile::read(bytes).unwrap();
        let all: Vec<(&str, &str)> = profile
            .types
            .iter()
            .map(|it| (std::str::from_utf8(it.kind).unwrap(), std::str::from_utf8(it.unit).unwrap()))
            .collect();
        let nothing = delta(bytes, bytes, &all).unwrap();
        assert_eq!((nothing.samples, nothing.restarted), (0, false));
        assert_eq!(Profile::read(&nothing.profile).unwrap().types, profile.types);
    }
}

#[test]
fn profiles_of_different_things_are_not_compared() {
    let (heap, block) = (&recorded("/debug/pprof/heap")[0], &recorded("/debug/pprof/block")[0]);
    let different = Error::Invalid("two profiles of different things");
    assert_eq!(delta(heap, block, &HEAP).unwrap_err(), different);
    let missing = delta(heap, heap, &[("contentions", "count")]).unwrap_err();
    assert_eq!(missing, Error::Invalid("a sample type is missing"));
    assert_eq!(missing.to_string(), "no valid profile: a sample type is missing");
}

/// A stack, and what was counted there: function names from the leaf on, a label, and the values.
type Row = (Vec<u8>, Option<u8>, [i64; 2]);

/// A profile that is made up. `shift` moves every number that is only a profile's own.
fn made_up(rows: &[Row], shift: u64, packed: bool) -> Vec<u8> {
    let mut texts: Vec<String> = vec![String::new()];
    let mut place = |text: &str| match texts.iter().position(|known| known == text) {
        Some(at) => at as u64,
        None => {
            texts.push(text.to_owned());
            texts.len() as u64 - 1
        }
    };
    (0..shift).for_each(|n| {
        place(&format!("unused {n}"));
    });
    let mut out = Vec::new();
    for (kind, unit) in [("total", "count"), ("present", "bytes")] {
        let (kind, unit) = (place(kind), place(unit));
        put_message(&mut out, tag(1, LEN), |out| {
            put_uint(out, tag(1, VARINT), kind);
            put_uint(out, tag(2, VARINT), unit);
        });
    }
    for (stack, label, values) in rows {
        let (key, num) = (place("color"), label.map(|label| place(&format!("label {label}"))));
        put_message(&mut out, tag(2, LEN), |out| {
            let ids: Vec<u64> = stack.iter().map(|name| u64::from(*name) + 1 + shift).collect();
            let values: Vec<u64> = values.iter().map(|value| *value as u64).collect();
            for (number, list) in [(1, ids), (2, values)] {
                if packed {
                    put_message(out, tag(number, LEN), |out| {
                        list.iter().for_each(|value| put_varint(out, *value));
                    });
                } else {
                    list.iter().for_each(|value| put_uint(out, tag(number, VARINT), *value));
                }
            }
            if let Some(num) = num {
                put_message(out, tag(3, LEN), |out| {
                    put_uint(out, tag(1, VARINT), key);
                    put_uint(out, tag(2, VARINT), num);
                });
            }
        });
    }
    let names = rows.iter().flat_map(|row| &row.0).max().copied().unwrap_or(0);
    for name in 0..=names {
        let (id, function) = (u64::from(name) + 1 + shift, place(&format!("function {name}")));
        put_message(&mut out, tag(4, LEN), |out| {
            put_uint(out, tag(1, VARINT), id);
            put_uint(out, tag(3, VARINT), 0x40_0000 + u64::from(name));
            put_message(out, tag(4, LEN), |out| put_uint(out, tag(1, VARINT), id));
        });
        put_message(&mut out, tag(5, LEN), |out| {
            put_uint(out, tag(1, VARINT), id);
            put_uint(out, tag(2, VARINT), function);
        });
    }
    texts.iter().for_each(|text| put_bytes(&mut out, tag(6, LEN), text.as_bytes()));
    out
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let stack = proptest::collection::vec(0u8..6, 0..4);
    let row = (stack, proptest::option::of(0u8..3), [0i64..1_000, 0i64..1_000]);
    proptest::collection::vec(row, 0..20)
}

/// What is left of rows when the totals of others are taken off: by stack and label, zeros left out.
fn expected(before: &[Row], now: &[Row]) -> std::collections::BTreeMap<(Vec<u8>, Option<u8>), [i64; 2]> {
    let mut sums = std::collections::BTreeMap::new();
    for (rows, ratios) in [(now, [1, 1]), (before, [-1, 0])] {
        for (stack, label, values) in rows {
            let sum: &mut [i64; 2] = sums.entry((stack.clone(), *label)).or_default();
            (0..2).for_each(|at| sum[at] += ratios[at] * values[at]);
        }
    }
    sums.retain(|_, values| *values != [0, 0]);
    sums
}

proptest! {
    #[test]
    fn deltas_are_what_subtracting_by_hand_gives(before in rows(), now in rows(), shift in 0u64..9, packed: bool) {
        let (a, b) = (made_up(&before, shift, packed), made_up(&now, 0, !packed));
        let found = delta(&a, &b, &[("total", "count")]).unwrap();
        let expected = expected(&before, &now);
        prop_assert_eq!(found.samples, expected.len());
        let read = Profile::read(&found.profile).unwrap();
        prop_assert_eq!(read.sum("total").unwrap(), expected.values().map(|it| it[0]).sum::<i64>());
        prop_assert_eq!(read.sum("present").unwrap(), expected.values().map(|it| it[1]).sum::<i64>());
        // Taken off what was there, what was added leaves what is there: every stack is found again.
        let back = delta(&found.profile, &b, &[("total", "count"), ("present", "bytes")]).unwrap();
        let before_now: Vec<Row> = expected.into_iter().map(|((s, l), v)| (s, l, v)).collect();
        let same = delta(&made_up(&before_now, shift, packed), &b, &[("total", "count"), ("present", "bytes")]);
        prop_assert_eq!(back.samples, same.unwrap().samples);
    }

    #[test]
    fn a_made_up_profile_less_itself_is_empty(rows in rows(), shift in 0u64..9) {
        let (a, b) = (made_up(&rows, shift, true), made_up(&rows, 0, false));
        let nothing = delta(&a, &b, &[("total", "count"), ("present", "bytes")]).unwrap();
        prop_assert_eq!(nothing.samples, 0);
    }

    #[test]
    fn garbage_is_an_error_or_a_profile(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Profile::read(&bytes).map(|profile| profile.labels(&[]));
        let _ = delta(&bytes, &bytes, &[]);
    }
}

#[test]
fn labels_are_distinct_and_bounded() {
    let rows: Vec<Row> = (0..=u8::MAX).map(|n| (vec![n], Some(n % 3), [1, 1])).collect();
    let profile = made_up(&rows, 0, true);
    let read = Profile::read(&profile).unwrap();
    let labels = read.labels(&[]).unwrap();
    let expected: Vec<(String, String)> =
        (0..3).map(|n| ("color".to_owned(), format!("label {n}"))).collect();
    assert_eq!(labels, expected);
    assert!(read.labels(&["color", "span_id"]).unwrap().is_empty());
}

#[test]
fn what_contradicts_itself_is_refused() {
    let good = made_up(&[(vec![1], None, [1, 2])], 0, true);
    let read = |more: &[u8]| Profile::read(&[&good[..], more].concat()).map(drop).unwrap_err();
    // A sample with one value.
    assert_eq!(read(b"\x12\x03\x12\x01\x05"), OTHER_COUNT);
    // A type whose name is not there.
    assert_eq!(read(b"\x0a\x03\x08\xff\x7f"), OTHER_COUNT);
    assert_eq!(Profile::read(b"\x0a\x02\x08\x07").unwrap_err(), Error::Invalid("a text that is not there"));
    assert!(matches!(Profile::read(b"\x32\x01x"), Err(Error::Invalid(_))));
    // A location and a function twice, and a sample without its location.
    let of = |more: &[u8]| {
        let bytes = [&good[..], more].concat();
        delta(&good, &bytes, &[]).map(|it| it.samples).unwrap_err()
    };
    assert_eq!(of(b"\x22\x02\x08\x02"), Error::Invalid("two things with one id"));
    assert_eq!(of(b"\x2a\x02\x08\x02"), Error::Invalid("two things with one id"));
    assert_eq!(of(b"\x12\x08\x0a\x02\xff\x7f\x12\x02\x01\x01"), DANGLING_REFERENCE);
    let mut many = Vec::new();
    (0..=TYPES_MAX).for_each(|_| many.extend_from_slice(b"\x0a\x00"));
    assert_eq!(read(&many), Error::TooLarge("sample types"));
}

const DANGLING_REFERENCE: Error = Error::Invalid("a reference to something that is not there");

#[test]
fn mutilated_profiles_are_errors_or_profiles() {
    let whole = made_up(&[(vec![1, 2], Some(1), [5, 6]), (vec![3], None, [7, 8])], 2, true);
    let now = recorded("/debug/pprof/heap").swap_remove(0);
    let look = |bytes: &[u8]| {
        let _ = Profile::read(bytes).map(|profile| profile.labels(&["thread_id"]));
        let _ = delta(bytes, &whole, &[("total", "count")]);
        let _ = delta(&whole, bytes, &[]);
    };
    for cut in 0..whole.len() {
        look(&whole[..cut]);
        for flip in [0x01, 0x80, 0xff, 0x08] {
            let mut changed = whole.clone();
            changed[cut] ^= flip;
            look(&changed);
        }
    }
    for cut in (0..now.len()).step_by(41) {
        let _ = delta(&now, &now[..cut], &HEAP);
        let mut changed = now.clone();
        changed[cut] = !changed[cut];
        let _ = delta(&changed, &now, &HEAP);
    }
}
