//! Sums over many points.

use super::{Prepared, cast::to_float, create::go_type, op};
use crate::pipeline::{
    args::arrange,
    ast::Expr,
    category::Category,
    compile::{Call, Checker, described},
    error::Error,
    lib::time::duration,
    node::{Name, Node},
    state::aggregate::{Function, NewBucket, NewValue},
    value::Value,
    vm::Vm,
};

const MINUTE_NS: i64 = 60_000_000_000;

#[derive(Debug)]
struct Create {
    bucket: Vec<u8>,
    interval_ns: i64,
    count_max: Option<u64>,
    keep: bool,
    tags: Option<Node>,
    category: Option<(Node, u32)>,
}

pub fn agg_create(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [
        ("bucket", true),
        ("on_interval", false),
        ("on_count", false),
        ("keep_value", false),
        ("const_tags", false),
        ("category", false),
    ];
    let arranged = arrange(checker, call, &params)?;
    let place = |at: usize| arranged.get(at).copied().flatten();
    let bucket = text(checker, call, place(0), "bucket")?;
    let mut interval_ns = MINUTE_NS;
    if let Some(at) = place(1) {
        let given = text(checker, call, Some(at), "on_interval")?;
        let given = String::from_utf8_lossy(&given);
        interval_ns = duration::parse(&given).ok_or_else(|| {
            let quoted = crate::pipeline::error::go_quote(&given);
            let (pos, _) = described(call.value(at));
            checker.error(pos, format!("parse on_interval: time: invalid duration {quoted}"))
        })?;
    }
    let mut count_max = None;
    match place(2).map(|at| call.value(at)) {
        None => {}
        Some(Some(Expr::Int { value, .. })) => count_max = u64::try_from(*value).ok().filter(|max| *max > 0),
        Some(other) => return Err(unexpected(checker, other, "on_count", "IntegerLiteral")),
    }
    let mut keep = false;
    match place(3).map(|at| call.value(at)) {
        None => {}
        Some(Some(Expr::Bool { value, .. })) => keep = *value,
        Some(other) => return Err(unexpected(checker, other, "keep_value", "BoolLiteral")),
    }
    match place(4).map(|at| call.value(at)) {
        None | Some(Some(Expr::Map { .. })) => {}
        Some(other) => return Err(unexpected(checker, other, "const_tags", "MapLiteral")),
    }
    let tags = place(4).map(|at| call.node(at));
    let category = place(5).map(|at| (call.node(at), described(call.value(at)).0));
    op(Create { bucket, interval_ns, count_max, keep, tags, category }, |create, vm| {
        let mut tags = Vec::new();
        if let Some(node) = &create.tags
            && let Value::Map(given) = vm.eval(node)?
        {
            let mut at = 0;
            while let Some((key, value)) = given.entry(at) {
                at += 1;
                if let Value::Str(value) = value {
                    tags.push((key, value));
                }
            }
        }
        let Some(category) = category_of(vm, create.category.as_ref())? else { return Ok(Value::Void) };
        let bucket = NewBucket {
            category,
            name: &create.bucket,
            interval_ns: create.interval_ns,
            count_max: create.count_max,
            keep: create.keep,
            tags: &tags,
        };
        vm.state.create_bucket(&bucket, vm.host.now_ns());
        Ok(Value::Void)
    })
}

#[derive(Debug)]
struct Metric {
    bucket: Vec<u8>,
    field: Vec<u8>,
    function: Function,
    by: Vec<Name>,
    of: Name,
    category: Option<(Node, u32)>,
}

pub fn agg_metric(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [
        ("bucket", true),
        ("new_field", true),
        ("agg_fn", true),
        ("agg_by", true),
        ("agg_field", true),
        ("category", false),
    ];
    let arranged = arrange(checker, call, &params)?;
    let place = |at: usize| arranged.get(at).copied().flatten();
    let bucket = text(checker, call, place(0), "bucket")?;
    let field = text(checker, call, place(1), "new_field")?;
    let function = Function::named(&text(checker, call, place(2), "agg_fn")?);
    let mut by = Vec::new();
    match place(3).and_then(|at| call.value(at)) {
        Some(Expr::List { items, .. }) => {
            for item in items {
                match item {
                    Expr::Str { value, .. } => by.push(checker.name(&String::from_utf8_lossy(value))),
                    other => return Err(unexpected(checker, Some(other), "agg_by", "StringLiteral")),
                }
            }
        }
        // The reference asks for the wrong thing in so many words.
        other => return Err(unexpected(checker, other, "agg_by", "StringLiteral")),
    }
    let of = text(checker, call, place(4), "agg_field")?;
    let of = checker.name(&String::from_utf8_lossy(&of));
    let category = place(5).map(|at| (call.node(at), described(call.value(at)).0));
    checker.keeps();
    op(Metric { bucket, field, function, by, of, category }, |metric, vm| {
        let Some(category) = category_of(vm, metric.category.as_ref())? else { return Ok(Value::Void) };
        let mut by = Vec::with_capacity(metric.by.len());
        for name in &metric.by {
            match vm.read(name) {
                Some(Value::Str(value)) => by.push((&*name.key, value)),
                _ => return Ok(Value::Void),
            }
        }
        let Some(value) = vm.read(&metric.of) else { return Ok(Value::Void) };
        let value = NewValue {
            category,
            bucket: &metric.bucket,
            field: &metric.field,
            function: metric.function,
            by: &by,
            value: to_float(value),
        };
        vm.state.aggregate(&value, vm.host.now_ns());
        Ok(Value::Void)
    })
}

/// The category that is named, a metric's without a name. None where it is none.
fn category_of<'r>(vm: &mut Vm<'r>, arg: Option<&'r (Node, u32)>) -> Result<Option<Category>, Error> {
    let Some((node, pos)) = arg else { return Ok(Some(Category::Metric)) };
    let name = match vm.eval(node)? {
        Value::Str(name) => name,
        // The reference asks for the wrong thing in so many words.
        other => {
            let got = go_type(other);
            return Err(vm.error(*pos, format!("type of parameter expected to be int64, got {got}")));
        }
    };
    let names = |category: &Category| {
        [category.name(), category.short_name()].iter().any(|known| known.as_bytes() == name)
    };
    Ok(Category::ALL.into_iter().find(names))
}

fn text(checker: &Checker<'_>, call: &Call<'_>, at: Option<usize>, name: &str) -> Result<Vec<u8>, Error> {
    match at.and_then(|at| call.value(at)) {
        Some(Expr::Str { value, .. }) => Ok(value.clone()),
        other => Err(unexpected(checker, other, name, "StringLiteral")),
    }
}

fn unexpected(checker: &Checker<'_>, arg: Option<&Expr>, name: &str, expected: &str) -> Error {
    let (pos, got) = described(arg);
    checker.error(pos, format!("param `{name}` expect {expected}, got {got}"))
}
