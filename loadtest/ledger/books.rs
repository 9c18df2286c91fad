//! The gateway's own ledger as its metrics page shows it, and whether it is right.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::shared::Outcome;

/// What the gateway tells apart.
pub const STATES: [&str; 9] =
    ["taken", "copied", "spooled", "delivered", "dead", "evicted", "expired", "lost", "dropped"];

/// The sums over all categories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    states: BTreeMap<String, u64>,
    /// Points accepted and not on disk: zero at a quiet moment.
    pub in_flight: i64,
    /// Resident bytes of the process.
    pub resident_bytes: u64,
    /// Categories whose equation does not hold.
    pub unbalanced: Vec<String>,
}

impl Books {
    /// Reads a metrics page.
    pub fn read(page: &str) -> Outcome<Books> {
        let mut books = Books::default();
        let mut of: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((sample, value)) = line.rsplit_once(' ') else { continue };
            if let Some(labels) = sample.strip_prefix("kitgate_ledger_points{") {
                let label = |name: &str| {
                    let from = labels.split_once(&format!("{name}=\""))?.1;
                    Some(from.split_once('"')?.0.to_owned())
                };
                let (Some(category), Some(state)) = (label("category"), label("state")) else { continue };
                let points: u64 = value.parse().map_err(|e| format!("{line}: {e}"))?;
                *books.states.entry(state.clone()).or_default() += points;
                of.entry(category).or_default().insert(state, points);
            } else if sample.starts_with("kitgate_points_in_flight{") {
                books.in_flight += value.parse::<i64>().map_err(|e| format!("{line}: {e}"))?;
            } else if sample == "process_resident_memory_bytes" {
                books.resident_bytes = value.parse::<f64>().map_err(|e| format!("{line}: {e}"))? as u64;
            }
        }
        if of.is_empty() {
            return Err("the page has no kitgate_ledger_points".into());
        }
        for (category, states) in of {
            let credit: u64 = states.iter().filter(|(state, _)| is_credit(state)).map(|(_, n)| n).sum();
            let debit: u64 = states.iter().filter(|(state, _)| !is_credit(state)).map(|(_, n)| n).sum();
            if credit != debit {
                books.unbalanced.push(format!("{category}: {credit} and {debit}"));
            }
        }
        Ok(books)
    }

    /// Points in this state.
    pub fn of(&self, state: &str) -> u64 {
        self.states.get(state).copied().unwrap_or(0)
    }

    /// Nothing waits, nothing is on its way, and the sums are equal.
    pub fn is_settled(&self) -> bool {
        self.of("spooled") == 0 && self.in_flight == 0 && self.unbalanced.is_empty()
    }
}

fn is_credit(state: &str) -> bool {
    matches!(state, "taken" | "copied")
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (state, points) in &self.states {
            write!(f, "{state} {points}, ")?;
        }
        write!(f, "in flight {}", self.in_flight)?;
        for category in &self.unbalanced {
            write!(f, "; UNBALANCED {category}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_an_error_in_it_seen() {
        let page = "# HELP x\nkitgate_ledger_points{category=\"metric\",state=\"taken\"} 10\n\
            kitgate_ledger_points{category=\"metric\",state=\"delivered\"} 7\n\
            kitgate_ledger_points{category=\"metric\",state=\"spooled\"} 3\n\
            kitgate_ledger_points{category=\"rum\",state=\"taken\"} 1\n\
            kitgate_ledger_points{category=\"rum\",state=\"dead\"} 1\n\
            kitgate_points_in_flight{category=\"rum\"} 0\nprocess_resident_memory_bytes 1048576\n";
        let books = Books::read(page).unwrap();
        assert_eq!((books.of("taken"), books.of("dead"), books.resident_bytes), (11, 1, 1 << 20));
        assert!(books.unbalanced.is_empty() && !books.is_settled());
        let wrong = Books::read(&page.replace("\"delivered\"} 7", "\"delivered\"} 6")).unwrap();
        assert_eq!(wrong.unbalanced, ["metric: 10 and 9"]);
        assert!(Books::read("kitgate_ready 1\n").is_err());
    }
}
