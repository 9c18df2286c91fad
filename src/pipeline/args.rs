//! Arguments by position and by name. The reference has two ways with them, with words of their own.

use super::{
    ast::Expr,
    compile::{Call, Checker},
    error::Error,
    node::Node,
    value::Value,
    vm::Vm,
};

/// A parameter: its name, and whether it must be given.
pub type Param = (&'static str, bool);

/// Which argument each parameter gets, in the older way.
pub fn arrange(
    checker: &Checker<'_>,
    call: &Call<'_>,
    params: &[Param],
) -> Result<Vec<Option<usize>>, Error> {
    let wrong = |message: String| Err(checker.error(call.pos, message));
    if call.args.len() > params.len() {
        return wrong("the number of parameters does not match".to_owned());
    }
    let mut arranged = vec![None; params.len()];
    let mut named = false;
    for (at, arg) in call.args.iter().enumerate() {
        let place = match arg {
            Expr::Named { name, .. } => {
                named = true;
                match params.iter().position(|param| param.0 == name) {
                    Some(place) => place,
                    None => return wrong(format!("argument {name} does not exist")),
                }
            }
            _ if named => return wrong("positional arguments cannot follow keyword arguments".to_owned()),
            _ => at,
        };
        if let Some(slot) = arranged.get_mut(place) {
            *slot = Some(at);
        }
    }
    for ((name, required), given) in params.iter().zip(&arranged) {
        if *required && given.is_none() {
            return wrong(format!("parameter {name} is required"));
        }
    }
    Ok(arranged)
}

/// The type of a parameter in the newer way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Str,
    Int,
    Bool,
    Any,
}

impl Type {
    fn takes(self, value: Value<'_>) -> bool {
        match self {
            Type::Str => matches!(value, Value::Str(_)),
            Type::Int => matches!(value, Value::Int(_)),
            Type::Bool => matches!(value, Value::Bool(_)),
            Type::Any => true,
        }
    }

    /// Whether a literal can be of the type; what is no literal, is seen in the run.
    fn takes_literal(self, literal: &Expr) -> bool {
        match literal {
            Expr::Str { .. } => matches!(self, Type::Str | Type::Any),
            Expr::Int { .. } => matches!(self, Type::Int | Type::Any),
            Expr::Bool { .. } => matches!(self, Type::Bool | Type::Any),
            Expr::Float { .. } | Expr::Nil { .. } | Expr::List { .. } | Expr::Map { .. } => self == Type::Any,
            _ => true,
        }
    }
}

/// A parameter in the newer way: name, type, and whether it must be given.
pub type TypedParam = (&'static str, Type, bool);

/// An argument that is checked by its type when it has its value.
#[derive(Debug)]
pub struct TypedArg {
    name: &'static str,
    kind: Type,
    pos: u32,
    node: Node,
}

/// What each parameter gets, in the newer way.
pub fn arrange_typed<const N: usize>(
    checker: &Checker<'_>,
    call: &mut Call<'_>,
    params: [TypedParam; N],
) -> Result<[Option<TypedArg>; N], Error> {
    if call.args.len() > N {
        return Err(checker.error(call.pos, "too many parameters"));
    }
    let mut arranged = [const { None }; N];
    let mut named = false;
    for (at, arg) in call.args.iter().enumerate() {
        let place = match arg {
            Expr::Named { name, .. } => {
                named = true;
                match params.iter().position(|param| param.0 == name) {
                    Some(place) => place,
                    None => return Err(checker.error(arg.start(), "unknown named parameter")),
                }
            }
            _ if named => {
                let message = "positional parameter should not follow keyword parameter";
                return Err(checker.error(arg.start(), message));
            }
            _ => at,
        };
        let (Some((name, kind, _)), Some(slot)) = (params.get(place), arranged.get_mut(place)) else {
            continue;
        };
        if !kind.takes_literal(arg) {
            return Err(checker.error(arg.start(), "unexpected data type"));
        }
        *slot = Some(TypedArg { name, kind: *kind, pos: arg.start(), node: call.node(at) });
    }
    for ((name, _, required), given) in params.iter().zip(&arranged) {
        if *required && given.is_none() {
            return Err(checker.error(call.pos, format!("missing required parameter `{name}`")));
        }
    }
    Ok(arranged)
}

impl TypedArg {
    pub fn value<'r>(&'r self, vm: &mut Vm<'r>) -> Result<Value<'r>, Error> {
        let value = vm.eval(&self.node)?;
        if !self.kind.takes(value) {
            return Err(vm.error(self.pos, format!("parameter {}: type not match", self.name)));
        }
        Ok(value)
    }

    pub fn text<'r>(arg: &'r Option<TypedArg>, vm: &mut Vm<'r>) -> Result<&'r [u8], Error> {
        Ok(match arg {
            Some(arg) => match arg.value(vm)? {
                Value::Str(text) => text,
                _ => b"",
            },
            None => b"",
        })
    }

    pub fn int<'r>(arg: &'r Option<TypedArg>, vm: &mut Vm<'r>) -> Result<i64, Error> {
        Ok(match arg {
            Some(arg) => match arg.value(vm)? {
                Value::Int(value) => value,
                _ => 0,
            },
            None => 0,
        })
    }

    pub fn bool<'r>(arg: &'r Option<TypedArg>, vm: &mut Vm<'r>, absent: bool) -> Result<bool, Error> {
        Ok(match arg {
            Some(arg) => matches!(arg.value(vm)?, Value::Bool(true)),
            None => absent,
        })
    }
}
