//! One text of an XML document.

use super::{Prepared, count, op, text_literal};
use crate::pipeline::{
    ast::Expr,
    compile::{Call, Checker, described},
    lib::xml::{XPath, first_text_counting},
    value::Value,
};

/// A node that is looked at, as work.
const NODE_BYTES: usize = 64;

pub fn xml(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 3 {
        return count(checker, call, "func xml expects 3 args");
    }
    let key = checker.key(call.args.first())?;
    // What is no path finds nothing.
    let path = XPath::parse(&text_literal(checker, call.args.get(1))?);
    let written = match call.args.get(2) {
        arg @ Some(Expr::Attr { .. } | Expr::Ident { .. } | Expr::Str { .. }) => checker.key(arg)?,
        arg => {
            let (pos, what) = described(arg);
            let message = format!("expect AttrExpr or Identifier or StringLiteral, got {what}");
            return Err(checker.error(pos, message));
        }
    };
    op((key, path, written), |(key, path, written), vm| {
        let (Some(path), Some(value)) = (path, vm.read(key)) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let (found, nodes) =
            std::str::from_utf8(text).map_or((None, 0), |text| first_text_counting(text, path));
        vm.work_on(nodes * NODE_BYTES)?;
        if let Some(found) = found {
            let found = vm.text(found.as_bytes())?;
            vm.write(&written.key, Value::Str(found))?;
        }
        Ok(Value::Void)
    })
}
