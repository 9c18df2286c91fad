//! One of so many points, by chance.

use super::{Prepared, count, op};
use crate::pipeline::{
    ast::Expr,
    compile::{Call, Checker, described},
    value::Value,
};

/// 2⁵³: that many numbers of equal distance there are from 0 to 1.
const PARTS: f64 = 9_007_199_254_740_992.0;

pub fn sample(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func sample expects 1 arg");
    }
    let (pos, what) = described(call.args.first());
    let literal = match call.args.first() {
        Some(Expr::Int { .. } | Expr::Float { .. }) => true,
        Some(Expr::Arithmetic { .. }) => false,
        _ => return Err(checker.error(pos, format!("expect NumberLiteral or ArithmeticExpr, got {what}"))),
    };
    op((call.node(0), literal, pos), |(node, literal, pos), vm| {
        let share = match vm.eval(node)? {
            Value::Float(share) => share,
            Value::Int(share) if *literal => share as f64,
            _ => {
                let message = "failed to convert expression evaluation result to float";
                return Err(vm.error(*pos, message));
            }
        };
        if !(0.0..=1.0).contains(&share) {
            return Ok(Value::Void);
        }
        let part = (vm.host.random() >> 11) as f64 / PARTS;
        Ok(Value::Bool(part < share))
    })
}
