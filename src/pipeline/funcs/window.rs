//! Points around a hit.

use super::{Prepared, op};
use crate::pipeline::{
    args::arrange,
    compile::{Call, Checker, described},
    error::Error,
    node::Node,
    state::window::Stream,
    value::Value,
    vm::Vm,
};

/// What tells streams apart, unless it is said.
const STREAM_TAGS: [&[u8]; 2] = [b"filepath", b"host"];

pub fn point_window(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let arranged = arrange(checker, call, &[("before", true), ("after", true), ("stream_tags", false)])?;
    let mut arg = |at: usize| {
        let at = arranged.get(at).copied().flatten()?;
        Some((call.node(at), described(call.value(at)).0))
    };
    checker.keeps();
    op((arg(0), arg(1), arg(2)), |(before, after, tags), vm| {
        let before = points(vm, before.as_ref())?;
        let after = points(vm, after.as_ref())?;
        let mut key = Vec::new();
        let mut put = |vm: &Vm<'_>, tag: &[u8]| match vm.record.get(tag) {
            Some(Value::Str(value)) => {
                key.extend_from_slice(&value.len().to_le_bytes());
                key.extend_from_slice(value);
                true
            }
            _ => false,
        };
        match tags {
            None => {
                if !STREAM_TAGS.into_iter().all(|tag| put(vm, tag)) {
                    return Ok(Value::Void);
                }
            }
            Some((node, pos)) => {
                let Value::List(tags) = vm.eval(node)? else {
                    return Err(vm.error(*pos, "param data type expect array"));
                };
                for tag in tags.iter() {
                    let Value::Str(tag) = tag else { continue };
                    if !put(vm, tag) {
                        return Ok(Value::Void);
                    }
                }
            }
        }
        // A point has one window: the first.
        if vm.record.window.is_none() {
            vm.record.window = Some(Stream { key: vm.text(&key)?, before, after, hit: false });
        }
        Ok(Value::Void)
    })
}

fn points<'r>(vm: &mut Vm<'r>, arg: Option<&'r (Node, u32)>) -> Result<usize, Error> {
    let Some((node, pos)) = arg else { return Ok(0) };
    match vm.eval(node)? {
        Value::Int(count) => Ok(usize::try_from(count).unwrap_or(0)),
        _ => Err(vm.error(*pos, "param data type expect int")),
    }
}

pub fn window_hit(_checker: &mut Checker<'_>, _call: &mut Call<'_>) -> Prepared {
    op((), |(), vm| {
        if let Some(window) = &mut vm.record.window {
            window.hit = true;
        }
        Ok(Value::Void)
    })
}
