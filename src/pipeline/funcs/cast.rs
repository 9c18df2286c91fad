//! Types: what a value is, and what is made of it.

use super::{Prepared, count, op};
use crate::pipeline::{
    args::arrange,
    ast::Expr,
    compile::{Call, Checker, described},
    number::{format_int as format, parse_bool, parse_float, parse_int as parse},
    value::Value,
};

/// What `cast` makes.
#[derive(Clone, Copy, Debug)]
enum Into {
    Bool,
    Int,
    Float,
    Str,
    /// `"string"` passes the check, and is nothing to the run.
    Nothing,
}

pub fn cast(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func `cast' expected 2 args");
    }
    let key = checker.key(call.args.first())?;
    let Some(Expr::Str { value, pos }) = call.args.get(1) else {
        let (pos, what) = described(call.args.get(1));
        return Err(checker.error(pos, format!("param type expect StringLiteral, got `{what}'")));
    };
    let into = match value.as_slice() {
        b"bool" => Into::Bool,
        b"int" => Into::Int,
        b"float" => Into::Float,
        b"str" => Into::Str,
        b"string" => Into::Nothing,
        other => {
            let message = format!("unsupported data type: {}", String::from_utf8_lossy(other));
            return Err(checker.error(*pos, message));
        }
    };
    op((key, into), |(key, into), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let value = match into {
            Into::Bool => Value::Bool(to_bool(value)),
            // Saturates like Go's conversion does not: what no integer can hold is the smallest one there.
            Into::Int => Value::Int(to_int(to_float(value))),
            Into::Float => Value::Float(to_float(value)),
            Into::Str => Value::Str(vm.to_text(value)?),
            Into::Nothing => Value::Nil,
        };
        vm.write(&key.key, value)?;
        Ok(Value::Void)
    })
}

fn to_bool(value: Value<'_>) -> bool {
    match value {
        Value::Bool(value) => value,
        Value::Int(value) => value != 0,
        Value::Float(value) => value != 0.0,
        Value::Str(text) => parse_bool(text).unwrap_or(false),
        _ => false,
    }
}

/// A number of it; 0 where there is none.
pub(super) fn to_float(value: Value<'_>) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(value)),
        Value::Int(value) => value as f64,
        Value::Float(value) => value,
        Value::Str(text) => parse_float(text).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// 2⁶³, the first number too large for an integer.
const INT_END: f64 = 9_223_372_036_854_775_808.0;

/// Towards zero; the smallest integer for what none can hold, as on the reference's processors.
fn to_int(value: f64) -> i64 {
    if (-INT_END..INT_END).contains(&value) { value as i64 } else { i64::MIN }
}

pub fn value_type(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    arrange(checker, call, &[("val", true)])?;
    // A failed format_int() gives an empty text that calls itself an integer.
    let formatted = matches!(call.value(0), Some(Expr::Call { name, .. }) if name == "format_int");
    op((call.node(0), formatted), |(node, formatted), vm| {
        let refusals = vm.refusals();
        let name = match vm.eval(node) {
            Ok(Value::Str(b"")) if *formatted => "int",
            Ok(value) if value.is_nil() => "",
            Ok(value) => value.type_name(),
            // What a run may use up is no error of the value.
            Err(error) if vm.refusals() != refusals => return Err(error),
            Err(_) => "",
        };
        Ok(Value::Str(name.as_bytes()))
    })
}

pub fn parse_int(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let [value, base] = val_and_base(checker, call)?;
    op((value, base), |(value, base), vm| {
        let (value, base) = (vm.eval(value)?, vm.eval(base)?);
        let (Value::Str(text), Value::Int(base)) = (value, base) else { return Ok(Value::Int(0)) };
        Ok(Value::Int(parse(text, base)))
    })
}

pub fn format_int(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let [value, base] = val_and_base(checker, call)?;
    op((value, base), |(value, base), vm| {
        let (value, base) = (vm.eval(value)?, vm.eval(base)?);
        let (Value::Int(value), Value::Int(base)) = (value, base) else { return Ok(Value::Str(b"")) };
        let text = format(value, base);
        Ok(Value::Str(vm.text(text.as_bytes())?))
    })
}

fn val_and_base(
    checker: &Checker<'_>,
    call: &mut Call<'_>,
) -> Result<[crate::pipeline::node::Node; 2], crate::pipeline::error::Error> {
    let arranged = arrange(checker, call, &[("val", true), ("base", true)])?;
    let mut nodes = arranged.into_iter().map(|at| call.node(at.unwrap_or(usize::MAX)));
    let mut next = || nodes.next().unwrap_or(crate::pipeline::node::Node::Nil);
    Ok([next(), next()])
}
