//! Texts by patterns: searched, replaced, split.

use super::{Prepared, count, op, text_literal};
use crate::pipeline::{
    args::arrange,
    ast::Expr,
    compile::{Call, Checker, described},
    error::Error,
    lib::{kv::Split, regex::Regex},
    node::{Name, Node},
    value::Value,
    vm::{BYTES_PER_STEP, TEXT_BYTES_MAX, Vm},
};

/// Steps of a search that cost as much as a step of a run.
const STEPS_PER_STEP: usize = 32;

/// Counts what searches did since this was done last.
pub(super) fn count_work(vm: &mut Vm<'_>) -> Result<(), Error> {
    let steps = vm.scratch().regex.take_work();
    vm.work_on((steps / STEPS_PER_STEP).saturating_mul(BYTES_PER_STEP))
}

fn compile(checker: &mut Checker<'_>, call: &Call<'_>, arg: Option<&Expr>) -> Result<Regex, Error> {
    let pattern = text_literal(checker, arg)?;
    let regex = Regex::new(&pattern).map_err(|error| {
        let (pos, _) = described(arg);
        checker.error(pos, format!("func {}: regexp compile failed: {error}", call.name))
    })?;
    checker.count_pattern(call.pos, regex.memory())?;
    Ok(regex)
}

pub fn match_text(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func match expects 2 args");
    }
    let regex = compile(checker, call, call.args.first())?;
    let node = match call.args.get(1) {
        arg @ Some(Expr::Attr { .. }) => Node::Name(checker.key(arg)?),
        arg @ (Some(
            Expr::Int { .. }
            | Expr::Float { .. }
            | Expr::Bool { .. }
            | Expr::Nil { .. }
            | Expr::List { .. }
            | Expr::Map { .. },
        )
        | None) => {
            let (pos, what) = described(arg);
            let message = format!("expect StringLiteral, Identifier or AttrExpr, got {what}");
            return Err(checker.error(pos, message));
        }
        Some(Expr::Str { .. } | Expr::Ident { .. }) => call.node(1),
        // Taken, and never looked at.
        Some(_) => Node::Nil,
    };
    op((regex, node), |(regex, node), vm| {
        let text = match vm.eval(node)? {
            Value::Str(text) => text,
            value if value.is_nil() => return Ok(Value::Bool(false)),
            // Of another type: as if there were nothing in it.
            _ => b"",
        };
        vm.work_on(text.len())?;
        let found = regex.is_match(text, &mut vm.scratch().regex);
        count_work(vm)?;
        Ok(Value::Bool(found))
    })
}

pub fn replace(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 3 {
        return count(checker, call, "func replace expects 3 args");
    }
    let key = checker.key(call.args.first())?;
    let regex = compile(checker, call, call.args.get(1))?;
    let template = text_literal(checker, call.args.get(2))?;
    op((key, regex, template), |(key, regex, template), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let replaced = regex.replace_all(text, template, TEXT_BYTES_MAX, &mut vm.scratch().regex);
        count_work(vm)?;
        let text = match replaced {
            Some(replaced) => vm.text(&replaced)?,
            None => text,
        };
        vm.write(&key.key, Value::Str(text))?;
        Ok(Value::Void)
    })
}

/// What `kv_split()` reads and writes.
#[derive(Debug)]
struct KvSplit {
    input: Name,
    fields: Regex,
    values: Regex,
    trim_key: String,
    trim_value: String,
    include: Option<Node>,
    prefix: String,
}

pub fn kv_split(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [
        ("key", true),
        ("field_split_pattern", false),
        ("value_split_pattern", false),
        ("trim_key", false),
        ("trim_value", false),
        ("include_keys", false),
        ("prefix", false),
    ];
    let arranged = arrange(checker, call, &params)?;
    let place = |at: usize| arranged.get(at).copied().flatten();
    let arg = |at: usize| place(at).and_then(|at| call.value(at));
    let input = checker.key(arg(0))?;
    let text = |at: usize, absent: &str| match arg(at) {
        None => Ok(absent.to_owned()),
        Some(Expr::Str { value, .. }) => Ok(String::from_utf8_lossy(value).into_owned()),
        other => {
            let name = params.get(at).map_or("", |param| param.0);
            // Of the first of them it is the key whose type is told.
            let (_, what) = described(if at == 1 { arg(0) } else { other });
            let message = format!("param {name} expect StringLiteral, got {what}");
            Err(checker.error(call.pos, message))
        }
    };
    let regex = |at: usize, absent: &str| {
        let wrong = |error: crate::pipeline::lib::regex::Error| {
            let (pos, _) = described(arg(at));
            checker.error(pos, error.to_string())
        };
        Regex::new(&text(at, absent)?).map_err(wrong)
    };
    let (fields, values) = (regex(1, " ")?, regex(2, "=")?);
    let (trim_key, trim_value, prefix) = (text(3, "")?, text(4, "")?, text(6, "")?);
    match arg(5) {
        None | Some(Expr::List { .. } | Expr::Ident { .. }) => {}
        other => {
            let (_, what) = described(other);
            let message = format!("param include_keys expect ListInitExpr or Identifier, got {what}");
            return Err(checker.error(call.pos, message));
        }
    }
    let include = place(5).map(|at| call.node(at));
    checker.count_pattern(call.pos, fields.memory() + values.memory())?;
    op(KvSplit { input, fields, values, trim_key, trim_value, include, prefix }, |split, vm| {
        split_keys(split, vm).map(Value::Bool)
    })
}

/// Whether there was something to write.
fn split_keys<'r>(split: &'r KvSplit, vm: &mut Vm<'r>) -> Result<bool, Error> {
    let Some(include) = &split.include else { return Ok(false) };
    let Value::List(include) = vm.eval(include)? else { return Ok(false) };
    if include.is_empty() {
        return Ok(false);
    }
    let Some(value) = vm.read(&split.input) else { return Ok(false) };
    let text = vm.to_text(value)?;
    vm.work_on(text.len())?;
    let parts = Split {
        fields: &split.fields,
        values: &split.values,
        trim_key: &split.trim_key,
        trim_value: &split.trim_value,
    };
    let mut found: Vec<(&[u8], &[u8])> = Vec::new();
    parts.each(text, &mut vm.scratch().regex, |key, value| found.push((key, value)));
    count_work(vm)?;
    let mut any = false;
    for (key, value) in found {
        vm.work_on(include.len() * size_of::<Value<'_>>())?;
        if !include.iter().any(|name| matches!(name, Value::Str(name) if name == key)) {
            continue;
        }
        let key = if split.prefix.is_empty() { key } else { vm.joined(split.prefix.as_bytes(), key)? };
        vm.write(key, Value::Str(value))?;
        any = true;
    }
    Ok(any)
}
