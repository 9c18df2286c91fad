//! What was delivered: packages by id, points of the ledger by number, and everything that must not be.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use serde::Serialize;

use super::decode;
use crate::ledger::point::{self, Number};

/// Messages kept of each run; the counts go on.
const MESSAGES_MAX: usize = 50;

/// One package, however often it came.
#[derive(Clone, Debug)]
pub struct Package {
    /// `X-Pkg-Id`.
    pub id: String,
    /// Hash of category and decoded body.
    digest: u64,
    /// Points in it.
    pub points: u64,
    /// How often it was taken.
    pub deliveries: u32,
}

/// A point that had been seen before.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// Which point.
    pub number: Number,
    /// Index of the package it came in this time.
    pub package: u32,
}

/// Everything taken so far.
#[derive(Default)]
pub struct Account {
    /// Distinct packages.
    pub packages: Vec<Package>,
    by_id: HashMap<String, u32>,
    /// Ledger points: per run and connection, indexed by sequence number: package index + 1, 0 when not seen.
    pub streams: HashMap<(u32, u32), Vec<u32>>,
    /// Second and further sightings.
    pub again: Vec<Again>,
    /// Distinct ledger points.
    pub ledger_points: u64,
    /// Points of distinct packages, ledger or not.
    pub points: u64,
    /// What must not be, by kind.
    pub faults: Faults,
    /// The first of them in words.
    pub messages: Vec<String>,
}

/// Violations that the destination can see by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Packages that cannot be decoded.
    pub undecodable: u64,
    /// Packages without an id.
    pub without_id: u64,
    /// The same id with other contents.
    pub same_id_other_contents: u64,
    /// `X-Points` is not the number of points.
    pub wrong_count: u64,
    /// Ledger points whose values are not what was sent, or that are in the wrong category.
    pub corrupted: u64,
}

impl Faults {
    /// All kinds together.
    pub fn sum(&self) -> u64 {
        self.undecodable + self.without_id + self.same_id_other_contents + self.wrong_count + self.corrupted
    }
}

/// A package as it came, decoded.
pub struct Delivery<'a> {
    /// Last segment of the path.
    pub category: &'a str,
    /// `X-Pkg-Id`, empty when missing.
    pub id: &'a str,
    /// `X-Points`.
    pub points: Option<u64>,
    /// Protobuf, or else line protocol.
    pub protobuf: bool,
    /// The decoded body.
    pub body: &'a [u8],
}

impl Account {
    /// Takes a package that is (or will be) answered 2xx.
    pub fn take(&mut self, delivery: &Delivery<'_>) {
        let mut hasher = DefaultHasher::new();
        hasher.write(delivery.category.as_bytes());
        hasher.write(delivery.body);
        let digest = hasher.finish();
        if delivery.id.is_empty() {
            self.faults.without_id += 1;
            self.say(format!("a package for {} has no id", delivery.category));
        }
        let (index, known) = match self.by_id.get(delivery.id) {
            Some(index) => (*index, true),
            None => {
                let index = self.packages.len() as u32;
                self.by_id.insert(delivery.id.to_owned(), index);
                self.packages.push(Package { id: delivery.id.to_owned(), digest, points: 0, deliveries: 0 });
                (index, false)
            }
        };
        let package = &mut self.packages[index as usize];
        package.deliveries += 1;
        if package.digest != digest {
            self.faults.same_id_other_contents += 1;
            self.say(format!("package {} came with other contents", delivery.id));
        }
        match self.take_points(delivery, index) {
            Err(e) => {
                self.faults.undecodable += 1;
                self.say(format!("package {}: {e}", delivery.id));
            }
            Ok(count) => {
                if delivery.points.is_some_and(|announced| announced != count) {
                    self.faults.wrong_count += 1;
                    self.say(format!(
                        "package {}: {:?} points announced, {count} in it",
                        delivery.id, delivery.points
                    ));
                }
                if !known {
                    self.packages[index as usize].points = count;
                    self.points += count;
                }
            }
        }
    }

    /// Adds a package as another process counted it.
    pub fn add_package(&mut self, id: String, deliveries: u32) {
        self.by_id.insert(id.clone(), self.packages.len() as u32);
        self.packages.push(Package { id, digest: 0, points: 0, deliveries });
    }

    /// Notes a package that cannot even be decompressed.
    pub fn undecodable(&mut self, id: &str, why: &str) {
        self.faults.undecodable += 1;
        self.say(format!("package {id}: {why}"));
    }

    fn take_points(&mut self, delivery: &Delivery<'_>, package: u32) -> Result<u64, String> {
        if !delivery.protobuf {
            return Ok(decode::count_lines(delivery.body));
        }
        decode::each_point(delivery.body, |point| {
            if point.name != point::MEASUREMENT {
                return;
            }
            match point::verify(delivery.category, &point) {
                Ok(number) => self.note(number, package),
                Err(why) => {
                    self.faults.corrupted += 1;
                    self.say(format!("package {}: {why}: {point:?}", delivery.id));
                }
            }
        })
    }

    fn note(&mut self, number: Number, package: u32) {
        let stream = self.streams.entry((number.run, number.conn)).or_default();
        let at = number.seq as usize;
        if stream.len() <= at {
            stream.resize(at + 1, 0);
        }
        if stream[at] == 0 {
            stream[at] = package + 1;
            self.ledger_points += 1;
        } else {
            self.again.push(Again { number, package });
        }
    }

    fn say(&mut self, message: String) {
        if self.messages.len() < MESSAGES_MAX {
            self.messages.push(message);
        }
    }

    /// Forgets everything, for the next round of a benchmark.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery<'a>(id: &'a str, body: &'a [u8], points: u64) -> Delivery<'a> {
        Delivery { category: "metric", id, points: Some(points), protobuf: true, body }
    }

    #[test]
    fn packages_are_told_apart_by_id_and_contents() {
        let body = b"\x0a\x03\x0a\x01a".as_slice();
        let mut account = Account::default();
        account.take(&delivery("p1", body, 1));
        account.take(&delivery("p1", body, 1));
        assert_eq!((account.packages.len(), account.points, account.packages[0].deliveries), (1, 1, 2));
        assert_eq!(account.faults, Faults::default());
        account.take(&delivery("p1", b"\x0a\x03\x0a\x01b", 1));
        account.take(&delivery("p2", body, 7));
        account.take(&delivery("", body, 1));
        account.take(&delivery("p3", &body[..4], 1));
        assert_eq!(
            account.faults,
            Faults { undecodable: 1, without_id: 1, same_id_other_contents: 1, wrong_count: 1, corrupted: 0 }
        );
    }
}
