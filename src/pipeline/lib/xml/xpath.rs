//! XPath 1.0 expressions as a tree.

/// Longest expression, and how deep it may nest.
const PATH_BYTES_MAX: usize = 16 << 10;
const DEPTH_MAX: usize = 64;

/// An expression that was understood.
#[derive(Debug)]
pub struct XPath(pub(super) Expr);

#[derive(Debug)]
pub(super) enum Expr {
    Text(String),
    Number(f64),
    /// `or`, `and`, `=`, `+`, `|` …
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Negative(Box<Expr>),
    Call(String, Vec<Expr>),
    /// An expression's nodes, those that satisfy the predicates, and steps from them.
    Path {
        start: Start,
        steps: Vec<Step>,
    },
}

#[derive(Debug)]
pub(super) enum Start {
    Root,
    Here,
    Of(Box<Expr>, Vec<Expr>),
}

#[derive(Debug)]
pub(super) struct Step {
    pub axis: Axis,
    pub test: Test,
    pub predicates: Vec<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Child,
    Descendant,
    DescendantOrSelf,
    Itself,
    Parent,
    Ancestor,
    AncestorOrSelf,
    FollowingSibling,
    PrecedingSibling,
    Following,
    Preceding,
    Attribute,
}

#[derive(Debug)]
pub(super) enum Test {
    Any,
    Node,
    Text,
    Comment,
    Name(String),
    /// `prefix:*`
    Prefix(String),
}

/// Operators by how tightly they bind, the loosest first.
const LEVELS: [&[&str]; 7] =
    [&["or"], &["and"], &["!=", "="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "div", "mod"], &["|"]];

impl XPath {
    pub fn parse(text: &str) -> Option<XPath> {
        if text.len() > PATH_BYTES_MAX {
            return None;
        }
        let mut parser = Parser { rest: text, depth: 0 };
        let expr = parser.binary(0)?;
        parser.rest.trim_start().is_empty().then_some(XPath(expr))
    }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

impl Parser<'_> {
    fn sees(&mut self, what: &str) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.starts_with(what)
    }

    fn eat(&mut self, what: &str) -> bool {
        let found = self.sees(what);
        if found {
            self.rest = &self.rest[what.len()..];
        }
        found
    }

    /// A word operator is one only where no longer name stands.
    fn operator(&mut self, names: &[&'static str]) -> Option<&'static str> {
        for name in names {
            let word = name.starts_with(|c: char| c.is_alphabetic());
            if self.sees(name) && !(word && self.rest[name.len()..].starts_with(in_name)) {
                self.rest = &self.rest[name.len()..];
                return Some(name);
            }
        }
        None
    }

    fn binary(&mut self, level: usize) -> Option<Expr> {
        let Some(names) = LEVELS.get(level) else { return self.path() };
        if level == LEVELS.len() - 1 && self.eat("-") {
            self.deeper()?;
            let inner = self.binary(level)?;
            self.depth -= 1;
            return Some(Expr::Negative(Box::new(inner)));
        }
        let mut left = self.binary(level + 1)?;
        let mut count = 0;
        while let Some(name) = self.operator(names) {
            count += 1;
            // The tree leans to the left: a long row is as deep as it is long.
            if count > DEPTH_MAX {
                return None;
            }
            left = Expr::Binary(name, Box::new(left), Box::new(self.binary(level + 1)?));
        }
        Some(left)
    }

    fn deeper(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= DEPTH_MAX).then_some(())
    }

    fn path(&mut self) -> Option<Expr> {
        let mut steps = Vec::new();
        if self.sees("//") {
            self.slashes(&mut steps)?;
            return Some(Expr::Path { start: Start::Root, steps });
        }
        if self.eat("/") {
            if self.begins_step() {
                steps.push(self.step()?);
                self.slashes(&mut steps)?;
            }
            return Some(Expr::Path { start: Start::Root, steps });
        }
        if let Some(primary) = self.primary()? {
            let predicates = self.predicates()?;
            if predicates.is_empty() && !self.sees("/") {
                return Some(primary);
            }
            self.slashes(&mut steps)?;
            return Some(Expr::Path { start: Start::Of(Box::new(primary), predicates), steps });
        }
        steps.push(self.step()?);
        self.slashes(&mut steps)?;
        Some(Expr::Path { start: Start::Here, steps })
    }

    fn slashes(&mut self, steps: &mut Vec<Step>) -> Option<()> {
        loop {
            if self.eat("//") {
                steps.push(Step { axis: Axis::DescendantOrSelf, test: Test::Node, predicates: Vec::new() });
            } else if !self.eat("/") {
                return Some(());
            }
            steps.push(self.step()?);
        }
    }

    fn begins_step(&mut self) -> bool {
        self.sees("@")
            || self.sees(".")
            || self.sees("*")
            || self.rest.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }

    /// A literal, a call or something in parentheses; `None` inside where a step stands instead.
    fn primary(&mut self) -> Option<Option<Expr>> {
        for quote in ["'", "\""] {
            if self.eat(quote) {
                let (text, after) = self.rest.split_once(quote)?;
                self.rest = after;
                return Some(Some(Expr::Text(text.to_owned())));
            }
        }
        let digit = |c: char| c.is_ascii_digit();
        if self.rest.starts_with(digit)
            || self.rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(digit))
        {
            let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
            let number = self.rest[..end].parse().ok()?;
            self.rest = &self.rest[end..];
            return Some(Some(Expr::Number(number)));
        }
        if self.eat("(") {
            self.deeper()?;
            let inner = self.binary(0)?;
            self.depth -= 1;
            return self.eat(")").then_some(Some(inner));
        }
        let end = self.rest.find(|c: char| !in_name(c)).unwrap_or(self.rest.len());
        let (name, after) = self.rest.split_at(end);
        let is_test = matches!(name, "" | "text" | "node" | "comment");
        let Some(after) = after.trim_start().strip_prefix('(').filter(|_| !is_test) else {
            return Some(None);
        };
        let name = name.to_owned();
        self.rest = after;
        self.deeper()?;
        let mut args = Vec::new();
        while !self.eat(")") {
            if !args.is_empty() && !self.eat(",") {
                return None;
            }
            args.push(self.binary(0)?);
        }
        self.depth -= 1;
        Some(Some(Expr::Call(name, args)))
    }

    fn predicates(&mut self) -> Option<Vec<Expr>> {
        let mut predicates = Vec::new();
        while self.eat("[") {
            self.deeper()?;
            predicates.push(self.binary(0)?);
            self.depth -= 1;
            if !self.eat("]") {
                return None;
            }
        }
        Some(predicates)
    }

    fn step(&mut self) -> Option<Step> {
        if self.eat("..") {
            return Some(Step { axis: Axis::Parent, test: Test::Node, predicates: Vec::new() });
        }
        if self.eat(".") {
            return Some(Step { axis: Axis::Itself, test: Test::Node, predicates: self.predicates()? });
        }
        let mut axis = Axis::Child;
        if self.eat("@") {
            axis = Axis::Attribute;
        } else if let Some((name, after)) = self.rest.split_once("::")
            && name.chars().all(in_name)
        {
            axis = match name {
                "child" => Axis::Child,
                "descendant" => Axis::Descendant,
                "descendant-or-self" => Axis::DescendantOrSelf,
                "self" => Axis::Itself,
                "parent" => Axis::Parent,
                "ancestor" => Axis::Ancestor,
                "ancestor-or-self" => Axis::AncestorOrSelf,
                "following-sibling" => Axis::FollowingSibling,
                "preceding-sibling" => Axis::PrecedingSibling,
                "following" => Axis::Following,
                "preceding" => Axis::Preceding,
                "attribute" => Axis::Attribute,
                _ => return None,
            };
            self.rest = after;
        }
        let test = if self.eat("*") {
            Test::Any
        } else {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !in_name(c) && c != ':').unwrap_or(self.rest.len());
            let (name, after) = self.rest.split_at(end);
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                return None;
            }
            self.rest = after;
            if self.rest.starts_with('(') {
                let test = match name {
                    "text" => Test::Text,
                    "node" => Test::Node,
                    "comment" => Test::Comment,
                    _ => return None,
                };
                if !(self.eat("(") && self.eat(")")) {
                    return None;
                }
                test
            } else if let Some(prefix) = name.strip_suffix(':') {
                if !self.eat("*") {
                    return None;
                }
                Test::Prefix(prefix.to_owned())
            } else {
                Test::Name(name.to_owned())
            }
        };
        Some(Step { axis, test, predicates: self.predicates()? })
    }
}
