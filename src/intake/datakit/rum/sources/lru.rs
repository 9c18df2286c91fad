//! A cache with a bound on its bytes: what was not asked for the longest time goes first.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// What an entry costs beside its own bytes: the entry of each of the two maps.
const ENTRY_BYTES: usize = 128;

/// See the head of this file. `K` is cloned: an [`std::sync::Arc`] or a number.
#[derive(Debug)]
pub struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys by when they were last asked for.
    order: BTreeMap<u64, K>,
    tick: u64,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    tick: u64,
}

impl<K: Hash + Eq + Clone, V> Lru<K, V> {
    pub fn new(bytes_max: usize) -> Lru<K, V> {
        Lru { entries: HashMap::new(), order: BTreeMap::new(), tick: 0, bytes: 0, bytes_max }
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(key)?;
        if let Some(key) = self.order.remove(&entry.tick) {
            self.tick += 1;
            entry.tick = self.tick;
            self.order.insert(self.tick, key);
        }
        Some(&entry.value)
    }

    /// Keeps `value`, which takes `bytes`, and lets go of others for it. What is larger than the bound is not kept.
    pub fn put(&mut self, key: K, value: V, bytes: usize) {
        self.remove(&key);
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        if bytes > self.bytes_max {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
        self.tick += 1;
        self.bytes += bytes;
        self.order.insert(self.tick, key.clone());
        self.entries.insert(key, Entry { value, bytes, tick: self.tick });
    }

    /// Another bound, from the next entry on.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.tick);
            self.bytes -= entry.bytes;
        }
    }

    /// Keeps those of which `keep` says so.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let gone: Vec<K> = self.entries.keys().filter(|key| !keep(key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// What is held, with what holding it costs.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_goes_first() {
        let mut lru = Lru::new(3 * (ENTRY_BYTES + 10));
        for key in 1..=3 {
            lru.put(key, key * 10, 10);
        }
        assert_eq!(lru.get(&1), Some(&10));
        lru.put(4, 40, 10);
        assert_eq!([1, 2, 3, 4].map(|key| lru.get(&key).copied()), [Some(10), None, Some(30), Some(40)]);
        assert_eq!((lru.len(), lru.bytes()), (3, 3 * (ENTRY_BYTES + 10)));
        // A large one takes the room of several, one that is too large that of none.
        lru.put(5, 50, ENTRY_BYTES + 20);
        assert_eq!([1, 3, 4, 5].map(|key| lru.get(&key).copied()), [None, None, Some(40), Some(50)]);
        lru.put(6, 60, usize::MAX);
        assert_eq!([5, 6].map(|key| lru.get(&key).copied()), [Some(50), None]);
    }

    #[test]
    fn the_sum_is_that_of_the_entries_whatever_is_done() {
        let mut lru = Lru::new(5000);
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (key, bytes) = ((seed >> 33) % 64, (seed >> 40) as usize % 900);
            match (seed >> 60) % 4 {
                0 => lru.remove(&key),
                1 => drop(lru.get(&key).copied()),
                _ => lru.put(key, key, bytes),
            }
            let sum: usize = lru.entries.values().map(|entry| entry.bytes).sum();
            assert_eq!((lru.bytes, lru.order.len()), (sum, lru.entries.len()));
            assert!(lru.bytes <= 5000);
        }
        lru.retain(|key| key % 2 == 0);
        assert!(!lru.is_empty() && lru.entries.keys().all(|key| key % 2 == 0));
    }
}
