//! Global tags: what is added to every point on its way in, unless the point has that key itself.
//!
//! They are encoded once, when the configuration is read or changed. They are added after the checks, so neither
//! limits nor disabled keys apply to them, and they do not show in an echo.

use super::wire;

/// How many global tags there may be: the encoder keeps one bit a tag for those a point already has.
pub const GLOBAL_TAGS_MAX: usize = 64;

/// A set of tags, encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalTags {
    tags: Vec<GlobalTag>,
}

/// One tag: its key, and the whole `PBPoint.fields` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalTag {
    pub key: Box<[u8]>,
    pub encoded: Box<[u8]>,
}

/// More than [`GLOBAL_TAGS_MAX`] tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyGlobalTags(pub usize);

impl std::fmt::Display for TooManyGlobalTags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} global tags, at most {GLOBAL_TAGS_MAX} can be added to points", self.0)
    }
}

impl GlobalTags {
    /// Encodes `pairs`; of a key that comes twice the last value stays, an empty key is left out.
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
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
            tags.push(GlobalTag { key: key.as_bytes().into(), encoded: encoded.into_boxed_slice() });
        }
        if tags.len() > GLOBAL_TAGS_MAX {
            return Err(TooManyGlobalTags(tags.len()));
        }
        Ok(GlobalTags { tags })
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
        let result = GlobalTags::new(names.iter().map(|name| (name.as_str(), "v")));
        assert_eq!(result, Err(TooManyGlobalTags(GLOBAL_TAGS_MAX + 1)));
    }
}
