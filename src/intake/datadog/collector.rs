//! What the collector is configured with, and what follows from it: which meta keys of a span become tags, under which
//! names.

use std::sync::Arc;

use arc_swap::ArcSwap;
use regex::bytes::Regex;

use crate::codec::line_protocol::{Kind, Kv, span as span_bits};
use crate::config::{COLLECTOR_TAGS_MAX as TAGS_MAX, CUSTOMER_TAGS_MAX, PATTERN_PREFIX};
use crate::intake::tracing::metrics::Labels;
use crate::intake::tracing::{Filters, pattern};

use super::spans::{WINDOW_BYTES, Window};

/// The configuration. Names and meaning are DataKit's (`[inputs.ddtrace]`).
pub use crate::config::DatadogSettings as Options;

/// Names of tags and fields, customer tags and tags of the configuration included: one bit each says which a point has.
pub const NAMES_MAX: usize = 256;

/// Names of keys and of values that are the same in all points: once at the front of a tape's arena.
#[derive(Debug)]
pub struct Names {
    pub bytes: Vec<u8>,
    /// As many as there are numbers, so that looking one up asks nothing.
    places: Box<[(u32, u16); NAMES_MAX]>,
    count: usize,
}

impl Default for Names {
    fn default() -> Names {
        Names { bytes: Vec::new(), places: Box::new([(0, 0); NAMES_MAX]), count: 0 }
    }
}

/// The number of a name.
pub type Name = u8;

macro_rules! names {
    ($($name:ident = $text:literal,)+) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "they only count the names")]
        #[repr(u8)]
        enum Fixed { $($name,)+ }
        $(pub const $name: Name = Fixed::$name as Name;)+
        const FIXED: &[&str] = &[$($text,)+];
    };
}

names! {
    DDTRACE = "ddtrace",
    SERVICE = "service",
    OPERATION = "operation",
    SOURCE = "source",
    SPAN_TYPE = "span_type",
    SOURCE_TYPE = "source_type",
    STATUS = "status",
    REMOTE_IP = "remote_ip",
    SAMPLING_RATE = "sampling_rate",
    HTTP_STATUS_CLASS = "http_status_class",
    HTTP_STATUS_CODE = "http_status_code",
    DB_HOST = "db_host",
    TRACE_ID = "trace_id",
    PARENT_ID = "parent_id",
    SPAN_ID = "span_id",
    RESOURCE = "resource",
    START = "start",
    DURATION = "duration",
    MESSAGE = "message",
    DK_SAMPLING_RATE = "dk_sampling_rate",
    ENTRY = "entry",
    LOCAL = "local",
    EXIT = "exit",
    OK = "ok",
    ERROR = "error",
    USER_KEEP = "user_keep",
    SAMPLER_KEEP = "sampler_keep",
    APP = "app",
    CACHE = "cache",
    CUSTOM = "custom",
    DB = "db",
    FRAMEWORK = "framework",
    MESSAGE_QUEUE = "message_queue",
    WEB = "web",
    CLASS_1 = "1xx",
    CLASS_2 = "2xx",
    CLASS_3 = "3xx",
    CLASS_4 = "4xx",
    CLASS_5 = "5xx",
}

/// By the first digit of a status.
pub const CLASSES: [Name; 5] = [CLASS_1, CLASS_2, CLASS_3, CLASS_4, CLASS_5];

impl Names {
    /// The number of a name, which it has from now on; none past [`NAMES_MAX`].
    fn add(&mut self, name: &str) -> Option<Name> {
        let known = self.places[..self.count].iter().position(|&(at, len)| {
            self.bytes.get(at as usize..at as usize + usize::from(len)) == Some(name.as_bytes())
        });
        if let Some(known) = known {
            return Name::try_from(known).ok();
        }
        let (place, number) = (self.places.get_mut(self.count)?, Name::try_from(self.count).ok()?);
        *place = (self.bytes.len() as u32, u16::try_from(name.len()).ok()?);
        self.bytes.extend_from_slice(name.as_bytes());
        self.count += 1;
        Some(number)
    }

    /// Where a name stands in an arena that begins with [`Names::bytes`].
    #[inline(always)]
    pub fn place(&self, name: Name) -> (u32, u16) {
        self.places[usize::from(name)]
    }

    /// A name as the value of a tag.
    #[inline(always)]
    pub fn value(&self, name: Name) -> u64 {
        let (at, len) = self.place(name);
        span_bits(at as usize, usize::from(len))
    }

    /// A tag or field with this name, whose value is yet to be set.
    #[inline(always)]
    pub fn kv(&self, name: Name, kind: Kind, flags: u8) -> Kv {
        let (key, key_len) = self.place(name);
        Kv { key, key_len, kind, flags: flags | Kv::KEY_IN_ARENA, value: 0 }
    }

    pub fn text(&self, name: Name) -> &[u8] {
        let (at, len) = self.place(name);
        &self.bytes[at as usize..][..usize::from(len)]
    }
}

/// Meta keys that become a tag of the same name, save for dots.
const PROMOTED: [&str; 23] = [
    "http.url",
    "http.hostname",
    "http.route",
    "http.status_code",
    "http.method",
    "http.client_ip",
    "sampling.priority",
    "span.kind",
    "error",
    "runtime.name",
    "dd.version",
    "dd.env",
    "error.message",
    "error.stack",
    "error.type",
    "db.operation",
    "out.host",
    "project",
    "version",
    "env",
    "host",
    "pod_name",
    "pod_namespace",
];

/// Those that become a tag of another name.
const RENAMED: [(&str, &str); 7] = [
    ("error.msg", "error_message"),
    ("system.pid", "pid"),
    ("_dd.base_service", "base_service"),
    (DB_TYPE_KEY, "db_system"),
    ("db.instance", "db_name"),
    // Both: recorded.
    (RUNTIME_ID_KEY, "runtime_id"),
    (RUNTIME_ID_KEY, RUNTIME_ID_KEY),
];

const DB_TYPE_KEY: &str = "db.type";
const RUNTIME_ID_KEY: &str = "runtime-id";

/// What a meta key becomes.
#[derive(Clone, Debug)]
pub struct Promotion {
    key: Box<[u8]>,
    /// The same with zeros behind it, if it is not too long for a window.
    words: [u64; 4],
    pub name: Name,
    pub second: Option<Name>,
    /// With it comes `db_host`.
    pub is_db_type: bool,
}

/// Meta keys by a hash of their first eight bytes and their length, those that are not too long for a window; of the
/// others there are few. Most keys of a span are none of them, and what is not here is mostly a free slot.
#[derive(Debug)]
struct Promotions {
    list: Vec<Promotion>,
    slots: Box<[Slot; SLOTS]>,
    /// Indices of `list` of keys that are longer than a window.
    long: Vec<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u64,
    len: u16,
    /// An index of `list` and one; 0 is free.
    index: u16,
}

const FREE: Slot = Slot { first: 0, len: 0, index: 0 };

/// Four times as many as there are keys.
const SLOTS: usize = 1024;
const _: () = assert!(SLOTS >= 4 * (PROMOTED.len() + RENAMED.len() + CUSTOMER_TAGS_MAX));

#[inline(always)]
fn slot(first: u64, len: usize) -> usize {
    // The upper bits of a product depend on all bits of its factor; the constant is the golden ratio's.
    let mixed = (first ^ (len as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (64 - SLOTS.ilog2())) as usize % SLOTS
}

/// Of a key that is no longer nothing is left to compare when its first word is the same.
const WORD_BYTES: usize = 8;

impl Promotions {
    #[inline(always)]
    fn find(&self, window: Option<Window<'_>>, key: &[u8]) -> Option<&Promotion> {
        let Some(window) = window else { return self.find_long(key) };
        let first = window.first_word();
        let mut at = slot(first, window.len);
        // There are free slots: this ends.
        loop {
            let there = self.slots[at];
            let index = usize::from(there.index).checked_sub(1)?;
            // The length as well: a key that ends in zeros would be another one.
            if there.first == first
                && usize::from(there.len) == window.len
                && let Some(promotion) = self.list.get(index)
                && (window.len <= WORD_BYTES || promotion.words == window.words())
            {
                return Some(promotion);
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// A key that is long, or stands where there is no window.
    #[inline(never)]
    fn find_long(&self, key: &[u8]) -> Option<&Promotion> {
        if let Some(padded) = padded(key) {
            return self.find(Window::at(&padded, 0, key.len()), key);
        }
        let long = self.long.iter().filter_map(|index| self.list.get(usize::from(*index)));
        long.into_iter().find(|promotion| &*promotion.key == key)
    }

    fn add(&mut self, key: &[u8], name: Name) {
        let (index, padded) = (self.list.len() as u16, padded(key));
        let window = padded.as_ref().and_then(|padded| Window::at(padded, 0, key.len()));
        self.list.push(Promotion {
            key: key.into(),
            words: window.map(Window::words).unwrap_or_default(),
            name,
            second: None,
            is_db_type: key == DB_TYPE_KEY.as_bytes(),
        });
        let Some(window) = window else {
            self.long.push(index);
            return;
        };
        let first = window.first_word();
        let mut at = slot(first, key.len());
        while self.slots[at].index != 0 {
            at = (at + 1) % SLOTS;
        }
        self.slots[at] = Slot { first, len: key.len() as u16, index: index + 1 };
    }
}

/// A key with zeros behind it; none that is too long.
fn padded(key: &[u8]) -> Option<[u8; WINDOW_BYTES]> {
    let mut padded = [0; WINDOW_BYTES];
    padded.get_mut(..key.len())?.copy_from_slice(key);
    Some(padded)
}

/// [`Options`], and what is made of them once.
#[derive(Debug)]
pub struct Collector {
    pub options: Options,
    pub names: Names,
    pub filters: Filters,
    /// What is counted, if anything is.
    pub labels: Option<Labels>,
    promotions: Promotions,
    patterns: Vec<Regex>,
    /// Tags of every point: a name, and where in [`Names::bytes`] its value is.
    pub tags: Vec<(Name, u32, u32)>,
    /// What every point begins with, to be filled in.
    pub first_tags: [Kv; FIRST_TAGS.len()],
    pub first_fields: [Kv; FIRST_FIELDS.len()],
}

/// The tags that every point has, in their order.
pub const FIRST_TAGS: [Name; 7] = [SERVICE, OPERATION, SOURCE, SPAN_TYPE, SOURCE_TYPE, STATUS, REMOTE_IP];

/// The fields that every point has, in their order; `message` may be left out.
pub const FIRST_FIELDS: [(Name, Kind); 7] = [
    (TRACE_ID, Kind::Str),
    (PARENT_ID, Kind::Str),
    (SPAN_ID, Kind::Str),
    (RESOURCE, Kind::Str),
    (START, Kind::Int),
    (DURATION, Kind::Int),
    (MESSAGE, Kind::Str),
];

/// One bit a name: those that a point has.
pub type Seen = [u64; NAMES_MAX / 64];

/// What [`FIRST_TAGS`] and [`FIRST_FIELDS`] are of that, without `message`.
pub const FIRST_SEEN: Seen = {
    let (mut seen, mut at) = ([0; NAMES_MAX / 64], 0);
    while at < FIRST_TAGS.len() {
        seen[FIRST_TAGS[at] as usize / 64] |= 1 << (FIRST_TAGS[at] % 64);
        at += 1;
    }
    at = 0;
    while at < FIRST_FIELDS.len() - 1 {
        seen[FIRST_FIELDS[at].0 as usize / 64] |= 1 << (FIRST_FIELDS[at].0 % 64);
        at += 1;
    }
    seen
};

/// What a meta key is.
#[derive(Clone, Copy, Debug)]
pub enum Promoted<'a> {
    No,
    Known(&'a Promotion),
    /// By a pattern: under its own name, save for dots.
    Matched,
}

impl Collector {
    pub fn new(options: Options) -> Collector {
        let mut names = Names::default();
        for name in FIXED {
            names.add(name);
        }
        let mut promotions =
            Promotions { list: Vec::new(), slots: Box::new([FREE; SLOTS]), long: Vec::new() };
        let mut promote = |names: &mut Names, key: &str, name: &str| {
            let Some(name) = names.add(name) else { return };
            if let Some(there) = promotions.list.iter_mut().find(|there| &*there.key == key.as_bytes()) {
                there.second = there.second.or(Some(name)).filter(|second| *second != there.name);
                return;
            }
            promotions.add(key.as_bytes(), name);
        };
        for key in PROMOTED {
            promote(&mut names, key, &key.replace('.', "_"));
        }
        for (key, name) in RENAMED {
            promote(&mut names, key, name);
        }
        let mut patterns = Vec::new();
        for tag in options.customer_tags.iter().take(CUSTOMER_TAGS_MAX) {
            match tag.strip_prefix(PATTERN_PREFIX) {
                Some(text) => patterns.extend(pattern(text)),
                None => promote(&mut names, tag, &tag.replace('.', "_")),
            }
        }
        let mut tags = Vec::new();
        for (key, value) in options.tags.iter().take(TAGS_MAX) {
            let Some(name) = names.add(key) else { continue };
            tags.push((name, names.bytes.len() as u32, value.len() as u32));
            names.bytes.extend_from_slice(value.as_bytes());
        }
        let filters = Filters::new(&options.filters);
        let labels = Labels::new(&options.metrics, &options.tags);
        let source = names.value(DDTRACE);
        let first_tags = FIRST_TAGS.map(|name| {
            // A name, save for those that are the span's own.
            Kv { value: source, ..names.kv(name, Kind::Tag, Kv::VALUE_IN_ARENA) }
        });
        let first_fields = FIRST_FIELDS
            .map(|(name, kind)| names.kv(name, kind, if kind == Kind::Str { Kv::VALUE_IN_ARENA } else { 0 }));
        Collector { options, names, filters, labels, promotions, patterns, tags, first_tags, first_fields }
    }

    /// What becomes of a key; `window` is the same, if it is short.
    #[inline(always)]
    pub fn promoted(&self, window: Option<Window<'_>>, key: &[u8]) -> Promoted<'_> {
        match self.promotions.find(window, key) {
            Some(promotion) => Promoted::Known(promotion),
            None if !self.patterns.is_empty()
                && self.patterns.iter().any(|pattern| pattern.is_match(key)) =>
            {
                Promoted::Matched
            }
            None => Promoted::No,
        }
    }
}

/// Keys that Java tracers ask for, and the length of each: what any client says goes for all traces.
const TRACE_TAGS_MAX: usize = 64;
const TRACE_TAG_BYTES_MAX: usize = 128;

/// Meta keys that become tags because a tracer said so of itself (`trace_tags`), besides those of the configuration.
#[derive(Debug, Default)]
pub struct TraceTags(ArcSwap<Vec<Box<[u8]>>>);

impl TraceTags {
    pub fn add(&self, key: &str) {
        if key.is_empty() || key.len() > TRACE_TAG_BYTES_MAX {
            return;
        }
        self.0.rcu(|keys| {
            let mut keys = Vec::clone(keys);
            if keys.len() < TRACE_TAGS_MAX && keys.iter().all(|there| **there != *key.as_bytes()) {
                keys.push(key.as_bytes().into());
            }
            keys
        });
    }

    /// Those of now.
    pub fn load(&self) -> Arc<Vec<Box<[u8]>>> {
        self.0.load_full()
    }
}

/// None that is known is longer.
const SOURCE_BYTES_MAX: usize = 16;

/// The kind of source that a span's `type` says.
#[inline(always)]
pub fn source_type(kind: &[u8]) -> Name {
    // As tracers have them.
    match kind {
        b"" => CUSTOM,
        b"web" | b"http" => WEB,
        b"sql" => DB,
        _ => any_source_type(kind),
    }
}

#[inline(never)]
fn any_source_type(kind: &[u8]) -> Name {
    let mut lower = [0; SOURCE_BYTES_MAX];
    let Some(lower) = lower.get_mut(..kind.len()) else { return CUSTOM };
    lower.copy_from_slice(kind);
    lower.make_ascii_lowercase();
    match &*lower {
        b"consul" => APP,
        b".net" | b"datanucleus" | b"django" | b"express" | b"flask" | b"go-gin" | b"graphql"
        | b"hibernate" | b"laravel" | b"soap" | b"spring" => FRAMEWORK,
        b"cache" | b"memcached" | b"redis" => CACHE,
        b"aerospike" | b"cassandra" | b"db" | b"elasticsearch" | b"influxdb" | b"leveldb" | b"mongodb"
        | b"mysql" | b"pymysql" | b"sql" => DB,
        b"go-nsq" | b"kafka" | b"mqtt" | b"queue" | b"rabbitmq" | b"rocketmq" => MESSAGE_QUEUE,
        b"dns" | b"grpc" | b"http" | b"http2" | b"rpc" | b"web" => WEB,
        _ => CUSTOM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promoted_keys_are_found_and_no_others() {
        let collector = Collector::new(Options {
            customer_tags: vec!["team.name".to_owned(), "reg:^usr\\.".to_owned(), "http.url".to_owned()],
            tags: vec![("zone".to_owned(), "z1".to_owned())],
            ..Options::default()
        });
        let name = |key: &str| match collector.promoted(None, key.as_bytes()) {
            Promoted::Known(promotion) => {
                let second = promotion.second.map(|second| collector.names.text(second));
                Some((collector.names.text(promotion.name).to_vec(), second.map(<[u8]>::to_vec)))
            }
            Promoted::Matched => Some((b"*".to_vec(), None)),
            Promoted::No => None,
        };
        for key in PROMOTED {
            assert_eq!(name(key), Some((key.replace('.', "_").into_bytes(), None)), "{key}");
        }
        assert_eq!(name("error.msg"), Some((b"error_message".to_vec(), None)));
        assert_eq!(name("runtime-id"), Some((b"runtime_id".to_vec(), Some(b"runtime-id".to_vec()))));
        assert_eq!(name("team.name"), Some((b"team_name".to_vec(), None)));
        assert_eq!(name("usr.id"), Some((b"*".to_vec(), None)));
        for key in ["", "a", "http.urk", "_dd.p.tid", "language", "team", "x.usr.id", "http.status_codes"] {
            assert_eq!(name(key), None, "{key}");
        }
        let (tag, at, len) = collector.tags[0];
        assert_eq!(collector.names.text(tag), b"zone");
        assert_eq!(&collector.names.bytes[at as usize..(at + len) as usize], b"z1");
    }

    #[test]
    fn keys_are_found_with_and_without_a_window() {
        let long = "k".repeat(WINDOW_BYTES + 1);
        let customer_tags = vec![long, "exactly.thirty.two.bytes.long.ab".to_owned()];
        let collector =
            Collector::new(Options { customer_tags: customer_tags.clone(), ..Options::default() });
        let known = |key: &str| {
            let mut source = key.as_bytes().to_vec();
            source.extend([b'x'; WINDOW_BYTES]);
            let window = collector.promoted(Window::at(&source, 0, key.len()), key.as_bytes());
            let without = collector.promoted(None, key.as_bytes());
            assert_eq!(matches!(window, Promoted::Known(_)), matches!(without, Promoted::Known(_)), "{key}");
            matches!(without, Promoted::Known(_))
        };
        for key in PROMOTED.iter().copied().chain(customer_tags.iter().map(String::as_str)) {
            assert!(known(key), "{key}");
            assert!(!known(&format!("{key}\0")) && !known(&key[1..]), "{key}");
        }
        assert!(!known(""));
    }

    #[test]
    fn as_many_names_as_may_be_fit() {
        let many = |count: usize, prefix: &str| {
            (0..count).map(|index| format!("{prefix}{index}")).collect::<Vec<_>>()
        };
        let collector = Collector::new(Options {
            customer_tags: many(CUSTOMER_TAGS_MAX, "customer"),
            tags: many(TAGS_MAX, "tag").into_iter().map(|key| (key.clone(), key)).collect(),
            ..Options::default()
        });
        assert_eq!(collector.tags.len(), TAGS_MAX);
        let last = format!("customer{}", CUSTOMER_TAGS_MAX - 1);
        assert!(matches!(collector.promoted(None, last.as_bytes()), Promoted::Known(_)));
    }

    #[test]
    fn kinds_of_source_are_the_listed_ones() {
        for (kind, expected) in [
            ("web", WEB),
            ("SQL", DB),
            ("", CUSTOM),
            ("Redis", CACHE),
            ("kafka", MESSAGE_QUEUE),
            ("xyz", CUSTOM),
        ] {
            assert_eq!(source_type(kind.as_bytes()), expected, "{kind}");
        }
    }
}
