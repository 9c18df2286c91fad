//! `kitgate pipeline run`: what a script makes of sample data.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;

use super::{Data, Desk, RunArguments, compiled, zone_of};
use crate::admin::tools::arguments::Format;
use crate::pipeline::category::Category;
use crate::pipeline::lib::time::Zone;
use crate::pipeline::post::StatusOptions;
use crate::pipeline::trial::{BadData, Shown, ShownError, Trial, Tried};
use crate::pipeline::vm::Host;

/// Sample data at most.
const DATA_BYTES_MAX: u64 = 256 << 20;

/// How long it is measured.
const BENCHMARK_NS: i64 = 500_000_000;

pub fn run(given: &RunArguments, format: Format, zone: &Zone, out: &mut dyn Write) -> Result<bool, String> {
    let folder = given.file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let name = given.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // So that a missing file and one of another ending are told apart from a script with an error.
    super::files::read(&given.file).map_err(|error| format!("{}: {error}", given.file.display()))?;
    let Some(stem) = name.strip_suffix(".p") else {
        return Err(format!("{}: the name of a script ends with .p", given.file.display()));
    };
    let set = compiled(folder);
    let at = match set.find(name) {
        Some(Ok(at)) => at,
        Some(Err(error)) => return Err(error.to_string()),
        None => return Err(format!("{}: cannot be read", given.file.display())),
    };
    let data = read(given.data.as_deref())?;
    let desk = Desk { now_ns: None, zone: zone_of(given.tz.as_deref(), zone)? };
    let trial = Trial {
        set: &set,
        at,
        category: given.category.0,
        name: stem,
        status: &StatusOptions::default(),
        host: &desk,
    };
    let default = if given.category.0 == Category::Logging { Data::Text } else { Data::Lines };
    let what = given.what.unwrap_or(default);
    let mut pieces = vec![&data[..]];
    if what == Data::Text {
        let text = data.strip_suffix(b"\n").unwrap_or(&data);
        pieces = if given.whole { vec![text] } else { text.split(|&byte| byte == b'\n').collect() };
        if text.is_empty() {
            pieces.clear();
        }
    }
    let mut is_good = true;
    let mut number = 0;
    let mut show = |tried: &Tried| -> Result<(), String> {
        number += 1;
        is_good &= tried.run_error.is_none();
        let text = match format {
            Format::Json => serde_json::to_string(tried).map_err(|error| error.to_string())? + "\n",
            Format::Text => text(number, tried),
        };
        out.write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))
    };
    for piece in &pieces {
        let tried = trial.run(what.format(), piece, desk.now_ns()).map_err(|BadData(text)| text)?;
        tried.iter().try_for_each(&mut show)?;
    }
    trial.finish(&[]).iter().try_for_each(&mut show)?;
    if given.benchmark
        && let Some(piece) = pieces.first()
    {
        let until_ns = desk.now_ns() + BENCHMARK_NS;
        let (runs, ns) = trial.repeat(what.format(), piece, until_ns).map_err(|BadData(text)| text)?;
        eprintln!("{runs} runs, {} ns each", ns / i64::try_from(runs.max(1)).unwrap_or(1));
    }
    Ok(is_good)
}

fn read(path: Option<&Path>) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    let shown = match path.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let read = file.take(DATA_BYTES_MAX + 1).read_to_end(&mut data);
            read.map_err(|error| format!("{}: {error}", path.display()))?;
            path.display().to_string()
        }
        None => {
            let read = std::io::stdin().lock().take(DATA_BYTES_MAX + 1).read_to_end(&mut data);
            read.map_err(|error| format!("standard input: {error}"))?;
            "standard input".to_owned()
        }
    };
    if data.len() as u64 > DATA_BYTES_MAX {
        return Err(format!("{shown}: larger than {DATA_BYTES_MAX} bytes"));
    }
    Ok(data)
}

/// A result for people.
fn text(number: usize, tried: &Tried) -> String {
    let mut text = String::new();
    let shown = tried.point.as_ref().or(tried.left.as_ref());
    if let Some(error) = &tried.run_error {
        let _ = writeln!(text, "{number}: failed: {}", said(error));
    }
    if let Some(point) = shown {
        let head = if tried.run_error.is_some() { "   left as" } else { &format!("{number}:") };
        put(&mut text, head, point);
    }
    for point in tried.create_point.iter().flatten() {
        let of = point.category.map_or("", Category::name);
        put(&mut text, &format!("   made {of}"), point);
    }
    text
}

/// An error, its place first.
pub fn said(error: &ShownError) -> String {
    let mut text = String::new();
    for (index, place) in error.pos_chain.iter().enumerate() {
        let message = if index == 0 { error.error.as_str() } else { "called here" };
        let separator = if index == 0 { "" } else { "\n   " };
        let _ = write!(text, "{separator}{}:{}:{}: {message}", place.file, place.ln, place.col);
    }
    text
}

fn put(text: &mut String, head: &str, point: &Shown) {
    let dropped = if point.dropped { ", dropped" } else { "" };
    let _ = writeln!(text, "{head} {} at {}.{:09}{dropped}", point.name, point.time, point.time_ns);
    for (key, value) in &point.tags {
        let _ = writeln!(text, "   tag   {key} = {value:?}");
    }
    for (key, value) in &point.fields {
        let _ = writeln!(text, "   field {key} = {value}");
    }
}
