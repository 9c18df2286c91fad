//! Whether a point has a key twice, asked for every key of every point.
//!
//! A table of keys' hashes that is never cleared: each entry says of which point it is, and those of others are free.
//! The same hash twice in a point is taken for the same key, which may be wrong once in millions of points; whoever
//! asks then looks at the keys themselves. What a client cannot do by choosing keys is make this slow: a search ends
//! after a few steps, with the same answer.

/// Three times the most keys an ordinary point has (`TAGS_MAX + FIELDS_MAX`), so that searches are short. Only as many
/// entries are touched as there are keys in use, so of the 16 KiB little is in the cache.
const SLOTS: usize = 4096;

/// How far a key may stand from its place.
const STEPS_MAX: usize = 8;

/// An entry: the point's number in the upper half, the key's hash in the lower.
#[derive(Debug)]
pub(super) struct Keys {
    slots: Box<[u32; SLOTS]>,
    /// The point at hand; 0 is the number of none.
    point: u16,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { slots: Box::new([0; SLOTS]), point: 0 }
    }
}

impl Keys {
    /// Another point: no key is there.
    #[inline(always)]
    pub(super) fn next_point(&mut self) {
        self.point = self.point.wrapping_add(1);
        if self.point == 0 {
            self.slots.fill(0);
            self.point = 1;
        }
    }

    /// Adds a key, by its hash. The result is not zero if the point (probably) has it already.
    #[inline(always)]
    pub(super) fn add(&mut self, hash: u64) -> u32 {
        let entry = u32::from(self.point) << 16 | hash as u32 & 0xffff;
        let slot = (hash >> 52) as usize;
        let there = &mut self.slots[slot];
        if *there >> 16 == u32::from(self.point) {
            return self.add_elsewhere(entry, slot);
        }
        *there = entry;
        0
    }

    /// Another key of the point, or the same, stands in the key's place.
    #[cold]
    #[inline(never)]
    fn add_elsewhere(&mut self, entry: u32, slot: usize) -> u32 {
        for step in 0..STEPS_MAX {
            let there = &mut self.slots[(slot + step) % SLOTS];
            if *there >> 16 != u32::from(self.point) {
                *there = entry;
                return 0;
            }
            if *there == entry {
                return 1;
            }
        }
        1
    }
}

const _: () = assert!(SLOTS == 1 << 12, "the upper twelve bits of a hash are the place");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_own_point_only() {
        let mut keys = Keys::default();
        let hashes: Vec<u64> = (1..=1000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        // Once around the numbers of points, so that old entries would be seen if they stayed.
        for _ in 0..140_000 {
            keys.next_point();
            assert_eq!(keys.add(hashes[0]), 0);
            assert_eq!(keys.add(hashes[0]), 1);
            assert_eq!(keys.add(hashes[1]), 0);
        }
        keys.next_point();
        let taken: u32 = hashes.iter().map(|&hash| keys.add(hash)).sum();
        assert!(taken < 10, "{taken} of 1000 different keys were taken for others");
        assert!(hashes.iter().all(|&hash| keys.add(hash) == 1));
    }

    #[test]
    fn keys_chosen_to_collide_end_the_search() {
        let mut keys = Keys::default();
        keys.next_point();
        let found: Vec<u32> = (0..20).map(|low| keys.add(7 << 52 | low)).collect();
        assert!(found[..STEPS_MAX].iter().all(|&found| found == 0));
        assert!(found[STEPS_MAX..].iter().all(|&found| found == 1));
    }
}
