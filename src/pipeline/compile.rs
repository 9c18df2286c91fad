//! The checks of a script, in the order in which the reference makes them, and with them its compiled form: names
//! become
//! slots, and functions prepare what they will do.

use std::sync::Arc;

use memchr::memmem::Finder;

use super::{
    ast::{Expr, Stmt},
    error::{Error, Lines, NO_POS},
    funcs,
    lexer::Op,
    lib::grok::{Definition, Patterns},
    node::{
        Action, Block, ForInNode, ForNode, IndexNode, MapNode, Name, Node, Program, Run, SliceNode, Target,
    },
    parser,
};

/// Another name of `message`, wherever a key or variable is named.
const MESSAGE_ALIAS: &str = "_";
const MESSAGE: &str = "message";

/// What the compiled patterns of a script may take. A pattern of a log takes some tens of kilobytes.
const PATTERNS_BYTES_MAX: usize = 64 << 20;

/// The name that is meant.
pub fn alias(name: &str) -> &str {
    if name == MESSAGE_ALIAS { MESSAGE } else { name }
}

/// A script that another one runs.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub script: String,
    /// Its place among the scripts, if it is one.
    pub index: Option<usize>,
    /// Of the call, or of the argument that names it.
    pub pos: u32,
}

/// A script compiled by itself; what it uses may still be missing.
pub(super) struct Compiled {
    pub program: Program,
    pub uses: Vec<Use>,
}

/// Compiles a script. `index` tells the place of another one by its name, `patterns` are those it need not add.
pub(super) fn compile(
    file: &str,
    source: &str,
    index: &dyn Fn(&str) -> Option<usize>,
    patterns: &Patterns,
) -> Result<Compiled, Error> {
    let lines = Lines::new(file, source);
    let (stmts, height) = parser::parse(source, &lines)?;
    let mut checker = Checker {
        lines: &lines,
        index,
        patterns,
        pattern_bytes_left: PATTERNS_BYTES_MAX,
        scopes: Vec::new(),
        slots: 0,
        loops: 0,
        uses: Vec::new(),
        asks: false,
        keeps: false,
    };
    let body = checker.block(&stmts)?;
    let Checker { asks, keeps, slots, uses, .. } = checker;
    let program = Program { lines, body, slots: slots as usize, height, asks, keeps };
    Ok(Compiled { program, uses })
}

/// What is known while a script is checked.
pub struct Checker<'a> {
    pub lines: &'a Lines,
    index: &'a dyn Fn(&str) -> Option<usize>,
    patterns: &'a Patterns,
    pattern_bytes_left: usize,
    scopes: Vec<Scope>,
    slots: u32,
    loops: usize,
    uses: Vec<Use>,
    asks: bool,
    keeps: bool,
}

/// Variables that a block assigns, and what it declares for its functions.
#[derive(Default)]
struct Scope {
    names: Vec<(Box<[u8]>, u32)>,
    /// Patterns by `add_pattern`.
    patterns: Vec<(String, Arc<Definition>)>,
}

/// A call that is being checked: its arguments as they were written, and compiled.
pub struct Call<'a> {
    pub name: &'a str,
    pub pos: u32,
    pub args: &'a [Expr],
    nodes: Vec<Option<Node>>,
}

impl<'a> Call<'a> {
    /// The compiled argument; it is given out once.
    pub fn node(&mut self, at: usize) -> Node {
        self.nodes.get_mut(at).and_then(Option::take).unwrap_or(Node::Nil)
    }

    /// The argument as it was written, its value if it is a named one.
    pub fn value(&self, at: usize) -> Option<&'a Expr> {
        Some(match self.args.get(at)? {
            Expr::Named { value, .. } => value,
            arg => arg,
        })
    }
}

impl Checker<'_> {
    pub fn error(&self, pos: u32, message: impl Into<String>) -> Error {
        self.lines.error(pos, message)
    }

    /// A name that is read here.
    pub fn name(&self, name: &str) -> Name {
        let key = alias(name).as_bytes();
        let declared =
            |scope: &Scope| scope.names.iter().find(|(name, _)| **name == *key).map(|(_, slot)| *slot);
        Name { slots: self.scopes.iter().rev().filter_map(declared).collect(), key: key.into() }
    }

    /// A name that is assigned here: the innermost scope has a variable for it.
    fn declare(&mut self, name: &str) -> Name {
        let key = alias(name).as_bytes();
        if let Some(scope) = self.scopes.last_mut()
            && !scope.names.iter().any(|(name, _)| **name == *key)
        {
            scope.names.push((key.into(), self.slots));
            self.slots += 1;
        }
        self.name(name)
    }

    /// Counts what a compiled pattern takes.
    pub fn count_pattern(&mut self, pos: u32, bytes: usize) -> Result<(), Error> {
        match self.pattern_bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.pattern_bytes_left = left;
                Ok(())
            }
            None => Err(self.error(pos, format!("patterns of more than {PATTERNS_BYTES_MAX} bytes"))),
        }
    }

    /// Declares a pattern for the rest of the block.
    pub fn add_pattern(&mut self, name: String, pattern: Arc<Definition>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.patterns.push((name, pattern));
        }
    }

    /// The pattern of that name: the inner one, the later one, or the one that all scripts have.
    pub fn pattern(&self, name: &str) -> Option<Arc<Definition>> {
        let mut declared = self.scopes.iter().rev().flat_map(|scope| scope.patterns.iter().rev());
        let found = declared.find(|(declared, _)| declared == name);
        found.map(|(_, pattern)| Arc::clone(pattern)).or_else(|| self.patterns.get(name))
    }

    /// Notes that the script runs another one, and gives its place among the scripts.
    pub(super) fn use_script(&mut self, script: &str, pos: u32) -> usize {
        let index = (self.index)(script);
        self.uses.push(Use { script: script.to_owned(), index, pos });
        // Without it the script never runs.
        index.unwrap_or(usize::MAX)
    }

    /// Notes that the script asks other hosts, and waits for them.
    pub(super) fn asks(&mut self) {
        self.asks = true;
    }

    /// Notes that the script leaves something behind for its next runs.
    pub(super) fn keeps(&mut self) {
        self.keeps = true;
    }

    fn scoped<T>(
        &mut self,
        check: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<(Box<[u32]>, T), Error> {
        self.scopes.push(Scope::default());
        let result = check(self);
        let scope = self.scopes.pop().unwrap_or_default();
        Ok((scope.names.into_iter().map(|(_, slot)| slot).collect(), result?))
    }

    fn block(&mut self, stmts: &[Stmt]) -> Result<Block, Error> {
        let (fresh, actions) =
            self.scoped(|checker| stmts.iter().map(|stmt| checker.stmt(stmt)).collect())?;
        Ok(Block { fresh, actions })
    }

    fn loop_block(&mut self, stmts: &[Stmt]) -> Result<Block, Error> {
        self.loops += 1;
        let block = self.block(stmts);
        self.loops -= 1;
        block
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<Action, Error> {
        Ok(match stmt {
            Stmt::Expr(expr) => Action::Expr(self.expr(expr)?),
            Stmt::Assign { op, pos, left, right } => self.assign(*op, *pos, left, right)?,
            Stmt::If { arms, otherwise } => {
                let mut compiled = Vec::with_capacity(arms.len());
                for (condition, block) in arms {
                    compiled.push((self.expr(condition)?, self.block(block)?));
                }
                let otherwise = otherwise.as_ref().map(|block| self.block(block)).transpose()?;
                Action::If(compiled.into(), otherwise)
            }
            Stmt::For { init, condition, step, body } => {
                let (fresh, mut node) = self.scoped(|checker| {
                    let init = init.as_ref().map(|init| checker.stmt(init)).transpose()?;
                    // What the step assigns is there for the condition and the body from the second round on.
                    checker.declare_targets(step.as_deref());
                    let condition =
                        condition.as_ref().map(|condition| checker.expr(condition)).transpose()?;
                    let step = step.as_ref().map(|step| checker.stmt(step)).transpose()?;
                    let body = checker.loop_block(body)?;
                    Ok(ForNode { fresh: Box::default(), init, condition, step, body })
                })?;
                node.fresh = fresh;
                Action::For(Box::new(node))
            }
            Stmt::ForIn { name, iterated, body } => {
                let (fresh, mut node) = self.scoped(|checker| {
                    let pos = iterated.start();
                    let iterated = checker.expr(iterated)?;
                    let variable = checker.declare(name);
                    let body = checker.loop_block(body)?;
                    Ok(ForInNode { fresh: Box::default(), variable, iterated, pos, body })
                })?;
                node.fresh = fresh;
                Action::ForIn(Box::new(node))
            }
            Stmt::Break { pos } if self.loops == 0 => return Err(self.error(*pos, "break not in loop")),
            Stmt::Continue { pos } if self.loops == 0 => return Err(self.error(*pos, "continue not in loop")),
            Stmt::Break { .. } => Action::Break,
            Stmt::Continue { .. } => Action::Continue,
        })
    }

    fn declare_targets(&mut self, stmt: Option<&Stmt>) {
        if let Some(Stmt::Assign { left, .. }) = stmt
            && let [Expr::Ident { name, .. }] = left.as_slice()
        {
            self.declare(name);
        }
    }

    fn assign(&mut self, op: Option<Op>, pos: u32, left: &[Expr], right: &[Expr]) -> Result<Action, Error> {
        let mut values = right.iter().map(|value| self.expr(value)).collect::<Result<Vec<_>, _>>()?;
        let ([target], Some(value), 1) = (left, values.pop(), right.len()) else {
            for target in left {
                self.expr(target)?;
            }
            return Ok(Action::AssignMany(pos));
        };
        let target = match target {
            Expr::Ident { name, .. } => Target::Slot(self.declare(name)),
            Expr::Index { object: Some(_), .. } => match self.expr(target)? {
                Node::Index(index) => Target::Index(index),
                _ => Target::Nowhere,
            },
            other => {
                self.expr(other)?;
                Target::Nowhere
            }
        };
        Ok(match op {
            None => Action::Assign(target, value),
            Some(op) => Action::Update(target, op, pos, value),
        })
    }

    /// Checks and compiles an expression.
    pub fn expr(&mut self, expr: &Expr) -> Result<Node, Error> {
        Ok(match expr {
            Expr::Nil { .. } => Node::Nil,
            Expr::Bool { value, .. } => Node::Bool(*value),
            Expr::Int { value, .. } => Node::Int(*value),
            Expr::Float { value, .. } => Node::Float(*value),
            Expr::Str { value, .. } => Node::Str(value.as_slice().into()),
            Expr::Ident { name, .. } => Node::Name(self.name(name)),
            Expr::Paren { inner, .. } => self.expr(inner)?,
            Expr::Named { value, .. } => self.expr(value)?,
            Expr::Attr { object, attr, .. } => {
                self.expr(object)?;
                self.expr(attr)?;
                Node::Void
            }
            Expr::List { items, pos } => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.expr(item)).collect();
                Node::List(items.map_err(|error| self.lines.called(error, *pos))?.into())
            }
            Expr::Map { pairs, .. } => Node::Map(Box::new(self.map(pairs)?)),
            Expr::Index { object, indices, pos } => {
                let mut compiled = Vec::with_capacity(indices.len());
                for index in indices {
                    compiled.push((self.expr(index)?, index.start()));
                }
                match object.as_deref() {
                    Some(Expr::Ident { name, .. }) => {
                        let index = IndexNode { name: self.name(name), pos: *pos, indices: compiled.into() };
                        Node::Index(Box::new(index))
                    }
                    _ => Node::Void,
                }
            }
            Expr::Slice { object, bounds, .. } => {
                let object_pos = object.start();
                let object = self.expr(object)?;
                let mut compiled = [None, None, None];
                for (bound, compiled) in bounds.iter().zip(&mut compiled) {
                    if let Some(bound) = bound {
                        *compiled = Some((self.expr(bound)?, bound.start()));
                    }
                }
                Node::Slice(Box::new(SliceNode { object, object_pos, bounds: compiled }))
            }
            Expr::Unary { op, pos, inner } => Node::Unary(*op, *pos, Box::new(self.expr(inner)?)),
            Expr::In { pos, sides } => match (&sides.0, self.sides(sides)?) {
                (Expr::Str { value, .. }, compiled) => {
                    let finder = Finder::new(value.as_slice()).into_owned();
                    Node::Finds(Box::new(finder), Box::new(compiled.1), *pos)
                }
                (_, compiled) => Node::In(*pos, compiled),
            },
            Expr::Arithmetic { op, pos, sides } => Node::Arithmetic(*op, *pos, self.sides(sides)?),
            Expr::Conditional { op: Op::And, pos, sides } => Node::Logic(true, *pos, self.sides(sides)?),
            Expr::Conditional { op: Op::Or, pos, sides } => Node::Logic(false, *pos, self.sides(sides)?),
            Expr::Conditional { op, pos, sides } => Node::Compare(*op, *pos, self.sides(sides)?),
            Expr::Call { name, pos, args } => Node::Call(self.call(name, *pos, args)?),
        })
    }

    fn sides(&mut self, sides: &(Expr, Expr)) -> Result<Box<(Node, Node)>, Error> {
        Ok(Box::new((self.expr(&sides.0)?, self.expr(&sides.1)?)))
    }

    fn map(&mut self, pairs: &[(Expr, Expr)]) -> Result<MapNode, Error> {
        let mut compiled = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let never_text = matches!(
                key,
                Expr::Int { .. }
                    | Expr::Float { .. }
                    | Expr::Bool { .. }
                    | Expr::Nil { .. }
                    | Expr::List { .. }
                    | Expr::Map { .. }
            );
            if never_text {
                return Err(self.error(key.start(), "map key expect string"));
            }
            let (key_pos, value_pos) = (key.start(), value.start());
            compiled.push((self.expr(key)?, self.expr(value)?, key_pos, value_pos));
        }
        Ok(MapNode { pairs: compiled.into() })
    }

    fn call(&mut self, name: &str, pos: u32, args: &[Expr]) -> Result<Box<dyn Run>, Error> {
        let Some(prepare) = funcs::find(name) else {
            return Err(self.error(pos, format!("unsupported func: `{name}`")));
        };
        let mut nodes = Vec::with_capacity(args.len());
        for arg in args {
            let node = self.expr(arg).map_err(|error| self.lines.called(error, pos))?;
            nodes.push(Some(node));
        }
        prepare(self, &mut Call { name, pos, args, nodes })
    }
}

/// Keys and literals among arguments, and the words for what is neither.
impl Checker<'_> {
    /// A key, named by an identifier, an attribute expression or a text.
    pub fn key(&self, arg: Option<&Expr>) -> Result<Name, Error> {
        match key_text(arg) {
            Some(name) => Ok(self.name(&name)),
            None => {
                let (pos, what) = described(arg);
                Err(self.error(pos, format!("expect StringLiteral or Identifier or AttrExpr, got {what}")))
            }
        }
    }
}

/// The text of an expression that names a key.
pub fn key_text(arg: Option<&Expr>) -> Option<String> {
    match arg? {
        Expr::Ident { name, .. } => Some(name.clone()),
        Expr::Str { value, .. } => Some(String::from_utf8_lossy(value).into_owned()),
        attr @ Expr::Attr { .. } => Some(attr.text()),
        _ => None,
    }
}

/// Where an argument is, and what messages call it.
pub fn described(arg: Option<&Expr>) -> (u32, &'static str) {
    arg.map_or((NO_POS, "nothing"), |arg| (arg.start(), arg.type_name()))
}
