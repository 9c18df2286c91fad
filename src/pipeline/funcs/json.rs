//! JSON texts: single values of them, all of them, and whether they are.

use super::{Prepared, count, op};
use crate::pipeline::{
    args::arrange,
    ast::Expr,
    compile::{Call, Checker, described, key_text},
    error::Error,
    lib::json::{Found, Step, delete, extract, gjson as paths, is_valid},
    node::{Name, Node},
    value::Value,
    vm::Vm,
};

/// What `json()` reads and writes.
#[derive(Debug)]
struct Json {
    input: Name,
    /// None for a path that leads nowhere in any text.
    path: Option<Vec<Step>>,
    written: Name,
    trim: bool,
    deletes: bool,
}

pub fn json(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [
        ("input", true),
        ("json_path", true),
        ("newkey", false),
        ("trim_space", false),
        ("delete_after_extract", false),
    ];
    let arranged = arrange(checker, call, &params)?;
    let arg = |at: usize| arranged.get(at).copied().flatten().and_then(|at| call.value(at));
    let input = checker.key(arg(0))?;
    let (pos, what) = described(arg(1));
    let Some(path @ (Expr::Ident { .. } | Expr::Attr { .. } | Expr::Index { .. })) = arg(1) else {
        return Err(checker.error(pos, format!("expect AttrExpr, IndexExpr or Identifier, got {what}")));
    };
    let written = match arg(2) {
        Some(key) => checker.key(Some(key))?,
        // A path that is an index of a bare name has no text.
        None => checker.name(&key_text(Some(path)).unwrap_or_default()),
    };
    let flag = |at: usize, absent: bool| match arg(at) {
        None => Ok(absent),
        Some(Expr::Bool { value, .. }) => Ok(*value),
        arg => {
            let (pos, what) = described(arg);
            Err(checker.error(pos, format!("expect BoolLiteral, got {what}")))
        }
    };
    let trim = flag(3, true)?;
    let deletes = flag(4, false)?;
    // The words fit one of the two cases only.
    if arg(4).is_some() && deletes == ends_in_index(path) {
        let (pos, _) = described(arg(4));
        return Err(checker.error(pos, "does not support deleting elements in the list"));
    }
    let mut steps = Some(Vec::new());
    add_steps(path, &mut steps);
    op(Json { input, path: steps, written, trim, deletes }, |json, vm| {
        let (Some(path), Some(value)) = (&json.path, vm.read(&json.input)) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        let Some(root) = vm.json(text)? else { return Ok(Value::Void) };
        vm.work_on(root.count() * LOOKED_AT_BYTES)?;
        let value = match extract(root, path, json.trim) {
            None => return Ok(Value::Void),
            Some(Found::Number(value)) => Value::Float(value),
            Some(Found::Bool(value)) => Value::Bool(value),
            Some(Found::Text(std::borrow::Cow::Borrowed(text))) => Value::Str(text),
            Some(Found::Text(text)) => Value::Str(vm.text(&text)?),
            Some(Found::Json(text)) => Value::Str(vm.text(&text)?),
        };
        vm.write(&json.written.key, value)?;
        if json.deletes
            && let Some(rest) = delete(root, path)
        {
            let rest = vm.text(&rest)?;
            vm.write(&json.input.key, Value::Str(rest))?;
        }
        Ok(Value::Void)
    })
}

/// A value of a text that is passed on a path, as work.
const LOOKED_AT_BYTES: usize = 16;

fn ends_in_index(path: &Expr) -> bool {
    match path {
        Expr::Attr { attr, .. } => ends_in_index(attr),
        path => matches!(path, Expr::Index { .. }),
    }
}

/// The steps of a path as it is written in a script. None as soon as one of them can lead nowhere.
fn add_steps(path: &Expr, steps: &mut Option<Vec<Step>>) {
    match path {
        Expr::Ident { name, .. } => add_step(Some(Step::Name(name.as_bytes().into())), steps),
        Expr::Attr { object, attr, .. } => {
            add_steps(object, steps);
            add_steps(attr, steps);
        }
        Expr::Index { object, indices, .. } => {
            if let Some(object) = object {
                add_steps(object, steps);
            }
            for index in indices {
                let step = match index {
                    Expr::Int { value, .. } => Some(Step::Index(*value)),
                    Expr::Float { value, .. } => Some(Step::Index(*value as i64)),
                    _ => None,
                };
                add_step(step, steps);
            }
        }
        _ => *steps = None,
    }
}

fn add_step(step: Option<Step>, steps: &mut Option<Vec<Step>>) {
    match (step, steps.as_mut()) {
        (Some(step), Some(steps)) => steps.push(step),
        _ => *steps = None,
    }
}

pub fn load_json(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func load_json expects 1 arg");
    }
    let (pos, _) = described(call.args.first());
    op((call.node(0), pos), |(node, pos), vm| {
        let Value::Str(text) = vm.eval(node)? else {
            return Err(vm.error(*pos, "param data type expect string"));
        };
        match vm.json(text)? {
            Some(view) => vm.json_value(view),
            None => Ok(Value::Nil),
        }
    })
}

pub fn valid_json(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return Err(checker.error(call.pos, format!("func {} expects 1 arg", call.name)));
    }
    op(call.node(0), |node, vm| {
        let Value::Str(text) = vm.eval(node)? else { return Ok(Value::Bool(false)) };
        vm.work_on(text.len())?;
        Ok(Value::Bool(is_valid(text)))
    })
}

/// What `gjson()` reads and writes. Without a key the path is the key.
#[derive(Debug)]
struct Gjson {
    input: Name,
    path: (Node, u32),
    written: Option<(Node, u32)>,
}

pub fn gjson(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let arranged = arrange(checker, call, &[("input", true), ("json_path", true), ("key_name", false)])?;
    let place = |at: usize| arranged.get(at).copied().flatten();
    let arg = |at: usize| place(at).and_then(|at| call.value(at));
    let input = checker.key(arg(0))?;
    let (path_pos, what) = described(arg(1));
    let literal = matches!(
        arg(1),
        Some(Expr::Int { .. } | Expr::Float { .. } | Expr::Bool { .. } | Expr::Nil { .. })
            | Some(Expr::List { .. } | Expr::Map { .. })
    );
    if literal {
        return Err(checker.error(path_pos, format!("expect AttrExpr, IndexExpr or Identifier, got {what}")));
    }
    let written_pos = arg(2).map(Expr::start);
    let path = (call.node(place(1).unwrap_or(usize::MAX)), path_pos);
    let written = written_pos.map(|pos| (call.node(place(2).unwrap_or(usize::MAX)), pos));
    op(Gjson { input, path, written }, |gjson, vm| {
        let path = text_of(&gjson.path, vm)?;
        let Some(value) = vm.read(&gjson.input) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        let (found, work) =
            std::str::from_utf8(path).map_or((None, 0), |path| paths::find_counting(text, path));
        vm.work_on(text.len() + work)?;
        let value = match found {
            None => return Ok(Value::Void),
            Some(paths::Found::Number(value)) => Value::Float(value),
            Some(paths::Found::Bool(value)) => Value::Bool(value),
            Some(paths::Found::Text(text) | paths::Found::Json(text)) => Value::Str(vm.text(&text)?),
        };
        let key = match &gjson.written {
            Some(written) => text_of(written, vm)?,
            None => path,
        };
        vm.write(key, value)?;
        Ok(Value::Void)
    })
}

/// An argument that is to be a text.
fn text_of<'r>((node, pos): &'r (Node, u32), vm: &mut Vm<'r>) -> Result<&'r [u8], Error> {
    match vm.eval(node)? {
        Value::Str(text) => Ok(text),
        _ => Err(vm.error(*pos, "param data type expect string")),
    }
}
