//! A second reading of request heads, by the book and without regard to cost, and property tests against it.

use proptest::prelude::*;

use super::*;
use crate::http1::fuzz;

/// The rules once more, by the book and without regard to cost: what a head means, or `Err` when it is refused.
/// `None` where no end is in sight.
fn by_the_book(input: &[u8]) -> Option<Result<Read, ()>> {
    let mut skipped = 0;
    while input[skipped..].starts_with(b"\r\n") && skipped < 2 * EMPTY_LINES_MAX {
        skipped += 2;
    }
    let end = input[skipped..].windows(4).position(|bytes| bytes == b"\r\n\r\n")? + skipped + 4;
    Some(lines_by_the_book(&input[skipped..end - 4]).ok_or(()).map(|read| Read { len: end, ..read }))
}

fn lines_by_the_book(head: &[u8]) -> Option<Read> {
    // Without the CR LF that ends each line, no other may be left.
    let text: Vec<Vec<u8>> = {
        let mut lines = vec![Vec::new()];
        let mut bytes = head.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\r' if bytes.peek() == Some(&b'\n') => {
                    bytes.next();
                    lines.push(Vec::new());
                }
                b'\r' | b'\n' => return None,
                byte => lines.last_mut()?.push(byte),
            }
        }
        lines
    };
    let (first, rest) = text.split_first()?;
    let words: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { return None };
    let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| framing::is_token_byte(*byte));
    let old = version == b"HTTP/1.0";
    let control = |byte: &u8| *byte < b' ' || *byte == 0x7f;
    if !is_token(method)
        || method == b"CONNECT"
        || target.iter().any(control)
        || !(old || version == b"HTTP/1.1")
    {
        return None;
    }
    let target = std::str::from_utf8(target).ok()?;
    target::split(target, method == b"OPTIONS")?;

    let mut headers = Vec::new();
    for line in rest {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], framing::trim(&line[colon + 1..]));
        if !is_token(name) || value.iter().any(|byte| control(byte) && *byte != b'\t') {
            return None;
        }
        headers.push((String::from_utf8(name.to_vec()).ok()?, value.to_vec()));
    }
    let all = |name: &str| -> Vec<String> {
        let named = headers.iter().filter(|(own, _)| own.to_ascii_lowercase() == name);
        named.map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase()).collect()
    };
    let (hosts, lengths, codings) = (all("host"), all("content-length"), all("transfer-encoding"));
    if hosts.len() > 1 || (hosts.is_empty() && !old) || headers.len() > HEADERS_MAX {
        return None;
    }
    if hosts.iter().any(|host| !target::host_is_valid(host.as_bytes())) {
        return None;
    }
    let framing = match (&lengths[..], &codings[..]) {
        ([], []) => Framing::None,
        ([length], []) => {
            let digits = (1..=19).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
            Framing::Length(length.parse().ok().filter(|_| digits)?)
        }
        ([], [coding]) if coding == "chunked" && !old => Framing::Chunked,
        _ => return None,
    };
    let expectations = all("expect");
    if expectations.iter().any(|value| !value.is_empty() && value != "100-continue") {
        return None;
    }
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));
    let tokens: Vec<String> = all("connection")
        .iter()
        .flat_map(|value| value.split(','))
        .map(|token| token.trim_matches([' ', '\t']).to_owned())
        .collect();
    let says = |token: &str| tokens.iter().any(|own| own == token);
    Some(Read {
        len: 0,
        line: (String::from_utf8(method.to_vec()).ok()?, target.to_owned()),
        framing,
        flags: (
            !says("close") && (!old || says("keep-alive")),
            has_body && !old && expectations.iter().any(|value| value == "100-continue"),
        ),
        headers,
    })
}

fn compare_with_the_book(input: &[u8]) {
    let ours = head_whole(input, &LIMITS);
    match by_the_book(input) {
        None => assert!(!matches!(ours, Ok(Some(_))), "{ours:?} for {}", input.escape_ascii()),
        Some(Ok(read)) => assert_eq!(ours, Ok(Some(read)), "{}", input.escape_ascii()),
        Some(Err(())) => assert!(ours.is_err(), "{ours:?} for {}", input.escape_ascii()),
    }
}

/// Heads that are nearly right: good lines, odd lines, and a few bytes changed.
fn odd_heads() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("GET / HTTP/1.1"),
        Just("POST /v1/write/metric?precision=s HTTP/1.1"),
        Just("POST http://h/x HTTP/1.1"),
        Just("OPTIONS * HTTP/1.0"),
        Just("GET /%41 HTTP/1.0"),
    ];
    let header = prop_oneof![
        8 => Just("Accept: */*".to_owned()),
        4 => Just("Content-Length: 5".to_owned()),
        4 => Just("Transfer-Encoding: chunked".to_owned()),
        2 => Just("Connection: keep-alive".to_owned()),
        2 => Just("connection: Close , x".to_owned()),
        2 => Just("Expect: 100-continue".to_owned()),
        1 => Just("Host: other".to_owned()),
        1 => "[!-~]{0,4}:[ -~]{0,6}",
        1 => "[ \t]?[A-Za-z-]{1,12}[ ]?:[ \t]{0,2}[a-z, ]{0,8}[ \t]{0,2}",
    ];
    let end = prop_oneof![30 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n"), 1 => Just("\r\n ")];
    let lines = prop::collection::vec((header, end), 0..6);
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (line, prop::bool::weighted(0.9), lines, prop::collection::vec(change, 0..2), prop::bool::weighted(0.4))
        .prop_map(|(line, host, lines, changes, changed)| {
            let mut head = format!("{line}\r\n{}", if host { "Host: h\r\n" } else { "" });
            for (header, end) in lines {
                head.push_str(&header);
                head.push_str(end);
            }
            head.push_str("\r\n");
            let mut head = head.into_bytes();
            for (at, byte) in changes.into_iter().filter(|_| changed) {
                let at = at.index(head.len());
                head[at] = byte;
            }
            head
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_by_the_book(head in odd_heads(), tail in prop::collection::vec(any::<u8>(), 0..8)) {
        compare_with_the_book(&[head, tail].concat());
    }

    #[test]
    fn pieces_read_as_the_whole(head in odd_heads(), mut cuts in prop::collection::vec(0usize..200, 0..6)) {
        cuts.sort_unstable();
        let input = [head, b"\r\n\r\n".to_vec()].concat();
        prop_assert_eq!(head_in_pieces(&input, &cuts, &LIMITS), head_whole(&input, &LIMITS));
    }

    #[test]
    fn small_bounds_hold_under_any_bytes(head in odd_heads()) {
        fuzz::head(&head);
    }

    #[test]
    fn noise_is_refused_without_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::head(&data);
        fuzz::text(&data);
        compare_with_the_book(&data);
    }
}
