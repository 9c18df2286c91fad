//! grok: keys by named patterns.

use std::sync::Arc;

use super::{Prepared, count, op, regex::count_work, text_literal};
use crate::pipeline::{
    ast::Expr,
    compile::{Call, Checker, described},
    lib::grok::{Captured, Definition, Grok},
    value::Value,
};

pub fn add_pattern(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func add_pattern expected 2 args");
    }
    let name = text_literal(checker, call.args.first())?;
    let pattern = text_literal(checker, call.args.get(1))?;
    let definition = Definition::new(&pattern, &|name| checker.pattern(name))
        .map_err(|error| checker.error(call.pos, error.to_string()))?;
    checker.add_pattern(name, Arc::new(definition));
    op((), |(), _| Ok(Value::Void))
}

pub fn grok(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if !matches!(call.args.len(), 2 | 3) {
        return count(checker, call, "func grok expected 2 or 3 args");
    }
    let key = checker.key(call.args.first())?;
    let pattern = text_literal(checker, call.args.get(1))?;
    let trim = match call.args.get(2) {
        None => true,
        Some(Expr::Bool { value, .. }) => *value,
        arg => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("expect BoolLiteral, got {what}")));
        }
    };
    let grok = Grok::compile(&pattern, &|name| checker.pattern(name))
        .map_err(|error| checker.error(call.pos, error.to_string()))?;
    checker.count_pattern(call.pos, grok.memory())?;
    op((key, grok, trim), |(key, grok, trim), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Bool(false)) };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let mut scratch = std::mem::take(&mut vm.scratch().regex);
        let mut written = Ok(());
        let found = grok.run(text, *trim, &mut scratch, |at, captured| {
            let Some(key) = grok.keys().get(at).filter(|_| written.is_ok()) else { return };
            let key = key.name.as_bytes();
            written = match captured {
                Captured::Str(text) => vm.write(key, Value::Str(text)),
                Captured::Int(value) => vm.write(key, Value::Int(value)),
                Captured::Float(value) => vm.write(key, Value::Float(value)),
                Captured::Bool(value) => vm.write(key, Value::Bool(value)),
            };
        });
        vm.scratch().regex = scratch;
        written?;
        count_work(vm)?;
        Ok(Value::Bool(found))
    })
}
