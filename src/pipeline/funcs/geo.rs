//! Where addresses are.

use super::{Prepared, count, op};
use crate::pipeline::{
    compile::{Call, Checker},
    outside::Place,
    value::Value,
};

pub fn geoip(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func `geoip' expected 1 args");
    }
    let name = checker.key(call.args.first())?;
    op(name, |name, vm| {
        let Some(Value::Str(ip)) = vm.read(name) else { return Ok(Value::Void) };
        let Some(place) = std::str::from_utf8(ip).ok().and_then(|ip| vm.host.place(ip)) else {
            return Ok(Value::Void);
        };
        let Place { country, province, city, isp } = place;
        for (key, value) in [("city", city), ("province", province), ("country", country), ("isp", isp)] {
            let value = Value::Str(vm.text(value.as_bytes())?);
            vm.write(key.as_bytes(), value)?;
        }
        Ok(Value::Void)
    })
}
