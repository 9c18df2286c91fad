//! The operators on two values, and the words for what they cannot do.

use super::{error::Error, lexer::Op, lib::text::same, value::Value, vm::Vm};

impl<'r> Vm<'r> {
    /// `compound`: for `+=` and its like, which messages show.
    #[inline]
    pub(super) fn arithmetic(
        &mut self,
        op: Op,
        pos: u32,
        left: Value<'r>,
        right: Value<'r>,
        compound: bool,
    ) -> Result<Value<'r>, Error> {
        match (left, right) {
            (Value::Int(left), Value::Int(right)) => self.integers(op, pos, left, right).map(Value::Int),
            _ => self.mixed(op, pos, left, right, compound),
        }
    }

    fn mixed(
        &mut self,
        op: Op,
        pos: u32,
        left: Value<'r>,
        right: Value<'r>,
        compound: bool,
    ) -> Result<Value<'r>, Error> {
        if let (Value::Str(left), Value::Str(right), Op::Add) = (left, right, op) {
            return Ok(Value::Str(self.joined(left, right)?));
        }
        for (side, value) in [("lhs", left), ("rhs", right)] {
            if matches!(value, Value::Unset | Value::Void | Value::Nil | Value::List(_) | Value::Map(_)) {
                return Err(self.error(pos, format!("unsupported {side} data type: {}", value.type_name())));
            }
        }
        match (Number::of(left), Number::of(right)) {
            (Some(Number::Int(left)), Some(Number::Int(right))) => {
                self.integers(op, pos, left, right).map(Value::Int)
            }
            (Some(left), Some(right)) => self.floats(op, pos, left.float(), right.float()),
            _ => {
                let (sign, equals) = (op.text(), if compound { "=" } else { "" });
                let (left, right) = (left.type_name(), right.type_name());
                Err(self.error(
                    pos,
                    format!("unsupported operand type(s) for {sign}{equals}: {left} and {right}"),
                ))
            }
        }
    }

    #[inline]
    pub(super) fn integers(&self, op: Op, pos: u32, left: i64, right: i64) -> Result<i64, Error> {
        Ok(match op {
            Op::Add => left.wrapping_add(right),
            Op::Sub => left.wrapping_sub(right),
            Op::Mul => left.wrapping_mul(right),
            Op::Div if right == 0 => return Err(self.error(pos, "integer division by zero")),
            Op::Div => left.wrapping_div(right),
            _ if right == 0 => return Err(self.error(pos, "integer modulo by zero")),
            _ => left.wrapping_rem(right),
        })
    }

    fn floats(&mut self, op: Op, pos: u32, left: f64, right: f64) -> Result<Value<'r>, Error> {
        let value = match op {
            Op::Add => left + right,
            Op::Sub => left - right,
            Op::Mul => left * right,
            Op::Div if right == 0.0 => return Err(self.error(pos, "float division by zero")),
            Op::Div => left / right,
            _ => return Err(self.error(pos, "float does not support modulo operations")),
        };
        Ok(Value::Float(value))
    }

    pub(super) fn compare(
        &mut self,
        op: Op,
        pos: u32,
        left: Value<'r>,
        right: Value<'r>,
    ) -> Result<bool, Error> {
        if let (Value::Str(left), Value::Str(right), Op::Eq | Op::Ne) = (left, right, op) {
            self.work_on(left.len().min(right.len()))?;
            return Ok(same(left, right) == (op == Op::Eq));
        }
        Ok(match op {
            Op::Eq => self.equal(left, right, pos)?,
            Op::Ne => !self.equal(left, right, pos)?,
            _ => match (Number::of(left), Number::of(right)) {
                (Some(Number::Int(left)), Some(Number::Int(right))) => compare_integers(op, left, right),
                (Some(left), Some(right)) => ordered(op, &left.float(), &right.float()),
                _ => return Err(self.error(pos, "not compareable")),
            },
        })
    }

    /// `==`: numbers and bools as floats, everything else only with its own kind.
    fn equal(&mut self, left: Value<'r>, right: Value<'r>, pos: u32) -> Result<bool, Error> {
        match (Number::of(left), Number::of(right)) {
            (Some(left), Some(right)) => Ok(left.float() == right.float()),
            (None, None) => self.same(left, right, pos),
            _ => Ok(false),
        }
    }

    pub(super) fn unary(&mut self, op: Op, pos: u32, value: Value<'r>) -> Result<Value<'r>, Error> {
        match (op, value, Number::of(value)) {
            (Op::Not, ..) => Ok(Value::Bool(!value.truthy())),
            (Op::Sub, _, Some(Number::Int(value))) => Ok(Value::Int(value.wrapping_neg())),
            (Op::Sub, _, Some(Number::Float(value))) => Ok(Value::Float(-value)),
            (_, _, Some(Number::Int(value))) => Ok(Value::Int(value)),
            (_, _, Some(Number::Float(value))) => Ok(Value::Float(value)),
            _ => {
                let sign = op.text();
                Err(self.error(pos, format!("unsuppored operand type for unary op {sign}: *ast.UnaryExpr")))
            }
        }
    }
}

/// As two values are compared: for being equal as floats, of which large ones are equal to their neighbours.
#[inline]
pub(super) fn compare_integers(op: Op, left: i64, right: i64) -> bool {
    match op {
        Op::Eq => left as f64 == right as f64,
        Op::Ne => left as f64 != right as f64,
        _ => ordered(op, &left, &right),
    }
}

#[inline]
fn ordered<T: PartialOrd>(op: Op, left: &T, right: &T) -> bool {
    match op {
        Op::Lt => left < right,
        Op::Le => left <= right,
        Op::Gt => left > right,
        _ => left >= right,
    }
}

/// A number, or a bool that counts as one.
#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    #[inline]
    fn of(value: Value<'_>) -> Option<Number> {
        match value {
            Value::Int(value) => Some(Number::Int(value)),
            Value::Float(value) => Some(Number::Float(value)),
            Value::Bool(value) => Some(Number::Int(i64::from(value))),
            _ => None,
        }
    }

    fn float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}
