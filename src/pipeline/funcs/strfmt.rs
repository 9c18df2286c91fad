//! Formatted texts.

use super::{Prepared, count, op};
use crate::pipeline::{
    ast::Expr,
    compile::{Call, Checker, described},
    lib::gofmt::{Arg, sprintf},
    value::{TooMuch, VALUE_DEPTH_MAX, Value},
};

/// How many values of lists and maps are written: one that holds the same one many times is as large as its text.
const VALUES_MAX: usize = 1 << 16;
/// A value that is written, as work.
const VALUE_BYTES: usize = 64;

pub fn strfmt(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() < 2 {
        return count(checker, call, "func `strfmt' expects more than 2 args");
    }
    let key = checker.key(call.args.first())?;
    let Some(Expr::Str { value, .. }) = call.args.get(1) else {
        let (pos, what) = described(call.args.get(1));
        return Err(checker.error(pos, format!("param fmt expects StringLiteral, got `{what}'")));
    };
    let format = String::from_utf8_lossy(value).into_owned();
    let nodes: Vec<_> = (2..call.args.len()).map(|at| call.node(at)).collect();
    op((key, format, nodes, call.pos), |(key, format, nodes, pos), vm| {
        let mut values = Vec::with_capacity(nodes.len());
        let mut left = VALUES_MAX;
        for node in nodes {
            let refusals = vm.refusals();
            let value = match vm.eval(node) {
                Ok(value) => value,
                // What a run may use up is no error of the value.
                Err(error) if vm.refusals() != refusals => return Err(error),
                Err(_) => Value::Nil,
            };
            let arg = arg(value, &mut left, VALUE_DEPTH_MAX).map_err(|what| vm.too_much(*pos, what))?;
            values.push(arg);
        }
        vm.work_on((VALUES_MAX - left) * VALUE_BYTES)?;
        let text = sprintf(format, &values);
        let text = vm.text(&text)?;
        vm.write(&key.key, Value::Str(text))?;
        Ok(Value::Void)
    })
}

fn arg<'r>(value: Value<'r>, left: &mut usize, depth: usize) -> Result<Arg<'r>, TooMuch> {
    *left = left.checked_sub(1).ok_or(TooMuch::Large)?;
    let depth = depth.checked_sub(1).ok_or(TooMuch::Deep)?;
    Ok(match value {
        Value::Unset | Value::Void | Value::Nil => Arg::Nil,
        Value::Bool(value) => Arg::Bool(value),
        Value::Int(value) => Arg::Int(value),
        Value::Float(value) => Arg::Float(value),
        Value::Str(text) => Arg::Str(text),
        Value::List(list) => {
            Arg::List(list.iter().map(|item| arg(item, left, depth)).collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let entries = (0..).map_while(|at| map.entry(at));
            Arg::Map(
                entries.map(|(key, value)| Ok((key, arg(value, left, depth)?))).collect::<Result<_, _>>()?,
            )
        }
    })
}
