//! Where an address is, by databases in MaxMind's format (GeoIP2, GeoLite2 and what is made like them).
//!
//! A look-up is a walk of at most 128 steps through memory, once a request. Whoever reads the files (not here) hands their
//! bytes to [`Geo::with_city`] and [`Geo::with_isp`], which check them to the last record, and puts the result in place of
//! the old one as a whole ([`LiveGeo`]): a request sees one state of both databases or the other.
//!
//! Values, as the recorded server has them: `country` is the two-letter code, `city` and `province` (the first
//! subdivision) are English names, `isp` is the provider's name, or the organisation of the autonomous system where the
//! database has no other. What is not known is `unknown`.

#[cfg(test)]
mod testing;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use maxminddb::{Reader, geoip2};
use serde::Deserialize;

const UNKNOWN: &str = "unknown";

/// Names are copied into every point of a request; a real one has some thirty bytes.
const NAME_BYTES_MAX: usize = 256;

/// Codes that are shown as provinces of CN: recorded.
const PROVINCES: [(&str, &str); 3] = [("TW", "Taiwan"), ("MO", "Macao"), ("HK", "Hong Kong")];

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub city: Box<str>,
    pub province: Box<str>,
    pub country: Box<str>,
    pub isp: Box<str>,
}

impl Default for Place {
    fn default() -> Place {
        Place { city: UNKNOWN.into(), province: UNKNOWN.into(), country: UNKNOWN.into(), isp: UNKNOWN.into() }
    }
}

type Database = Reader<Box<[u8]>>;

/// The databases; without any, every place is unknown.
#[derive(Clone, Default)]
pub struct Geo {
    city: Option<Arc<Database>>,
    isp: Option<Arc<Database>>,
}

/// A record of a database of providers.
#[derive(Deserialize)]
struct Provider<'a> {
    #[serde(borrow)]
    isp: Option<&'a str>,
    #[serde(borrow)]
    autonomous_system_organization: Option<&'a str>,
}

impl Geo {
    /// With another database of places. Takes its time: every record is looked at.
    pub fn with_city(&self, file: Vec<u8>) -> Result<Geo, String> {
        Ok(Geo { city: Some(open(file)?), isp: self.isp.clone() })
    }

    /// With another database of providers.
    pub fn with_isp(&self, file: Vec<u8>) -> Result<Geo, String> {
        Ok(Geo { city: self.city.clone(), isp: Some(open(file)?) })
    }

    /// Where `ip` is. What is no address is nowhere.
    pub fn place(&self, ip: &str) -> Place {
        self.find(ip).unwrap_or_default()
    }

    /// The same; none for what is no address, and without a database.
    pub fn find(&self, ip: &str) -> Option<Place> {
        if self.city.is_none() && self.isp.is_none() {
            return None;
        }
        let mut place = Place::default();
        let ip = ip.parse::<IpAddr>().ok()?.to_canonical();
        // A database of IPv4 does not take an IPv6 address, a new kind of database may hold other records: nothing known.
        let city = self.city.as_deref().and_then(|city| city.lookup(ip).ok());
        let record = city.as_ref().and_then(|found| found.decode::<geoip2::City<'_>>().ok().flatten());
        if let Some(record) = record {
            set(&mut place.city, record.city.names.english);
            set(&mut place.province, record.subdivisions.first().and_then(|first| first.names.english));
            set(&mut place.country, record.country.iso_code);
            if let Some((_, province)) = PROVINCES.iter().find(|(code, _)| *code == &*place.country) {
                (place.country, place.province) = ("CN".into(), (*province).into());
            }
        }
        let isp = self.isp.as_deref().and_then(|isp| isp.lookup(ip).ok());
        let record = isp.as_ref().and_then(|found| found.decode::<Provider<'_>>().ok().flatten());
        if let Some(record) = record {
            set(&mut place.isp, record.isp.or(record.autonomous_system_organization));
        }
        Some(place)
    }
}

impl std::fmt::Debug for Geo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = |database: &Option<Arc<Database>>| {
            database.as_deref().map(|database| database.metadata().database_type.clone())
        };
        f.debug_struct("Geo").field("city", &kind(&self.city)).field("isp", &kind(&self.isp)).finish()
    }
}

fn open(file: Vec<u8>) -> Result<Arc<Database>, String> {
    let database = Reader::from_source(file.into_boxed_slice()).map_err(|error| error.to_string())?;
    database.verify().map_err(|error| error.to_string())?;
    Ok(Arc::new(database))
}

fn set(slot: &mut Box<str>, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        *slot = value[..value.floor_char_boundary(NAME_BYTES_MAX)].into();
    }
}

/// The databases of now: read by every shard, replaced by whoever watches the files.
#[derive(Debug, Default)]
pub struct LiveGeo(ArcSwap<Geo>);

impl LiveGeo {
    /// What holds now, for the length of a look-up.
    pub fn load(&self) -> Guard<Arc<Geo>> {
        self.0.load()
    }

    /// Puts another state in place, for every request from now on.
    pub fn store(&self, geo: Geo) {
        self.0.store(Arc::new(geo));
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Mmdb, city, isp};
    use super::*;

    fn place(city: &str, province: &str, country: &str, isp: &str) -> Place {
        Place { city: city.into(), province: province.into(), country: country.into(), isp: isp.into() }
    }

    fn cities() -> Vec<u8> {
        Mmdb::new("Test-City")
            .put("81.2.69.0", 24, &city(Some("London"), Some("England"), Some("GB")))
            .put("1.160.0.0", 12, &city(Some("Taipei"), Some("Taipei City"), Some("TW")))
            .put("1.36.0.0", 16, &city(Some("Central"), None, Some("HK")))
            .put("60.246.0.0", 16, &city(None, None, Some("MO")))
            .put("2.0.0.0", 8, &city(None, None, Some("FR")))
            .put("2001:db8::", 32, &city(Some("Atlantis"), Some("Sea"), Some("XX")))
            .finish()
    }

    #[test]
    fn places_have_their_english_names() {
        let geo = Geo::default().with_city(cities()).unwrap();
        assert_eq!(geo.place("81.2.69.160"), place("London", "England", "GB", "unknown"));
        assert_eq!(geo.place("::ffff:81.2.69.160"), place("London", "England", "GB", "unknown"));
        assert_eq!(geo.place("2001:db8::7"), place("Atlantis", "Sea", "XX", "unknown"));
        assert_eq!(geo.place("2.3.4.5"), place("unknown", "unknown", "FR", "unknown"));
        assert_eq!((geo.find("abc"), Geo::default().find("81.2.69.160")), (None, None));
        assert_eq!(geo.find("81.2.70.1"), Some(Place::default()));
        for nowhere in ["81.2.70.1", "127.0.0.1", "", "abc", " 81.2.69.160", "81.2.69.160:80"] {
            assert_eq!(geo.place(nowhere), Place::default(), "{nowhere}");
        }
    }

    #[test]
    fn three_codes_are_shown_as_provinces() {
        let geo = Geo::default().with_city(cities()).unwrap();
        assert_eq!(geo.place("1.168.0.1"), place("Taipei", "Taiwan", "CN", "unknown"));
        assert_eq!(geo.place("1.36.1.1"), place("Central", "Hong Kong", "CN", "unknown"));
        assert_eq!(geo.place("60.246.1.1"), place("unknown", "Macao", "CN", "unknown"));
    }

    #[test]
    fn providers_come_from_a_database_of_their_own() {
        let providers = Mmdb::new("Test-ISP")
            .put("1.128.0.0", 11, &isp("isp", "Telstra Internet"))
            .put("12.81.92.0", 22, &isp("autonomous_system_organization", "ATT"))
            .finish();
        let geo = Geo::default().with_isp(providers).unwrap();
        assert_eq!(&*geo.place("1.128.1.1").isp, "Telstra Internet");
        assert_eq!(&*geo.place("12.81.92.1").isp, "ATT");
        assert_eq!(geo.place("81.2.69.160"), Place::default());
        let both = geo.with_city(cities()).unwrap();
        assert_eq!(&*both.place("1.128.1.1").isp, "Telstra Internet");
        assert_eq!(&*both.place("81.2.69.160").city, "London");
    }

    #[test]
    fn damaged_files_are_refused_and_never_panic() {
        let whole = cities();
        let live = LiveGeo::default();
        live.store(Geo::default().with_city(whole.clone()).unwrap());
        for cut in 0..whole.len() {
            assert!(live.load().with_city(whole[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            if let Ok(geo) = live.load().with_city(damaged) {
                // A name may be another one, but nothing goes wrong.
                geo.place("81.2.69.160");
            }
        }
        assert_eq!(&*live.load().place("81.2.69.160").city, "London", "what was good stays");
    }
}
