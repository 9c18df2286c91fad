//! Values by group: a range or a list of values becomes one.

use super::{Prepared, cast::to_float, op};
use crate::pipeline::{
    ast::Expr,
    compile::{Call, Checker, described},
    error::Error,
    node::{Name, Node},
    value::Value,
    vm::Vm,
};

/// The key whose value is looked at, and the one that is written.
#[derive(Debug)]
struct Keys {
    read: Name,
    written: Name,
}

fn keys(checker: &Checker<'_>, call: &Call<'_>) -> Result<Keys, Error> {
    if !matches!(call.args.len(), 3 | 4) {
        return Err(checker.error(call.pos, format!("func {} expected 3 or 4 args", call.name)));
    }
    let read = checker.key(call.args.first())?;
    let written = if call.args.len() == 4 { checker.key(call.args.get(3))? } else { read.clone() };
    Ok(Keys { read, written })
}

/// What is written for the group: a literal that a key can hold.
fn group_value(call: &mut Call<'_>) -> Option<Node> {
    match call.args.get(2)? {
        Expr::Str { .. } | Expr::Int { .. } | Expr::Float { .. } | Expr::Bool { .. } => Some(call.node(2)),
        _ => None,
    }
}

pub fn group_between(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let keys = keys(checker, call)?;
    let range = range_literal(checker, call.args.get(1))?;
    if range.0 > range.1 {
        return Err(checker.error(call.pos, format!("range value start {} must le end {}", range.0, range.1)));
    }
    let (value, pos) = (group_value(call), call.pos);
    op((keys, range, value, pos), |(keys, (low, high), value, pos), vm| {
        let Some(found) = vm.read(&keys.read) else { return Ok(Value::Void) };
        let number = to_float(found);
        if number >= *low && number <= *high {
            let Some(value) = value else { return Err(vm.error(*pos, "unsupported group type")) };
            let value = vm.eval(value)?;
            vm.write(&keys.written.key, value)?;
        }
        Ok(Value::Void)
    })
}

/// `[low, high]`
fn range_literal(checker: &Checker<'_>, arg: Option<&Expr>) -> Result<(f64, f64), Error> {
    let number = |expr: &Expr| match expr {
        Expr::Int { value, .. } => Some(*value as f64),
        Expr::Float { value, .. } => Some(*value),
        _ => None,
    };
    let (pos, _) = described(arg);
    let text = match arg {
        Some(Expr::List { items, .. }) => {
            if let [low, high] = items.as_slice() {
                return match (number(low), number(high)) {
                    (Some(low), Some(high)) => Ok((low, high)),
                    _ => Err(checker.error(
                        pos,
                        format!("range value `[{}, {}]' is not expected", low.text(), high.text()),
                    )),
                };
            }
            let items: Vec<_> = items.iter().map(Expr::text).collect();
            format!("[{}]", items.join(", "))
        }
        _ => "[]".to_owned(),
    };
    Err(checker.error(pos, format!("param between range value `{text}' is not expected")))
}

pub fn group_in(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let keys = keys(checker, call)?;
    let (value, pos) = (group_value(call), call.pos);
    op((keys, call.node(1), value, pos), |(keys, members, value, pos), vm| {
        let Some(found) = vm.read(&keys.read) else { return Ok(Value::Void) };
        let Value::List(members) = vm.eval(members)? else { return Ok(Value::Void) };
        let Some(value) = value else { return Ok(Value::Void) };
        for member in members.iter() {
            if is_member(vm, found, member, *pos)? {
                let value = vm.eval(value)?;
                vm.write(&keys.written.key, value)?;
                break;
            }
        }
        Ok(Value::Void)
    })
}

fn is_member<'r>(vm: &mut Vm<'r>, found: Value<'r>, member: Value<'r>, pos: u32) -> Result<bool, Error> {
    vm.step()?;
    vm.same(found, member, pos)
}
