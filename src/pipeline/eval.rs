//! What statements do and what expressions are worth.

use std::cell::Cell;

use memchr::memmem::{self, Finder};

use super::{
    error::Error,
    lexer::Op,
    node::{Action, Block, ForInNode, ForNode, IndexNode, MapNode, Name, Node, SliceNode, Target},
    ops::compare_integers,
    value::{Map, Value},
    vm::Vm,
};

/// How a block was left. A whole word, as it then comes beside an error in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl<'r> Vm<'r> {
    pub(super) fn block(&mut self, block: &'r Block) -> Result<Flow, Error> {
        self.forget(&block.fresh);
        for action in &block.actions {
            self.step()?;
            if self.exited {
                break;
            }
            let flow = self.action(action)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    #[inline]
    fn forget(&mut self, slots: &[u32]) {
        for &slot in slots {
            if let Some(cell) = self.slots.get(slot as usize) {
                cell.set(Value::Unset);
            }
        }
    }

    fn action(&mut self, action: &'r Action) -> Result<Flow, Error> {
        match action {
            Action::Expr(node) => {
                self.eval(node)?;
            }
            Action::Assign(Target::Slot(name), node) => match self.integer(node) {
                Some(value) => self.assign(name, Value::Int(value)),
                None => {
                    let value = self.eval(node)?;
                    self.assign(name, value);
                }
            },
            Action::Assign(target, node) => {
                let value = self.eval(node)?;
                if let Target::Index(index) = target {
                    self.assign_index(index, value)?;
                }
            }
            Action::Update(target, op, pos, node) => self.update(target, *op, *pos, node)?,
            Action::AssignMany(pos) => {
                let message = "it does not support assigning values to multiple variables at the same time";
                return Err(self.error(*pos, message));
            }
            Action::If(arms, otherwise) => {
                for (condition, block) in arms {
                    if self.condition(condition)? {
                        return self.block(block);
                    }
                }
                if let Some(block) = otherwise {
                    return self.block(block);
                }
            }
            Action::For(node) => self.for_loop(node)?,
            Action::ForIn(node) => self.for_in(node)?,
            Action::Break => return Ok(Flow::Break),
            Action::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// Whether what is written behind an `if` holds.
    #[inline]
    fn condition(&mut self, node: &'r Node) -> Result<bool, Error> {
        if let Node::Compare(op, _, sides) = node
            && let Some(left) = self.integer(&sides.0)
            && let Some(right) = self.integer(&sides.1)
        {
            return Ok(compare_integers(*op, left, right));
        }
        self.holds(node)
    }

    fn holds(&mut self, node: &'r Node) -> Result<bool, Error> {
        match node {
            Node::Compare(op, pos, sides) => self.compared(*op, *pos, sides),
            Node::Logic(and, _, sides)
                if matches!(
                    &**sides,
                    (Node::Compare(..) | Node::Finds(..), Node::Compare(..) | Node::Finds(..))
                ) =>
            {
                let left = self.condition(&sides.0)?;
                if left == *and { self.condition(&sides.1) } else { Ok(left) }
            }
            Node::Finds(finder, node, pos) => self.finds(finder, node, *pos),
            node => Ok(self.eval(node)?.truthy()),
        }
    }

    fn compared(&mut self, op: Op, pos: u32, sides: &'r (Node, Node)) -> Result<bool, Error> {
        if let (Some(left), Some(right)) = (self.integer(&sides.0), self.integer(&sides.1)) {
            return Ok(compare_integers(op, left, right));
        }
        let left = self.eval(&sides.0)?;
        let right = self.eval(&sides.1)?;
        self.compare(op, pos, left, right)
    }

    fn finds(&mut self, finder: &'r Finder<'static>, node: &'r Node, pos: u32) -> Result<bool, Error> {
        let right = self.eval(node)?;
        if let Value::Str(text) = right {
            self.work_on(text.len())?;
            return Ok(finder.find(text).is_some());
        }
        self.contains(pos, Value::Str(finder.needle()), right)
    }

    /// The integer that a literal or variable is, or a sum, difference or product of two of these. It comes in registers, where a
    /// value goes through memory, and much of what scripts do they do with integers. None where it is to be evaluated: nothing has
    /// been done yet, and never much.
    #[inline]
    fn integer(&self, node: &Node) -> Option<i64> {
        let Node::Arithmetic(op, _, sides) = node else { return self.integer_at_hand(node) };
        let (left, right) = (self.integer_at_hand(&sides.0)?, self.integer_at_hand(&sides.1)?);
        match op {
            Op::Add => Some(left.wrapping_add(right)),
            Op::Sub => Some(left.wrapping_sub(right)),
            Op::Mul => Some(left.wrapping_mul(right)),
            _ => None,
        }
    }

    #[inline]
    fn integer_at_hand(&self, node: &Node) -> Option<i64> {
        match node {
            Node::Int(value) => Some(*value),
            Node::Name(name) => match self.variable(name)?.get() {
                Value::Int(value) => Some(value),
                _ => None,
            },
            _ => None,
        }
    }

    fn for_loop(&mut self, node: &'r ForNode) -> Result<(), Error> {
        self.forget(&node.fresh);
        if let Some(init) = &node.init {
            self.action(init)?;
        }
        loop {
            self.step()?;
            if self.exited {
                return Ok(());
            }
            if let Some(condition) = &node.condition
                && !self.condition(condition)?
            {
                return Ok(());
            }
            if self.block(&node.body)? == Flow::Break || self.exited {
                return Ok(());
            }
            if let Some(step) = &node.step {
                self.action(step)?;
            }
        }
    }

    fn for_in(&mut self, node: &'r ForInNode) -> Result<(), Error> {
        self.forget(&node.fresh);
        match self.eval(&node.iterated)? {
            Value::Str(text) => {
                let mut rest = text;
                while let Some(length) = char_len(rest) {
                    let (char, behind) = rest.split_at_checked(length).unwrap_or((rest, b""));
                    rest = behind;
                    if !self.round(node, Value::Str(char))? {
                        break;
                    }
                }
            }
            Value::List(list) => {
                for item in list.iter() {
                    if !self.round(node, item)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                let mut at = 0;
                while let Some((key, _)) = map.entry(at) {
                    if !self.round(node, Value::Str(key))? {
                        break;
                    }
                    at += 1;
                }
            }
            other => {
                let message = format!("unsupported type: {}, not iter value", other.type_name());
                return Err(self.error(node.pos, message));
            }
        }
        Ok(())
    }

    /// One round of a loop; whether there may be another.
    fn round(&mut self, node: &'r ForInNode, item: Value<'r>) -> Result<bool, Error> {
        self.step()?;
        if self.exited {
            return Ok(false);
        }
        self.assign(&node.variable, item);
        Ok(self.block(&node.body)? != Flow::Break && !self.exited)
    }

    /// Sets the nearest variable of the name, or a new one of the scope.
    #[inline]
    fn assign(&mut self, name: &Name, value: Value<'r>) {
        // The variable of the scope itself comes first.
        let own = || self.slots.get(*name.slots.first()? as usize);
        if let Some(cell) = self.variable(name).or_else(own) {
            // A variable that holds nothing is a variable all the same.
            cell.set(if matches!(value, Value::Unset) { Value::Nil } else { value });
        }
    }

    fn update(&mut self, target: &'r Target, op: Op, pos: u32, node: &'r Node) -> Result<(), Error> {
        if let Target::Slot(name) = target
            && let Some(cell) = self.variable(name)
            && let Value::Int(left) = cell.get()
            && let Some(right) = self.integer(node)
        {
            cell.set(Value::Int(self.integers(op, pos, left, right)?));
            return Ok(());
        }
        let right = self.eval(node)?;
        match target {
            Target::Slot(name) => {
                let Some(left) = self.read(name) else { return Ok(()) };
                let value = self.arithmetic(op, pos, left, right, true)?;
                self.assign(name, value);
            }
            Target::Index(index) => {
                let left = self.index(index)?;
                let value = self.arithmetic(op, pos, left, right, true)?;
                self.assign_index(index, value)?;
            }
            Target::Nowhere => {}
        }
        Ok(())
    }

    #[inline]
    pub fn eval(&mut self, node: &'r Node) -> Result<Value<'r>, Error> {
        match node {
            Node::Name(name) => Ok(self.read(name).unwrap_or(Value::Nil)),
            Node::Int(value) => Ok(Value::Int(*value)),
            Node::Str(value) => Ok(Value::Str(value)),
            Node::Call(call) => call.run(self),
            node => self.compute(node),
        }
    }

    /// What is not at hand. Never inlined: what is at hand shall not pay for its registers.
    #[inline(never)]
    fn compute(&mut self, node: &'r Node) -> Result<Value<'r>, Error> {
        match node {
            Node::Arithmetic(op, pos, sides) => {
                if let (Some(left), Some(right)) = (self.integer(&sides.0), self.integer(&sides.1)) {
                    return self.integers(*op, *pos, left, right).map(Value::Int);
                }
                let left = self.eval(&sides.0)?;
                let right = self.eval(&sides.1)?;
                self.arithmetic(*op, *pos, left, right, false)
            }
            Node::Compare(op, pos, sides) => self.compared(*op, *pos, sides).map(Value::Bool),
            Node::Logic(and, pos, sides) => self.logic(*and, *pos, sides),
            Node::Index(index) => self.index(index),
            Node::Finds(finder, node, pos) => self.finds(finder, node, *pos).map(Value::Bool),
            Node::In(pos, sides) => self.is_in(*pos, sides),
            Node::Unary(op, pos, inner) => {
                let value = self.eval(inner)?;
                self.unary(*op, *pos, value)
            }
            Node::List(items) => self.list_of(items),
            Node::Map(map) => self.map_of(map),
            Node::Slice(slice) => self.slice(slice),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Float(value) => Ok(Value::Float(*value)),
            Node::Nil => Ok(Value::Nil),
            Node::Void => Ok(Value::Void),
            Node::Name(_) | Node::Int(_) | Node::Str(_) | Node::Call(_) => self.eval(node),
        }
    }

    fn list_of(&mut self, items: &'r [Node]) -> Result<Value<'r>, Error> {
        let list = self.list(std::iter::repeat_n(Value::Nil, items.len()))?;
        if let Value::List(list) = list {
            for (at, item) in items.iter().enumerate() {
                list.set(at, self.eval(item)?);
            }
        }
        Ok(list)
    }

    fn map_of(&mut self, node: &'r MapNode) -> Result<Value<'r>, Error> {
        let made = self.map(std::iter::empty())?;
        let Value::Map(map) = made else { return Ok(made) };
        for (key, value, key_pos, value_pos) in &node.pairs {
            let key = self.eval(key)?;
            let Value::Str(key) = key else {
                return Err(self.error(*key_pos, format!("unsupported key data type: {}", key.type_name())));
            };
            let value = self.eval(value)?;
            if matches!(value, Value::Void) {
                // It names the type of the key, as the reference does.
                return Err(self.error(*value_pos, "unsupported value data type: str"));
            }
            self.set_entry(map, key, value)?;
        }
        Ok(made)
    }

    fn logic(&mut self, and: bool, pos: u32, sides: &'r (Node, Node)) -> Result<Value<'r>, Error> {
        let left = self.eval(&sides.0)?;
        if let Value::Bool(value) = left
            && value != and
        {
            return Ok(left);
        }
        let right = self.eval(&sides.1)?;
        let comparable = |value| matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_));
        match (left, right) {
            (Value::Bool(_), Value::Bool(_)) => Ok(right),
            _ if comparable(left) && comparable(right) => {
                let sign = if and { "&&" } else { "||" };
                let (left, right) = (left.type_name(), right.type_name());
                Err(self.error(pos, format!("unsupported operand type(s) for {sign}: {left} and {right}")))
            }
            _ => Err(self.error(pos, "not compareable")),
        }
    }

    fn is_in(&mut self, pos: u32, sides: &'r (Node, Node)) -> Result<Value<'r>, Error> {
        let mut signed_false = false;
        let left = match &sides.0 {
            Node::Unary(op @ (Op::Sub | Op::Add), pos, inner) => {
                let value = self.eval(inner)?;
                signed_false = matches!(value, Value::Bool(false));
                self.unary(*op, *pos, value)?
            }
            node => self.eval(node)?,
        };
        let right = self.eval(&sides.1)?;
        if signed_false && matches!(right, Value::List(_)) {
            // The reference makes an integer of another kind of `-false`, which equals no element of a list.
            return Ok(Value::Bool(false));
        }
        self.contains(pos, left, right).map(Value::Bool)
    }

    fn contains(&mut self, pos: u32, left: Value<'r>, right: Value<'r>) -> Result<bool, Error> {
        let wrong_left = |vm: &Vm<'r>| {
            let message = format!("unsupported lhs data type: {}", left.type_name());
            Err(vm.error(pos, message))
        };
        let found = match right {
            Value::Str(text) => {
                let Value::Str(part) = left else { return wrong_left(self) };
                self.work_on(text.len())?;
                memmem::find(text, part).is_some()
            }
            Value::Map(map) => {
                let Value::Str(key) = left else { return wrong_left(self) };
                map.get(key).is_some()
            }
            Value::List(list) => {
                let mut found = false;
                for item in list.iter() {
                    self.step()?;
                    if self.same(left, item, pos)? {
                        found = true;
                        break;
                    }
                }
                found
            }
            other => {
                return Err(self.error(pos, format!("unsupported rhs data type: {}", other.type_name())));
            }
        };
        Ok(found)
    }

    fn index(&mut self, node: &'r IndexNode) -> Result<Value<'r>, Error> {
        // Nearly always it is the literal key of a map in a variable.
        if let [(Node::Str(key), _)] = &*node.indices
            && let Some(Value::Map(map)) = self.variable(&node.name).map(Cell::get)
        {
            return Ok(map.get_or_nil(key));
        }
        let mut value = self.indexed(node)?;
        for (index, pos) in &node.indices {
            let key = self.eval(index)?;
            value = match value {
                Value::Map(map) => match map.get(self.map_key(key, *pos)?) {
                    Some(value) => value,
                    None => return Ok(Value::Nil),
                },
                Value::List(list) => {
                    let at = self.list_index(key, list.len(), *pos)?;
                    list.get(at).unwrap_or(Value::Nil)
                }
                _ => return Err(self.error(*pos, "not found")),
            };
        }
        Ok(value)
    }

    /// The list or map under the name.
    fn indexed(&mut self, node: &'r IndexNode) -> Result<Value<'r>, Error> {
        match self.read(&node.name) {
            Some(value @ (Value::List(_) | Value::Map(_))) => Ok(value),
            Some(other) => Err(self.error(node.pos, format!("unindexable type: {}", other.type_name()))),
            None => Err(self.error(node.pos, "key not found")),
        }
    }

    fn assign_index(&mut self, node: &'r IndexNode, value: Value<'r>) -> Result<(), Error> {
        let Some((last, before)) = node.indices.split_last() else { return Ok(()) };
        let mut object = self.indexed(node)?;
        for (index, pos) in before {
            let key = self.eval(index)?;
            object = match object {
                Value::Map(map) => {
                    map.get(self.map_key(key, *pos)?).ok_or_else(|| self.error(*pos, "key not found"))?
                }
                Value::List(list) => {
                    let at = self.list_index(key, list.len(), *pos)?;
                    list.get(at).unwrap_or(Value::Nil)
                }
                _ => return Err(self.error(*pos, "obj not map or list")),
            };
        }
        let (index, pos) = last;
        let key = self.eval(index)?;
        match object {
            Value::Map(map) => {
                let key = self.map_key(key, *pos)?;
                self.set_element(map, key, value)
            }
            Value::List(list) => {
                let at = self.list_index(key, list.len(), *pos)?;
                list.set(at, value);
                Ok(())
            }
            _ => Err(self.error(*pos, "obj not map or list")),
        }
    }

    fn set_element(&mut self, map: &'r Map<'r>, key: &'r [u8], value: Value<'r>) -> Result<(), Error> {
        self.set_entry(map, key, if value.is_nil() { Value::Nil } else { value })
    }

    pub(super) fn map_key(&self, key: Value<'r>, pos: u32) -> Result<&'r [u8], Error> {
        match key {
            Value::Str(key) => Ok(key),
            _ => Err(self.error(pos, "key type is not string")),
        }
    }

    pub(super) fn list_index(&self, key: Value<'r>, length: usize, pos: u32) -> Result<usize, Error> {
        let Value::Int(index) = key else { return Err(self.error(pos, "key type is not int")) };
        let length = length as i64;
        let at = if index < 0 { index + length } else { index };
        if at < 0 || at >= length {
            return Err(self.error(pos, "list index out of range"));
        }
        Ok(at as usize)
    }

    fn slice(&mut self, node: &'r SliceNode) -> Result<Value<'r>, Error> {
        let object = self.eval(&node.object)?;
        let length = match object {
            Value::Str(text) => text.len(),
            Value::List(list) => list.len(),
            _ => return Err(self.error(node.object_pos, "invalid obj type")),
        };
        let mut bounds = [None; 3];
        for ((bound, value), name) in node.bounds.iter().zip(&mut bounds).zip(["start", "end", "step"]) {
            let Some((node, pos)) = bound else { continue };
            *value = match self.eval(node)? {
                Value::Int(0) if name == "step" => return Err(self.error(*pos, "step must be non-zero")),
                Value::Int(value) => Some(value),
                other if other.is_nil() => None,
                _ => return Err(self.error(*pos, format!("{name} type must be integer"))),
            };
        }
        let range = slice_range(length, bounds);
        match object {
            Value::Str(text) => {
                self.work_on(text.len())?;
                // One code point a byte, whatever the bytes meant.
                let chars = range.filter_map(|at| text.get(at)).map(|&byte| char::from(byte));
                let text: String = chars.collect();
                Ok(Value::Str(self.text(text.as_bytes())?))
            }
            Value::List(list) => {
                let items: Vec<Value<'r>> = range.filter_map(|at| list.get(at)).collect();
                self.list(items.into_iter())
            }
            _ => Ok(Value::Nil),
        }
    }
}

/// The indices that `[start:end:step]` takes, as Python counts.
fn slice_range(length: usize, [start, end, step]: [Option<i64>; 3]) -> impl Iterator<Item = usize> {
    let length = length as i64;
    let step = step.unwrap_or(1);
    // Where an index may lie: backwards, the place before the first one counts as well.
    let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let place = |bound: Option<i64>, absent: i64| match bound {
        None => absent,
        Some(bound) => (if bound < 0 { bound.saturating_add(length) } else { bound }).clamp(low, high),
    };
    let (start, end) =
        if step < 0 { (place(start, high), place(end, low)) } else { (place(start, low), place(end, high)) };
    let mut at = start;
    std::iter::from_fn(move || {
        let inside = if step < 0 { at > end } else { at < end };
        let this = at;
        at = at.saturating_add(step);
        (inside && this >= 0).then_some(this as usize)
    })
}

/// Bytes of the first code point; one where there is none.
fn char_len(text: &[u8]) -> Option<usize> {
    let first = text.first()?;
    let wanted = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let char = text.get(..wanted).filter(|char| std::str::from_utf8(char).is_ok());
    Some(char.map_or(1, <[u8]>::len))
}

#[cfg(test)]
mod tests;
