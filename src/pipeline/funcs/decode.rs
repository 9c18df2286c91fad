//! Texts that are not UTF-8.

use encoding_rs::{Encoding, GB18030, GBK};

use super::{Prepared, count, op};
use crate::pipeline::{
    ast::Expr,
    compile::{Call, Checker, described},
    node::Node,
    value::Value,
};

/// How bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Gbk,
    Gb18030,
    Utf16Le,
    Utf16Be,
    Utf8,
}

/// By its name, in quotes inside of the text's own too. UTF-8 without such quotes is none: it stays as it is.
fn charset(name: &[u8]) -> Option<Charset> {
    Some(match name {
        b"gbk" | b"'gbk'" => Charset::Gbk,
        b"gb18030" | b"'gb18030'" => Charset::Gb18030,
        b"utf-16le" | b"'utf-16le'" => Charset::Utf16Le,
        b"utf-16be" | b"'utf-16be'" => Charset::Utf16Be,
        b"'utf-8'" => Charset::Utf8,
        _ => return None,
    })
}

pub fn decode(checker: &mut Checker<'_>, call: &mut Call<'_>) -> Prepared {
    if call.args.len() != 2 {
        return count(checker, call, "func decode expected 2");
    }
    let key = checker.key(call.args.first())?;
    let name = match call.args.get(1) {
        Some(Expr::Str { .. } | Expr::Ident { .. }) => call.node(1),
        arg @ Some(Expr::Attr { .. }) => Node::Name(checker.key(arg)?),
        arg => {
            let (pos, what) = described(arg);
            let message = format!("expect AttrExpr, Identifier or StringLiteral, got {what}");
            return Err(checker.error(pos, message));
        }
    };
    op((key, name), |(key, name), vm| {
        let Some(value) = vm.read(key) else { return Ok(Value::Void) };
        let Value::Str(name) = vm.eval(name)? else { return Ok(Value::Void) };
        let Some(charset) = charset(name) else { return Ok(Value::Void) };
        let text = vm.to_text(value)?;
        // A byte becomes three where it is none of a character.
        vm.work_on(text.len() * 3)?;
        let text = match charset {
            Charset::Utf8 if std::str::from_utf8(text).is_ok() => text,
            _ => vm.text(decoded(text, charset).as_bytes())?,
        };
        vm.write(&key.key, Value::Str(text))?;
        Ok(Value::Void)
    })
}

fn decoded(text: &[u8], charset: Charset) -> String {
    match charset {
        Charset::Utf8 => {
            let mut out = String::with_capacity(text.len());
            for chunk in text.utf8_chunks() {
                out.push_str(chunk.valid());
                out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
            out
        }
        Charset::Utf16Le => utf16(text, u16::from_le_bytes),
        Charset::Utf16Be => utf16(text, u16::from_be_bytes),
        Charset::Gbk => chinese(text, GBK, false),
        Charset::Gb18030 => chinese(text, GB18030, true),
    }
}

/// A byte order mark is a character like others. Half a pair, and half a unit at the end, are U+FFFD.
fn utf16(text: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (units, rest) = text.as_chunks::<2>();
    let chars = char::decode_utf16(units.iter().map(|pair| unit(*pair)));
    let mut out: String = chars.map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if !rest.is_empty() {
        out.push(char::REPLACEMENT_CHARACTER);
    }
    out
}

/// By the library as far as it has nothing to complain about; from there on byte by byte, as Go counts the bytes of what
/// is no character.
fn chinese(text: &[u8], encoding: &'static Encoding, four_bytes: bool) -> String {
    // The library's GBK reads characters of four bytes as well.
    let foreign = |pair: &[u8]| matches!(pair, [0x81..=0xfe, b'0'..=b'9']);
    if (four_bytes || !text.windows(2).any(foreign))
        && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(text)
    {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let len = match rest {
            [0x81..=0xfe, 0x40..=0x7e | 0x80..=0xfe, ..] => 2,
            [0x81..=0xfe, b'0'..=b'9', 0x81..=0xfe, b'0'..=b'9', ..] if four_bytes => 4,
            _ => 1,
        };
        let (char, behind) = rest.split_at_checked(len).unwrap_or((rest, b""));
        rest = behind;
        match first {
            0..=0x7f => out.push(char::from(first)),
            _ => match encoding.decode_without_bom_handling_and_without_replacement(char) {
                Some(char) => out.push_str(&char),
                None => out.push(char::REPLACEMENT_CHARACTER),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_texts_with_and_without_faults() {
        let gbk = |bytes: &[u8]| decoded(bytes, Charset::Gbk);
        let gb18030 = |bytes: &[u8]| decoded(bytes, Charset::Gb18030);
        assert_eq!(gbk(b"\xd6\xd0\xce\xc4abc"), "中文abc");
        assert_eq!(gb18030(b"\xd6\xd0\xce\xc4\x94\x39\xfc\x36"), "中文😀");
        // Four bytes are none of its characters.
        assert_eq!(gbk(b"\xd6\xd0\x94\x39\xfc\x36"), "中\u{fffd}9\u{fffd}6");
        assert_eq!(gbk(b"\xff\xfe\x80"), "\u{fffd}䜣");
        assert_eq!(gbk(b"\x80"), "€");
        assert_eq!(gbk(b"a\xd6"), "a\u{fffd}");
        assert_eq!(gb18030(b"\xd6\x20\xd6\xd0"), "\u{fffd} 中");
        assert_eq!(gb18030(b"\x94\x39\xfc"), "\u{fffd}9\u{fffd}");
    }

    #[test]
    fn units_of_two_bytes() {
        assert_eq!(decoded(b"h\0i\0-N", Charset::Utf16Le), "hi中");
        assert_eq!(decoded(b"\0h\xd8\x3d\xde\x00\xd8\x3d\0", Charset::Utf16Be), "h😀\u{fffd}\u{fffd}");
        assert_eq!(decoded(b"a\xff\xe4\xb8b", Charset::Utf8), "a\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(charset(b"utf-8"), None);
    }
}
