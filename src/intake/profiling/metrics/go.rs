//! Go: what the profiler has computed itself (`metrics.json`), and out of its profiles what is not among that.

use super::{Metrics, ProfileFile, Span, Value, shown, total, unpack, with_profile};

/// The fields, in the order of their documentation. In `metrics.json` they have the same names without `prof_`.
const NAMES: [&str; 15] = [
    "prof_go_cpu_cores",
    "prof_go_cpu_cores_gc_overhead",
    "prof_go_alloc_bytes_per_sec",
    "prof_go_alloc_bytes_total",
    "prof_go_frees_per_sec",
    "prof_go_heap_growth_bytes_per_sec",
    "prof_go_allocs_per_sec",
    "prof_go_blocked_time",
    "prof_go_mutex_delay_time",
    "prof_go_gcs_per_sec",
    "prof_go_max_gc_pause_time",
    "prof_go_gc_pause_time",
    "prof_go_num_goroutine",
    "prof_go_lifetime_heap_bytes",
    "prof_go_lifetime_heap_objects",
];
const PREFIX: &str = "prof_";

const CPU_CORES: usize = 0;
const GC_OVERHEAD: usize = 1;
const ALLOC_PER_SEC: usize = 2;
const ALLOC_TOTAL: usize = 3;
const BLOCKED_TIME: usize = 7;
const MUTEX_DELAY: usize = 8;
const GC_PAUSE_TIME: usize = 11;
const GOROUTINES: usize = 12;
const HEAP_BYTES: usize = 13;
const HEAP_OBJECTS: usize = 14;

/// The text of `metrics.json` is a few hundred bytes; beyond this it is something else.
const JSON_BYTES_MAX: usize = 1 << 20;

type Fields = [Option<Value>; NAMES.len()];

pub(super) fn metrics(files: &[ProfileFile<'_>], span: Span) -> Result<Metrics, String> {
    let mut fields = Fields::default();
    // What is wrong with one file says nothing against the others.
    let mut wrong = None;
    let mut note = |result: Result<(), String>| {
        if let Err(error) = result {
            wrong.get_or_insert(error);
        }
    };
    if let Some(file) = files.iter().find(|file| is_computed(file)) {
        note(computed(file, &mut fields));
        derive(&mut fields, span);
    }
    for (word, missing) in FILES {
        let wanted = missing.iter().any(|&at| fields[at].is_none());
        if let Some(file) = files.iter().find(|file| belongs(file) == Some(word)).filter(|_| wanted) {
            note(counted(file, word, span, &mut fields));
        }
    }
    let found: Metrics =
        NAMES.into_iter().zip(fields).filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    match wrong {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

fn is_computed(file: &ProfileFile<'_>) -> bool {
    matches!(file.part(), "metrics.json" | "metrics") || file.file_name == "metrics.json"
}

/// Profiles, by a word in the name of their part, and what comes out of them.
const FILES: [(&str, &[usize]); 5] = [
    ("cpu", &[CPU_CORES]),
    ("block", &[BLOCKED_TIME]),
    ("heap", &[HEAP_BYTES, HEAP_OBJECTS]),
    ("mutex", &[MUTEX_DELAY]),
    ("goroutines", &[GOROUTINES]),
];

/// The first word that is in the name.
fn belongs(file: &ProfileFile<'_>) -> Option<&'static str> {
    FILES.iter().map(|(word, _)| *word).find(|word| file.part().contains(word))
}

/// Pairs of a name and a number. Names nobody knows are of a newer profiler.
fn computed(file: &ProfileFile<'_>, fields: &mut Fields) -> Result<(), String> {
    let wrong = |error: String| format!("{}: {error}", shown(file.name));
    let text = unpack(file.body).map_err(wrong)?;
    if text.len() > JSON_BYTES_MAX {
        return Err(wrong(format!("more than {JSON_BYTES_MAX} bytes")));
    }
    let pairs: Vec<(String, serde_json::Number)> =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    for (name, number) in pairs {
        let known = NAMES.iter().position(|known| known.strip_prefix(PREFIX) == Some(name.as_str()));
        if let Some(at) = known {
            let value = number.as_i64().map(Value::Int).or_else(|| number.as_f64().map(Value::Float));
            fields[at] = value.or(fields[at]);
        }
    }
    Ok(())
}

/// What follows from what was computed.
fn derive(fields: &mut Fields, span: Span) {
    let number = |value: Option<Value>| match value {
        Some(Value::Int(value)) => Some(value as f64),
        Some(Value::Float(value)) => Some(value),
        None => None,
    };
    let alloc = number(fields[ALLOC_PER_SEC]).filter(|value| *value > 0.0);
    if fields[ALLOC_TOTAL].is_none() && span.ns > 0 {
        fields[ALLOC_TOTAL] = alloc.map(|per_sec| Value::Float(per_sec * span.ns as f64 / 1e9));
    }
    let pause = number(fields[GC_PAUSE_TIME]).filter(|value| *value > 0.0);
    if fields[GC_OVERHEAD].is_none() {
        // Datadog's profiler gives the part of the time that was spent in pauses; that is a number of cores as it is.
        // Above one it cannot be a part, and is the nanoseconds that the name promises.
        fields[GC_OVERHEAD] =
            pause.and_then(|pause| if pause <= 1.0 { Some(Value::Float(pause)) } else { span.share(pause) });
    }
}

fn counted(file: &ProfileFile<'_>, word: &str, span: Span, fields: &mut Fields) -> Result<(), String> {
    with_profile(file, |profile| {
        let mut fill = |at: usize, value: Option<Value>| fields[at] = fields[at].or(value);
        let int = |kind| total(profile, kind).map(Value::Int);
        match word {
            "cpu" => fill(CPU_CORES, total(profile, "cpu").and_then(|ns| span.share(ns as f64))),
            "block" => fill(BLOCKED_TIME, int("delay")),
            "mutex" => fill(MUTEX_DELAY, int("delay")),
            "heap" => {
                fill(HEAP_BYTES, int("inuse_space"));
                fill(HEAP_OBJECTS, int("inuse_objects"));
            }
            _ => fill(GOROUTINES, int("goroutine").or_else(|| int("goroutines"))),
        }
    })
}
