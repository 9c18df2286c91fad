//! Moments and lengths of time. Formats and zones are looked up when a script is compiled.

use super::{Prepared, count, op};
use crate::pipeline::{
    args::arrange,
    ast::Expr,
    compile::{Call, Checker, described, key_text},
    error::{Error, NO_POS},
    lib::{
        number,
        time::{self, DateParts, Format, Layout, Part, Zone, duration},
    },
    node::{Name, Node},
    value::Value,
};

pub fn timestamp(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    arrange(checker, call, &[("precision", false)])?;
    op(call.node(0), |node, vm| {
        let precision = match vm.eval(node)? {
            Value::Str(precision) => std::str::from_utf8(precision).unwrap_or_default(),
            _ => "",
        };
        Ok(Value::Int(time::timestamp(vm.host.now_ns(), precision)))
    })
}

/// A zone that a script names, or why there is none; nothing where it names none.
type Named = Option<Result<Zone, String>>;

/// The literal text of an argument; none if it is not there.
fn literal(
    checker: &Checker<'_>,
    arg: Option<&Expr>,
    wrong: impl FnOnce(&str) -> String,
) -> Result<Option<String>, Error> {
    match arg {
        None => Ok(None),
        Some(Expr::Str { value, .. }) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        arg => {
            let (pos, what) = described(arg);
            Err(checker.error(pos, wrong(what)))
        }
    }
}

fn key_literal(checker: &Checker<'_>, arg: Option<&Expr>) -> Result<Option<String>, Error> {
    literal(checker, arg, |what| format!("param key expect StringLiteral, got {what}"))
}

const MESSAGE_KEY: &[u8] = b"pl_msg";

pub fn default_time(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.is_empty() {
        return count(checker, call, "func default_time Expect at least one arg");
    }
    let key = checker.key(call.args.first())?;
    let zone: Named = key_literal(checker, call.args.get(1))?.map(|zone| Zone::for_default_time(&zone));
    op((key, zone), |(key, zone), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        let zone = match zone {
            None => Ok(vm.host.zone()),
            Some(zone) => zone.as_ref().map_err(String::clone),
        };
        let read = |zone| match std::str::from_utf8(text) {
            Ok(text) => time::default_time(text, zone, vm.host.now_ns()),
            Err(_) => time::default_time(&String::from_utf8_lossy(text), zone, vm.host.now_ns()),
        };
        match zone.and_then(read) {
            Ok(time) => vm.write(&key.key, Value::Int(time))?,
            Err(reason) => {
                let message = vm.text(format!("time convert failed: {reason}").as_bytes())?;
                vm.write(MESSAGE_KEY, Value::Str(message))?;
                vm.write(&key.key, Value::Int(vm.record.time))?;
            }
        }
        Ok(Value::Void)
    })
}

pub fn default_time_with_fmt(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() < 2 {
        return count(checker, call, "func default_time_with_fmt expected more than 2 args");
    }
    let key = match call.args.first() {
        arg @ Some(Expr::Attr { .. } | Expr::Ident { .. }) => checker.key(arg)?,
        arg => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("param key expect AttrExpr or Identifier, got {what}")));
        }
    };
    let layout = key_literal(checker, call.args.get(1))?.unwrap_or_default();
    let zone: Named = key_literal(checker, call.args.get(2))?.map(|zone| Zone::for_default_time(&zone));
    op((key, Layout::compile(&layout), zone), |(key, layout, zone), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let zone = match zone {
            None => vm.host.zone(),
            Some(Ok(zone)) => zone,
            Some(Err(_)) => return Ok(Value::Void),
        };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let moment = std::str::from_utf8(text).ok().and_then(|text| time::time_by_layout(text, layout, zone));
        if let Some(moment) = moment {
            vm.write(&key.key, Value::Int(moment))?;
        }
        Ok(Value::Void)
    })
}

/// What `datetime()` reads and writes.
#[derive(Debug)]
struct Datetime {
    key: Name,
    precision: String,
    format: Format,
    zone: Named,
    zone_pos: u32,
}

pub fn datetime(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [("key", true), ("precision", true), ("fmt", true), ("tz", false)];
    let arranged = arrange(checker, call, &params)?;
    let arg = |at: usize| arranged.get(at).copied().flatten().and_then(|at| call.value(at));
    let key = checker.key(arg(0))?;
    let text = |at: usize, name: &str| {
        literal(checker, arg(at), |what| format!("param `{name}` expect StringLiteral, got {what}"))
    };
    let precision = text(1, "precision")?.unwrap_or_default();
    let format = Format::compile(&text(2, "fmt")?.unwrap_or_default());
    // The type that is told is that of the format, and its place is where a bad zone is reported.
    let (zone_pos, what) = described(arg(2));
    let zone = literal(checker, arg(3), |_| format!("param `tz` expect StringLiteral, got {what}"))?;
    let zone = zone.map(|zone| Zone::for_datetime(&zone));
    op(Datetime { key, precision, format, zone, zone_pos }, |datetime, vm| {
        let Some(value) = vm.read(&datetime.key) else { return Ok(Value::Void) };
        let zone = match &datetime.zone {
            None => vm.host.zone(),
            Some(Ok(zone)) => zone,
            Some(Err(reason)) => return Err(vm.error(datetime.zone_pos, reason.clone())),
        };
        let stamp = to_int(value);
        let text = time::datetime(stamp, &datetime.precision, &datetime.format, zone);
        let text = vm.text(text.as_bytes())?;
        vm.write(&datetime.key.key, Value::Str(text))?;
        Ok(Value::Void)
    })
}

/// The integer of a value; of a text by its prefix, 0 where there is none.
fn to_int(value: Value<'_>) -> i64 {
    match value {
        Value::Int(value) => value,
        Value::Float(value) => value as i64,
        Value::Bool(value) => value.into(),
        Value::Str(text) => number::parse_int(text, 0).unwrap_or_default(),
        _ => 0,
    }
}

/// The parts of a date by the names of the arguments behind the key.
const PARTS: [Part; 10] = [
    Part::Year,
    Part::Month,
    Part::Day,
    Part::Hour,
    Part::Minute,
    Part::Second,
    Part::Milli,
    Part::Micro,
    Part::Nano,
    Part::Zone,
];

pub fn parse_date(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [
        ("key", true),
        ("yy", false),
        ("MM", false),
        ("dd", false),
        ("hh", false),
        ("mm", false),
        ("ss", false),
        ("ms", false),
        ("us", false),
        ("ns", false),
        ("zone", false),
    ];
    let arranged = arrange(checker, call, &params)?;
    let place = |at: usize| arranged.get(at).copied().flatten();
    let key_arg = place(0).and_then(|at| call.value(at));
    // What is no key fails in the run.
    let key = key_text(key_arg).map(|name| checker.name(&name));
    let (key_pos, what) = described(key_arg);
    let mut parts: [(Node, u32); PARTS.len()] = std::array::from_fn(|_| (Node::Nil, NO_POS));
    for (at, part) in (1..).zip(&mut parts) {
        if let Some(at) = place(at) {
            let (pos, _) = described(call.value(at));
            *part = (call.node(at), pos);
        }
    }
    op((key, key_pos, what, parts), |(key, key_pos, what, parts), vm| {
        let Some(key) = key else {
            let message = format!("expect StringLiteral or Identifier or AttrExpr, got {what}");
            return Err(vm.error(*key_pos, message));
        };
        let mut texts = [None; PARTS.len()];
        for ((node, _), text) in parts.iter().zip(&mut texts) {
            *text = match vm.eval(node)? {
                Value::Str(text) => std::str::from_utf8(text).ok(),
                _ => None,
            };
        }
        let [year, month, day, hour, minute, second, milli, micro, nano, zone] = texts;
        let date = DateParts { year, month, day, hour, minute, second, milli, micro, nano, zone };
        match time::parse_date(&date, vm.host.now_ns(), vm.host.zone()) {
            Ok(moment) => {
                vm.write(&key.key, Value::Int(moment))?;
                Ok(Value::Void)
            }
            Err(error) => {
                let place = PARTS.iter().position(|part| *part == error.part);
                let pos = place.and_then(|at| parts.get(at)).map_or(NO_POS, |part| part.1);
                Err(vm.error(pos, error.text))
            }
        }
    })
}

pub fn parse_duration(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func `parse_duration' expected 1 arg");
    }
    op(checker.key(call.args.first())?, |key, vm| {
        let Some(Value::Str(text)) = vm.read(key) else { return Ok(Value::Void) };
        vm.work_on(text.len())?;
        if let Some(length) = std::str::from_utf8(text).ok().and_then(duration::parse) {
            vm.write(&key.key, Value::Int(length))?;
        }
        Ok(Value::Void)
    })
}

pub fn duration_precision(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let pos = call.pos;
    if call.args.len() != 3 {
        // Nobody counts them before the run.
        return op(pos, |pos, vm| Err(vm.error(*pos, "func `duration_precision' expected 3 args")));
    }
    let key = checker.key(call.args.first())?;
    let (key_pos, _) = described(call.args.first());
    let old = key_literal(checker, call.args.get(1))?.unwrap_or_default();
    let new = key_literal(checker, call.args.get(2))?.unwrap_or_default();
    op((key, key_pos, old, new), |(key, key_pos, old, new), vm| {
        let length = match vm.read(key) {
            None => return Err(vm.error(*key_pos, "key not found")),
            Some(Value::Int(length)) => length,
            Some(_) => return Err(vm.error(*key_pos, "param value type expect int")),
        };
        if let Some(length) = duration::convert(length, old, new) {
            vm.write(&key.key, Value::Int(length))?;
        }
        Ok(Value::Void)
    })
}

pub fn adjust_timezone(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func `adjust_timezone' expected 1 arg");
    }
    let (pos, _) = described(call.args.first());
    op((checker.key(call.args.first())?, pos), |(key, pos), vm| {
        let stamp = match vm.read(key) {
            None => return Ok(Value::Void),
            Some(Value::Int(stamp)) => stamp,
            Some(other) => {
                let what = match other {
                    Value::Str(_) => "string",
                    Value::Float(_) => "float64",
                    Value::Bool(_) => "bool",
                    Value::List(_) => "[]interface {}",
                    Value::Map(_) => "map[string]interface {}",
                    _ => "<nil>",
                };
                return Err(vm.error(*pos, format!("param value expect int64, got `{what}`")));
            }
        };
        vm.write(&key.key, Value::Int(time::adjust_timezone(stamp, vm.host.now_ns())))?;
        Ok(Value::Void)
    })
}
