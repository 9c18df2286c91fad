//! Java: counted from one flight recording.
//!
//! Where Datadog's profiler has recorded, its events count, as in DataKit. Where it has not, those of the JDK do which say the
//! same: a recording without Datadog's agent gives cores, allocations, exceptions and the heap too.

use crate::codec::jfr::{self, Value as Read, Wanted};

use super::{Metrics, ProfileFile, Span, Value, shown, unpack};

/// What is looked at; the places below are places in here.
const EVENTS: [Wanted; 26] = [
    wanted("datadog.DatadogProfilerConfig", &["cpuInterval"]),
    wanted("datadog.ExecutionSample", &["weight"]),
    wanted("datadog.ObjectSample", &["size", "weight", "allocationSize"]),
    wanted("datadog.DirectAllocationTotal", &["allocated"]),
    wanted("datadog.ExceptionSample", &[]),
    wanted("datadog.HeapLiveObject", &[]),
    wanted("datadog.HeapUsage", &["size"]),
    wanted("datadog.DeadlockedThread", &[]),
    wanted("jdk.JVMInformation", &["jvmStartTime"]),
    wanted("jdk.CPUInformation", &["hwThreads"]),
    wanted("jdk.CPULoad", &["jvmUser", "jvmSystem"]),
    wanted("jdk.ObjectAllocationSample", &["weight"]),
    wanted("jdk.ObjectAllocationInNewTLAB", &["tlabSize"]),
    wanted("jdk.ObjectAllocationOutsideTLAB", &["allocationSize"]),
    wanted("jdk.ClassLoadingStatistics", &["loadedClassCount"]),
    wanted("jdk.Compilation", &["duration"]),
    wanted("jdk.ThreadContextSwitchRate", &["switchRate"]),
    wanted("jdk.ExceptionStatistics", &["throwables"]),
    wanted("jdk.JavaExceptionThrow", &[]),
    wanted("jdk.GarbageCollection", &["duration"]),
    wanted("jdk.GCPhasePause", &["duration"]),
    wanted("jdk.GCHeapSummary", &["startTime", "heapUsed"]),
    wanted("jdk.JavaMonitorEnter", &["duration"]),
    wanted("jdk.ThreadStart", &[]),
    wanted("jdk.ClassLoad", &[]),
    wanted("jdk.JavaErrorThrow", &[]),
];

/// The same four fields of four events.
const IO: [(Wanted, IoNames); 4] = [
    (
        wanted("jdk.FileRead", &["duration", "bytesRead"]),
        IoNames {
            max_bytes: "prof_jvm_file_io_max_read_bytes",
            bytes: "prof_jvm_file_io_read_bytes",
            max_time: "prof_jvm_file_io_max_read_time",
            time: "prof_jvm_file_io_read_time",
        },
    ),
    (
        wanted("jdk.FileWrite", &["duration", "bytesWritten"]),
        IoNames {
            max_bytes: "prof_jvm_file_io_max_write_bytes",
            bytes: "prof_jvm_file_io_write_bytes",
            max_time: "prof_jvm_file_io_max_write_time",
            time: "prof_jvm_file_io_write_time",
        },
    ),
    (
        wanted("jdk.SocketRead", &["duration", "bytesRead"]),
        IoNames {
            max_bytes: "prof_jvm_socket_io_max_read_bytes",
            bytes: "prof_jvm_socket_io_read_bytes",
            max_time: "prof_jvm_socket_io_max_read_time",
            time: "prof_jvm_socket_io_read_time",
        },
    ),
    (
        wanted("jdk.SocketWrite", &["duration", "bytesWritten"]),
        IoNames {
            max_bytes: "prof_jvm_socket_io_max_write_bytes",
            bytes: "prof_jvm_socket_io_write_bytes",
            max_time: "prof_jvm_socket_io_max_write_time",
            time: "prof_jvm_socket_io_write_time",
        },
    ),
];

const FILE_READ: usize = 0;
const FILE_WRITE: usize = 1;
const SOCKET_READ: usize = 2;
const SOCKET_WRITE: usize = 3;

struct IoNames {
    max_bytes: &'static str,
    bytes: &'static str,
    max_time: &'static str,
    time: &'static str,
}

const fn wanted(event: &'static str, fields: &'static [&'static str]) -> Wanted {
    Wanted { event, fields }
}

/// Between two samples of a thread on a core, where the recording does not say: Datadog's default.
const CPU_INTERVAL_NS: i64 = 10_000_000;

pub(super) fn metrics(files: &[ProfileFile<'_>], span: Span) -> Result<Metrics, String> {
    let file = files.iter().find(|file| is_recording(file)).ok_or("there is no jfr file")?;
    let named = |error: String| format!("{}: {error}", shown(file.name));
    let bytes = unpack(file.body).map_err(named)?;
    let mut seen = Seen::default();
    let wanted: Vec<Wanted> = EVENTS.into_iter().chain(IO.map(|(wanted, _)| wanted)).collect();
    let recording = jfr::read(&bytes, &wanted, &mut |index, values| match index.checked_sub(EVENTS.len()) {
        Some(io) => seen.io[io].add(values),
        None => seen.event(EVENTS[index].event, values),
    });
    let recording = recording.map_err(|error| named(error.to_string()))?;
    Ok(seen.metrics(recording.end_nanos, span))
}

fn is_recording(file: &ProfileFile<'_>) -> bool {
    let named = matches!(file.part(), "main" | "main.jfr" | "auto" | "auto.jfr");
    (named || file.has_extension("jfr")) && !file.body.is_empty()
}

/// Amounts of something: how many times, how much in all, how much at most.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    count: i64,
    sum: i64,
    max: i64,
}

impl Amount {
    fn add(&mut self, value: Read) {
        if let Some(value) = value.int() {
            self.count += 1;
            self.sum = self.sum.saturating_add(value);
            self.max = self.max.max(value);
        }
    }
}

/// A number that only ever grows: what it has grown by.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    ends: Option<(i64, i64)>,
}

impl Counter {
    fn add(&mut self, value: Read) {
        if let Some(value) = value.int() {
            let (low, high) = self.ends.unwrap_or((value, value));
            self.ends = Some((low.min(value), high.max(value)));
        }
    }

    fn grown(&self) -> i64 {
        self.ends.map_or(0, |(low, high)| high.saturating_sub(low))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Io {
    time: Amount,
    bytes: Amount,
}

impl Io {
    fn add(&mut self, values: &[Read]) {
        if let [time, bytes] = values {
            self.time.add(*time);
            self.bytes.add(*bytes);
        }
    }
}

/// What a recording came to so far.
#[derive(Debug, Default)]
struct Seen {
    cpu_interval_ns: Option<i64>,
    cpu_samples: Amount,
    cpu_load: (f64, usize),
    cores: Option<i64>,
    jvm_start_ns: Option<i64>,
    /// Bytes and objects of Datadog's samples.
    allocated: Option<(f64, f64)>,
    /// Bytes: of samples, and of buffers and large objects.
    allocated_jdk: (Amount, Amount),
    allocated_direct: Amount,
    loaded: Counter,
    loads: i64,
    compilation: Amount,
    switches: (f64, usize),
    exception_samples: i64,
    throwables: Counter,
    throws: i64,
    collections: Amount,
    pauses: Amount,
    /// The latest, and when that was.
    heap_after: Option<(i64, i64)>,
    heap_usage: Option<i64>,
    live_objects: i64,
    locks: Amount,
    threads: i64,
    deadlocked: i64,
    io: [Io; IO.len()],
}

impl Seen {
    fn event(&mut self, event: &str, values: &[Read]) {
        let value = |at: usize| values.get(at).copied().unwrap_or_default();
        let positive = |at: usize| value(at).int().filter(|value| *value > 0);
        match event {
            "datadog.DatadogProfilerConfig" => {
                self.cpu_interval_ns = self.cpu_interval_ns.or_else(|| positive(0))
            }
            "datadog.ExecutionSample" => self.cpu_samples.add(value(0)),
            "datadog.ObjectSample" => {
                // Its newer versions have another name for it.
                let size = value(0).float().or_else(|| value(2).float());
                if let (Some(size), Some(weight)) = (size, value(1).float()) {
                    let (bytes, objects) = self.allocated.unwrap_or_default();
                    self.allocated = Some((bytes + size * weight, objects + weight));
                }
            }
            "datadog.DirectAllocationTotal" => self.allocated_direct.add(value(0)),
            "datadog.ExceptionSample" => self.exception_samples += 1,
            "datadog.HeapLiveObject" => self.live_objects += 1,
            "datadog.HeapUsage" => self.heap_usage = self.heap_usage.or_else(|| value(0).int()),
            "datadog.DeadlockedThread" => self.deadlocked += 1,
            "jdk.JVMInformation" => self.jvm_start_ns = self.jvm_start_ns.or_else(|| positive(0)),
            "jdk.CPUInformation" => self.cores = self.cores.or_else(|| positive(0)),
            "jdk.CPULoad" => {
                if let (Some(user), Some(system)) = (value(0).float(), value(1).float()) {
                    self.cpu_load = (self.cpu_load.0 + user + system, self.cpu_load.1 + 1);
                }
            }
            "jdk.ObjectAllocationSample" => self.allocated_jdk.0.add(value(0)),
            "jdk.ObjectAllocationInNewTLAB" | "jdk.ObjectAllocationOutsideTLAB" => {
                self.allocated_jdk.1.add(value(0));
            }
            "jdk.ClassLoadingStatistics" => self.loaded.add(value(0)),
            "jdk.ClassLoad" => self.loads += 1,
            "jdk.Compilation" => self.compilation.add(value(0)),
            "jdk.ThreadContextSwitchRate" => {
                if let Some(rate) = value(0).float() {
                    self.switches = (self.switches.0 + rate, self.switches.1 + 1);
                }
            }
            "jdk.ExceptionStatistics" => self.throwables.add(value(0)),
            "jdk.JavaExceptionThrow" | "jdk.JavaErrorThrow" => self.throws += 1,
            "jdk.GarbageCollection" => self.collections.add(value(0)),
            "jdk.GCPhasePause" => self.pauses.add(value(0)),
            "jdk.GCHeapSummary" => {
                // One before a collection and one after it: the last of all is after one.
                if let (Some(at), Some(used)) = (value(0).int(), value(1).int())
                    && self.heap_after.is_none_or(|(latest, _)| latest <= at)
                {
                    self.heap_after = Some((at, used));
                }
            }
            "jdk.JavaMonitorEnter" => self.locks.add(value(0)),
            "jdk.ThreadStart" => self.threads += 1,
            _ => {}
        }
    }

    fn cpu_cores(&self, span: Span) -> Option<Value> {
        if self.cpu_samples.count > 0 || self.cpu_interval_ns.is_some() {
            let interval_ns = self.cpu_interval_ns.unwrap_or(CPU_INTERVAL_NS);
            return span.share(self.cpu_samples.sum as f64 * interval_ns as f64);
        }
        // The JDK gives parts of the whole machine.
        let (sum, count) = self.cpu_load;
        let cores = self.cores.filter(|_| count > 0)?;
        Some(Value::Float(sum / count as f64 * cores as f64))
    }

    /// Bytes, and objects where these are known: the JDK's samples say how much was allocated, not how often.
    fn allocations(&self) -> (f64, Option<f64>) {
        let (samples, buffers) = self.allocated_jdk;
        match self.allocated {
            Some((bytes, objects)) => (bytes, Some(objects)),
            None if buffers.count > 0 => (buffers.sum as f64, None),
            None => (samples.sum as f64, (samples.count == 0).then_some(0.0)),
        }
    }

    fn metrics(&self, end_ns: i64, span: Span) -> Metrics {
        let mut metrics = Metrics::new();
        let mut add = |name, value: Option<Value>| metrics.extend(value.map(|value| (name, value)));
        let rate = |count: i64| span.rate(count as f64);
        let mean =
            |(sum, count): (f64, usize)| Value::Float(if count > 0 { sum / count as f64 } else { 0.0 });
        let int = |value: i64| Some(Value::Int(value));
        add("prof_jvm_cpu_cores", self.cpu_cores(span));
        let uptime =
            self.jvm_start_ns.filter(|start| *start < end_ns).map(|start| Value::Int(end_ns - start));
        add("prof_jvm_uptime_nanoseconds", uptime);
        let (bytes, objects) = self.allocations();
        add("prof_jvm_alloc_bytes_total", Some(Value::Float(bytes)));
        add("prof_jvm_alloc_bytes_per_sec", span.rate(bytes));
        add("prof_jvm_allocs_per_sec", objects.and_then(|objects| span.rate(objects)));
        add("prof_jvm_direct_alloc_bytes_per_sec", rate(self.allocated_direct.sum));
        add("prof_jvm_class_loads_per_sec", rate(self.loads.max(self.loaded.grown())));
        add("prof_jvm_compilation_time", int(self.compilation.sum));
        add("prof_jvm_context_switches_per_sec", Some(mean(self.switches)));
        let throws = match self.exception_samples {
            0 => self.throws.max(self.throwables.grown()),
            samples => samples,
        };
        add("prof_jvm_throws_total", int(throws));
        add("prof_jvm_throws_per_sec", rate(throws));
        for at in [FILE_READ, FILE_WRITE] {
            self.io(at).into_iter().for_each(|(name, value)| add(name, int(value)));
        }
        let file_time = self.io[FILE_READ].time.sum.saturating_add(self.io[FILE_WRITE].time.sum);
        add("prof_jvm_file_io_time", int(file_time));
        let collections = (self.collections.sum as f64, self.collections.count as usize);
        add("prof_jvm_avg_gc_pause_time", Some(mean(collections)));
        add("prof_jvm_max_gc_pause_time", int(self.pauses.max));
        add("prof_jvm_gc_pause_time", int(self.pauses.sum));
        add("prof_jvm_gc_pauses_per_sec", rate(self.pauses.count));
        let heap = self.heap_usage.or_else(|| self.heap_after.map(|(_, used)| used));
        add("prof_jvm_lifetime_heap_bytes", heap.map(Value::Int));
        add("prof_jvm_lifetime_heap_objects", int(self.live_objects));
        add("prof_jvm_locks_max_wait_time", Some(Value::Float(self.locks.max as f64)));
        add("prof_jvm_locks_per_sec", rate(self.locks.count));
        add("prof_jvm_threads_created_per_sec", rate(self.threads));
        add("prof_jvm_threads_deadlocked", int(self.deadlocked));
        for at in [SOCKET_READ, SOCKET_WRITE] {
            self.io(at).into_iter().for_each(|(name, value)| add(name, int(value)));
        }
        metrics
    }

    fn io(&self, at: usize) -> [(&'static str, i64); 4] {
        let (io, names) = (&self.io[at], &IO[at].1);
        [
            (names.max_bytes, io.bytes.max),
            (names.bytes, io.bytes.sum),
            (names.max_time, io.time.max),
            (names.time, io.time.sum),
        ]
    }
}
