//! What web servers log: URLs, and what browsers say about themselves.

use super::{Prepared, count, op};
use crate::pipeline::{
    compile::{Call, Checker},
    error::Error,
    lib::{url, user_agent as agents},
    value::Value,
    vm::Vm,
};

pub fn url_decode(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func `url_decode' expected 1 args");
    }
    op((checker.key(call.args.first())?, call.pos), |(key, pos), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let decoded = url::query_unescape(text).map_err(|refused| vm.error(*pos, refused.to_string()))?;
        let text = match decoded {
            Some(decoded) => vm.text(&decoded)?,
            None => text,
        };
        vm.write(&key.key, Value::Str(text))?;
        Ok(Value::Void)
    })
}

pub fn url_parse(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func url_parse expects 1 arg");
    }
    op((checker.key(call.args.first())?, call.pos), |(key, pos), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Nil) };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let url = url::parse(text).map_err(|refused| {
            vm.error(*pos, format!("failed to parse url {}: {refused}", String::from_utf8_lossy(text)))
        })?;
        let mut params = Vec::with_capacity(url.params.len());
        for (key, value) in &url.params {
            params.push((vm.text(key)?, Value::Str(vm.text(value)?)));
        }
        let params = vm.map(params.into_iter())?;
        let parts = [
            (b"scheme".as_slice(), part(vm, &url.scheme)?),
            (b"host", part(vm, &url.host)?),
            (b"port", part(vm, &url.port)?),
            (b"path", part(vm, &url.path)?),
            (b"params", params),
        ];
        vm.map(parts.into_iter())
    })
}

fn part<'r>(vm: &mut Vm<'r>, text: &[u8]) -> Result<Value<'r>, Error> {
    Ok(Value::Str(vm.text(text)?))
}

pub fn user_agent(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func `user_agent' expected 1 args");
    }
    op(checker.key(call.args.first())?, |key, vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(_) => {
                let readable = vm.text(String::from_utf8_lossy(text).as_bytes())?;
                std::str::from_utf8(readable).unwrap_or_default()
            }
        };
        let agent = agents::parse(text);
        let texts = [
            (b"os".as_slice(), agent.os),
            (b"browser", agent.browser),
            (b"browserVer", agent.browser_version),
            (b"engine", agent.engine),
            (b"engineVer", agent.engine_version),
            (b"ua", agent.platform),
        ];
        vm.write(b"isMobile", Value::Bool(agent.mobile))?;
        vm.write(b"isBot", Value::Bool(agent.bot))?;
        for (key, text) in texts {
            vm.write(key, Value::Str(text.as_bytes()))?;
        }
        Ok(Value::Void)
    })
}
