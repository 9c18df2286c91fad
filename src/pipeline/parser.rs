//! Tokens → statements: recursive descent that minds what the reference's generated parser minds, at the same token.
//!
//! A token is read only when it decides something. What is wrong with a node as a whole is placed at the last token
//! read
//! by then, which is why `seen` is kept.

use super::{
    ast::{Expr, Stmt},
    error::{Error, Lines},
    lexer::{Kind, LexError, Lexer, Op, Token, name_of, unquote, unquote_long},
};

/// How deep brackets, blocks and signs nest: reading recurses that deep, on the stack of a shard.
pub const NESTING_MAX: usize = 96;
/// How high the tree of a script gets, for which a chain of operators (`a + b + c …`) counts as well: checking, running
/// and
/// freeing recurse that deep.
pub const HEIGHT_MAX: usize = 256;

/// A script, read, and no less than the height of its tree.
pub fn parse(source: &str, lines: &Lines) -> Result<(Vec<Stmt>, usize), Error> {
    let mut parser = Parser { lexer: Lexer::new(source), ahead: None, seen: 0, depth: 0, height: 0 };
    match parser.script() {
        Ok(stmts) => Ok((stmts, parser.height)),
        Err(error) => Err(lines.error(error.pos, error.message)),
    }
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    ahead: Option<Token<'s>>,
    /// Where the last token read begins.
    seen: u32,
    depth: usize,
    /// No less than the height of what was read on this level of nesting.
    height: usize,
}

type Parsed<T> = Result<T, LexError>;

impl<'s> Parser<'s> {
    fn peek(&mut self) -> Parsed<Token<'s>> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = self.lexer.next()?;
        self.seen = token.pos;
        self.ahead = Some(token);
        Ok(token)
    }

    fn take(&mut self) -> Parsed<Token<'s>> {
        let token = self.peek()?;
        self.ahead = None;
        Ok(token)
    }

    fn at(&mut self, kind: Kind) -> Parsed<bool> {
        Ok(self.peek()?.kind == kind)
    }

    fn accept(&mut self, kind: Kind) -> Parsed<bool> {
        let found = self.at(kind)?;
        if found {
            self.ahead = None;
        }
        Ok(found)
    }

    fn expect(&mut self, kind: Kind) -> Parsed<()> {
        if self.accept(kind)? { Ok(()) } else { self.unexpected() }
    }

    fn unexpected<T>(&mut self) -> Parsed<T> {
        let token = self.peek()?;
        Err(LexError { pos: token.pos, message: format!("unexpected: {}", token.describe()) })
    }

    /// Something wrong with what was just put together.
    fn wrong<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(LexError { pos: self.seen, message: message.into() })
    }

    fn skip_lines(&mut self) -> Parsed<bool> {
        let mut any = false;
        while self.accept(Kind::Line)? {
            any = true;
        }
        Ok(any)
    }

    fn skip_separators(&mut self) -> Parsed<bool> {
        let mut any = false;
        while matches!(self.peek()?.kind, Kind::Line | Kind::Semicolon) {
            self.ahead = None;
            any = true;
        }
        Ok(any)
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= NESTING_MAX {
            return self.wrong(format!("nested more than {NESTING_MAX} deep"));
        }
        self.depth += 1;
        let outer = std::mem::take(&mut self.height);
        let result = read(self)?;
        self.depth -= 1;
        self.grow()?;
        self.height = self.height.max(outer);
        Ok(result)
    }

    /// One more node stands on what was read.
    fn grow(&mut self) -> Parsed<()> {
        self.height += 1;
        if self.height > HEIGHT_MAX {
            return self.wrong(format!("more than {HEIGHT_MAX} operators on top of each other"));
        }
        Ok(())
    }

    fn script(&mut self) -> Parsed<Vec<Stmt>> {
        if self.at(Kind::End)? {
            return self.unexpected();
        }
        let stmts = self.stmts(Kind::End)?;
        self.expect(Kind::End)?;
        Ok(stmts)
    }

    fn stmts(&mut self, end: Kind) -> Parsed<Vec<Stmt>> {
        let mut stmts = Vec::new();
        self.skip_separators()?;
        while !self.at(end)? {
            stmts.push(self.stmt()?);
            if !self.skip_separators()? {
                break;
            }
        }
        Ok(stmts)
    }

    fn block(&mut self) -> Parsed<Vec<Stmt>> {
        self.expect(Kind::OpenBrace)?;
        let stmts = self.nested(|parser| parser.stmts(Kind::CloseBrace))?;
        self.expect(Kind::CloseBrace)?;
        Ok(stmts)
    }

    fn stmt(&mut self) -> Parsed<Stmt> {
        let token = self.peek()?;
        match token.kind {
            Kind::If => self.if_stmt(),
            Kind::For => self.for_stmt(),
            Kind::Break => {
                self.ahead = None;
                Ok(Stmt::Break { pos: token.pos })
            }
            Kind::Continue => {
                self.ahead = None;
                Ok(Stmt::Continue { pos: token.pos })
            }
            _ => self.simple(),
        }
    }

    /// An expression or an assignment.
    fn simple(&mut self) -> Parsed<Stmt> {
        let first = self.expr()?;
        let token = self.peek()?;
        let compound = match token.kind {
            Kind::Op(Op::AddAssign) => Op::Add,
            Kind::Op(Op::SubAssign) => Op::Sub,
            Kind::Op(Op::MulAssign) => Op::Mul,
            Kind::Op(Op::DivAssign) => Op::Div,
            Kind::Op(Op::ModAssign) => Op::Mod,
            Kind::Op(Op::Assign) | Kind::Comma => return self.assign(first),
            _ => return Ok(Stmt::Expr(first)),
        };
        self.ahead = None;
        self.skip_lines()?;
        let right = self.expr()?;
        Ok(Stmt::Assign { op: Some(compound), pos: token.pos, left: vec![first], right: vec![right] })
    }

    fn assign(&mut self, first: Expr) -> Parsed<Stmt> {
        let left = self.exprs(first)?;
        let pos = self.peek()?.pos;
        self.expect(Kind::Op(Op::Assign))?;
        self.skip_lines()?;
        let first = self.expr()?;
        let right = self.exprs(first)?;
        Ok(Stmt::Assign { op: None, pos, left, right })
    }

    fn exprs(&mut self, first: Expr) -> Parsed<Vec<Expr>> {
        let mut exprs = vec![first];
        while self.accept(Kind::Comma)? {
            self.skip_lines()?;
            exprs.push(self.expr()?);
        }
        Ok(exprs)
    }

    fn if_stmt(&mut self) -> Parsed<Stmt> {
        let mut arms = Vec::new();
        loop {
            // `if` the first time, `elif` then.
            self.take()?;
            let condition = self.expr()?;
            arms.push((condition, self.block()?));
            if !self.at(Kind::Elif)? {
                break;
            }
        }
        let otherwise = if self.accept(Kind::Else)? { Some(self.block()?) } else { None };
        Ok(Stmt::If { arms, otherwise })
    }

    fn for_stmt(&mut self) -> Parsed<Stmt> {
        self.take()?;
        let init = if self.at(Kind::Semicolon)? { None } else { Some(Box::new(self.simple()?)) };
        let init = match init.map(|init| *init) {
            Some(Stmt::Expr(Expr::In { sides, .. })) if self.at(Kind::OpenBrace)? => {
                return self.for_in(*sides);
            }
            init => init.map(Box::new),
        };
        self.expect(Kind::Semicolon)?;
        let condition = if self.at(Kind::Semicolon)? { None } else { Some(self.expr()?) };
        self.expect(Kind::Semicolon)?;
        let step = if self.at(Kind::OpenBrace)? { None } else { Some(Box::new(self.simple()?)) };
        Ok(Stmt::For { init, condition, step, body: self.block()? })
    }

    fn for_in(&mut self, (variable, iterated): (Expr, Expr)) -> Parsed<Stmt> {
        let body = self.block()?;
        match &iterated {
            Expr::Bool { .. } | Expr::Nil { .. } | Expr::Int { .. } | Expr::Float { .. } => {
                return self.wrong(format!("{} object is not iterable", iterated.type_name()));
            }
            _ => {}
        }
        match variable {
            Expr::Ident { name, .. } => Ok(Stmt::ForIn { name, iterated, body }),
            other => self.wrong(format!("{} object is not identifier", other.type_name())),
        }
    }

    fn expr(&mut self) -> Parsed<Expr> {
        self.nested(|parser| parser.binary(0))
    }

    /// Operators of at least that level, by precedence climbing; all of them group to the left.
    fn binary(&mut self, level_min: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        loop {
            let token = self.peek()?;
            let Some(level) = level(token.kind).filter(|&level| level >= level_min) else { return Ok(left) };
            self.ahead = None;
            self.grow()?;
            if token.kind == Kind::In {
                self.skip_lines()?;
            }
            let right = self.binary(level + 1)?;
            // The token behind decides whether the right side ends here, so it was read by now.
            self.peek()?;
            left = self.joined(token, left, right)?;
        }
    }

    fn joined(&mut self, token: Token<'s>, left: Expr, right: Expr) -> Parsed<Expr> {
        let pos = token.pos;
        let Kind::Op(op) = token.kind else { return Ok(Expr::In { pos, sides: Box::new((left, right)) }) };
        match op {
            Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Mod => {
                let zero = match right {
                    Expr::Int { value, .. } => value == 0,
                    Expr::Float { value, .. } => value == 0.0,
                    _ => false,
                };
                if zero && matches!(op, Op::Div | Op::Mod) {
                    return self.wrong("division or modulo by zero");
                }
                Ok(Expr::Arithmetic { op, pos, sides: Box::new((left, right)) })
            }
            _ => Ok(Expr::Conditional { op, pos, sides: Box::new((left, right)) }),
        }
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let token = self.peek()?;
        let Kind::Op(op @ (Op::Sub | Op::Add | Op::Not)) = token.kind else { return self.postfix() };
        self.ahead = None;
        let pos = token.pos;
        let inner = self.nested(Parser::unary)?;
        Ok(match (op, inner) {
            (Op::Add, Expr::Int { value, .. }) => Expr::Int { value, pos },
            (Op::Add, Expr::Float { value, .. }) => Expr::Float { value, pos },
            (Op::Sub, Expr::Int { value, .. }) => Expr::Int { value: value.wrapping_neg(), pos },
            (Op::Sub, Expr::Float { value, .. }) => Expr::Float { value: -value, pos },
            (op, inner) => Expr::Unary { op, pos, inner: Box::new(inner) },
        })
    }

    fn postfix(&mut self) -> Parsed<Expr> {
        let token = self.peek()?;
        let pos = token.pos;
        match token.kind {
            Kind::Name => self.named(),
            Kind::Dot => {
                let index = self.dot_index()?;
                self.attrs(index)
            }
            Kind::OpenBracket => {
                let list = self.list()?;
                self.slices(list)
            }
            Kind::OpenBrace => self.map(),
            Kind::OpenParen => {
                self.ahead = None;
                self.skip_lines()?;
                let inner = Box::new(self.expr()?);
                self.skip_lines()?;
                self.expect(Kind::CloseParen)?;
                Ok(Expr::Paren { inner, pos })
            }
            _ => {
                let literal = self.literal(token)?;
                self.slices(literal)
            }
        }
    }

    fn literal(&mut self, token: Token<'s>) -> Parsed<Expr> {
        let pos = token.pos;
        let failed = |message| LexError { pos, message };
        let literal = match token.kind {
            Kind::True => Expr::Bool { value: true, pos },
            Kind::False => Expr::Bool { value: false, pos },
            Kind::Nil => Expr::Nil { pos },
            Kind::Text => Expr::Str { value: unquote(token.text).map_err(failed)?, pos },
            Kind::LongText => Expr::Str { value: unquote_long(token.text).map_err(failed)?, pos },
            Kind::Number => number(token.text, pos).map_err(failed)?,
            _ => return self.unexpected(),
        };
        self.ahead = None;
        Ok(literal)
    }

    /// What begins with a name: itself, a call, an index, a slice, a chain of attributes.
    fn named(&mut self) -> Parsed<Expr> {
        let token = self.take()?;
        let (name, pos) = (name_of(token.text).to_owned(), token.pos);
        match self.peek()?.kind {
            Kind::OpenParen => {
                let args = self.args()?;
                self.slices(Expr::Call { name, pos, args })
            }
            Kind::OpenBracket => {
                let object = Expr::Ident { name, pos };
                match self.index_or_slice()? {
                    Bracket::Index(first) => {
                        let index = self.index(Some(object), first, pos)?;
                        self.attrs(index)
                    }
                    Bracket::Slice(pos, bounds) => {
                        let slice = Expr::Slice { object: Box::new(object), pos, bounds };
                        self.slices(slice)
                    }
                }
            }
            _ => self.attrs(Expr::Ident { name, pos }),
        }
    }

    /// The rest of `….x.y[0]`.
    fn attrs(&mut self, mut object: Expr) -> Parsed<Expr> {
        while self.accept(Kind::Dot)? {
            self.grow()?;
            let token = self.peek()?;
            let attr = match token.kind {
                Kind::Name => {
                    self.ahead = None;
                    let ident = Expr::Ident { name: name_of(token.text).to_owned(), pos: token.pos };
                    if self.at(Kind::OpenBracket)? {
                        let first = self.bracketed()?;
                        self.index(Some(ident), first, token.pos)?
                    } else {
                        ident
                    }
                }
                Kind::Dot => self.dot_index()?,
                _ => return self.unexpected(),
            };
            let pos = self.peek()?.pos;
            object = Expr::Attr { object: Box::new(object), attr: Box::new(attr), pos };
        }
        Ok(object)
    }

    /// `.[…]`
    fn dot_index(&mut self) -> Parsed<Expr> {
        let pos = self.take()?.pos;
        if !self.at(Kind::OpenBracket)? {
            return self.unexpected();
        }
        let first = self.bracketed()?;
        self.index(None, first, pos)
    }

    fn index(&mut self, object: Option<Expr>, first: Expr, pos: u32) -> Parsed<Expr> {
        let mut indices = vec![first];
        while self.at(Kind::OpenBracket)? {
            indices.push(self.bracketed()?);
        }
        Ok(Expr::Index { object: object.map(Box::new), indices, pos })
    }

    fn bracketed(&mut self) -> Parsed<Expr> {
        self.take()?;
        self.skip_lines()?;
        let inner = self.expr()?;
        self.skip_lines()?;
        self.expect(Kind::CloseBracket)?;
        Ok(inner)
    }

    fn index_or_slice(&mut self) -> Parsed<Bracket> {
        let pos = self.take()?.pos;
        let lines = self.skip_lines()?;
        if !lines && self.at(Kind::Colon)? {
            return self.slice(pos, None);
        }
        let first = self.expr()?;
        let lines = self.skip_lines()? || lines;
        if !lines && self.at(Kind::Colon)? {
            return self.slice(pos, Some(first));
        }
        self.expect(Kind::CloseBracket)?;
        Ok(Bracket::Index(first))
    }

    /// The rest of a slice, from its first colon.
    fn slice(&mut self, pos: u32, start: Option<Expr>) -> Parsed<Bracket> {
        self.expect(Kind::Colon)?;
        let mut bounds = [start, None, None];
        if !matches!(self.peek()?.kind, Kind::Colon | Kind::CloseBracket) {
            bounds[1] = Some(self.expr()?);
        }
        if self.accept(Kind::Colon)? && !self.at(Kind::CloseBracket)? {
            bounds[2] = Some(self.expr()?);
        }
        self.expect(Kind::CloseBracket)?;
        for (bound, name) in bounds.iter().zip(["start", "end", "step"]) {
            if let Some(bound @ (Expr::Float { .. } | Expr::List { .. } | Expr::Str { .. })) = bound {
                return self.wrong(format!("invalid slice {name} type {}", bound.type_name()));
            }
        }
        Ok(Bracket::Slice(pos, Box::new(bounds)))
    }

    /// The slices behind what cannot be indexed.
    fn slices(&mut self, mut object: Expr) -> Parsed<Expr> {
        while self.at(Kind::OpenBracket)? {
            self.grow()?;
            let pos = self.take()?.pos;
            let start = if self.at(Kind::Colon)? { None } else { Some(self.expr()?) };
            let Bracket::Slice(pos, bounds) = self.slice(pos, start)? else { return self.unexpected() };
            object = Expr::Slice { object: Box::new(object), pos, bounds };
        }
        Ok(object)
    }

    fn args(&mut self) -> Parsed<Vec<Expr>> {
        self.take()?;
        let mut args = Vec::new();
        self.skip_lines()?;
        while !self.at(Kind::CloseParen)? {
            args.push(self.arg()?);
            if !self.accept(Kind::Comma)? {
                break;
            }
            self.skip_lines()?;
        }
        self.skip_to(Kind::CloseParen)?;
        Ok(args)
    }

    fn arg(&mut self) -> Parsed<Expr> {
        let arg = self.expr()?;
        let Expr::Ident { name, pos } = arg else { return Ok(arg) };
        if !self.accept(Kind::Op(Op::Assign))? {
            return Ok(Expr::Ident { name, pos });
        }
        self.skip_lines()?;
        Ok(Expr::Named { name, name_pos: pos, value: Box::new(self.expr()?) })
    }

    /// Line ends, then that token.
    fn skip_to(&mut self, kind: Kind) -> Parsed<()> {
        self.skip_lines()?;
        self.expect(kind)
    }

    fn list(&mut self) -> Parsed<Expr> {
        let pos = self.take()?.pos;
        let mut items = Vec::new();
        self.skip_lines()?;
        while !matches!(self.peek()?.kind, Kind::CloseBracket | Kind::Comma) {
            items.push(self.expr()?);
            self.skip_lines()?;
            if !self.at(Kind::Comma)? {
                break;
            }
            self.ahead = None;
            self.skip_lines()?;
        }
        if items.is_empty() {
            self.accept(Kind::Comma)?;
        }
        self.skip_to(Kind::CloseBracket)?;
        Ok(Expr::List { items, pos })
    }

    fn map(&mut self) -> Parsed<Expr> {
        let pos = self.take()?.pos;
        let mut pairs = Vec::new();
        self.skip_lines()?;
        while !self.at(Kind::CloseBrace)? {
            let key = self.expr()?;
            self.expect(Kind::Colon)?;
            self.skip_lines()?;
            pairs.push((key, self.expr()?));
            if !self.accept(Kind::Comma)? {
                break;
            }
            self.skip_lines()?;
        }
        self.skip_to(Kind::CloseBrace)?;
        Ok(Expr::Map { pairs, pos })
    }
}

/// What stood between brackets.
enum Bracket {
    Index(Expr),
    Slice(u32, Box<[Option<Expr>; 3]>),
}

/// How tightly an operator between two operands binds.
fn level(kind: Kind) -> Option<u8> {
    Some(match kind {
        Kind::Op(Op::Or) => 1,
        Kind::Op(Op::And) => 2,
        Kind::In => 3,
        Kind::Op(Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge) => 4,
        Kind::Op(Op::Add | Op::Sub) => 5,
        Kind::Op(Op::Mul | Op::Div | Op::Mod) => 6,
        _ => return None,
    })
}

/// A number: an integer if it is one, its base by its prefix (a leading 0 is octal), else a float.
fn number(text: &str, pos: u32) -> Result<Expr, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None if text.len() > 1 && text.starts_with('0') => i64::from_str_radix(text, 8),
        None => text.parse(),
    };
    if let Ok(value) = parsed {
        return Ok(Expr::Int { value, pos });
    }
    let failed = |why| format!("error parsing number: strconv.ParseFloat: parsing \"{text}\": {why}");
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && !text.eq_ignore_ascii_case("inf") => {
            Err(failed("value out of range"))
        }
        Ok(value) => Ok(Expr::Float { value, pos }),
        Err(_) => Err(failed("invalid syntax")),
    }
}
