//! Python: sums of one profile. Types that a profile does not have are left out.

use super::{Metrics, ProfileFile, Span, Value, total, with_profile};

pub(super) fn metrics(files: &[ProfileFile<'_>], span: Span) -> Result<Metrics, String> {
    let file = files.iter().find(|file| is_profile(file)).ok_or("there is no pprof file")?;
    with_profile(file, |profile| {
        let mut metrics = Metrics::new();
        let mut add = |name, value: Option<Value>| metrics.extend(value.map(|value| (name, value)));
        let sum = |kind| total(profile, kind);
        let rate = |kind| sum(kind).and_then(|value| span.rate(value as f64));
        let int = |kind| sum(kind).map(Value::Int);
        add("prof_python_cpu_cores", sum("cpu-time").and_then(|ns| span.share(ns as f64)));
        add("prof_python_alloc_bytes_total", int("alloc-space"));
        add("prof_python_alloc_bytes_per_sec", rate("alloc-space"));
        add("prof_python_allocs_per_sec", rate("alloc-samples"));
        add("prof_python_lock_acquisitions_per_sec", rate("lock-acquire"));
        add("prof_python_lock_acquisition_time", int("lock-acquire-wait"));
        add("prof_python_lock_hold_time", int("lock-release-hold"));
        add("prof_python_exceptions_total", int("exception-samples"));
        add("prof_python_exceptions_per_sec", rate("exception-samples"));
        add("prof_python_wall_time", int("wall-time"));
        add("prof_python_lifetime_heap_bytes", int("heap-space"));
        metrics
    })
}

fn is_profile(file: &ProfileFile<'_>) -> bool {
    let named = matches!(file.part(), "auto" | "main" | "prof") || matches!(file.file_name, "auto" | "main");
    (named || file.has_extension("pprof")) && !file.body.is_empty()
}
