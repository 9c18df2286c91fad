//! Lists and maps: their sizes, longer lists, shorter maps.

use super::{Prepared, count, op};
use crate::pipeline::{
    ast::Expr,
    compile::{Call, Checker, described},
    error::Error,
    node::{IndexNode, Node},
    value::{Map, Value},
    vm::Vm,
};

pub fn len(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func len expected 1");
    }
    op(call.node(0), |node, vm| {
        let length = match vm.eval(node)? {
            Value::Str(text) => text.len(),
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            _ => 0,
        };
        Ok(Value::Int(length as i64))
    })
}

pub fn strlen(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func `strlen` expect 1 arg");
    }
    let (pos, _) = described(call.args.first());
    op((call.node(0), pos), |(node, pos), vm| {
        let Value::Str(text) = vm.eval(node)? else {
            return Err(vm.error(*pos, "param data type expect string"));
        };
        vm.work_on(text.len())?;
        // A byte that belongs to no character counts as one.
        let count = text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len());
        Ok(Value::Int(count.sum::<usize>() as i64))
    })
}

pub fn append(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        // Its name was never put into the words.
        return count(checker, call, "func %s expects 2 args");
    }
    let name = match call.args.first() {
        Some(Expr::Ident { name, .. }) => checker.name(name),
        arg => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("the first param expects Identifier, got {what}")));
        }
    };
    op((name, call.node(1)), |(name, node), vm| {
        let value = vm.eval(node)?;
        match vm.read(name) {
            Some(Value::List(list)) => vm.append(list, if value.is_nil() { Value::Nil } else { value }),
            _ => Ok(Value::Void),
        }
    })
}

/// Where the map lies that loses a key.
#[derive(Debug)]
enum Place {
    Name(Node),
    Index(Box<IndexNode>),
}

pub fn delete(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func delete expects 2 args");
    }
    let place = match (call.args.first(), call.node(0)) {
        (Some(Expr::Ident { .. }), node) => Place::Name(node),
        (Some(Expr::Index { .. }), Node::Index(index)) => Place::Index(index),
        (arg, _) => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("param key expect IndexExpr or Identifier, got {what}")));
        }
    };
    let key = match call.args.get(1) {
        Some(Expr::Str { value, .. }) => value.clone(),
        arg => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("param key expect StringLiteral, got {what}")));
        }
    };
    op((place, key), |(place, key), vm| {
        let found = match place {
            Place::Name(node) => vm.eval(node)?,
            Place::Index(index) => follow(vm, index)?,
        };
        if let Value::Map(map) = found {
            remove(vm, map, key)?;
        }
        Ok(Value::Void)
    })
}

fn remove<'r>(vm: &mut Vm<'r>, map: &'r Map<'r>, key: &[u8]) -> Result<(), Error> {
    vm.work_on(map.len() * size_of::<Value<'_>>())?;
    map.remove(key);
    Ok(())
}

/// What lies there; nothing where the path leads nowhere.
fn follow<'r>(vm: &mut Vm<'r>, node: &'r IndexNode) -> Result<Value<'r>, Error> {
    let mut value = vm.read(&node.name).unwrap_or(Value::Nil);
    for (index, _) in &node.indices {
        value = match (value, vm.eval(index)?) {
            (Value::Map(map), Value::Str(key)) => map.get(key).unwrap_or(Value::Nil),
            (Value::List(list), Value::Int(at)) => {
                let at = if at < 0 { at + list.len() as i64 } else { at };
                usize::try_from(at).ok().and_then(|at| list.get(at)).unwrap_or(Value::Nil)
            }
            _ => return Ok(Value::Nil),
        };
    }
    Ok(value)
}
