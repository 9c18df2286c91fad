//! What a JVM says of itself: measurement `skywalking_jvm`, one point for each group of numbers, at the time of receipt.

use crate::intake::convert::{Builder, Conversion, Fault};
use crate::point::pb::{self, PbError, Wire};

use super::messages::POOLS;

const MEASUREMENT: &[u8] = b"skywalking_jvm";

/// Converts a collection; what its texts lie in is given to the tape as `body`.
pub fn convert(bytes: &[u8], body: &[u8], cx: &mut Conversion<'_>) -> Result<(), Fault> {
    let mut service: &[u8] = b"";
    for field in pb::fields(bytes) {
        if let (2, Wire::Len(text)) = field? {
            service = text;
        }
    }
    let mut write = |fields: &[(String, f64)]| {
        let mut point = Builder::new(cx.tape, body);
        point.tag(b"service", service);
        for (name, value) in fields {
            point.float_field(name.as_bytes(), *value);
        }
        point.finish(MEASUREMENT, 0);
    };
    for field in pb::fields(bytes) {
        let (1, Wire::Len(metric)) = field? else { continue };
        for group in pb::fields(metric) {
            let (number, Wire::Len(group)) = group? else { continue };
            let count = |number| number_of(group, number);
            match number {
                2 => write(&[("cpu_usage_percent".to_owned(), count(2)?)]),
                3 => {
                    let area = if count(1)? != 0.0 { "heap" } else { "stack" };
                    write(&memory(area, group)?);
                }
                4 => {
                    let kind = count(1)? as i64;
                    let name =
                        POOLS.iter().find(|(_, number)| *number == kind).map_or("unknown", |(name, _)| *name);
                    write(&memory(&format!("pool_{}", name.to_ascii_lowercase()), group)?);
                }
                5 => {
                    let phase = match count(1)? as i64 {
                        0 => "new",
                        1 => "old",
                        _ => "normal",
                    };
                    write(&[(format!("gc_{phase}_count"), count(2)?)]);
                }
                6 => write(&numbered(
                    group,
                    &[
                        "thread_live_count",
                        "thread_daemon_count",
                        "thread_peak_count",
                        "thread_runnable_state_count",
                        "thread_blocked_state_count",
                        "thread_waiting_state_count",
                        "thread_time_waiting_state_count",
                    ],
                )?),
                7 => write(&numbered(
                    group,
                    &["class_loaded_count", "class_total_unloaded_count", "class_total_loaded_count"],
                )?),
                _ => {}
            }
        }
    }
    Ok(())
}

fn memory(of: &str, group: &[u8]) -> Result<Vec<(String, f64)>, PbError> {
    let names = [("init", 2), ("max", 3), ("used", 4), ("committed", 5)];
    names.iter().map(|(name, number)| Ok((format!("{of}_{name}"), number_of(group, *number)?))).collect()
}

/// The fields 1, 2, 3 and on, under these names.
fn numbered(group: &[u8], names: &[&str]) -> Result<Vec<(String, f64)>, PbError> {
    (1..).zip(names).map(|(number, name)| Ok(((*name).to_owned(), number_of(group, number)?))).collect()
}

/// A number, whatever its width; 0 where there is none.
fn number_of(group: &[u8], wanted: u64) -> Result<f64, PbError> {
    let mut found = 0.0;
    for field in pb::fields(group) {
        match field? {
            (number, Wire::Varint(value)) if number == wanted => found = value as i64 as f64,
            (number, Wire::Fixed64(bits)) if number == wanted => found = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok(found)
}
