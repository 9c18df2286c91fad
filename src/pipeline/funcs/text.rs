//! Texts that need nothing beyond themselves: case, white space, parts, masks, encodings, digests, networks.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Prepared, count, md5::md5, op};
use crate::pipeline::{
    args::{Type, TypedArg, arrange_typed},
    ast::Expr,
    compile::{Call, Checker, described},
    error::Error,
    lib::sql_cover,
    node::Node,
    value::Value,
};

pub fn lowercase(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func lowercase expected 1 args");
    }
    change_case(checker, call, |char| single(char, char.to_lowercase()))
}

pub fn uppercase(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func uppercase expects 1 arg");
    }
    change_case(checker, call, |char| single(char, char.to_uppercase()))
}

/// Go maps a character to one character; `İ` becomes `i`, `ß` stays.
fn single(char: char, mapped: impl Iterator<Item = char>) -> char {
    let mut mapped = mapped;
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        (Some('i'), Some('\u{307}')) => 'i',
        _ => char,
    }
}

fn change_case(checker: &Checker<'_>, call: &Call<'_>, map: fn(char) -> char) -> Prepared {
    let key = checker.key(call.args.first())?;
    op((key, map), |(key, map), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        let changed: String = String::from_utf8_lossy(text).chars().map(map).collect();
        let changed = vm.text(changed.as_bytes())?;
        vm.write(&key.key, Value::Str(changed))?;
        Ok(Value::Void)
    })
}

pub fn trim(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if !matches!(call.args.len(), 1 | 2) {
        return count(checker, call, "func `trim' expected 1 or 2 args");
    }
    let key = checker.key(call.args.first())?;
    let cut = match call.args.get(1) {
        None => String::new(),
        Some(Expr::Str { value, .. }) => String::from_utf8_lossy(value).into_owned(),
        arg => {
            let (pos, what) = described(arg);
            return Err(checker.error(pos, format!("param type expect StringLiteral, got `{what}'")));
        }
    };
    op((key, cut), |(key, cut), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let trimmed = match std::str::from_utf8(text) {
            Ok(text) if cut.is_empty() => text.trim().as_bytes(),
            Ok(text) => text.trim_matches(|char| cut.contains(char)).as_bytes(),
            Err(_) => trim_bytes(text, cut),
        };
        vm.write(&key.key, Value::Str(trimmed))?;
        Ok(Value::Void)
    })
}

/// For what is not UTF-8: only ASCII is taken away.
fn trim_bytes<'t>(text: &'t [u8], cut: &str) -> &'t [u8] {
    let goes = |byte: &u8| match cut {
        "" => byte.is_ascii_whitespace() || *byte == 11,
        _ => byte.is_ascii() && cut.as_bytes().contains(byte),
    };
    let start = text.iter().position(|byte| !goes(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !goes(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

pub fn slice_string(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [("name", Type::Str, true), ("start", Type::Int, true), ("end", Type::Int, true)];
    op(arrange_typed(checker, call, params)?, |[name, start, end], vm| {
        let text = TypedArg::text(name, vm)?;
        let (start, end) = (TypedArg::int(start, vm)?, TypedArg::int(end, vm)?);
        if start < 0 || end < 0 || start > end {
            return Ok(Value::Str(b""));
        }
        vm.work_on(text.len())?;
        let (skipped, taken) = (start as usize, (end - start) as usize);
        let Ok(valid) = std::str::from_utf8(text) else {
            let lossy = String::from_utf8_lossy(text);
            let part: String = lossy.chars().skip(skipped).take(taken).collect();
            return Ok(Value::Str(vm.text(part.as_bytes())?));
        };
        let mut places = valid.char_indices().map(|(at, _)| at).chain(std::iter::once(valid.len()));
        let from = places.nth(skipped).unwrap_or(valid.len());
        let to = if taken == 0 { from } else { places.nth(taken - 1).unwrap_or(valid.len()) };
        Ok(Value::Str(text.get(from..to).unwrap_or_default()))
    })
}

pub fn hash(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    let params = [("text", Type::Str, true), ("method", Type::Str, true)];
    op(arrange_typed(checker, call, params)?, |[text, method], vm| {
        let text = TypedArg::text(text, vm)?;
        let method = TypedArg::text(method, vm)?;
        vm.work_on(text.len())?;
        use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
        let digest = match method {
            b"md5" => md5(text).to_vec(),
            b"sha1" => digest(&SHA1_FOR_LEGACY_USE_ONLY, text).as_ref().to_vec(),
            b"sha256" => digest(&SHA256, text).as_ref().to_vec(),
            b"sha512" => digest(&SHA512, text).as_ref().to_vec(),
            _ => return Ok(Value::Str(b"")),
        };
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Value::Str(vm.text(hex.as_bytes())?))
    })
}

/// What `cover` puts over a character, and over a Han one.
const MASK: char = '*';
const WIDE_MASK: char = '＊';

pub fn cover(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func cover expected 2 args");
    }
    let key = checker.key(call.args.first())?;
    let (pos, what) = described(call.args.get(1));
    let Some(Expr::List { items, .. }) = call.args.get(1) else {
        return Err(checker.error(pos, format!("param range expects ListInitExpr, got {what}")));
    };
    let texts = || items.iter().map(Expr::text).collect::<Vec<_>>().join(", ");
    let [first, last] = items.as_slice() else {
        return Err(checker.error(pos, format!("param between range value `[{}]' is not expected", texts())));
    };
    let number = |expr: &Expr| match expr {
        Expr::Int { value, .. } => Some(*value),
        Expr::Float { value, .. } => Some(*value as i64),
        _ => None,
    };
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        return Err(checker.error(pos, format!("range value `[{}]' is not expected", texts())));
    };
    op((key, first, last), |(key, first, last), vm| {
        let Some(Value::Str(text)) = vm.read(key) else { return Ok(Value::Void) };
        vm.work_on(text.len())?;
        let text = String::from_utf8_lossy(text);
        let length = text.chars().count() as i64;
        let place = |bound: i64| if bound <= 0 { bound.saturating_add(length + 1) } else { bound };
        let (first, last) = (place(*first), place((*last).min(length)));
        let valid = first >= 1 && first <= last && last <= length;
        let covered = |(at, char): (i64, char)| match char {
            _ if at < first || at > last => char,
            char if is_han(char) => WIDE_MASK,
            _ => MASK,
        };
        let masked: String =
            if valid { (1..).zip(text.chars()).map(covered).collect() } else { text.into_owned() };
        let masked = vm.text(masked.as_bytes())?;
        vm.write(&key.key, Value::Str(masked))?;
        Ok(Value::Void)
    })
}

pub fn sql_cover(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func sql_cover expects 1 args");
    }
    op(checker.key(call.args.first())?, |key, vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        vm.work_on(text.len())?;
        let covered = std::str::from_utf8(text).ok().and_then(sql_cover::sql_cover);
        if let Some(covered) = covered {
            let covered = vm.text(covered.as_bytes())?;
            vm.write(&key.key, Value::Str(covered))?;
        }
        Ok(Value::Void)
    })
}

fn is_han(char: char) -> bool {
    matches!(char,
        '\u{2e80}'..='\u{2e99}' | '\u{2e9b}'..='\u{2ef3}' | '\u{2f00}'..='\u{2fd5}' | '\u{3005}' | '\u{3007}'
        | '\u{3021}'..='\u{3029}' | '\u{3038}'..='\u{303b}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{fa6d}' | '\u{fa70}'..='\u{fad9}' | '\u{20000}'..='\u{323af}')
}

fn identifier(checker: &Checker<'_>, call: &Call<'_>) -> Result<crate::pipeline::node::Name, Error> {
    if call.args.len() != 1 {
        return Err(checker.error(call.pos, format!("func {} expected 1 args", call.name)));
    }
    match call.args.first() {
        Some(Expr::Ident { name, .. }) => Ok(checker.name(name)),
        arg => {
            let (pos, what) = described(arg);
            Err(checker.error(pos, format!("expect Identifier, got {what}")))
        }
    }
}

pub fn b64enc(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    op(identifier(checker, call)?, |key, vm| {
        let Some(Value::Str(text)) = vm.read(key) else { return Ok(Value::Void) };
        let encoded = vm.text(BASE64.encode(text).as_bytes())?;
        vm.write(&key.key, Value::Str(encoded))?;
        Ok(Value::Void)
    })
}

/// Go's standard encoding: padding is a must, the bits behind the last byte may be anything.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

pub fn b64dec(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    op((identifier(checker, call)?, call.pos), |(key, pos), vm| {
        let Some(Value::Str(text)) = vm.read(key) else { return Ok(Value::Void) };
        // Line ends do not count.
        let kept: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        match BASE64.decode(&kept) {
            Ok(decoded) => {
                let decoded = vm.text(&decoded)?;
                vm.write(&key.key, Value::Str(decoded))?;
                Ok(Value::Void)
            }
            Err(_) => {
                let at = base64_fault(&kept);
                Err(vm.error(*pos, format!("illegal base64 data at input byte {at}")))
            }
        }
    })
}

/// Where Go sees the fault: at the first byte that is no digit, else where the last, incomplete group begins.
fn base64_fault(text: &[u8]) -> usize {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digits = text.iter().take_while(|byte| digit(byte)).count();
    match text.get(digits..) {
        Some([]) | None => digits - digits % 4,
        // Padding that is complete: what follows it is one too many.
        Some([b'=', b'=', ..]) if digits % 4 == 2 => digits + 2,
        Some([b'=', ..]) if digits % 4 == 3 => digits + 1,
        Some([b'=']) if digits % 4 == 2 => digits + 1,
        Some(_) => digits,
    }
}

pub fn cidr(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func cidr expects 2 args");
    }
    let mut nodes = [Node::Nil, Node::Nil];
    for (at, node) in nodes.iter_mut().enumerate() {
        *node = match call.args.get(at) {
            Some(Expr::Str { .. } | Expr::Ident { .. }) => call.node(at),
            arg @ Some(Expr::Attr { .. }) => Node::Name(checker.key(arg)?),
            arg => {
                let (pos, what) = described(arg);
                return Err(
                    checker.error(pos, format!("expect StringLiteral, Identifier or AttrExpr, got {what}"))
                );
            }
        };
    }
    op(nodes, |[address, network], vm| {
        let (address, network) = (vm.eval(address)?, vm.eval(network)?);
        let (Value::Str(address), Value::Str(network)) = (address, network) else {
            return Ok(Value::Bool(false));
        };
        Ok(Value::Bool(within(address, network).unwrap_or(false)))
    })
}

/// None where one of them is not what it is to be.
fn within(address: &[u8], network: &[u8]) -> Option<bool> {
    let address: std::net::IpAddr = std::str::from_utf8(address).ok()?.parse().ok()?;
    let (base, bits) = std::str::from_utf8(network).ok()?.split_once('/')?;
    let leading_zero = bits.len() > 1 && bits.starts_with('0');
    if leading_zero || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let network = ipnet::IpNet::new(base.parse().ok()?, bits.parse().ok()?).ok()?;
    Some(network.contains(&address))
}

pub fn conv_traceid_w3c_to_dd(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 1 {
        return count(checker, call, "func conv_traceid_w3c_to_dd expected 1 args");
    }
    op(checker.key(call.args.first())?, |key, vm| {
        let Some(Value::Str(text)) = vm.read(key) else { return Ok(Value::Void) };
        if let Some(id) = low_half(text) {
            let text = vm.text(itoa::Buffer::new().format(id).as_bytes())?;
            vm.write(&key.key, Value::Str(text))?;
        }
        Ok(Value::Void)
    })
}

/// The lower 64 bits of an id of 32 or 16 hexadecimal digits.
fn low_half(text: &[u8]) -> Option<u64> {
    if !matches!(text.len(), 16 | 32) || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let low = text.get(text.len() - 16..)?;
    u64::from_str_radix(std::str::from_utf8(low).ok()?, 16).ok()
}
