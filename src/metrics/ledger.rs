//! The account of a category's points since the process started:
//!
//! ```text
//! in + recovered = in flight + spooled + delivered + dead + dropped
//! ```
//!
//! *In flight* is what lies in open blocks and rings. It is not counted but derived, so it is what would show an
//! error of the account: at a quiet moment it is exactly zero. Scraped under load it is right within what moved
//! during the scrape, and may even be negative for that instant.

use std::sync::Arc;

use super::counters::{DropReason, ShardCounters};

/// One category's points, summed over the shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub points_in: u64,
    pub recovered: u64,
    pub spooled: u64,
    pub delivered: u64,
    pub dead: u64,
    /// In the order of [`DropReason::ALL`].
    pub dropped: Vec<u64>,
}

impl Account {
    /// Adds up what the shards have counted for the category with this index.
    pub fn of(shards: &[Arc<ShardCounters>], category: usize) -> Account {
        let mut account = Account { dropped: vec![0; DropReason::ALL.len()], ..Account::default() };
        for shard in shards {
            let cells = &shard.categories[category];
            // Against the flow: what is read later has then at least what the earlier reads have passed on.
            account.delivered += cells.points_delivered.get();
            account.dead += cells.points_dead.get();
            for (sum, reason) in account.dropped.iter_mut().zip(DropReason::ALL) {
                *sum += cells.dropped(*reason);
            }
            account.spooled += cells.spooled_points.get();
            account.recovered += cells.points_recovered.get();
            account.points_in += cells.points_in.get();
        }
        account
    }

    /// Accepted points that will not be delivered, for whatever reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Points accepted that are neither on disk nor anywhere else the account knows.
    pub fn in_flight(&self) -> i64 {
        let credit = self.points_in + self.recovered;
        let debit = self.spooled + self.delivered + self.dead + self.dropped_total();
        credit as i64 - debit as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_shards_and_balances() {
        let shards = [Arc::new(ShardCounters::default()), Arc::new(ShardCounters::default())];
        shards[0].categories[1].points_in.add(70);
        shards[1].categories[1].points_in.add(30);
        shards[1].categories[1].points_recovered.add(5);
        assert_eq!(Account::of(&shards, 1).in_flight(), 105);
        shards[0].categories[1].spooled_points.set(60);
        shards[0].categories[1].points_delivered.add(40);
        shards[0].categories[1].points_dead.add(3);
        shards[0].categories[1].drop_points(DropReason::Damaged, 2);
        let account = Account::of(&shards, 1);
        assert_eq!(account.in_flight(), 0);
        assert_eq!(account.dropped[DropReason::Damaged as usize], 2);
        assert_eq!(
            Account::of(&shards, 0),
            Account { dropped: vec![0; DropReason::ALL.len()], ..Account::default() }
        );
    }
}
