//! Rows of reference tables.

use super::{Prepared, op};
use crate::pipeline::{
    args::arrange,
    ast::Expr,
    compile::{Call, Checker, described, key_text},
    error::Error,
    node::{Name, Node},
    state::owned::Owned,
    value::Value,
    vm::Vm,
};

/// Columns that one question names.
const COLUMNS_MAX: usize = 64;

/// What a row that is looked at costs of a run's steps, in bytes.
const ROW_BYTES: usize = 32;

/// Part of a question: a column's name, or a value.
#[derive(Debug)]
enum Part {
    Fixed(Node),
    /// Under a name, at a place.
    Named(Name, u32),
}

#[derive(Debug)]
struct Query {
    table: (Node, u32),
    key: Part,
    value: Part,
}

pub fn query_refer_table(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let arranged = arrange(checker, call, &[("table_name", true), ("key", true), ("value", true)])?;
    let place = |at: usize| arranged.get(at).copied().flatten().unwrap_or(usize::MAX);
    let table = (call.node(place(0)), described(call.value(place(0))).0);
    let key = match call.value(place(1)) {
        Some(Expr::Str { .. }) => Part::Fixed(call.node(place(1))),
        Some(name @ (Expr::Ident { .. } | Expr::Attr { .. })) => named(checker, name),
        other => {
            let expected = "StringLiteral, Identifier or AttrExpr";
            return Err(unexpected(checker, other, expected));
        }
    };
    let value = match call.value(place(2)) {
        Some(Expr::Str { .. } | Expr::Int { .. } | Expr::Float { .. } | Expr::Bool { .. }) => {
            Part::Fixed(call.node(place(2)))
        }
        Some(name @ (Expr::Ident { .. } | Expr::Attr { .. })) => named(checker, name),
        other => {
            let expected = "StringLiteral, NumberLiteral, BoolLiteral, AttrExpr or Identifier";
            return Err(unexpected(checker, other, expected));
        }
    };
    op(Query { table, key, value }, |query, vm| {
        let table = table_name(vm, &query.table)?;
        let column = match &query.key {
            Part::Fixed(node) => vm.eval(node)?,
            Part::Named(name, pos) => match vm.read(name) {
                Some(value) => text_of(vm, value, *pos)?,
                None => return Err(vm.error(*pos, "key not found")),
            },
        };
        let value = match &query.value {
            Part::Fixed(node) => vm.eval(node)?,
            Part::Named(name, _) => match vm.read(name) {
                Some(value) => value,
                None => return Ok(Value::Void),
            },
        };
        let Value::Str(column) = column else { return Ok(Value::Void) };
        look_up(vm, table, &[(column, value)])
    })
}

/// Several of them: written one by one, or a list under a name.
#[derive(Debug)]
enum Parts {
    Each(Vec<Part>),
    Named(Name, u32),
}

#[derive(Debug)]
struct Queries {
    table: (Node, u32),
    keys: Parts,
    values: Parts,
}

pub fn mquery_refer_table(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let arranged = arrange(checker, call, &[("table_name", true), ("keys", true), ("values", true)])?;
    let place = |at: usize| arranged.get(at).copied().flatten().unwrap_or(usize::MAX);
    let table = (call.node(place(0)), described(call.value(place(0))).0);
    let is_name = |item: &Expr| matches!(item, Expr::Ident { .. } | Expr::Attr { .. });
    let keys = parts(checker, call.value(place(1)), "StringLiteral, Identifier or AttrExpr", &|item| {
        is_name(item) || matches!(item, Expr::Str { .. })
    })?;
    let expected = "StringLiteral, NumberLiteral, BoolLiteral, Identifier or AttrExpr";
    let values = parts(checker, call.value(place(2)), expected, &|item| {
        is_name(item)
            || matches!(item, Expr::Str { .. } | Expr::Int { .. } | Expr::Float { .. } | Expr::Bool { .. })
    })?;
    op(Queries { table, keys, values }, |queries, vm| {
        let table = table_name(vm, &queries.table)?;
        let keys = all(vm, &queries.keys)?;
        let values = all(vm, &queries.values)?;
        if keys.len() != values.len() {
            return Ok(Value::Void);
        }
        let mut wanted = Vec::with_capacity(keys.len());
        for ((key, pos), (value, _)) in keys.into_iter().zip(values) {
            let Value::Str(key) = text_of(vm, key, pos)? else { return Ok(Value::Void) };
            wanted.push((key, value));
        }
        look_up(vm, table, &wanted)
    })
}

fn named(checker: &Checker<'_>, name: &Expr) -> Part {
    Part::Named(checker.name(&key_text(Some(name)).unwrap_or_default()), name.start())
}

fn unexpected(checker: &Checker<'_>, arg: Option<&Expr>, expected: &str) -> Error {
    let (pos, _) = described(arg);
    let got = arg.map(Expr::text).unwrap_or_default();
    checker.error(pos, format!("param key expects {expected}, got {got}"))
}

fn parts(
    checker: &mut Checker<'_>,
    arg: Option<&Expr>,
    expected: &str,
    takes: &dyn Fn(&Expr) -> bool,
) -> Result<Parts, Error> {
    match arg {
        Some(Expr::List { items, pos }) => {
            if items.len() > COLUMNS_MAX {
                return Err(checker.error(*pos, format!("more than {COLUMNS_MAX} columns")));
            }
            let mut parts = Vec::with_capacity(items.len());
            for item in items {
                if !takes(item) {
                    // The reference names the type of its own nodes.
                    let message = format!("expect {expected} in FuncArgList, got *ast.Node");
                    return Err(checker.error(*pos, message));
                }
                parts.push(match item {
                    Expr::Ident { .. } | Expr::Attr { .. } => named(checker, item),
                    literal => Part::Fixed(checker.expr(literal)?),
                });
            }
            Ok(Parts::Each(parts))
        }
        Some(name @ (Expr::Ident { .. } | Expr::Attr { .. })) => {
            let name_text = key_text(Some(name)).unwrap_or_default();
            Ok(Parts::Named(checker.name(&name_text), name.start()))
        }
        other => {
            let (pos, _) = described(other);
            let got = other.map(Expr::text).unwrap_or_default();
            Err(checker
                .error(pos, format!("param key expects FuncArgList, Identifier or AttrExpr, got {got}")))
        }
    }
}

/// What is written or lies under a name, each with its place.
fn all<'r>(vm: &mut Vm<'r>, parts: &'r Parts) -> Result<Vec<(Value<'r>, u32)>, Error> {
    match parts {
        Parts::Each(parts) => {
            let mut all = Vec::with_capacity(parts.len());
            for part in parts {
                all.push(match part {
                    Part::Fixed(node) => (vm.eval(node)?, 0),
                    Part::Named(name, pos) => match vm.read(name) {
                        Some(value) => (value, *pos),
                        None => return Err(vm.error(*pos, "key not found")),
                    },
                });
            }
            Ok(all)
        }
        Parts::Named(name, pos) => match vm.read(name) {
            Some(Value::List(list)) => {
                Ok(list.iter().take(COLUMNS_MAX + 1).map(|item| (item, *pos)).collect())
            }
            Some(value) => Ok(vec![(value, *pos)]),
            None => Err(vm.error(*pos, "key not found")),
        },
    }
}

fn table_name<'r>(vm: &mut Vm<'r>, (node, pos): &'r (Node, u32)) -> Result<&'r [u8], Error> {
    match vm.eval(node)? {
        Value::Str(name) => Ok(name),
        _ => Err(vm.error(*pos, "param expect string")),
    }
}

fn text_of<'r>(vm: &Vm<'r>, value: Value<'r>, pos: u32) -> Result<Value<'r>, Error> {
    match value {
        Value::Str(_) => Ok(value),
        other => Err(vm.error(pos, format!("unsupported column name value type {}", other.type_name()))),
    }
}

/// Writes the first row that fits.
fn look_up<'r>(vm: &mut Vm<'r>, table: &[u8], wanted: &[(&[u8], Value<'r>)]) -> Result<Value<'r>, Error> {
    // Rows are looked at one by one only where several columns are asked for.
    if wanted.len() > 1 {
        let mut rows = 0;
        vm.host.tables(&mut |tables| {
            let candidates = tables.find(table).and_then(|table| table.candidates(wanted));
            rows = candidates.map_or(0, |candidates| candidates.len());
        });
        vm.work_on(rows.saturating_mul(ROW_BYTES))?;
    }
    let mut found: Vec<(String, Owned)> = Vec::new();
    vm.host.tables(&mut |tables| {
        let Some(table) = tables.find(table) else { return };
        let row = table.candidates(wanted).and_then(|candidates| candidates.first(wanted));
        if let Some(row) = row {
            let owned = |value| Owned::of(value, usize::MAX).unwrap_or(Owned::Nil);
            found = table.row(row).map(|(column, value)| (column.to_owned(), owned(value))).collect();
        }
    });
    for (column, value) in found {
        let column = vm.text(column.as_bytes())?;
        let value = value.value(vm)?;
        vm.write(column, value)?;
    }
    Ok(Value::Void)
}
