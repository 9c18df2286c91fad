//! Whether a rule is true of a point.
//!
//! A value is of the literal's type or it is neither equal nor unequal to it. Of a name that a point does not have only
//! these are true: `= nil`, `!= …` of anything else, `notin` of a list without nil, and `in` of a list whose *first*
//! item is nil.

use regex::bytes::Regex;

use super::lexer::Compare;
use super::parser::Rule;

/// Floats that are so close are equal.
const FLOAT_TOLERANCE: f64 = 1e-9;

/// What rules are asked of.
pub trait View {
    /// The value of a tag, a field, or a virtual key: what is asked by that name.
    fn get(&self, name: &[u8]) -> Option<Viewed<'_>>;
}

/// A value, as a rule sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Viewed<'a> {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(&'a [u8]),
    /// There, and of a type that no literal has: unsigned, bytes, an array.
    Other,
}

/// A value as it stands in a rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Nil,
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(Box<[u8]>),
}

/// A list, in the order in which it is searched fastest.
#[derive(Debug)]
pub(super) struct Items {
    texts: Vec<Box<[u8]>>,
    ints: Vec<i64>,
    floats: Vec<f64>,
    has_nil: bool,
    first_is_nil: bool,
}

/// A condition, compiled.
#[derive(Debug)]
pub(super) enum Node {
    Constant(bool),
    /// Of no node it is true.
    All(Vec<Node>),
    Any(Vec<Node>),
    Compare {
        name: Box<[u8]>,
        compare: Compare,
        literal: Literal,
    },
    In {
        name: Box<[u8]>,
        items: Items,
        negated: bool,
    },
    /// Any of the patterns matches; negated: any does not.
    Match {
        name: Box<[u8]>,
        patterns: Vec<Regex>,
        negated: bool,
    },
}

impl Rule {
    /// Whether the rule is true of a point.
    pub fn is_true(&self, view: &impl View) -> bool {
        self.root.is_true(view)
    }
}

impl Node {
    fn is_true(&self, view: &impl View) -> bool {
        match self {
            Node::Constant(value) => *value,
            Node::All(nodes) => nodes.iter().all(|node| node.is_true(view)),
            Node::Any(nodes) => nodes.iter().any(|node| node.is_true(view)),
            Node::Compare { name, compare, literal } => match view.get(name) {
                Some(value) => value.compare(*compare, literal),
                None => compare_nil(*compare, literal),
            },
            Node::In { name, items, negated } => match (view.get(name), negated) {
                (Some(value), negated) => items.holds(value) != *negated,
                (None, false) => items.first_is_nil,
                (None, true) => !items.has_nil,
            },
            Node::Match { name, patterns, negated } => match view.get(name) {
                Some(Viewed::Text(text)) => patterns.iter().any(|pattern| pattern.is_match(text) != *negated),
                _ => false,
            },
        }
    }
}

/// What is true of a name that is not there.
pub(super) fn compare_nil(compare: Compare, literal: &Literal) -> bool {
    match compare {
        Compare::Eq => *literal == Literal::Nil,
        Compare::Ne => *literal != Literal::Nil,
        Compare::Gt | Compare::Ge | Compare::Lt | Compare::Le => false,
    }
}

impl<'a> Viewed<'a> {
    /// A literal on the left side; none for nil.
    pub(super) fn of_literal(literal: &'a Literal) -> Option<Viewed<'a>> {
        Some(match literal {
            Literal::Nil => return None,
            Literal::Int(value) => Viewed::Int(*value),
            Literal::Float(value) => Viewed::Float(*value),
            Literal::Bool(value) => Viewed::Bool(*value),
            Literal::Text(text) => Viewed::Text(text),
        })
    }

    pub(super) fn compare(self, compare: Compare, literal: &Literal) -> bool {
        match (self, literal) {
            (_, Literal::Nil) => compare == Compare::Ne,
            (Viewed::Int(value), Literal::Int(literal)) => holds(compare, value, *literal),
            (Viewed::Float(value), Literal::Float(literal)) if compare == Compare::Eq => {
                is_close(value, *literal)
            }
            (Viewed::Float(value), Literal::Float(literal)) => holds(compare, value, *literal),
            (Viewed::Text(value), Literal::Text(literal)) => holds(compare, value, literal),
            (Viewed::Bool(value), Literal::Bool(literal)) => match compare {
                Compare::Eq => value == *literal,
                Compare::Ne => value != *literal,
                // There is no order among them.
                Compare::Gt | Compare::Ge | Compare::Lt | Compare::Le => false,
            },
            _ => false,
        }
    }
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= FLOAT_TOLERANCE
}

fn holds<T: PartialOrd>(compare: Compare, left: T, right: T) -> bool {
    match compare {
        Compare::Eq => left == right,
        Compare::Ne => left != right,
        Compare::Gt => left > right,
        Compare::Ge => left >= right,
        Compare::Lt => left < right,
        Compare::Le => left <= right,
    }
}

impl Items {
    pub(super) fn new(literals: Vec<Literal>) -> Items {
        let mut items = Items {
            texts: Vec::new(),
            ints: Vec::new(),
            floats: Vec::new(),
            has_nil: literals.contains(&Literal::Nil),
            first_is_nil: literals.first() == Some(&Literal::Nil),
        };
        for literal in literals {
            match literal {
                Literal::Text(text) => items.texts.push(text),
                Literal::Int(value) => items.ints.push(value),
                Literal::Float(value) => items.floats.push(value),
                Literal::Nil | Literal::Bool(_) => {}
            }
        }
        items.texts.sort_unstable();
        items.ints.sort_unstable();
        items
    }

    fn holds(&self, value: Viewed<'_>) -> bool {
        match value {
            Viewed::Text(text) => self.texts.binary_search_by(|item| (**item).cmp(text)).is_ok(),
            Viewed::Int(value) => self.ints.binary_search(&value).is_ok(),
            Viewed::Float(value) => self.floats.iter().any(|item| is_close(value, *item)),
            Viewed::Bool(_) | Viewed::Other => false,
        }
    }
}
