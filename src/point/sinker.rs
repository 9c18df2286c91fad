//! The sinker: points go up in groups, each under a header that says what its points have in common, by which the
//! destination chooses among workspaces.
//!
//! ```text
//! X-Global-Tags: host=web-1,cluster=a,source=nginx
//! ```
//!
//! A point's value is made of its texts whose keys are among those of the global tags or those that are configured:
//! fields first, then tags, each in the order in which they stand in the point, then what its category adds
//! (`category`, and its measurement under the platform's word for it). Nothing is escaped or sorted; a point that has
//! none of the keys has an empty value, which is sent as one.
//!
//! Points are grouped when they are encoded: who has the sinker off pays nothing.

use std::fmt;

use crate::config::{Destination, Settings};

use super::filter::measurement_key;
use super::pb::{self, PbPart, PbValue};
use super::{Batch, Category};

/// A value is stored with every block and sent with every package. What does not fit into it is left out, pair by pair.
pub const VALUE_BYTES_MAX: usize = 768;

/// Values of one body. A key with more of them is no key to choose workspaces by, and each becomes a lane.
pub const VALUES_MAX: usize = 256;

/// The keys that points are grouped by.
#[derive(Debug)]
pub struct Sinker {
    /// Sorted.
    keys: Vec<Box<[u8]>>,
    /// Bit [`bit_of`] is set for each of them.
    filter: u64,
    header: String,
}

/// Points by value, in the order in which the values came.
#[derive(Debug, Default)]
pub struct Groups {
    pub groups: Vec<(Box<str>, Batch)>,
    value: Vec<u8>,
    tags: Vec<u8>,
}

/// More values than one body may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyValues;

impl fmt::Display for TooManyValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {VALUES_MAX} values of the sinker's keys in one request")
    }
}

/// What a call to the destination says that carries no points; none while the sinker is off. Nothing in it ends a header.
pub fn static_header(settings: &Settings) -> Option<String> {
    let header = Sinker::of(settings)?.header;
    Some(header.replace(char::is_control, " "))
}

impl Sinker {
    /// The sinker of a configuration: none unless it is on and there are keys.
    pub fn of(settings: &Settings) -> Option<Sinker> {
        let Destination::Dataway(dataway) = &settings.destination else { return None };
        let customer_keys = dataway.sinker_keys.as_ref()?;
        // Of a key in both the election's value counts.
        let election = &settings.global_election_tags;
        let host = settings
            .global_host_tags
            .iter()
            .filter(|(key, _)| election.iter().all(|(other, _)| other != key));
        Sinker::new(host.chain(election).map(|(key, value)| (&**key, &**value)), customer_keys)
    }

    /// With these global tags, and keys beside theirs.
    pub fn new<'a>(
        tags: impl IntoIterator<Item = (&'a str, &'a str)>,
        customer_keys: &[String],
    ) -> Option<Sinker> {
        let mut tags: Vec<(&str, &str)> = tags.into_iter().collect();
        tags.sort_unstable();
        let names = tags.iter().map(|(key, _)| *key).chain(customer_keys.iter().map(String::as_str));
        let mut keys: Vec<Box<[u8]>> =
            names.filter(|key| !key.is_empty()).map(|key| key.as_bytes().into()).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return None;
        }
        let mut header = Vec::new();
        tags.iter().for_each(|(key, value)| push(&mut header, key.as_bytes(), value.as_bytes()));
        let header = String::from_utf8_lossy(&header).into_owned();
        let filter = keys.iter().fold(0, |filter, key| filter | bit_of(key));
        Some(Sinker { keys, filter, header })
    }

    fn has(&self, key: &[u8]) -> bool {
        self.filter & bit_of(key) != 0 && self.keys.binary_search_by(|own| (**own).cmp(key)).is_ok()
    }

    /// The value of what is no point: of pairs, and of a category that adds its name.
    pub fn value_of<'a>(
        &self,
        category: Category,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Box<str> {
        let mut value = Vec::new();
        for (key, text) in pairs.into_iter().filter(|(key, _)| self.has(key)) {
            push(&mut value, key, text);
        }
        self.push_virtual(category, b"", &mut value);
        String::from_utf8_lossy(&value).into()
    }

    /// Deals the points of `batch` out to their groups. After an error some of them are.
    pub fn split(&self, category: Category, batch: &Batch, groups: &mut Groups) -> Result<(), TooManyValues> {
        let mut rest = batch.bytes.as_slice();
        // The encoder's own bytes: they end where they should.
        while let Ok((point, len)) = pb::first(rest)
            && len > 0
        {
            let (bytes, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            rest = behind;
            if let Some(point) = point {
                self.read(category, point, groups);
                let group = groups.group()?;
                group.bytes.extend_from_slice(bytes);
                group.points += 1;
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The value of an encoded point, into `groups.value`.
    fn read(&self, category: Category, point: &[u8], groups: &mut Groups) {
        let Groups { value, tags, .. } = groups;
        value.clear();
        tags.clear();
        let mut name = &b""[..];
        for part in pb::parts(point).map_while(Result::ok) {
            match part {
                PbPart::Name(text) => name = text,
                PbPart::Field(field) if self.has(field.key) => {
                    if let PbValue::Str(text) = field.value {
                        push(if field.is_tag { tags } else { value }, field.key, text);
                    }
                }
                PbPart::Field(_) | PbPart::Time(_) | PbPart::Warn(_) | PbPart::Debug(_) => {}
            }
        }
        if !tags.is_empty() && value.is_empty() {
            std::mem::swap(value, tags);
        } else if !tags.is_empty() && value.len() + 1 + tags.len() <= VALUE_BYTES_MAX {
            value.push(b',');
            value.extend_from_slice(tags);
        }
        self.push_virtual(category, name, value);
    }

    fn push_virtual(&self, category: Category, name: &[u8], out: &mut Vec<u8>) {
        if self.has(b"category") {
            push(out, b"category", category.name().as_bytes());
        }
        if let Some(key) = measurement_key(category).filter(|key| self.has(key.as_bytes())) {
            push(out, key.as_bytes(), name);
        }
    }
}

impl Groups {
    /// Takes the groups out that have become larger than so many bytes.
    pub fn take_larger_than(&mut self, bytes: usize) -> Vec<(Box<str>, Batch)> {
        self.groups.extract_if(.., |(_, batch)| batch.bytes.len() > bytes).collect()
    }

    /// The group of `value`.
    fn group(&mut self) -> Result<&mut Batch, TooManyValues> {
        // Most points are of the same group as the one before, and bodies of few values have few to look through.
        let Groups { groups, value, .. } = self;
        let index = match groups.iter().rposition(|(text, _)| text.as_bytes() == value.as_slice()) {
            Some(index) => index,
            None => {
                let text: Box<str> = String::from_utf8_lossy(value).into();
                match groups.iter().position(|(other, _)| *other == text) {
                    Some(index) => index,
                    None if groups.len() == VALUES_MAX => return Err(TooManyValues),
                    None => {
                        groups.push((text, Batch::default()));
                        groups.len() - 1
                    }
                }
            }
        };
        Ok(&mut groups[index].1)
    }
}

fn bit_of(key: &[u8]) -> u64 {
    1 << ((key.len() as u8 ^ key.first().copied().unwrap_or(0)) & 63)
}

fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let separator = usize::from(!out.is_empty());
    if out.len() + separator + key.len() + 1 + value.len() > VALUE_BYTES_MAX {
        return;
    }
    if separator > 0 {
        out.push(b',');
    }
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::draft::{DraftKv, Value};
    use crate::point::wire;

    fn sinker(tags: &[(&str, &str)], keys: &[&str]) -> Option<Sinker> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        Sinker::new(tags.iter().copied(), &keys)
    }

    fn batch(points: &[Vec<DraftKv<'_>>]) -> Batch {
        let mut batch = Batch::default();
        for kvs in points {
            wire::put_message(&mut batch.bytes, wire::POINTS_POINT, |out| {
                wire::put_bytes(out, wire::POINT_NAME, b"some");
                kvs.iter().for_each(|kv| kv.encode(out));
                wire::put_uint(out, wire::POINT_TIME, 1);
            });
            batch.points += 1;
        }
        batch
    }

    fn tag(key: &'static str, value: &'static str) -> DraftKv<'static> {
        DraftKv::tag(key.as_bytes(), value.as_bytes())
    }

    fn text(key: &'static str, value: &'static str) -> DraftKv<'static> {
        DraftKv::field(key.as_bytes(), Value::Str(value.as_bytes().into()))
    }

    fn values(sinker: &Sinker, category: Category, points: &[Vec<DraftKv<'_>>]) -> Vec<(String, u32)> {
        let mut groups = Groups::default();
        sinker.split(category, &batch(points), &mut groups).unwrap();
        for (_, group) in &groups.groups {
            assert_eq!(pb::points(&group.bytes).filter(Result::is_ok).count(), group.points as usize);
        }
        groups.groups.iter().map(|(value, group)| (value.to_string(), group.points)).collect()
    }

    #[test]
    fn points_are_grouped_as_datakit_groups_them() {
        let by_customer = sinker(&[], &["class", "tag2", "t1", "t2"]).unwrap();
        let points = [
            vec![tag("t1", "v1"), tag("t2", "v1"), tag("tag1", "x")],
            vec![tag("t1", "v1")],
            vec![tag("t1", "v1"), tag("tag2", "new")],
            vec![tag("message", "ns1"), tag("tag2", "new")],
            vec![DraftKv::field(&b"t1"[..], Value::Int(1))],
            vec![tag("t1", "v1")],
        ];
        let expected = [
            ("t1=v1,t2=v1,class=some", 1),
            ("t1=v1,class=some", 2),
            ("t1=v1,tag2=new,class=some", 1),
            ("tag2=new,class=some", 1),
            ("class=some", 1),
        ];
        let expected: Vec<_> = expected.map(|(value, points)| (value.to_owned(), points)).into();
        assert_eq!(values(&by_customer, Category::Object, &points), expected);

        let by_tags = sinker(&[("tag1", "gateway")], &["namespace"]).unwrap();
        assert_eq!(
            values(&by_tags, Category::Metric, &points),
            [("tag1=x".to_owned(), 1), (String::new(), 5)],
            "the point's own value, and an empty one where it has none"
        );
        let by_category = sinker(&[], &["category", "source"]).unwrap();
        assert_eq!(
            values(&by_category, Category::Security, &[vec![tag("category", "system")]]),
            [("category=system,category=security".to_owned(), 1)]
        );
        assert_eq!(
            values(&by_category, Category::Logging, &[vec![]]),
            [("category=logging,source=some".to_owned(), 1)]
        );
        let fields_first = sinker(&[], &["a", "b"]).unwrap();
        assert_eq!(
            values(&fields_first, Category::Logging, &[vec![tag("a", "1"), text("b", "2")]]),
            [("b=2,a=1".to_owned(), 1)]
        );
    }

    #[test]
    fn it_is_off_without_keys_and_says_all_tags_beside_points() {
        assert!(sinker(&[], &[]).is_none() && sinker(&[("", "x")], &[""]).is_none());
        let sinker = sinker(&[("zone", "z"), ("host", "web-1")], &["k"]).unwrap();
        assert_eq!(sinker.header, "host=web-1,zone=z");
        let pairs = [(&b"host"[..], &b"h"[..]), (b"x", b"y"), (b"k", b"\xff")];
        assert_eq!(&*sinker.value_of(Category::SessionReplay, pairs), "host=h,k=\u{fffd}");
    }

    #[test]
    fn values_are_bounded_in_length_and_number() {
        let sinker = sinker(&[], &["a", "b"]).unwrap();
        let long = "x".repeat(VALUE_BYTES_MAX).leak();
        assert_eq!(
            values(&sinker, Category::Metric, &[vec![tag("a", long), tag("b", "1")]]),
            [("b=1".to_owned(), 1)]
        );
        let points: Vec<Vec<DraftKv<'_>>> =
            (0..=VALUES_MAX).map(|n| vec![DraftKv::tag(&b"a"[..], n.to_string().into_bytes())]).collect();
        let mut groups = Groups::default();
        assert_eq!(sinker.split(Category::Metric, &batch(&points), &mut groups), Err(TooManyValues));
        assert_eq!(groups.groups.len(), VALUES_MAX);
    }
}
