//! Sums over many points: buckets of `agg_create`, to which `agg_metric` adds, and the points that are made of them.
//!
//! A bucket makes its points when its interval is over and when so many values were added: one for each combination of
//! the tags it is told apart by. As recorded, `min` keeps the last value, as `set` does, `max` begins at zero, and a
//! function that is none leaves a point without a field.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pipeline::{category::Category, record::Kind};

use super::owned::{Owned, OwnedPoint};

/// Buckets of one script.
pub const BUCKETS_MAX: usize = 64;
/// Combinations of tags in all of them, and what they and the points that wait take.
pub const GROUPS_MAX: usize = 1 << 16;
pub const BYTES_MAX: usize = 64 << 20;
/// More often nobody wants points; the least that the clock of buckets tells apart.
pub const INTERVAL_MIN_NS: i64 = 1_000_000_000;
/// Constant tags of a bucket.
pub const CONST_TAGS_MAX: usize = 256;

/// What a group and each of its fields take beside their texts.
const OVERHEAD_BYTES: usize = 128;

/// What is done with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Avg,
    Sum,
    Max,
    /// The last value; `min` as well.
    Set,
    /// One that does not exist.
    Unknown,
}

impl Function {
    pub fn named(name: &[u8]) -> Function {
        match name {
            b"avg" => Function::Avg,
            b"sum" => Function::Sum,
            b"max" => Function::Max,
            b"min" | b"set" => Function::Set,
            _ => Function::Unknown,
        }
    }
}

/// A bucket that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct NewBucket<'a> {
    pub category: Category,
    pub name: &'a [u8],
    pub interval_ns: i64,
    /// Values after which points are made; none: only the clock.
    pub count_max: Option<u64>,
    /// Points are made of all that was ever added.
    pub keep: bool,
    pub tags: &'a [(&'a [u8], &'a [u8])],
}

/// A value that is added.
#[derive(Clone, Copy, Debug)]
pub struct NewValue<'a> {
    pub category: Category,
    pub bucket: &'a [u8],
    pub field: &'a [u8],
    pub function: Function,
    /// What tells points apart.
    pub by: &'a [(&'a [u8], &'a [u8])],
    pub value: f64,
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    NoBucket,
    Added,
    /// It was the last one: points are ready.
    Full,
    Refused,
}

/// The buckets of a script.
#[derive(Debug, Default)]
pub struct Buckets {
    buckets: Vec<Bucket>,
    ready: Vec<OwnedPoint>,
    /// Of groups, and of points that wait.
    groups: usize,
    bytes: usize,
    ready_bytes: usize,
    /// Where a combination of tags is written to be looked for.
    key: Vec<u8>,
}

/// A key and its value, which the points of a group share.
type Tag = (Box<[u8]>, Arc<[u8]>);

#[derive(Debug)]
struct Bucket {
    category: Category,
    name: Arc<[u8]>,
    interval_ns: i64,
    next_ns: i64,
    count_max: Option<u64>,
    added: u64,
    keep: bool,
    tags: Vec<Tag>,
    groups: BTreeMap<Box<[u8]>, Group>,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    tags: Vec<Tag>,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: Box<[u8]>,
    function: Function,
    value: f64,
    count: u64,
}

impl Field {
    fn new(name: &[u8], function: Function) -> Field {
        Field { name: name.into(), function, value: 0.0, count: 0 }
    }

    fn add(&mut self, value: f64) {
        self.count += 1;
        match self.function {
            Function::Avg | Function::Sum => self.value += value,
            Function::Max => self.value = if value > self.value { value } else { self.value },
            Function::Set => self.value = value,
            Function::Unknown => {}
        }
    }

    fn result(&self) -> f64 {
        match self.function {
            Function::Avg => self.value / self.count.max(1) as f64,
            _ => self.value,
        }
    }
}

impl Buckets {
    /// False where there is no room for it. One that is there stays as it is.
    pub fn create(&mut self, new: &NewBucket<'_>, now_ns: i64) -> bool {
        if self.find(new.category, new.name).is_some() {
            return true;
        }
        let tags = new.tags.get(..new.tags.len().min(CONST_TAGS_MAX)).unwrap_or_default();
        let texts: usize = tags.iter().map(|(key, value)| key.len() + value.len()).sum();
        let bytes = OVERHEAD_BYTES + new.name.len() + texts;
        if self.buckets.len() >= BUCKETS_MAX || self.bytes + bytes > BYTES_MAX {
            return false;
        }
        self.bytes += bytes;
        let interval_ns = new.interval_ns.max(INTERVAL_MIN_NS);
        self.buckets.push(Bucket {
            category: new.category,
            name: new.name.into(),
            interval_ns,
            next_ns: now_ns.saturating_add(interval_ns),
            count_max: new.count_max,
            added: 0,
            keep: new.keep,
            tags: owned(tags),
            groups: BTreeMap::new(),
            bytes: 0,
        });
        true
    }

    pub fn add(&mut self, new: &NewValue<'_>, now_ns: i64) -> Added {
        let Some(at) = self.find(new.category, new.bucket) else { return Added::NoBucket };
        self.key.clear();
        for (name, value) in new.by {
            for text in [name, value] {
                self.key.extend_from_slice(&text.len().to_le_bytes());
                self.key.extend_from_slice(text);
            }
        }
        let room = BYTES_MAX.saturating_sub(self.bytes + self.ready_bytes);
        let Some(bucket) = self.buckets.get_mut(at) else { return Added::NoBucket };
        if !bucket.groups.contains_key(self.key.as_slice()) {
            let bytes = OVERHEAD_BYTES + 2 * self.key.len();
            if self.groups >= GROUPS_MAX || bytes > room {
                return Added::Refused;
            }
            let group = Group { tags: owned(new.by), fields: Vec::new() };
            bucket.groups.insert(self.key.as_slice().into(), group);
            bucket.bytes += bytes;
            self.bytes += bytes;
            self.groups += 1;
        }
        let Some(group) = bucket.groups.get_mut(self.key.as_slice()) else { return Added::Refused };
        if new.function != Function::Unknown {
            let known = group.fields.iter().position(|field| *field.name == *new.field);
            let at = match known {
                Some(at) => at,
                None => {
                    let bytes = OVERHEAD_BYTES + new.field.len();
                    if bytes > room {
                        return Added::Refused;
                    }
                    bucket.bytes += bytes;
                    self.bytes += bytes;
                    group.fields.push(Field::new(new.field, new.function));
                    group.fields.len() - 1
                }
            };
            if let Some(field) = group.fields.get_mut(at) {
                field.add(new.value);
            }
        }
        bucket.added += 1;
        if bucket.count_max.is_some_and(|max| bucket.added >= max) {
            bucket.added = 0;
            self.make_points(at, now_ns);
            return Added::Full;
        }
        Added::Added
    }

    /// Makes points of the buckets whose time has come; whether there are any.
    pub fn tick(&mut self, now_ns: i64) -> bool {
        for at in 0..self.buckets.len() {
            let Some(bucket) = self.buckets.get_mut(at) else { continue };
            if bucket.next_ns <= now_ns {
                bucket.next_ns = now_ns.saturating_add(bucket.interval_ns);
                self.make_points(at, now_ns);
            } else if bucket.next_ns - now_ns > bucket.interval_ns {
                // The clock was set back.
                bucket.next_ns = now_ns.saturating_add(bucket.interval_ns);
            }
        }
        !self.ready.is_empty()
    }

    /// Makes points of everything, and keeps nothing but those.
    pub fn finish(&mut self, now_ns: i64) -> bool {
        for at in 0..self.buckets.len() {
            self.make_points(at, now_ns);
        }
        self.buckets.clear();
        (self.groups, self.bytes) = (0, 0);
        !self.ready.is_empty()
    }

    pub fn take_ready(&mut self) -> Vec<OwnedPoint> {
        self.ready_bytes = 0;
        std::mem::take(&mut self.ready)
    }

    fn find(&self, category: Category, name: &[u8]) -> Option<usize> {
        self.buckets.iter().position(|bucket| bucket.category == category && *bucket.name == *name)
    }

    fn make_points(&mut self, at: usize, now_ns: i64) {
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        // Nobody fetches those there are: these go on adding up.
        if self.ready_bytes > BYTES_MAX {
            return;
        }
        for group in bucket.groups.values() {
            let point = bucket.point(group, now_ns);
            self.ready_bytes += point.bytes();
            self.ready.push(point);
        }
        if !bucket.keep {
            self.groups -= bucket.groups.len().min(self.groups);
            self.bytes = self.bytes.saturating_sub(bucket.bytes);
            bucket.groups.clear();
            bucket.bytes = 0;
        }
    }
}

impl Bucket {
    fn point(&self, group: &Group, now_ns: i64) -> OwnedPoint {
        let tag = |(key, value): &Tag| (key.clone(), Owned::Str(Arc::clone(value)), Kind::Tag);
        let mut entries: Vec<_> = group.tags.iter().map(tag).collect();
        let is_new = |entries: &[(Box<[u8]>, Owned, Kind)], key: &[u8]| {
            entries.iter().all(|(known, _, _)| **known != *key)
        };
        for constant in &self.tags {
            if is_new(&entries, &constant.0) {
                entries.push(tag(constant));
            }
        }
        for field in &group.fields {
            if is_new(&entries, &field.name) {
                entries.push((field.name.clone(), Owned::Float(field.result()), Kind::Field));
            }
        }
        let mut point =
            OwnedPoint { category: self.category, name: (*self.name).into(), time: now_ns, entries };
        if let Some((key, value)) = crate::pipeline::record::default_field(self.category)
            && is_new(&point.entries, key)
        {
            point.entries.push((key.into(), Owned::Str(value.into()), Kind::Field));
        }
        point
    }
}

fn owned(tags: &[(&[u8], &[u8])]) -> Vec<Tag> {
    let mut owned: Vec<Tag> = Vec::with_capacity(tags.len());
    for (key, value) in tags {
        if owned.iter().all(|(known, _)| **known != **key) {
            owned.push(((*key).into(), (*value).into()));
        }
    }
    owned
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn bucket<'a>(name: &'a [u8]) -> NewBucket<'a> {
        let (category, interval_ns) = (Category::Metric, 10 * SECOND);
        NewBucket { category, name, interval_ns, count_max: None, keep: false, tags: &[(b"const", b"c")] }
    }

    fn value<'a>(
        field: &'a [u8],
        function: Function,
        by: &'a [(&'a [u8], &'a [u8])],
        value: f64,
    ) -> NewValue<'a> {
        NewValue { category: Category::Metric, bucket: b"b", field, function, by, value }
    }

    fn shown(points: &[OwnedPoint]) -> Vec<String> {
        let entry = |(key, value, kind): &(Box<[u8]>, Owned, Kind)| {
            let value = match value {
                Owned::Str(text) => String::from_utf8_lossy(text).into_owned(),
                Owned::Float(value) => value.to_string(),
                other => format!("{other:?}"),
            };
            format!("{}{}={value}", if *kind == Kind::Tag { "#" } else { "" }, String::from_utf8_lossy(key))
        };
        let point = |point: &OwnedPoint| {
            let entries: Vec<_> = point.entries.iter().map(entry).collect();
            format!("{} @{}", entries.join(" "), point.time / SECOND)
        };
        points.iter().map(point).collect()
    }

    #[test]
    fn points_come_when_the_interval_is_over() {
        let mut buckets = Buckets::default();
        assert!(buckets.create(&bucket(b"b"), 0) && buckets.create(&bucket(b"b"), 5));
        for (host, usage) in [(&b"1"[..], 1.0), (b"1", -3.0), (b"2", 10.0)] {
            let by: [(&[u8], &[u8]); 1] = [(b"host", host)];
            for (field, function) in [
                (&b"sum"[..], Function::Sum),
                (b"avg", Function::Avg),
                (b"max", Function::Max),
                (b"last", Function::Set),
                (b"none", Function::Unknown),
            ] {
                assert_eq!(buckets.add(&value(field, function, &by, usage), 0), Added::Added);
            }
        }
        let stranger = NewValue { category: Category::Logging, ..value(b"f", Function::Sum, &[], 1.0) };
        assert_eq!(buckets.add(&stranger, 0), Added::NoBucket);
        assert!(!buckets.tick(9 * SECOND) && buckets.tick(10 * SECOND));
        assert_eq!(
            shown(&buckets.take_ready()),
            [
                "#host=1 #const=c sum=-2 avg=-1 max=1 last=-3 @10",
                "#host=2 #const=c sum=10 avg=10 max=10 last=10 @10"
            ]
        );
        assert!(!buckets.tick(20 * SECOND), "all were given out");
        assert_eq!((buckets.groups, buckets.ready_bytes), (0, 0));
        // A clock that is set back does not stop the bucket for as long.
        assert!(!buckets.tick(0));
        assert_eq!(buckets.add(&value(b"s", Function::Sum, &[], 4.0), 0), Added::Added);
        assert!(buckets.tick(10 * SECOND));
        assert_eq!(shown(&buckets.take_ready()), ["#const=c s=4 @10"]);
    }

    #[test]
    fn points_come_after_so_many_values_and_at_the_end() {
        let mut buckets = Buckets::default();
        let kept = NewBucket { count_max: Some(2), keep: true, category: Category::Metric, ..bucket(b"b") };
        assert!(buckets.create(&kept, 0));
        let one = value(b"s", Function::Sum, &[], 1.0);
        assert_eq!([buckets.add(&one, 1), buckets.add(&one, 2)], [Added::Added, Added::Full]);
        assert_eq!(shown(&buckets.take_ready()), ["#const=c s=2 @0"]);
        // It goes on adding up.
        assert_eq!(buckets.add(&one, 3), Added::Added);
        assert!(buckets.finish(7 * SECOND));
        assert_eq!(shown(&buckets.take_ready()), ["#const=c s=3 @7"]);
        assert_eq!((buckets.add(&one, 8), buckets.bytes), (Added::NoBucket, 0));
        // Points of logs are as any that is built.
        let logs = NewBucket { category: Category::Logging, ..bucket(b"b") };
        assert!(buckets.create(&logs, 0));
        buckets.add(&NewValue { category: Category::Logging, ..one }, 0);
        buckets.finish(0);
        assert_eq!(shown(&buckets.take_ready()), ["#const=c s=1 status=info @0"]);
    }

    #[test]
    fn what_grows_is_bounded() {
        let mut buckets = Buckets::default();
        let names: Vec<[u8; 4]> = (0..2 * BUCKETS_MAX as u32).map(u32::to_be_bytes).collect();
        let made = names.iter().filter(|name| buckets.create(&bucket(&name[..]), 0)).count();
        assert_eq!(made, BUCKETS_MAX);
        let mut buckets = Buckets::default();
        buckets.create(&bucket(b"b"), 0);
        let long = vec![b'x'; 4_096];
        let mut added = 0;
        for n in 0..GROUPS_MAX as u32 + 10 {
            let number = n.to_be_bytes();
            let by: [(&[u8], &[u8]); 2] = [(b"n", &number), (b"long", if n < 10_000 { &long } else { b"" })];
            added += usize::from(buckets.add(&value(b"s", Function::Sum, &by, 1.0), 0) == Added::Added);
            assert!(buckets.bytes <= BYTES_MAX);
        }
        assert!(added < GROUPS_MAX, "{added}");
        assert!(buckets.tick(100 * SECOND));
        assert_eq!((buckets.take_ready().len(), buckets.groups), (added, 0));
        assert_eq!(buckets.add(&value(b"s", Function::Sum, &[], 1.0), 0), Added::Added);
    }
}
