//! Time zones: looked up by name, and asked as Go asks them.
//!
//! The database is the one built into the program, the same on every machine. Names are taken as they are written there:
//! `asia/shanghai` is no zone, as on Linux for DataKit.

use std::sync::{Arc, LazyLock, OnceLock};

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::civil::Civil;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// What scripts may write for an hour's distance from UTC, and the city that is meant, with its daylight saving time.
const CITIES: [(&str, &str); 38] = [
    ("-11", "Pacific/Midway"),
    ("-10", "Pacific/Honolulu"),
    ("-9:30", "Pacific/Marquesas"),
    ("-9", "America/Anchorage"),
    ("-8", "America/Los_Angeles"),
    ("-7", "America/Phoenix"),
    ("-6", "America/Chicago"),
    ("-5", "America/New_York"),
    ("-4", "America/Santiago"),
    ("-3:30", "America/St_Johns"),
    ("-3", "America/Sao_Paulo"),
    ("-2", "America/Noronha"),
    ("-1", "America/Scoresbysund"),
    ("+0", "Europe/London"),
    ("+1", "Europe/Vatican"),
    ("+2", "Europe/Kiev"),
    ("+3", "Europe/Moscow"),
    ("+3:30", "Asia/Tehran"),
    ("+4", "Asia/Dubai"),
    ("+4:30", "Asia/Kabul"),
    ("+5", "Asia/Samarkand"),
    ("+5:30", "Asia/Kolkata"),
    ("+5:45", "Asia/Kathmandu"),
    ("+6", "Asia/Almaty"),
    ("+6:30", "Asia/Yangon"),
    ("+7", "Asia/Jakarta"),
    ("+8", "Asia/Shanghai"),
    ("+8:45", "Australia/Eucla"),
    ("+9", "Asia/Tokyo"),
    ("+9:30", "Australia/Darwin"),
    ("+10", "Australia/Sydney"),
    ("+10:30", "Australia/Lord_Howe"),
    ("+11", "Pacific/Guadalcanal"),
    ("+12", "Pacific/Auckland"),
    ("+12:45", "Pacific/Chatham"),
    ("+13", "Pacific/Apia"),
    ("+14", "Pacific/Kiritimati"),
    // Only where names of the database have been tried before.
    ("CST", "Asia/Shanghai"),
];

/// The longest name of a zone that is looked up: none in the database comes near.
const NAME_BYTES_MAX: usize = 64;

/// A zone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Zone(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Utc,
    Named(Arc<Named>),
}

#[derive(Debug)]
struct Named {
    zone: TimeZone,
    /// Every abbreviation the zone ever had with an offset, the latest first: only texts with abbreviations need it.
    abbreviations: OnceLock<Vec<(String, i64)>>,
}

impl Zone {
    pub const UTC: Zone = Zone(Repr::Utc);

    /// A zone by its name in the database. `UTC` and nothing are UTC, as in Go.
    pub fn named(name: &str) -> Option<Zone> {
        if name.is_empty() || name == "UTC" {
            return Some(Zone::UTC);
        }
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let zone = DATABASE.get(name).ok()?;
        // The database does not mind case; names of files do.
        if zone.iana_name() != Some(name) {
            return None;
        }
        Some(Zone(Repr::Named(Arc::new(Named { zone, abbreviations: OnceLock::new() }))))
    }

    /// The zone argument of `default_time`: a distance in hours, or a name. The error is what DataKit says.
    pub fn for_default_time(text: &str) -> Result<Zone, String> {
        if text.starts_with(['+', '-']) {
            return city(text).ok_or_else(|| format!("fail to parse timezone {text}"));
        }
        Zone::for_datetime(text)
    }

    /// The zone argument of `datetime`: a name. The error is Go's.
    pub fn for_datetime(text: &str) -> Result<Zone, String> {
        Zone::named(text).ok_or_else(|| format!("unknown time zone {text}"))
    }

    /// The zone argument of `parse_date`: a name, a distance in hours, or CST for China's. The error is DataKit's.
    pub fn for_parse_date(text: &str) -> Result<Zone, String> {
        Zone::named(text).or_else(|| city(text)).ok_or_else(|| format!("unknown timezone {text}"))
    }

    /// Seconds east of UTC at a moment.
    pub fn offset_at(&self, seconds: i64) -> i64 {
        match &self.0 {
            Repr::Utc => 0,
            Repr::Named(named) => named.zone.to_offset_info(clamped(seconds)).offset().seconds().into(),
        }
    }

    /// Seconds east of UTC at a moment, and what they are called then.
    pub fn describe(&self, seconds: i64) -> (i64, String) {
        match &self.0 {
            Repr::Utc => (0, "UTC".to_owned()),
            Repr::Named(named) => {
                let info = named.zone.to_offset_info(clamped(seconds));
                (info.offset().seconds().into(), info.abbreviation().to_owned())
            }
        }
    }

    /// The moment at which clocks here show these fields. What is shown twice or never is settled as Go does it.
    pub fn seconds_of(&self, civil: &Civil) -> i64 {
        let shown = civil.seconds();
        let guess = self.offset_at(shown);
        if guess == 0 {
            return shown;
        }
        shown.wrapping_sub(self.offset_at(shown.wrapping_sub(guess)))
    }

    /// Fields that clocks here show at a moment.
    pub fn civil_at(&self, seconds: i64, nanos: i64) -> Civil {
        Civil::from_seconds(seconds.saturating_add(self.offset_at(seconds)), nanos)
    }

    /// The offset that an abbreviation means here, at the moment whose fields are `shown` seconds on unmoved clocks, or else
    /// at any time.
    pub fn offset_of(&self, abbreviation: &str, shown: i64) -> Option<i64> {
        let Repr::Named(named) = &self.0 else { return (abbreviation == "UTC").then_some(0) };
        let known = named.abbreviations.get_or_init(|| abbreviations(&named.zone));
        let mut candidates = known.iter().filter(|(name, _)| name == abbreviation);
        let first = candidates.clone().next()?.1;
        let fitting = candidates.find_map(|(_, offset)| {
            let (found, name) = self.describe(shown.wrapping_sub(*offset));
            (name == abbreviation).then_some(found)
        });
        Some(fitting.unwrap_or(first))
    }
}

fn city(text: &str) -> Option<Zone> {
    let (_, name) = CITIES.iter().find(|(distance, _)| *distance == text)?;
    Zone::named(name)
}

/// The nearest moment that the database's years reach.
fn clamped(seconds: i64) -> Timestamp {
    let seconds = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn abbreviations(zone: &TimeZone) -> Vec<(String, i64)> {
    /// The end of 2037, to which the database lists every change.
    const LISTED_UNTIL: i64 = 2_145_916_800;
    /// More changes than any zone of the database has.
    const CHANGES_MAX: usize = 1_000;
    let mut found: Vec<(String, i64)> = Vec::new();
    for change in zone.preceding(clamped(LISTED_UNTIL)).take(CHANGES_MAX) {
        let entry = (change.abbreviation().to_owned(), i64::from(change.offset().seconds()));
        if !found.contains(&entry) {
            found.push(entry);
        }
    }
    // A zone that never changed has no changes to list.
    let now = zone.to_offset_info(clamped(LISTED_UNTIL));
    let entry = (now.abbreviation().to_owned(), i64::from(now.offset().seconds()));
    if !found.contains(&entry) {
        found.push(entry);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_of_the_table_is_in_the_database() {
        for (distance, name) in CITIES {
            assert!(Zone::named(name).is_some(), "{name}");
            assert!(Zone::for_parse_date(distance).is_ok(), "{distance}");
        }
    }

    #[test]
    fn names_are_exact() {
        for name in ["asia/shanghai", "CST", "Nope/X", "../etc/passwd", "Asia/Shanghai\0", &"x".repeat(500)] {
            assert!(Zone::named(name).is_none(), "{name}");
        }
        assert_eq!(Zone::for_default_time("CST").unwrap_err(), "unknown time zone CST");
        assert_eq!(Zone::for_default_time("+08:00").unwrap_err(), "fail to parse timezone +08:00");
    }

    #[test]
    fn hours_that_clocks_show_twice_or_never_are_settled_as_in_go() {
        let zone = Zone::named("America/New_York").unwrap();
        let at = |month, day, hour| {
            zone.seconds_of(&Civil { year: 2021, month, day, hour, minute: 30, ..Civil::default() })
        };
        // On March 14 it is never half past two; on November 7 it is half past one twice.
        assert_eq!(at(3, 14, 2), 1_615_703_400);
        assert_eq!(at(11, 7, 1), 1_636_263_000);
        assert_eq!(zone.offset_of("EDT", at(1, 1, 0)), Some(-4 * 3_600));
        assert_eq!(zone.offset_of("CEST", 0), None);
    }
}
