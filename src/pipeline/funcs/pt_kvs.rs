//! Keys of the point by names that are values.

use super::{Prepared, op};
use crate::pipeline::{
    args::{Type, TypedArg, arrange_typed},
    compile::{Call, Checker},
    record::Kind,
    value::Value,
};

pub fn get(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let [name] = arrange_typed(checker, call, [("name", Type::Str, true)])?;
    op(name, |name, vm| {
        let name = TypedArg::text(name, vm)?;
        Ok(vm.record.get(name).unwrap_or(Value::Nil))
    })
}

pub fn del(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let [name] = arrange_typed(checker, call, [("name", Type::Str, true)])?;
    op(name, |name, vm| {
        let name = TypedArg::text(name, vm)?;
        vm.record.delete(name);
        Ok(Value::Void)
    })
}

pub fn set(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [("name", Type::Str, true), ("value", Type::Any, true), ("as_tag", Type::Bool, false)];
    op(arrange_typed(checker, call, params)?, |[name, value, as_tag], vm| {
        let name = TypedArg::text(name, vm)?;
        let value = match value {
            Some(value) => value.value(vm)?,
            None => Value::Nil,
        };
        if TypedArg::bool(as_tag, vm, false)? {
            vm.write_tag(name, value)?;
        } else {
            vm.write(name, value)?;
        }
        Ok(Value::Bool(true))
    })
}

pub fn keys(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [("tags", Type::Bool, false), ("fields", Type::Bool, false)];
    op(arrange_typed(checker, call, params)?, |[tags, fields], vm| {
        let tags = TypedArg::bool(tags, vm, true)?;
        let fields = TypedArg::bool(fields, vm, true)?;
        let wanted = |kind: Kind| if kind == Kind::Tag { tags } else { fields };
        let keys = vm.record.entries().filter(|entry| wanted(entry.kind)).map(|entry| Value::Str(entry.key));
        let keys: Vec<_> = keys.collect();
        vm.list(keys.into_iter())
    })
}
