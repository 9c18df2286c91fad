//! Values from run to run.

use super::{Prepared, count, op};
use crate::pipeline::{
    args::arrange,
    compile::{Call, Checker, described},
    state::{cache::ENTRY_BYTES_MAX, owned::Owned},
    value::Value,
};

const SECOND_NS: i64 = 1_000_000_000;
/// Without `exp`, in seconds.
const EXP_DEFAULT: i64 = 100;

pub fn cache_get(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func cache_get expects 1 arg");
    }
    let (pos, _) = described(call.args.first());
    op((call.node(0), pos), |(node, pos), vm| {
        let Value::Str(key) = vm.eval(node)? else {
            return Err(vm.error(*pos, "param data type expect string"));
        };
        match vm.state.cached(key, vm.host.now_ns()) {
            Some(value) => value.value(vm),
            None => Ok(Value::Nil),
        }
    })
}

pub fn cache_set(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let arranged = arrange(checker, call, &[("key", true), ("value", true), ("exp", false)])?;
    let mut arg = |at: usize| {
        let at = arranged.get(at).copied().flatten()?;
        Some((call.node(at), described(call.value(at)).0))
    };
    checker.keeps();
    op((arg(0), arg(1), arg(2)), |(key, value, exp), vm| {
        let (Some((key, key_pos)), Some((value, value_pos))) = (key, value) else { return Ok(Value::Void) };
        let Value::Str(key) = vm.eval(key)? else {
            return Err(vm.error(*key_pos, "param data type expect string"));
        };
        let value = vm.eval(value)?;
        let mut seconds = EXP_DEFAULT;
        if let Some((exp, pos)) = exp {
            let Value::Int(given) = vm.eval(exp)? else {
                return Err(vm.error(*pos, "param data type expect int"));
            };
            seconds = given;
        }
        if seconds <= 0 {
            return Ok(Value::Void);
        }
        let value = Owned::of(value, ENTRY_BYTES_MAX).map_err(|what| vm.too_much(*value_pos, what))?;
        vm.work_on(value.bytes() + key.len())?;
        let now_ns = vm.host.now_ns();
        let until_ns = now_ns.saturating_add(seconds.saturating_mul(SECOND_NS));
        vm.state.cache(key, value, now_ns, until_ns);
        Ok(Value::Void)
    })
}
