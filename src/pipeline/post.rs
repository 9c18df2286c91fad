//! What happens to a point after its script: the status of a log is put into the words of the product, and the key
//! `time`
//! becomes its time. Not after a run that failed.

use bumpalo::Bump;

use super::{
    category::Category,
    record::{Kind, Record},
    value::Value,
};

/// What the configuration says about the status of logs.
#[derive(Clone, Debug, Default)]
pub struct StatusOptions {
    /// The status is left as it is.
    pub keep: bool,
    /// Logs of these are dropped. In lower case.
    pub ignored: Vec<String>,
}

const STATUS: &[u8] = b"status";
const TIME: &[u8] = b"time";
const DEFAULT_STATUS: &[u8] = b"info";

/// Finishes a point, and those it created.
pub fn finish<'r>(record: &mut Record<'r>, options: &StatusOptions, arena: &'r Bump) {
    if record.category == Category::Logging && record.status_mapping {
        map_status(record, options, arena);
    }
    take_time(record);
    for created in &mut record.created {
        take_time(created);
    }
}

fn map_status<'r>(record: &mut Record<'r>, options: &StatusOptions, arena: &'r Bump) {
    let mut status = match record.get(STATUS) {
        Some(Value::Str(status)) => status,
        _ => DEFAULT_STATUS,
    };
    if !options.keep {
        status = known_status(status).unwrap_or_else(|| {
            let lower = String::from_utf8_lossy(status).to_lowercase();
            known_status(lower.as_bytes()).unwrap_or_else(|| arena.alloc_slice_copy(lower.as_bytes()))
        });
        let kind = if record.is_tag(STATUS) { Kind::Tag } else { Kind::Field };
        record.put(STATUS, Value::Str(status), kind);
    }
    // Compared as it is written: `OK` matches no entry, which are in lower case.
    if options.ignored.iter().any(|ignored| ignored.as_bytes() == status) {
        record.dropped = true;
    }
}

fn known_status(lower: &[u8]) -> Option<&'static [u8]> {
    Some(match lower {
        b"f" | b"emerg" => b"emerg",
        b"a" | b"alert" => b"alert",
        b"c" | b"critical" => b"critical",
        b"e" | b"error" => b"error",
        b"w" | b"warn" | b"warning" => b"warning",
        b"n" | b"notice" => b"notice",
        b"" | b"i" | b"info" => b"info",
        b"d" | b"trace" | b"verbose" | b"debug" => b"debug",
        b"o" | b"s" | b"ok" => b"OK",
        _ => return None,
    })
}

fn take_time(record: &mut Record<'_>) {
    match record.get(TIME) {
        Some(Value::Int(time)) if time != 0 => record.time = time,
        Some(_) => {}
        None => return,
    }
    record.delete(TIME);
}
