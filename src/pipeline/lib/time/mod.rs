//! Time in scripts: texts to nanoseconds and back.
//!
//! - [`default_time`] reads a date whatever its shape ([`guess`] has the shapes), [`Layout`] reads and writes one by Go's reference
//!   date, [`Format`] is what `datetime` takes, [`duration`] reads Go's lengths of time.
//! - [`Zone`] is a time zone, from a database that is part of the program.
//! - [`parse_date`] puts a date together from its parts, [`adjust_timezone`] moves one by hours to about now.
//!
//! Nanoseconds wrap where they run over, as they do in Go.

mod civil;
pub mod duration;
mod guess;
mod layout;
mod parts;
mod strftime;
mod usual;
mod zone;

#[cfg(test)]
mod tests;

pub use guess::default_time;
pub use layout::Layout;
pub use parts::{DateError, DateParts, Part, parse_date};
pub use zone::Zone;

/// Nanoseconds since 1970, or between two moments.
pub type Nanos = i64;

const MINUTE: Nanos = 60 * civil::SECOND;
const HOUR: Nanos = 60 * MINUTE;

/// The format argument of `datetime`, looked at once.
#[derive(Clone, Debug)]
pub enum Format {
    /// A name Go has for a layout.
    Named(Layout),
    /// Anything else.
    Percent(Box<str>),
}

impl Format {
    pub fn compile(text: &str) -> Format {
        Layout::named(text).map_or_else(|| Format::Percent(text.into()), Format::Named)
    }
}

/// The text of a number of seconds, milliseconds or microseconds (`s`, `ms`, `us`), or nanoseconds for any other precision.
pub fn datetime(stamp: i64, precision: &str, format: &Format, zone: &Zone) -> String {
    let per_second = match precision {
        "s" => 1,
        "ms" => 1_000,
        "us" => 1_000_000,
        _ => civil::SECOND,
    };
    let seconds = stamp.div_euclid(per_second);
    let nanos = stamp.rem_euclid(per_second) * (civil::SECOND / per_second);
    match format {
        Format::Named(layout) => layout.format(seconds, nanos, zone),
        Format::Percent(pattern) => strftime::format(pattern, seconds, nanos, zone),
    }
}

/// A moment read by a layout; None if the text does not fit it.
pub fn time_by_layout(text: &str, layout: &Layout, zone: &Zone) -> Option<Nanos> {
    layout.parse(text).ok().map(|parsed| parsed.nanos(zone))
}

/// A moment moved by whole hours into the hour that ends two minutes from now: for clocks right but for their zone.
pub fn adjust_timezone(stamp: Nanos, now: Nanos) -> Nanos {
    let latest = now.wrapping_add(2 * MINUTE);
    let hours = (i128::from(latest) - i128::from(stamp)).div_euclid(i128::from(HOUR));
    (i128::from(stamp) + hours * i128::from(HOUR)) as Nanos
}

/// Now in `s`, `ms` or `us`, or in nanoseconds for any other precision.
pub fn timestamp(now: Nanos, precision: &str) -> i64 {
    match precision {
        "s" => now.div_euclid(civil::SECOND),
        "ms" => now.div_euclid(1_000_000),
        "us" => now.div_euclid(1_000),
        _ => now,
    }
}
