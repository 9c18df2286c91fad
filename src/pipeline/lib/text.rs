//! Small things about texts that several functions need.

/// Whether two texts are the same. For short ones (names, keys) a call of memcmp takes longer than the comparison.
#[inline]
pub fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    // First and last bytes may overlap.
    if let (Some(first), Some(last)) = (left.first_chunk::<8>(), left.last_chunk::<8>()) {
        if right.first_chunk() != Some(first) {
            return false;
        }
        return if left.len() <= 16 { right.last_chunk() == Some(last) } else { left == right };
    }
    if let (Some(first), Some(last)) = (left.first_chunk::<4>(), left.last_chunk::<4>()) {
        return right.first_chunk() == Some(first) && right.last_chunk() == Some(last);
    }
    match (left, right) {
        ([], []) => true,
        ([a], [x]) => a == x,
        ([a, b], [x, y]) => (a, b) == (x, y),
        ([a, b, c], [x, y, z]) => (a, b, c) == (x, y, z),
        _ => false,
    }
}

/// Without white space of any script at both ends.
pub fn trim_space(text: &[u8]) -> &[u8] {
    let plain = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_graphic());
    if plain(text.first()) && plain(text.last()) {
        return text;
    }
    let mut rest = text;
    while let Some((_, len)) = first_char(rest).filter(|(c, _)| c.is_whitespace()) {
        rest = &rest[len..];
    }
    while let Some((_, len)) = last_char(rest).filter(|(c, _)| c.is_whitespace()) {
        rest = &rest[..rest.len() - len];
    }
    rest
}

/// The first character and its length; a byte that is no text is U+FFFD.
pub fn first_char(text: &[u8]) -> Option<(char, usize)> {
    let chunk = text.get(..text.len().min(4))?.utf8_chunks().next()?;
    Some(chunk.valid().chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8())))
}

fn last_char(text: &[u8]) -> Option<(char, usize)> {
    let end = text.len();
    let start = (1..=4).filter_map(|back| end.checked_sub(back)).find(|at| text[*at] & 0xc0 != 0x80);
    let whole =
        start.and_then(|start| std::str::from_utf8(&text[start..]).ok()).and_then(|c| c.chars().next());
    match whole {
        Some(c) => Some((c, c.len_utf8())),
        None => (!text.is_empty()).then_some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_texts_are_those_that_are_equal() {
        let text = b"abcdefghijklmnopqrstuvwxyz0123456789";
        for length in 0..=text.len() {
            let left = &text[..length];
            let copy = left.to_vec();
            assert!(same(left, &copy));
            assert!(length == 0 || !same(left, &text[..length - 1]) && !same(&text[..length - 1], left));
            for at in 0..length {
                let mut right = left.to_vec();
                right[at] ^= 1;
                assert!(!same(left, &right), "{length} {at}");
            }
        }
    }

    #[test]
    fn space_of_any_script_goes() {
        assert_eq!(trim_space(" \t\u{3000}a b\u{a0}\n".as_bytes()), b"a b");
        assert_eq!(trim_space(b" \xff "), b"\xff");
        assert_eq!(trim_space(" é".as_bytes()), "é".as_bytes());
        assert_eq!(trim_space(b"  "), b"");
        assert_eq!(trim_space(b""), b"");
    }
}
