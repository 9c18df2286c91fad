//! Numbers out of profiles: the fields of the point `profiling_metrics`, by what a profile's sender is written in.
//!
//! What a field is called and how it is computed is DataKit's (`profiling.md` of its documentation names them); what is not
//! in a profile is left out. Where DataKit is at odds with itself it is this way here:
//!
//! - Python's profilers compress with zstd since ddtrace 3; that is read as well as gzip and LZ4.
//! - `prof_go_num_goroutine` counts samples of the type `goroutine` too, which is what Go itself calls it.
//! - `prof_go_cpu_cores_gc_overhead` is a number of cores, not nanoseconds over seconds.
//! - `prof_jvm_class_loads_per_sec` counts classes that were loaded; DataKit counts class loaders.
//! - What Datadog's profiler has not recorded of a JVM is taken from the JDK's own events.
//! - Where a profile has no length there are no rates, rather than infinite ones.

mod go;
mod java;
mod python;
#[cfg(test)]
mod tests;
mod unpack;

use crate::codec::pprof::Profile;

pub use unpack::{unpack, unpack_within};

/// A file of a form, as it came: perhaps compressed.
#[derive(Clone, Copy, Debug)]
pub struct ProfileFile<'a> {
    /// Of the part.
    pub name: &'a str,
    pub file_name: &'a str,
    pub body: &'a [u8],
}

impl ProfileFile<'_> {
    /// The name of the part; old clients wrap it as `data[cpu.pprof]`.
    fn part(&self) -> &str {
        let inside = self.name.strip_prefix("data[").and_then(|name| name.strip_suffix(']'));
        inside.unwrap_or(self.name)
    }

    fn has_extension(&self, extension: &str) -> bool {
        let ends = |name: &str| name.rsplit_once('.').is_some_and(|(_, last)| last == extension);
        ends(self.part()) || ends(self.file_name)
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Int(i64),
    Float(f64),
}

/// Fields by name, in the order of their documentation.
pub type Metrics = Vec<(&'static str, Value)>;

/// What can be said of a profile of so many nanoseconds. `language` is one of `python`, `golang` and `java`; of
/// others nothing is known. An error says what was wrong with the files, and is nobody's business but an operator's.
pub fn of(language: &str, files: &[ProfileFile<'_>], duration_ns: i64) -> Result<Metrics, String> {
    let span = Span { ns: duration_ns };
    match language {
        "python" => python::metrics(files, span),
        "golang" | "go" => go::metrics(files, span),
        "java" => java::metrics(files, span),
        _ => Ok(Metrics::new()),
    }
}

/// How long a profile was taken.
#[derive(Clone, Copy, Debug)]
struct Span {
    ns: i64,
}

impl Span {
    /// So much a second.
    fn rate(self, value: f64) -> Option<Value> {
        self.share(value * 1e9)
    }

    /// Nanoseconds out of all those that went by: how many cores were busy.
    fn share(self, ns: f64) -> Option<Value> {
        (self.ns > 0).then(|| Value::Float(ns / self.ns as f64))
    }
}

/// What the values of a type come to: times in nanoseconds, amounts in bytes.
fn total(profile: &Profile<'_>, kind: &str) -> Option<i64> {
    let value_type = profile.types.iter().find(|known| known.kind == kind.as_bytes())?;
    let factor = match value_type.unit {
        b"microseconds" => 1_000,
        b"milliseconds" => 1_000_000,
        b"seconds" => 1_000_000_000,
        b"kilobytes" => 1 << 10,
        b"megabytes" => 1 << 20,
        _ => 1,
    };
    profile.sum(kind).map(|sum| sum.saturating_mul(factor))
}

/// Reads a file as a profile, and gives `look` to see it.
fn with_profile<T>(file: &ProfileFile<'_>, look: impl FnOnce(&Profile<'_>) -> T) -> Result<T, String> {
    let named = |error: String| format!("{}: {error}", shown(file.name));
    let bytes = unpack(file.body).map_err(named)?;
    let profile = Profile::read(&bytes).map_err(|error| named(error.to_string()))?;
    Ok(look(&profile))
}

/// A name as an error may repeat it: a client chose it.
fn shown(name: &str) -> String {
    const SHOWN_CHARS: usize = 64;
    name.chars().take(SHOWN_CHARS).flat_map(char::escape_default).collect()
}
