//! A map that keeps the order of its keys. Of a key that comes twice the last value counts, as in Go's maps.

use std::borrow::Cow;
use std::collections::HashMap;

/// Up to here keys are searched from front to back; beyond, in a (seeded) hash map, so that no choice of keys is worse
/// than another.
const LINEAR_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Unique<'a, T> {
    entries: Vec<(Cow<'a, [u8]>, T)>,
    index: HashMap<Cow<'a, [u8]>, u32>,
}

impl<T> Default for Unique<'_, T> {
    fn default() -> Self {
        Unique { entries: Vec::new(), index: HashMap::new() }
    }
}

impl<'a, T> Unique<'a, T> {
    pub fn clear(&mut self) {
        self.entries.clear();
        self.index.clear();
    }

    pub fn insert(&mut self, key: Cow<'a, [u8]>, value: T) {
        match self.position(&key) {
            Some(index) => {
                if let Some(entry) = self.entries.get_mut(index) {
                    entry.1 = value;
                }
            }
            None => {
                self.entries.push((key, value));
                self.extend_index();
            }
        }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.position(key).is_some()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn position(&self, key: &[u8]) -> Option<usize> {
        if self.entries.len() > LINEAR_MAX {
            return self.index.get(key).map(|&index| index as usize);
        }
        self.entries.iter().position(|(entry, _)| **entry == *key)
    }

    /// Puts what is not in the index into it, once it is asked at all.
    fn extend_index(&mut self) {
        if self.entries.len() > LINEAR_MAX {
            let from = self.index.len();
            for (index, (key, _)) in self.entries.iter().enumerate().skip(from) {
                self.index.insert(key.clone(), index as u32);
            }
        }
    }
}

impl<'a, T> IntoIterator for Unique<'a, T> {
    type Item = (Cow<'a, [u8]>, T);
    type IntoIter = std::vec::IntoIter<(Cow<'a, [u8]>, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_stays_where_the_first_was() {
        for count in [3_u32, 31, 32, 33, 34, 200] {
            let mut unique = Unique::default();
            for round in [0, 1000] {
                for key in 0..count {
                    unique.insert(Cow::Owned(key.to_string().into_bytes()), round + key);
                }
            }
            assert!(unique.contains(b"2") && !unique.contains(b"x"));
            assert_eq!(unique.len(), count as usize);
            let values: Vec<u32> = unique.into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, (1000..1000 + count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_map_that_was_cleared_is_empty() {
        let mut unique = Unique::default();
        (0..100_u32).for_each(|key| unique.insert(Cow::Owned(key.to_string().into_bytes()), key));
        unique.clear();
        assert!(!unique.contains(b"1"));
        unique.insert(Cow::Borrowed(b"1"), 7);
        assert_eq!(unique.into_iter().collect::<Vec<_>>(), [(Cow::Borrowed(&b"1"[..]), 7)]);
    }
}
