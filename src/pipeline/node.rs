//! A script, compiled: a tree whose names are slots, whose literals are values and whose calls are objects with all
//! that could be worked out beforehand.

use std::fmt;

use memchr::memmem::Finder;

use super::{
    error::{Error, Lines},
    lexer::Op,
    value::Value,
    vm::Vm,
};

/// A compiled script. Shared by all runs.
#[derive(Debug)]
pub struct Program {
    pub lines: Lines,
    pub(super) body: Block,
    /// Variables of the script; every run has a slot for each.
    pub(super) slots: usize,
    /// How deep running it recurses.
    pub(super) height: usize,
    /// It asks other hosts, and waits for them.
    pub(super) asks: bool,
    /// It leaves something behind for its next runs.
    pub(super) keeps: bool,
}

/// What a call does. One object a call in the script, made when the script is compiled.
pub trait Run: Send + Sync + fmt::Debug {
    fn run<'r>(&'r self, vm: &mut Vm<'r>) -> Result<Value<'r>, Error>;
}

/// An expression.
#[derive(Debug)]
pub enum Node {
    Nil,
    Void,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Box<[u8]>),
    Name(Name),
    List(Box<[Node]>),
    Map(Box<MapNode>),
    Index(Box<IndexNode>),
    Slice(Box<SliceNode>),
    Unary(Op, u32, Box<Node>),
    Arithmetic(Op, u32, Box<(Node, Node)>),
    Compare(Op, u32, Box<(Node, Node)>),
    /// `&&` (true) or `||`.
    Logic(bool, u32, Box<(Node, Node)>),
    In(u32, Box<(Node, Node)>),
    /// `in` of a literal text, which is made ready to be searched for.
    Finds(Box<Finder<'static>>, Box<Node>, u32),
    Call(Box<dyn Run>),
}

/// A name that is read: the variables it may be, the nearest first, and the key of the point if it is none of them.
#[derive(Clone, Debug)]
pub struct Name {
    pub slots: Box<[u32]>,
    pub key: Box<[u8]>,
}

#[derive(Debug)]
pub struct MapNode {
    /// Each with the places of its key and of its value.
    pub pairs: Box<[(Node, Node, u32, u32)]>,
}

#[derive(Debug)]
pub struct IndexNode {
    pub name: Name,
    pub pos: u32,
    pub indices: Box<[(Node, u32)]>,
}

#[derive(Debug)]
pub struct SliceNode {
    pub object: Node,
    pub object_pos: u32,
    pub bounds: [Option<(Node, u32)>; 3],
}

/// Where a value is assigned to.
#[derive(Debug)]
pub enum Target {
    /// The first of these that is set, else the last: the variable of the scope itself.
    Slot(Name),
    Index(Box<IndexNode>),
    /// Evaluates the right side and is done.
    Nowhere,
}

#[derive(Debug)]
pub enum Action {
    Expr(Node),
    Assign(Target, Node),
    /// With what is there.
    Update(Target, Op, u32, Node),
    AssignMany(u32),
    If(Box<[(Node, Block)]>, Option<Block>),
    For(Box<ForNode>),
    ForIn(Box<ForInNode>),
    Break,
    Continue,
}

#[derive(Debug)]
pub struct ForNode {
    /// Variables of the header.
    pub fresh: Box<[u32]>,
    pub init: Option<Action>,
    pub condition: Option<Node>,
    pub step: Option<Action>,
    pub body: Block,
}

#[derive(Debug)]
pub struct ForInNode {
    pub fresh: Box<[u32]>,
    pub variable: Name,
    pub iterated: Node,
    pub pos: u32,
    pub body: Block,
}

/// Statements of one scope.
#[derive(Debug, Default)]
pub struct Block {
    /// Variables of the scope: not set when it is entered.
    pub fresh: Box<[u32]>,
    pub actions: Box<[Action]>,
}
