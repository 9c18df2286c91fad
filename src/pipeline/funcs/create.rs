//! Other scripts over the same point, and new points.

use super::{Prepared, count, op};
use crate::pipeline::{
    args::arrange,
    ast::Expr,
    category::Category,
    compile::{Call, Checker, described},
    error::{Error, NO_POS},
    node::Node,
    record::{Kind, Record},
    value::Value,
    vm::{CREATED_MAX, Vm},
};

pub fn use_script(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func use expects 1 args");
    }
    let Some(Expr::Str { value, .. }) = call.args.first() else {
        let (pos, what) = described(call.args.first());
        return Err(checker.error(pos, format!("param key expects StringLiteral, got {what}")));
    };
    let index = checker.use_script(&String::from_utf8_lossy(value), call.pos);
    op((index, call.pos), |(index, pos), vm| {
        vm.use_script(*index, *pos)?;
        Ok(Value::Void)
    })
}

/// An argument and its place.
#[derive(Debug)]
struct Arg {
    node: Node,
    pos: u32,
}

#[derive(Debug)]
struct Create {
    name: Arg,
    tags: Arg,
    fields: Arg,
    time: Option<Arg>,
    category: Option<Arg>,
    after_use: Option<usize>,
    pos: u32,
}

pub fn create_point(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [
        ("name", true),
        ("tags", true),
        ("fields", true),
        ("ts", false),
        ("category", false),
        ("after_use", false),
    ];
    let arranged = arrange(checker, call, &params)?;
    let place = |at: usize| arranged.get(at).copied().flatten();
    let after_use = match place(5).and_then(|at| call.value(at)) {
        None => None,
        Some(Expr::Str { value, pos }) => Some(checker.use_script(&String::from_utf8_lossy(value), *pos)),
        other => {
            let (pos, what) = described(other);
            return Err(checker.error(pos, format!("param after_use expects StringLiteral, got {what}")));
        }
    };
    let mut arg = |at: usize| {
        let at = place(at)?;
        let pos = call.value(at).map_or(NO_POS, Expr::start);
        Some(Arg { node: call.node(at), pos })
    };
    let absent = || Arg { node: Node::Nil, pos: NO_POS };
    let create = Create {
        name: arg(0).unwrap_or_else(absent),
        tags: arg(1).unwrap_or_else(absent),
        fields: arg(2).unwrap_or_else(absent),
        time: arg(3),
        category: arg(4),
        after_use,
        pos: call.pos,
    };
    op(create, |create, vm| {
        let Value::Str(name) = vm.eval(&create.name.node)? else { return wrong(vm, &create.name, "string") };
        let tags = vm.eval(&create.tags.node)?;
        if !matches!(tags, Value::Map(_)) && !tags.is_nil() {
            return wrong(vm, &create.tags, "map");
        }
        let fields = vm.eval(&create.fields.node)?;
        if !matches!(fields, Value::Map(_)) && !fields.is_nil() {
            return wrong(vm, &create.fields, "map");
        }
        let mut time = 0;
        if let Some(arg) = &create.time {
            let Value::Int(given) = vm.eval(&arg.node)? else { return wrong(vm, arg, "int64") };
            time = given;
        }
        let mut category = Some(Category::Metric);
        if let Some(arg) = &create.category {
            let Value::Str(given) = vm.eval(&arg.node)? else { return wrong(vm, arg, "str") };
            category = known_category(given);
        }
        let Some(category) = category else { return Ok(Value::Void) };
        if time <= 0 {
            time = vm.record.time;
        }
        vm.reserve(NEW_POINT_BYTES)?;
        let record = new_point(vm, category, name, time, tags, fields)?;
        finish(vm, record, create)
    })
}

/// What a new point takes, its room for keys included.
const NEW_POINT_BYTES: usize = 2_048;

/// The error that an argument is of another type.
fn wrong<'r>(vm: &mut Vm<'r>, arg: &'r Arg, expected: &str) -> Result<Value<'r>, Error> {
    let got = go_type(vm.eval(&arg.node)?);
    Err(vm.error(arg.pos, format!("type of parameter expected to be {expected}, got {got}")))
}

/// As Go calls the type of a value.
pub(super) fn go_type(value: Value<'_>) -> &'static str {
    match value {
        Value::Unset | Value::Void | Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}

/// Of which categories a script makes points.
fn known_category(given: &[u8]) -> Option<Category> {
    const KNOWN: [Category; 9] = [
        Category::Logging,
        Category::Metric,
        Category::Tracing,
        Category::Rum,
        Category::Network,
        Category::Object,
        Category::CustomObject,
        Category::Security,
        Category::Dialtesting,
    ];
    let names = |category: &Category| {
        [category.name(), category.short_name()].iter().any(|name| name.as_bytes() == given)
    };
    KNOWN.into_iter().find(names)
}

fn new_point<'r>(
    vm: &mut Vm<'r>,
    category: Category,
    name: &'r [u8],
    time: i64,
    tags: Value<'r>,
    fields: Value<'r>,
) -> Result<Record<'r>, Error> {
    let mut record = Record::new(vm.arena, category, name, time);
    if let Value::Map(tags) = tags {
        let mut at = 0;
        while let Some((key, value)) = tags.entry(at) {
            at += 1;
            vm.reserve(NEW_KEY_BYTES)?;
            if matches!(value, Value::Str(_)) {
                record.push(key, value, Kind::Tag, None);
            }
        }
    }
    if let Value::Map(fields) = fields {
        let mut at = 0;
        while let Some((key, value)) = fields.entry(at) {
            at += 1;
            vm.reserve(NEW_KEY_BYTES)?;
            let kept = match value {
                Value::Int(_) | Value::Float(_) | Value::Bool(_) => true,
                Value::Str(_) => category != Category::Metric,
                _ => false,
            };
            if kept && record.entry(key).is_none() {
                record.push(key, value, Kind::Field, None);
            }
        }
    }
    record.add_defaults();
    Ok(record)
}

/// What a key of a new point takes.
const NEW_KEY_BYTES: usize = 64;

/// Lets the script of `after_use` work on the new point and keeps it.
fn finish<'r>(vm: &mut Vm<'r>, record: Record<'r>, create: &Create) -> Result<Value<'r>, Error> {
    let mut record = record;
    if let Some(index) = create.after_use {
        let outer = std::mem::replace(&mut vm.record, record);
        let result = vm.use_script(index, create.pos);
        record = std::mem::replace(&mut vm.record, outer);
        result?;
    }
    let inner = std::mem::take(&mut record.created);
    if vm.record.created.len() + inner.len() >= CREATED_MAX {
        return Err(vm.error(create.pos, format!("more than {CREATED_MAX} points created")));
    }
    vm.record.created.push(record);
    vm.record.created.extend(inner);
    Ok(Value::Void)
}
