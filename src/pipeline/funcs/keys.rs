//! Keys of the point: written, renamed, deleted; its name; and what becomes of the run.

use super::{Prepared, count, op};
use crate::pipeline::{
    ast::Expr,
    compile::{Call, Checker, alias, described, key_text},
    value::Value,
};

pub fn add_key(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if !matches!(call.args.len(), 1 | 2) {
        return count(checker, call, "func add_key expected 1 or 2 args");
    }
    let (key, pos) = (checker.key(call.args.first())?, call.pos);
    if call.args.len() == 1 {
        return op(key, |key, vm| {
            if let Some(value) = vm.read(key) {
                vm.write(&key.key, value)?;
            }
            Ok(Value::Void)
        });
    }
    op((key, call.node(1), pos), |(key, node, pos), vm| {
        let value = vm.eval(node).map_err(|error| vm.called(error, *pos))?;
        vm.write(&key.key, value)?;
        Ok(Value::Void)
    })
}

pub fn set_tag(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if !matches!(call.args.len(), 1 | 2) {
        return count(checker, call, "func `set_tag' expected 1 or 2 args");
    }
    let key = checker.key(call.args.first())?;
    if call.args.len() == 1 {
        return op(key, |key, vm| {
            let value = vm.read(key).unwrap_or(Value::Nil);
            vm.write_tag(&key.key, value)?;
            Ok(Value::Void)
        });
    }
    match call.args.get(1) {
        Some(Expr::Str { .. } | Expr::Ident { .. } | Expr::Attr { .. }) => {}
        arg => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("param type expect StringLiteral, got `{what}'")));
        }
    }
    op((key, call.node(1)), |(key, node), vm| {
        let value = vm.eval(node)?;
        vm.write_tag(&key.key, value)?;
        Ok(Value::Void)
    })
}

pub fn drop_key(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func drop_key expected 1 args");
    }
    op(checker.key(call.args.first())?, |key, vm| {
        vm.record.delete(&key.key);
        Ok(Value::Void)
    })
}

pub fn rename(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func rename expected 2 args");
    }
    let new = checker.key(call.args.first())?;
    let old = match call.args.get(1) {
        arg @ Some(Expr::Ident { .. } | Expr::Attr { .. }) => checker.key(arg)?,
        arg => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("param key expect Identifier or AttrExpr, got `{what}'")));
        }
    };
    op((new, old), |(new, old), vm| {
        vm.record.rename(&new.key, &old.key);
        Ok(Value::Void)
    })
}

pub fn get_key(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func get_key expected 1 args");
    }
    op(checker.key(call.args.first())?, |key, vm| Ok(vm.record.get(&key.key).unwrap_or(Value::Nil)))
}

pub fn drop_origin_data(_: &mut Checker<'_>, _: &mut Call<'_>) -> Prepared {
    op((), |(), vm| {
        vm.record.delete(b"message");
        Ok(Value::Void)
    })
}

pub fn set_measurement(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if !matches!(call.args.len(), 1 | 2) {
        return count(checker, call, "func `set_measurement' expected 1 or 2 args");
    }
    let key = match call.args.first() {
        Some(Expr::Str { .. }) => None,
        arg @ Some(Expr::Ident { .. } | Expr::Attr { .. }) => key_text(arg),
        arg => {
            let (pos, what) = described(arg);
            return Err(
                checker.error(pos, format!("expect StringLiteral or Identifier or AttrExpr, got {what}"))
            );
        }
    };
    let delete = match call.args.get(1) {
        None => false,
        Some(Expr::Bool { value, .. }) => *value,
        arg => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("param type expect BoolLiteral, got `{what}'")));
        }
    };
    let deleted = key.filter(|_| delete).map(|key| alias(&key).as_bytes().to_vec());
    // An attribute expression has no value, but names a key.
    let node = match call.args.first() {
        arg @ Some(Expr::Attr { .. }) => crate::pipeline::node::Node::Name(checker.key(arg)?),
        _ => call.node(0),
    };
    op((node, deleted), |(node, deleted), vm| {
        let Value::Str(name) = vm.eval(node)? else { return Ok(Value::Void) };
        vm.record.name = name;
        if let Some(key) = deleted {
            vm.record.delete(key);
        }
        Ok(Value::Void)
    })
}

pub fn pt_name(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() > 1 {
        return count(checker, call, "func `pt_name' can have at most one parameter");
    }
    op(call.node(0), |node, vm| {
        if let Value::Str(name) = vm.eval(node)? {
            vm.record.name = name;
        }
        Ok(Value::Str(vm.record.name))
    })
}

pub fn drop(_: &mut Checker<'_>, _: &mut Call<'_>) -> Prepared {
    op((), |(), vm| {
        vm.record.dropped = true;
        Ok(Value::Void)
    })
}

pub fn exit(_: &mut Checker<'_>, _: &mut Call<'_>) -> Prepared {
    op((), |(), vm| {
        vm.exit();
        Ok(Value::Void)
    })
}

/// Accepted, does nothing: scripts from before its time still name it.
pub fn json_all(_: &mut Checker<'_>, _: &mut Call<'_>) -> Prepared {
    op((), |(), _| Ok(Value::Void))
}

pub fn nullif(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func nullif expected 2 args");
    }
    let key = checker.key(call.args.first())?;
    let literal = match call.args.get(1) {
        Some(
            Expr::Str { .. } | Expr::Int { .. } | Expr::Float { .. } | Expr::Bool { .. } | Expr::Nil { .. },
        ) => call.node(1),
        // Whatever else it is counts as nil.
        _ => crate::pipeline::node::Node::Nil,
    };
    let pos = call.pos;
    op((key, literal, pos), |(key, literal, pos), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let literal = vm.eval(literal)?;
        if vm.same(value, literal, *pos)? {
            vm.record.delete(&key.key);
        }
        Ok(Value::Void)
    })
}

pub fn setopt(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let mut options = Vec::new();
    for (at, arg) in call.args.iter().enumerate() {
        let Expr::Named { name, .. } = arg else {
            return Err(checker.error(arg.start(), "must be a named parameter"));
        };
        if name == "status_mapping" {
            options.push(call.node(at));
        }
    }
    op(options, |options, vm| {
        for option in options {
            if let Value::Bool(value) = vm.eval(option)? {
                vm.record.status_mapping = value;
            }
        }
        Ok(Value::Void)
    })
}
