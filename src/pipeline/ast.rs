//! A script as it was written: what the checks look at, and what is compiled.

use super::{error::NO_POS, lexer::Op};

/// An expression. Positions are offsets into the source.
#[derive(Clone, Debug)]
pub enum Expr {
    Ident {
        name: String,
        pos: u32,
    },
    Str {
        value: Vec<u8>,
        pos: u32,
    },
    Int {
        value: i64,
        pos: u32,
    },
    Float {
        value: f64,
        pos: u32,
    },
    Bool {
        value: bool,
        pos: u32,
    },
    Nil {
        pos: u32,
    },
    List {
        items: Vec<Expr>,
        pos: u32,
    },
    Map {
        pairs: Vec<(Expr, Expr)>,
        pos: u32,
    },
    Paren {
        inner: Box<Expr>,
        pos: u32,
    },
    /// `pos` is that of the token behind it, where the reference places it.
    Attr {
        object: Box<Expr>,
        attr: Box<Expr>,
        pos: u32,
    },
    /// `a[…][…]`, or `.[…]` without an object, which only paths of json() have.
    Index {
        object: Option<Box<Expr>>,
        indices: Vec<Expr>,
        pos: u32,
    },
    Unary {
        op: Op,
        pos: u32,
        inner: Box<Expr>,
    },
    Arithmetic {
        op: Op,
        pos: u32,
        sides: Box<(Expr, Expr)>,
    },
    Conditional {
        op: Op,
        pos: u32,
        sides: Box<(Expr, Expr)>,
    },
    In {
        pos: u32,
        sides: Box<(Expr, Expr)>,
    },
    /// A named argument.
    Named {
        name: String,
        name_pos: u32,
        value: Box<Expr>,
    },
    Call {
        name: String,
        pos: u32,
        args: Vec<Expr>,
    },
    Slice {
        object: Box<Expr>,
        pos: u32,
        bounds: Box<[Option<Expr>; 3]>,
    },
}

impl Expr {
    /// Where errors place it.
    pub fn start(&self) -> u32 {
        match self {
            Expr::Ident { pos, .. }
            | Expr::Str { pos, .. }
            | Expr::Int { pos, .. }
            | Expr::Float { pos, .. }
            | Expr::Bool { pos, .. }
            | Expr::Nil { pos }
            | Expr::List { pos, .. }
            | Expr::Map { pos, .. }
            | Expr::Paren { pos, .. }
            | Expr::Attr { pos, .. }
            | Expr::Index { pos, .. }
            | Expr::Unary { pos, .. }
            | Expr::Call { pos, .. }
            | Expr::Slice { pos, .. }
            | Expr::Named { name_pos: pos, .. } => *pos,
            Expr::Arithmetic { sides, .. } | Expr::Conditional { sides, .. } => sides.0.start(),
            Expr::In { .. } => NO_POS,
        }
    }

    /// As messages call it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Expr::Ident { .. } => "Identifier",
            Expr::Str { .. } => "StringLiteral",
            Expr::Int { .. } => "IntLiteral",
            Expr::Float { .. } => "FloatLiteral",
            Expr::Bool { .. } => "BoolLiteral",
            Expr::Nil { .. } => "NilLiteral",
            Expr::List { .. } => "ListLiteral",
            Expr::Map { .. } => "MapLiteral",
            Expr::Paren { .. } => "ParenExpr",
            Expr::Attr { .. } => "AttrExpr",
            Expr::Index { .. } => "IndexExpr",
            Expr::Unary { .. } => "UnaryExpr",
            Expr::Arithmetic { .. } => "ArithmeticExpr",
            Expr::Conditional { .. } => "ConditionalExpr",
            Expr::In { .. } => "InExpr",
            Expr::Named { .. } => "AssignmentExpr",
            Expr::Call { .. } => "CallExpr",
            Expr::Slice { .. } => "SliceExpr",
        }
    }

    /// The text of the expression, as keys (`a.b[0].c`) and messages show it.
    pub fn text(&self) -> String {
        let joined = |items: &[Expr]| items.iter().map(Expr::text).collect::<Vec<_>>().join(", ");
        match self {
            Expr::Ident { name, .. } => name.clone(),
            Expr::Str { value, .. } => format!("'{}'", String::from_utf8_lossy(value)),
            Expr::Int { value, .. } => value.to_string(),
            Expr::Float { value, .. } => format!("{value:.6}"),
            Expr::Bool { value, .. } => value.to_string(),
            Expr::Nil { .. } => "nil".to_owned(),
            Expr::List { items, .. } => format!("[{}]", joined(items)),
            Expr::Map { pairs, .. } => {
                let pair = |(key, value): &(Expr, Expr)| format!("{}: {}", key.text(), value.text());
                format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            Expr::Paren { inner, .. } => format!("({})", inner.text()),
            Expr::Attr { object, attr, .. } => format!("{}.{}", object.text(), attr.text()),
            Expr::Index { object, indices, .. } => {
                let mut text = object.as_ref().map(|object| object.text()).unwrap_or_default();
                for index in indices {
                    text.push('[');
                    text.push_str(&index.text());
                    text.push(']');
                }
                text
            }
            Expr::Unary { op, inner, .. } => format!("{}{}", op.text(), inner.text()),
            Expr::Arithmetic { op, sides, .. } | Expr::Conditional { op, sides, .. } => {
                format!("{} {} {}", sides.0.text(), op.text(), sides.1.text())
            }
            Expr::In { sides, .. } => format!("{} in {}", sides.0.text(), sides.1.text()),
            Expr::Named { name, value, .. } => format!("{name} = {}", value.text()),
            Expr::Call { name, args, .. } => format!("{name}({})", joined(args)),
            Expr::Slice { object, .. } => format!("{}[:]", object.text()),
        }
    }
}

/// A statement.
#[derive(Clone, Debug)]
pub enum Stmt {
    Expr(Expr),
    /// `op` is the arithmetic of `+=` and its like, none for `=`. More than one side left or right fails in the run.
    Assign {
        op: Option<Op>,
        pos: u32,
        left: Vec<Expr>,
        right: Vec<Expr>,
    },
    If {
        arms: Vec<(Expr, Vec<Stmt>)>,
        otherwise: Option<Vec<Stmt>>,
    },
    For {
        init: Option<Box<Stmt>>,
        condition: Option<Expr>,
        step: Option<Box<Stmt>>,
        body: Vec<Stmt>,
    },
    ForIn {
        name: String,
        iterated: Expr,
        body: Vec<Stmt>,
    },
    Break {
        pos: u32,
    },
    Continue {
        pos: u32,
    },
}
