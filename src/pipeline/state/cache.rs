//! Values under keys, for a time: `cache_get` and `cache_set`.
//!
//! The reference keeps time in a wheel of a hundred seconds, in which longer times never end and a key set anew goes with
//! its older time. Here a value goes when its time has come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::owned::Owned;

/// Of one script. Past either, those go that would go first.
pub const ENTRIES_MAX: usize = 1 << 16;
pub const BYTES_MAX: usize = 64 << 20;
/// One key with its value. A larger one would push out thousands of others.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// What an entry takes beside its key (held twice) and its value.
const OVERHEAD_BYTES: usize = 128;

/// Values by key.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<Arc<[u8]>, Entry>,
    /// Keys by the end of their time; the number tells equal times apart.
    ends: BTreeMap<(i64, u64), Arc<[u8]>>,
    bytes: usize,
    sets: u64,
}

#[derive(Debug)]
struct Entry {
    value: Owned,
    end: (i64, u64),
    bytes: usize,
}

impl Cache {
    pub fn get(&mut self, key: &[u8], now_ns: i64) -> Option<Owned> {
        self.entries.get(key).filter(|entry| entry.end.0 > now_ns).map(|entry| entry.value.clone())
    }

    /// False where the value is too large to be kept.
    pub fn set(&mut self, key: &[u8], value: Owned, now_ns: i64, until_ns: i64) -> bool {
        let bytes = OVERHEAD_BYTES + key.len() + value.bytes();
        if bytes > ENTRY_BYTES_MAX {
            return false;
        }
        if let Some(before) = self.entries.remove(key) {
            self.forget(&before);
        }
        while let Some((end, key)) = self.ends.pop_first() {
            let full = self.entries.len() >= ENTRIES_MAX || self.bytes + bytes > BYTES_MAX;
            if end.0 > now_ns && !full {
                self.ends.insert(end, key);
                break;
            }
            if let Some(gone) = self.entries.remove(&key) {
                self.bytes = self.bytes.saturating_sub(gone.bytes);
            }
        }
        self.sets += 1;
        let (key, end): (Arc<[u8]>, _) = (key.into(), (until_ns, self.sets));
        self.ends.insert(end, Arc::clone(&key));
        self.entries.insert(key, Entry { value, end, bytes });
        self.bytes += bytes;
        true
    }

    fn forget(&mut self, entry: &Entry) {
        self.ends.remove(&entry.end);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &[u8]) -> Owned {
        Owned::Str(text.into())
    }

    #[test]
    fn values_go_when_their_time_has_come() {
        let mut cache = Cache::default();
        assert!(cache.set(b"a", Owned::Int(1), 0, 10));
        assert!(cache.set(b"b", Owned::Int(2), 0, 1_000_000_000_000));
        assert_eq!(cache.get(b"a", 9), Some(Owned::Int(1)));
        assert_eq!(cache.get(b"a", 10), None);
        // Set anew it has its new time alone.
        assert!(cache.set(b"a", Owned::Int(3), 10, 20));
        assert!(cache.set(b"a", Owned::Int(4), 11, 40));
        assert!(cache.set(b"c", Owned::Int(5), 30, 31));
        assert_eq!((cache.get(b"a", 30), cache.get(b"b", 30)), (Some(Owned::Int(4)), Some(Owned::Int(2))));
        assert_eq!((cache.entries.len(), cache.ends.len()), (3, 3));
    }

    #[test]
    fn what_would_go_first_makes_room() {
        let mut cache = Cache::default();
        for at in 0..ENTRIES_MAX as i64 + 10 {
            assert!(cache.set(&at.to_be_bytes(), Owned::Nil, 0, 1_000 + at));
        }
        assert_eq!((cache.entries.len(), cache.ends.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert_eq!(cache.get(&9_i64.to_be_bytes(), 0), None);
        assert_eq!(cache.get(&10_i64.to_be_bytes(), 0), Some(Owned::Nil));
        let large = vec![0; ENTRY_BYTES_MAX / 2];
        for at in 0..1_000_i64 {
            assert!(cache.set(&at.to_le_bytes(), text(&large), 0, 1_000_000 + at));
            assert!(cache.bytes <= BYTES_MAX, "{}", cache.bytes);
        }
        assert!(cache.entries.len() < 200 && cache.entries.len() == cache.ends.len());
        assert!(!cache.set(b"huge", text(&vec![0; ENTRY_BYTES_MAX]), 0, 5));
        let left: usize = cache.entries.values().map(|entry| entry.bytes).sum();
        assert_eq!(left, cache.bytes);
    }
}
