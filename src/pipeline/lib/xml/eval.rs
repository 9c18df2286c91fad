//! XPath expressions over a document.

use super::{
    tree::{Kind, Tree},
    xpath::{Axis, Expr, Start, Step, Test, XPath},
};

/// Nodes looked at by one search: nested predicates multiply.
const WORK_MAX: usize = 2_000_000;

enum Value {
    Nodes(Vec<usize>),
    Text(String),
    Number(f64),
    Bool(bool),
}

#[derive(Clone, Copy)]
struct Context {
    node: usize,
    position: usize,
    size: usize,
}

struct Evaluator<'t> {
    tree: &'t Tree,
    work: usize,
}

/// The first node that `path` finds, if it finds nodes, and how many nodes were looked at.
pub fn first(tree: &Tree, path: &XPath) -> (Option<usize>, usize) {
    let mut evaluator = Evaluator { tree, work: 0 };
    let found = match evaluator.eval(&path.0, Context { node: 0, position: 1, size: 1 }) {
        Some(Value::Nodes(nodes)) => nodes.first().copied(),
        _ => None,
    };
    (found, evaluator.work)
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or(f64::NAN)
}

impl Evaluator<'_> {
    fn spend(&mut self, work: usize) -> Option<()> {
        self.work += work;
        (self.work <= WORK_MAX).then_some(())
    }

    fn text(&mut self, value: Value) -> Option<String> {
        Some(match value {
            Value::Nodes(nodes) => match nodes.first() {
                Some(node) => {
                    self.spend(1 + self.tree.nodes[*node].end - node)?;
                    self.tree.text(*node)
                }
                None => String::new(),
            },
            Value::Text(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
        })
    }

    fn number(&mut self, value: Value) -> Option<f64> {
        Some(match value {
            Value::Number(number) => number,
            Value::Bool(value) => f64::from(u8::from(value)),
            other => number(&self.text(other)?),
        })
    }

    fn truth(value: &Value) -> bool {
        match value {
            Value::Nodes(nodes) => !nodes.is_empty(),
            Value::Text(text) => !text.is_empty(),
            Value::Number(number) => *number != 0.0 && !number.is_nan(),
            Value::Bool(value) => *value,
        }
    }

    fn eval(&mut self, expr: &Expr, at: Context) -> Option<Value> {
        self.spend(1)?;
        Some(match expr {
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Number(number) => Value::Number(*number),
            Expr::Negative(inner) => {
                let value = self.eval(inner, at)?;
                Value::Number(-self.number(value)?)
            }
            Expr::Binary(name, left, right) => self.binary(name, left, right, at)?,
            Expr::Call(name, args) => self.call(name, args, at)?,
            Expr::Path { start, steps } => {
                let mut nodes = match start {
                    Start::Root => vec![0],
                    Start::Here => vec![at.node],
                    Start::Of(expr, predicates) => match self.eval(expr, at)? {
                        Value::Nodes(nodes) => self.filtered(nodes, predicates)?,
                        _ => return None,
                    },
                };
                for step in steps {
                    nodes = self.step(&nodes, step)?;
                }
                Value::Nodes(nodes)
            }
        })
    }

    fn binary(&mut self, name: &str, left: &Expr, right: &Expr, at: Context) -> Option<Value> {
        let left = self.eval(left, at)?;
        // Both of these know their answer early.
        if matches!((name, Self::truth(&left)), ("or", true) | ("and", false)) {
            return Some(Value::Bool(name == "or"));
        }
        let right = self.eval(right, at)?;
        Some(match name {
            "or" | "and" => Value::Bool(Self::truth(&right)),
            "|" => {
                let (Value::Nodes(mut nodes), Value::Nodes(others)) = (left, right) else { return None };
                nodes.extend(others);
                nodes.sort_unstable();
                nodes.dedup();
                Value::Nodes(nodes)
            }
            "=" | "!=" | "<" | "<=" | ">" | ">=" => Value::Bool(self.compares(name, left, right)?),
            name => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                Value::Number(match name {
                    "+" => left + right,
                    "-" => left - right,
                    "*" => left * right,
                    "div" => left / right,
                    _ => left % right,
                })
            }
        })
    }

    /// A set of nodes compares as any of its nodes does.
    fn compares(&mut self, name: &str, left: Value, right: Value) -> Option<bool> {
        let bools = matches!(left, Value::Bool(_)) || matches!(right, Value::Bool(_));
        if bools && matches!(name, "=" | "!=") {
            return Some((Self::truth(&left) == Self::truth(&right)) == (name == "="));
        }
        let numbers = matches!(left, Value::Number(_)) || matches!(right, Value::Number(_)) || bools;
        let (left, right) = (self.each(left)?, self.each(right)?);
        for left in &left {
            for right in &right {
                self.spend(1)?;
                let (a, b) = (number(left), number(right));
                let holds = match name {
                    "=" if numbers => a == b,
                    "!=" if numbers => a != b,
                    "=" => left == right,
                    "!=" => left != right,
                    "<" => a < b,
                    "<=" => a <= b,
                    ">" => a > b,
                    _ => a >= b,
                };
                if holds {
                    return Some(true);
                }
            }
        }
        Some(false)
    }

    fn each(&mut self, value: Value) -> Option<Vec<String>> {
        match value {
            Value::Nodes(nodes) => {
                nodes.into_iter().map(|node| self.text(Value::Nodes(vec![node]))).collect()
            }
            Value::Bool(value) => Some(vec![u8::from(value).to_string()]),
            other => Some(vec![self.text(other)?]),
        }
    }

    fn step(&mut self, from: &[usize], step: &Step) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        for node in from {
            let mut nodes = self.axis(*node, step.axis)?;
            nodes.retain(|node| self.passes(*node, step));
            found.extend(self.filtered(nodes, &step.predicates)?);
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// Nodes of an axis, nearest first.
    fn axis(&mut self, node: usize, axis: Axis) -> Option<Vec<usize>> {
        let nodes = &self.tree.nodes;
        let (end, parent) = (nodes[node].end, nodes[node].parent);
        let kind = |at: &usize| nodes[*at].kind;
        let plain = |at: &usize| kind(at) != Kind::Attribute;
        let mut ancestors = Vec::new();
        let mut above = node;
        while above != 0 {
            above = nodes[above].parent;
            ancestors.push(above);
        }
        let siblings =
            |range: std::ops::Range<usize>| range.filter(|at| nodes[*at].parent == parent && plain(at));
        let found: Vec<usize> = match axis {
            Axis::Itself => vec![node],
            Axis::Parent => ancestors.first().copied().into_iter().collect(),
            Axis::Ancestor => ancestors,
            Axis::AncestorOrSelf => std::iter::once(node).chain(ancestors).collect(),
            Axis::Attribute => {
                let own = (node + 1..end).take_while(|at| !plain(at));
                own.collect()
            }
            // From child to child, over what is inside of each.
            Axis::Child => {
                let next = |at: &usize| nodes.get(*at).map(|node| node.end);
                let children = std::iter::successors(Some(node + 1), next).take_while(|at| *at < end);
                children.filter(plain).collect()
            }
            Axis::Descendant => (node + 1..end).filter(plain).collect(),
            Axis::DescendantOrSelf => (node..end).filter(|at| *at == node || plain(at)).collect(),
            _ if axis == Axis::FollowingSibling && kind(&node) == Kind::Attribute => Vec::new(),
            Axis::FollowingSibling => siblings(end..nodes[parent].end).collect(),
            Axis::PrecedingSibling => siblings(parent + 1..node).rev().collect(),
            Axis::Following => (end..nodes.len()).filter(plain).collect(),
            Axis::Preceding => (1..node).rev().filter(|at| plain(at) && nodes[*at].end <= node).collect(),
        };
        let looked_at = match axis {
            Axis::FollowingSibling | Axis::PrecedingSibling | Axis::Following | Axis::Preceding => {
                nodes.len()
            }
            _ => found.len() + 1,
        };
        self.spend(looked_at)?;
        Some(found)
    }

    fn passes(&self, node: usize, step: &Step) -> bool {
        let node = &self.tree.nodes[node];
        let principal = if step.axis == Axis::Attribute { Kind::Attribute } else { Kind::Element };
        match &step.test {
            Test::Node => true,
            Test::Text => node.kind == Kind::Text,
            Test::Comment => node.kind == Kind::Comment,
            Test::Any => node.kind == principal,
            Test::Name(name) => node.kind == principal && node.name == *name,
            Test::Prefix(prefix) => {
                node.kind == principal && node.name.split_once(':').is_some_and(|(own, _)| own == prefix)
            }
        }
    }

    fn filtered(&mut self, nodes: Vec<usize>, predicates: &[Expr]) -> Option<Vec<usize>> {
        let mut nodes = nodes;
        for predicate in predicates {
            let size = nodes.len();
            let mut kept = Vec::new();
            for (n, node) in nodes.into_iter().enumerate() {
                let keep = match self.eval(predicate, Context { node, position: n + 1, size })? {
                    Value::Number(number) => number == (n + 1) as f64,
                    value => Self::truth(&value),
                };
                if keep {
                    kept.push(node);
                }
            }
            nodes = kept;
        }
        Some(nodes)
    }

    fn call(&mut self, name: &str, args: &[Expr], at: Context) -> Option<Value> {
        match (name, args) {
            ("last", []) => return Some(Value::Number(at.size as f64)),
            ("position", []) => return Some(Value::Number(at.position as f64)),
            ("true", []) => return Some(Value::Bool(true)),
            ("false", []) => return Some(Value::Bool(false)),
            _ => {}
        }
        let mut values = Vec::new();
        for arg in args {
            values.push(self.eval(arg, at)?);
        }
        match (name, &values[..]) {
            ("count", [Value::Nodes(nodes)]) => return Some(Value::Number(nodes.len() as f64)),
            ("not", [value]) => return Some(Value::Bool(!Self::truth(value))),
            ("boolean", [value]) => return Some(Value::Bool(Self::truth(value))),
            ("name" | "local-name", [Value::Nodes(_)] | []) => {
                let node = match values.first() {
                    Some(Value::Nodes(nodes)) => nodes.first().copied(),
                    _ => Some(at.node),
                };
                let full = node.map_or("", |node| self.tree.nodes[node].name.as_str());
                let local = full.split_once(':').map_or(full, |(_, local)| local);
                return Some(Value::Text(if name == "name" { full } else { local }.to_owned()));
            }
            ("sum", [Value::Nodes(_)]) => {
                let texts = self.each(values.pop()?)?;
                return Some(Value::Number(texts.iter().map(|text| number(text)).sum()));
            }
            _ => {}
        }
        // The others take texts, the node at hand where none is given.
        if values.is_empty() {
            values.push(Value::Nodes(vec![at.node]));
        }
        let mut texts = Vec::new();
        for value in values {
            texts.push(self.text(value)?);
        }
        let work = texts.iter().map(String::len).sum::<usize>() / 16;
        self.spend(work)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Some(match (name, &texts[..]) {
            ("string", [text]) => Value::Text((*text).to_owned()),
            ("concat", texts) => Value::Text(texts.concat()),
            ("number", [text]) => Value::Number(number(text)),
            ("floor", [text]) => Value::Number(number(text).floor()),
            ("ceiling", [text]) => Value::Number(number(text).ceil()),
            ("round", [text]) => Value::Number((number(text) + 0.5).floor()),
            ("string-length", [text]) => Value::Number(text.chars().count() as f64),
            ("normalize-space", [text]) => Value::Text(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            ("lower-case", [text]) => Value::Text(text.to_lowercase()),
            ("upper-case", [text]) => Value::Text(text.to_uppercase()),
            ("contains", [text, part]) => Value::Bool(text.contains(part)),
            ("starts-with", [text, part]) => Value::Bool(text.starts_with(part)),
            ("ends-with", [text, part]) => Value::Bool(text.ends_with(part)),
            ("substring-before", [text, part]) => {
                Value::Text(text.split_once(part).map_or("", |(before, _)| before).to_owned())
            }
            ("substring-after", [text, part]) => {
                Value::Text(text.split_once(part).map_or("", |(_, after)| after).to_owned())
            }
            ("substring", [text, from, rest @ ..]) => {
                let from = (number(from) + 0.5).floor();
                let end = rest.first().map_or(f64::INFINITY, |len| from + (number(len) + 0.5).floor());
                let chars = text.chars().zip(1..);
                let inside = chars.filter(|(_, n)| f64::from(*n) >= from && f64::from(*n) < end);
                Value::Text(inside.map(|(c, _)| c).collect())
            }
            ("translate", [text, from, to]) => {
                let to: Vec<char> = to.chars().collect();
                let change = |c: char| match from.chars().position(|own| own == c) {
                    Some(n) => to.get(n).copied(),
                    None => Some(c),
                };
                Value::Text(text.chars().filter_map(change).collect())
            }
            _ => return None,
        })
    }
}
