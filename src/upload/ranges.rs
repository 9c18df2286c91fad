//! Points of a frame whose fate is known, as ranges: so that what two destinations refuse alike is counted once.

/// Ranges of points, ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    taken: Vec<(u32, u32)>,
}

impl Ranges {
    /// Adds `first..end` and says how many of these points are new.
    pub fn add(&mut self, first: u32, end: u32) -> u32 {
        let end = end.max(first);
        let (mut first_all, mut end_all, mut known) = (first, end, 0);
        self.taken.retain(|&(from, to)| {
            if to < first || from > end {
                return true;
            }
            known += to.min(end).saturating_sub(from.max(first));
            (first_all, end_all) = (first_all.min(from), end_all.max(to));
            false
        });
        if end_all > first_all {
            let at = self.taken.partition_point(|(from, _)| *from < first_all);
            self.taken.insert(at, (first_all, end_all));
        }
        end - first - known
    }

    /// Points in all of them.
    pub fn points(&self) -> u32 {
        self.taken.iter().map(|(from, to)| to - from).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::file::memory::Random;

    #[test]
    fn what_is_new_is_counted_once() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.add(10, 20), 10);
        assert_eq!(ranges.add(12, 15), 0);
        assert_eq!(ranges.add(5, 12), 5);
        assert_eq!(ranges.add(30, 40), 10);
        assert_eq!(ranges.add(20, 30), 10);
        assert_eq!((ranges.add(7, 7), ranges.points()), (0, 35));
        assert_eq!(ranges, Ranges { taken: vec![(5, 40)] });
    }

    #[test]
    fn it_agrees_with_a_set() {
        for seed in 0..200 {
            let mut random = Random(seed);
            let (mut ranges, mut set) = (Ranges::default(), std::collections::BTreeSet::new());
            for _ in 0..20 {
                let first = random.below(60) as u32;
                let end = first + random.below(10) as u32;
                let new = (first..end).filter(|point| set.insert(*point)).count();
                assert_eq!(ranges.add(first, end) as usize, new, "seed {seed}");
                assert_eq!(ranges.points() as usize, set.len(), "seed {seed}");
            }
        }
    }
}
