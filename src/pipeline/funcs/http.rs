//! Other hosts.

use super::{Prepared, op};
use crate::pipeline::{
    args::arrange,
    compile::{Call, Checker, described},
    error::Error,
    node::Node,
    outside::HttpRequest,
    value::Value,
    vm::Vm,
};

pub fn http_request(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [("method", true), ("url", true), ("headers", false), ("body", false)];
    let arranged = arrange(checker, call, &params)?;
    let mut arg = |at: usize| {
        let at = arranged.get(at).copied().flatten()?;
        Some((call.node(at), described(call.value(at)).0))
    };
    checker.asks();
    op((arg(0), arg(1), arg(2), arg(3)), |(method, url, headers, body), vm| {
        let method = text(vm, method.as_ref())?;
        let url = text(vm, url.as_ref())?;
        let mut given = Vec::new();
        if let Some((node, pos)) = headers {
            match vm.eval(node)? {
                Value::Map(map) => {
                    let mut at = 0;
                    while let Some((key, value)) = map.entry(at) {
                        at += 1;
                        if let Value::Str(value) = value {
                            given.push((key, value));
                        }
                    }
                }
                other if other.is_nil() => {}
                _ => return Err(vm.error(*pos, "param data type expect map")),
            }
        }
        let body = match body {
            Some((node, _)) => match vm.eval(node)? {
                nothing if nothing.is_nil() => None,
                body => Some(vm.to_text(body)?),
            },
            None => None,
        };
        // Bounds of time are the host's; this one keeps a loop from asking for ever.
        vm.ask()?;
        let answer = vm.host.http(&HttpRequest { method, url, headers: given, body });
        let Some(answer) = answer else { return Ok(Value::Nil) };
        let body = Value::Str(vm.text(&answer.body)?);
        let status = Value::Int(i64::from(answer.status));
        vm.map([(&b"status_code"[..], status), (&b"body"[..], body)].into_iter())
    })
}

fn text<'r>(vm: &mut Vm<'r>, arg: Option<&'r (Node, u32)>) -> Result<&'r [u8], Error> {
    let Some((node, pos)) = arg else { return Ok(b"") };
    match vm.eval(node)? {
        Value::Str(text) => Ok(text),
        _ => Err(vm.error(*pos, "param data type expect string")),
    }
}
