//! Queries on items of lists: `path op value`, or a path alone for what has one.

use std::cmp::Ordering;

use super::{Kind, View, matches, split};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Exists,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    Unlike,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    pub path: &'a str,
    operator: Operator,
    value: &'a str,
}

/// The longest operators first, so that none hides another.
const OPERATORS: [(&str, Operator); 9] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("!%", Operator::Unlike),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("%", Operator::Like),
];

pub fn parse(query: &str) -> Query<'_> {
    let (path, rest) = query.split_at(split::operator_at(query));
    for (text, operator) in OPERATORS {
        if let Some(value) = rest.strip_prefix(text) {
            return Query { path: path.trim(), operator, value: value.trim() };
        }
    }
    Query { path: query.trim(), operator: Operator::Exists, value: "" }
}

impl Query<'_> {
    /// Whether the query holds for what its path led to.
    pub fn holds(&self, found: Option<View>) -> bool {
        if let Some(truth) = self.value.strip_prefix('~') {
            return self.holds_loosely(found, truth);
        }
        let Some(found) = found else { return false };
        if self.operator == Operator::Exists {
            return true;
        }
        match found.kind() {
            Kind::Text | Kind::EscapedText => {
                let bytes = found.bytes().unwrap_or_default();
                let value = self.unquoted();
                match self.operator {
                    Operator::Like => matches(&bytes, value.as_bytes()),
                    Operator::Unlike => !matches(&bytes, value.as_bytes()),
                    _ => self.compares(bytes.as_ref().cmp(value.as_bytes())),
                }
            }
            Kind::Number => {
                let number = found.number().unwrap_or_default();
                let value = self.value.parse::<f64>().unwrap_or(0.0);
                number.partial_cmp(&value).is_some_and(|ordering| self.compares(ordering))
            }
            // False is below true.
            Kind::True => self.compares_truth(true),
            Kind::False => self.compares_truth(false),
            Kind::Null | Kind::List | Kind::Map => false,
        }
    }

    /// `~true`, `~false`, `~null` and `~*`: what is like true, like false, nothing, or there at all.
    fn holds_loosely(&self, found: Option<View>, truth: &str) -> bool {
        let like_true = found.is_some_and(|found| match found.kind() {
            Kind::True => true,
            Kind::Number => found.number() != Some(0.0),
            Kind::Text | Kind::EscapedText => {
                let bytes = found.bytes().unwrap_or_default();
                matches!(bytes.as_ref(), b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True")
            }
            _ => false,
        });
        let null = found.is_none_or(|found| found.kind() == Kind::Null);
        let equal = match truth {
            "true" => like_true,
            "false" => !like_true,
            "null" => null,
            "*" => found.is_some(),
            _ => false,
        };
        match self.operator {
            Operator::Equal => equal,
            Operator::Unequal => !equal,
            _ => false,
        }
    }

    fn unquoted(&self) -> &str {
        let inside = self.value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        inside.unwrap_or(self.value)
    }

    fn compares_truth(&self, truth: bool) -> bool {
        match self.value {
            "true" => self.compares(truth.cmp(&true)),
            "false" => self.compares(truth.cmp(&false)),
            _ => self.operator == Operator::Unequal,
        }
    }

    fn compares(&self, ordering: Ordering) -> bool {
        match self.operator {
            Operator::Equal => ordering.is_eq(),
            Operator::Unequal => ordering.is_ne(),
            Operator::Less => ordering.is_lt(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::Greater => ordering.is_gt(),
            Operator::GreaterOrEqual => ordering.is_ge(),
            Operator::Exists | Operator::Like | Operator::Unlike => false,
        }
    }
}
