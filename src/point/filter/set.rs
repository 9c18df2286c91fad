//! The rules of all categories, which are put in force as a whole. A text that is no rule is left out and told of; the
//! others hold. (DataKit stops at the first one, with half of the rules in force.)

use super::parser::Rule;
use crate::point::{CATEGORY_COUNT, Category};

/// Rules of all categories together. Each is asked of each point of its category.
pub const RULES_MAX: usize = 1024;

/// Patterns of all rules together: at a quarter of a megabyte each, and most take a fiftieth of it.
const PATTERNS_MAX: usize = 1024;

/// How many problems are told of.
const FAULTS_MAX: usize = 20;

/// Rules by category.
#[derive(Debug, Default)]
pub struct FilterSet {
    rules: [Vec<Rule>; CATEGORY_COUNT],
}

/// What came of texts.
#[derive(Debug, Default)]
pub struct Loaded {
    pub set: FilterSet,
    /// Texts that are no rules, and what is odd about those that are: for people.
    pub problems: Vec<String>,
    /// Texts that are left out.
    pub refused: usize,
}

impl FilterSet {
    /// Reads rules. Categories that nothing is written under are passed over.
    pub fn load<'t>(texts: impl IntoIterator<Item = (&'t str, &'t [String])>) -> Loaded {
        let mut loaded = Loaded::default();
        let (mut rules, mut patterns) = (0, 0);
        for (name, texts) in texts {
            let Some(category) = Category::from_name(name).filter(|category| category.has_points()) else {
                continue;
            };
            for (index, text) in texts.iter().enumerate() {
                let place = format!("{name}, rule {}", index + 1);
                let parsed = match Rule::parse(text) {
                    _ if rules == RULES_MAX => Err(format!("more than {RULES_MAX} rules")),
                    Ok(rule) if patterns + rule.patterns > PATTERNS_MAX => {
                        Err(format!("more than {PATTERNS_MAX} patterns in all rules"))
                    }
                    Ok(rule) => Ok(rule),
                    Err(fault) => Err(fault.to_string()),
                };
                match parsed {
                    Ok(rule) => {
                        rules += 1;
                        patterns += rule.patterns;
                        rule.notes.iter().for_each(|note| loaded.problem(format!("{place}: {note}")));
                        loaded.set.rules[category.index()].push(rule);
                    }
                    Err(fault) => {
                        loaded.refused += 1;
                        loaded.problem(format!("{place} is left out: {fault}"));
                    }
                }
            }
        }
        loaded
    }

    /// The rules of a category.
    pub fn of(&self, category: Category) -> &[Rule] {
        &self.rules[category.index()]
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.iter().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Loaded {
    fn problem(&mut self, text: String) {
        if self.problems.len() < FAULTS_MAX {
            self.problems.push(text);
        }
    }
}
