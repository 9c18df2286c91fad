//! Global tags: what is added to every point on its way in, unless the point has that key itself.
//!
//! They are encoded once, when the configuration is read or changed. They are added after the checks, so neither
//! limits nor disabled keys apply to them, and they do not show in an echo.

use super::wire;

/// How many global tags there may be. With those of a request they fit into 64: the encoder keeps one bit a tag for those
/// that a point already has.
pub const GLOBAL_TAGS_MAX: usize = 48;

/// How many tags of its own a request may have.
pub const OWN_TAGS_MAX: usize = 64 - GLOBAL_TAGS_MAX;

/// A set of tags, encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalTags {
    tags: Vec<GlobalTag>,
}

/// One tag: its key and value, and the whole `PBPoint.fields` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalTag {
    pub key: Box<[u8]>,
    pub value: Box<[u8]>,
    pub encoded: Box<[u8]>,
}

/// More tags than can be added to points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyGlobalTags {
    pub tags: usize,
    pub most: usize,
}

impl std::fmt::Display for TooManyGlobalTags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tags, at most {} can be added to points", self.tags, self.most)
    }
}

impl GlobalTags {
    /// Encodes `pairs`; of a key that comes twice the last value stays, an empty key is left out.
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<GlobalTags, TooManyGlobalTags> {
        GlobalTags::bounded(pairs, GLOBAL_TAGS_MAX)
    }

    /// As [`GlobalTags::new`], for the tags of one request.
    pub fn own<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<GlobalTags, TooManyGlobalTags> {
        GlobalTags::bounded(pairs, OWN_TAGS_MAX)
    }

    fn bounded<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        most: usize,
    ) -> Result<GlobalTags, TooManyGlobalTags> {
        let mut tags: Vec<GlobalTag> = Vec::new();
        for (key, value) in pairs.into_iter().filter(|(key, _)| !key.is_empty()) {
            let mut encoded = Vec::with_capacity(key.len() + value.len() + 16);
            wire::put_message(&mut encoded, wire::POINT_FIELD, |out| {
                wire::put_bytes(out, wire::FIELD_KEY, key.as_bytes());
                wire::put_bytes(out, wire::FIELD_STR, value.as_bytes());
                wire::put_uint(out, wire::FIELD_IS_TAG, 1);
            });
            tags.retain(|tag| &*tag.key != key.as_bytes());
            tags.push(GlobalTag {
                key: key.as_bytes().into(),
                value: value.as_bytes().into(),
                encoded: encoded.into_boxed_slice(),
            });
        }
        if tags.len() > most {
            return Err(TooManyGlobalTags { tags: tags.len(), most });
        }
        Ok(GlobalTags { tags })
    }

    /// These and then `others`, without those of a key that is here.
    pub fn joined(&self, others: &GlobalTags) -> GlobalTags {
        let others = others.tags.iter().filter(|other| self.tags.iter().all(|tag| tag.key != other.key));
        let tags: Vec<GlobalTag> = self.tags.iter().chain(others).cloned().collect();
        assert!(tags.len() <= GLOBAL_TAGS_MAX + OWN_TAGS_MAX, "BUG: {} tags in a request", tags.len());
        GlobalTags { tags }
    }

    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    pub fn as_slice(&self) -> &[GlobalTag] {
        &self.tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_encoded_as_fields_of_a_point() {
        let tags = GlobalTags::new([("host", "a"), ("host", "b"), ("", "x")]).unwrap();
        assert_eq!(tags.as_slice().len(), 1);
        assert_eq!(&*tags.as_slice()[0].encoded, b"\x12\x0b\x0a\x04host\x5a\x01b\x40\x01");
    }

    #[test]
    fn more_tags_than_bits_are_refused() {
        let names: Vec<String> = (0..=GLOBAL_TAGS_MAX).map(|i| format!("t{i}")).collect();
        let pairs = |n: usize| names.iter().take(n).map(|name| (name.as_str(), "v"));
        let (tags, most) = (GLOBAL_TAGS_MAX + 1, GLOBAL_TAGS_MAX);
        assert_eq!(GlobalTags::new(pairs(tags)), Err(TooManyGlobalTags { tags, most }));
        let (tags, most) = (OWN_TAGS_MAX + 1, OWN_TAGS_MAX);
        assert_eq!(GlobalTags::own(pairs(tags)), Err(TooManyGlobalTags { tags, most }));
    }

    #[test]
    fn a_requests_own_tags_come_before_global_ones() {
        let own = GlobalTags::own([("ip", "1.2.3.4"), ("host", "mine")]).unwrap();
        let joined = own.joined(&GlobalTags::new([("host", "gateway"), ("zone", "z")]).unwrap());
        let keys: Vec<&[u8]> = joined.as_slice().iter().map(|tag| &*tag.key).collect();
        assert_eq!(keys, [&b"ip"[..], b"host", b"zone"]);
        assert_eq!(joined.as_slice()[1], own.as_slice()[1]);
    }
}
