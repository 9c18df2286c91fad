//! Go's `%q`, in which warnings and errors name keys.

/// Appends `bytes` in double quotes, escaped as Go's `strconv.Quote` does.
pub fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            quote_char(character, out);
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    out.push(b'"');
}

fn quote_char(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\x07' => out.extend_from_slice(b"\\a"),
        '\x08' => out.extend_from_slice(b"\\b"),
        '\x0c' => out.extend_from_slice(b"\\f"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\x0b' => out.extend_from_slice(b"\\v"),
        ' '..='~' => out.push(character as u8),
        _ if is_print(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        _ => {
            let code = character as u32;
            let text = match code {
                0..0x80 => format!("\\x{code:02x}"),
                0x80..0x1_0000 => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            };
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Whether a character shows: letters, marks, numbers, punctuation and symbols, as Go's `unicode.IsPrint` has it.
fn is_print(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    // The standard library keeps the same table, but shows it only through the escaping of text behind a first
    // character (a first one would also be escaped for being a combining mark).
    let mut text = String::with_capacity(5);
    text.push('a');
    text.push(character);
    text.escape_debug().nth(1) != Some('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        quote(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_are_quoted_as_go_does() {
        assert_eq!(quoted(b"a\"b\\c\n\t\r\x00\x7f\x0b"), r#""a\"b\\c\n\t\r\x00\x7f\v""#);
        assert_eq!(quoted("世界é\u{301}".as_bytes()), "\"世界é\u{301}\"");
        assert_eq!(quoted("\u{a0}\u{2028}\u{feff}\u{e0001}".as_bytes()), r#""\u00a0\u2028\ufeff\U000e0001""#);
        assert_eq!(quoted(b"\xe4\xb8x\xff"), r#""\xe4\xb8x\xff""#);
    }
}
