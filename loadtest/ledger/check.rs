//! The comparison, point by point: what was promised against what arrived.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::point::Number;
use super::sent::{Fate, Range};
use crate::upstream::account::{Account, Faults};

/// Examples kept of each kind of violation.
const EXAMPLES_MAX: usize = 8;

/// What the comparison found; points unless it says otherwise.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Answered 2xx.
    pub acknowledged: u64,
    /// Of those, arrived.
    pub acknowledged_delivered: u64,
    /// Of those, not arrived. **Violation.**
    pub lost: u64,
    /// Answered 5xx.
    pub refused_for_now: u64,
    /// Of those, arrived all the same: the sender will have sent them again.
    pub refused_for_now_delivered: u64,
    /// Answered 4xx.
    pub refused_for_ever: u64,
    /// Of those, arrived all the same. **Violation.**
    pub refused_for_ever_delivered: u64,
    /// The connection died before an answer.
    pub unknown: u64,
    /// Of those, arrived.
    pub unknown_delivered: u64,
    /// Arrived again in a package of the same id: allowed.
    pub again_same_package: u64,
    /// Poisonous points that arrived again after an operator had them sent again.
    pub again_redriven: u64,
    /// Arrived again in a package of another id. **Violation.**
    pub again_other_package: u64,
    /// Twice within one package. **Violation.**
    pub twice_in_package: u64,
    /// Arrived and never sent. **Violation.**
    pub invented: u64,
    /// Distinct packages.
    pub packages: u64,
    /// Packages that came more than once.
    pub packages_again: u64,
    /// What the destination saw by itself. **Violations.**
    pub faults: Faults,
    /// The first violations in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Nothing that must not be.
    pub fn holds(&self) -> bool {
        self.lost
            + self.refused_for_ever_delivered
            + self.again_other_package
            + self.twice_in_package
            + self.invented
            + self.faults.sum()
            == 0
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }
}

/// How many acknowledged points have not arrived yet.
pub fn missing(sent: &[Range], account: &Account) -> u64 {
    acknowledged(sent).map(|range| u64::from(range.count) - seen(account, range)).sum()
}

/// The same without poisonous points, which a destination that knows them never takes.
pub fn missing_good(sent: &[Range], account: &Account) -> u64 {
    let incomplete = acknowledged(sent).filter(|range| seen(account, range) < u64::from(range.count));
    let missing = |range: &Range| {
        let stream = account.streams.get(&(range.run, range.conn));
        let is_there =
            |seq: u32| stream.and_then(|s| s.get(seq as usize)).is_some_and(|package| *package != 0);
        let number = |seq| Number { run: range.run, conn: range.conn, seq };
        let all = range.first..range.first + range.count;
        all.filter(|seq| !is_there(*seq) && !number(*seq).is_poisonous()).count() as u64
    };
    incomplete.map(missing).sum()
}

fn acknowledged(sent: &[Range]) -> impl Iterator<Item = &Range> {
    sent.iter().filter(|range| range.fate == Fate::Acknowledged)
}

fn seen(account: &Account, range: &Range) -> u64 {
    let Some(stream) = account.streams.get(&(range.run, range.conn)) else { return 0 };
    let begin = (range.first as usize).min(stream.len());
    let end = (range.first as usize + range.count as usize).min(stream.len());
    stream[begin..end].iter().filter(|package| **package != 0).count() as u64
}

/// Compares everything.
pub fn check(sent: &[Range], account: &Account) -> Verdict {
    let mut v = Verdict { faults: account.faults, examples: account.messages.clone(), ..Verdict::default() };
    v.examples.truncate(EXAMPLES_MAX);
    for range in sent {
        let (count, arrived) = (u64::from(range.count), seen(account, range));
        match range.fate {
            Fate::Acknowledged => {
                v.acknowledged += count;
                v.acknowledged_delivered += arrived;
                v.lost += count - arrived;
                if arrived < count {
                    v.example(|| format!("acknowledged, {arrived} of them arrived: {range:?}"));
                }
            }
            Fate::RefusedForNow => {
                v.refused_for_now += count;
                v.refused_for_now_delivered += arrived;
            }
            Fate::RefusedForEver => {
                v.refused_for_ever += count;
                v.refused_for_ever_delivered += arrived;
                if arrived > 0 {
                    v.example(|| format!("refused for ever, {arrived} of them arrived: {range:?}"));
                }
            }
            Fate::Unknown => {
                v.unknown += count;
                v.unknown_delivered += arrived;
            }
        }
    }
    let expected = v.acknowledged_delivered
        + v.refused_for_now_delivered
        + v.refused_for_ever_delivered
        + v.unknown_delivered;
    v.invented = account.ledger_points.saturating_sub(expected);
    if v.invented > 0 {
        v.example(|| "points arrived that were never sent".into());
    }
    check_again(account, &mut v);
    v.packages = account.packages.len() as u64;
    v.packages_again = account.packages.iter().filter(|p| p.deliveries > 1).count() as u64;
    v
}

/// A point may come once in every delivery of the package it first came in, and nowhere else.
fn check_again(account: &Account, v: &mut Verdict) {
    let mut in_package: HashMap<(Number, u32), u32> = HashMap::new();
    for again in &account.again {
        let number = again.number;
        let first = account.streams.get(&(number.run, number.conn)).and_then(|s| s.get(number.seq as usize));
        let first = first.copied().unwrap_or(0);
        if first != again.package + 1 && number.is_poisonous() {
            v.again_redriven += 1;
            continue;
        }
        if first != again.package + 1 {
            v.again_other_package += 1;
            let id =
                |index: u32| account.packages.get(index as usize).map_or("?", |p| p.id.as_str()).to_owned();
            v.example(|| {
                format!("{number:?} came in {} and again in {}", id(first.wrapping_sub(1)), id(again.package))
            });
            continue;
        }
        let times = in_package.entry((number, again.package)).or_default();
        *times += 1;
        let deliveries = account.packages.get(again.package as usize).map_or(0, |p| p.deliveries);
        if *times >= deliveries && number.is_poisonous() {
            // Two letters of one point, from before and after a crash.
            v.again_redriven += 1;
        } else if *times >= deliveries {
            v.twice_in_package += 1;
            v.example(|| format!("{number:?} is twice in one package"));
        } else {
            v.again_same_package += 1;
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "points")?;
        writeln!(
            f,
            "  acknowledged      {:>10}, delivered {}, LOST {}",
            self.acknowledged, self.acknowledged_delivered, self.lost
        )?;
        writeln!(
            f,
            "  refused for now   {:>10}, delivered all the same {}",
            self.refused_for_now, self.refused_for_now_delivered
        )?;
        writeln!(
            f,
            "  refused for ever  {:>10}, DELIVERED ALL THE SAME {}",
            self.refused_for_ever, self.refused_for_ever_delivered
        )?;
        writeln!(f, "  answer unknown    {:>10}, delivered {}", self.unknown, self.unknown_delivered)?;
        writeln!(
            f,
            "  duplicated: same package id {}, redriven poison {}, OTHER PACKAGE ID {}, WITHIN A PACKAGE {}; INVENTED {}",
            self.again_same_package,
            self.again_redriven,
            self.again_other_package,
            self.twice_in_package,
            self.invented
        )?;
        let x = &self.faults;
        writeln!(
            f,
            "packages {}, taken more than once {}; UNDECODABLE {}, WITHOUT ID {}, SAME ID OTHER CONTENTS {}, WRONG \
             COUNT {}, CORRUPTED POINTS {}",
            self.packages,
            self.packages_again,
            x.undecodable,
            x.without_id,
            x.same_id_other_contents,
            x.wrong_count,
            x.corrupted
        )?;
        for example in &self.examples {
            writeln!(f, "  ! {example}")?;
        }
        write!(f, "ledger: {}", if self.holds() { "balances" } else { "DOES NOT BALANCE" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::account::Again;

    fn range(first: u32, count: u32, fate: Fate) -> Range {
        Range { run: 1, conn: 1, first, count, fate }
    }

    /// Points 0 and 1 came in package 0, which was taken twice; point 2 in package 1.
    fn account() -> Account {
        let mut account = Account::default();
        account.add_package("a".into(), 2);
        account.add_package("b".into(), 1);
        account.streams.insert((1, 1), vec![1, 1, 2]);
        account.ledger_points = 3;
        for seq in 0..2 {
            account.again.push(Again { number: Number { run: 1, conn: 1, seq }, package: 0 });
        }
        account
    }

    #[test]
    fn what_arrived_as_promised_balances() {
        let sent =
            [range(0, 2, Fate::Acknowledged), range(2, 1, Fate::Unknown), range(3, 5, Fate::RefusedForNow)];
        let verdict = check(&sent, &account());
        assert!(verdict.holds(), "{verdict}");
        assert_eq!(
            (verdict.again_same_package, verdict.packages_again, verdict.unknown_delivered),
            (2, 1, 1)
        );
        assert_eq!(missing(&sent, &account()), 0);
    }

    #[test]
    fn every_violation_is_seen() {
        let all = range(0, 3, Fate::Acknowledged);
        let lost = check(&[range(0, 4, Fate::Acknowledged)], &account());
        assert!(!lost.holds() && lost.lost == 1);
        assert_eq!(missing(&[range(0, 4, Fate::Acknowledged)], &account()), 1);
        let refused = check(&[range(0, 3, Fate::RefusedForEver)], &account());
        assert!(!refused.holds() && refused.refused_for_ever_delivered == 3);
        let invented = check(&[range(0, 2, Fate::Acknowledged)], &account());
        assert!(!invented.holds() && invented.invented == 1);
        let mut other = account();
        other.again[1].package = 1;
        let other = check(&[all], &other);
        assert!(!other.holds() && other.again_other_package == 1);
        let mut twice = account();
        twice.again.push(twice.again[0]);
        let twice = check(&[all], &twice);
        assert!(!twice.holds() && twice.twice_in_package == 1);
        let mut fault = account();
        fault.faults.corrupted = 1;
        assert!(!check(&[all], &fault).holds());
    }
}
