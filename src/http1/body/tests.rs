//! Tests of chunked bodies. Each input is also cut at every byte.

use proptest::prelude::*;

use super::*;
use crate::http1::fuzz::{self, chunked_in_pieces};

const BODY: u64 = 1 << 20;

/// The outcome of the whole, checked to be that of every split in two and of single bytes.
fn outcome(input: &[u8], body_bytes_max: u64) -> Result<(Progress, Vec<u8>), ChunkError> {
    let whole = chunked_in_pieces(input, &[], body_bytes_max);
    for cut in 0..=input.len() {
        assert_eq!(
            chunked_in_pieces(input, &[cut], body_bytes_max),
            whole,
            "cut at {cut}: {}",
            input.escape_ascii()
        );
    }
    let bytes: Vec<usize> = (1..input.len()).collect();
    assert_eq!(
        chunked_in_pieces(input, &bytes, body_bytes_max),
        whole,
        "byte by byte: {}",
        input.escape_ascii()
    );
    whole
}

fn refused(input: &[u8], expected: ChunkError) {
    assert_eq!(outcome(input, BODY), Err(expected), "{}", input.escape_ascii());
    // And wherever in a body it comes.
    assert_eq!(outcome(&[b"3\r\nabc\r\n", input].concat(), BODY), Err(expected), "{}", input.escape_ascii());
}

fn decoded(input: &str) -> String {
    let (progress, data) = outcome(input.as_bytes(), BODY).unwrap();
    assert_eq!(progress, Progress { consumed: input.len(), done: true }, "{input:?}");
    // What follows is the next message, whatever it is.
    let (progress, _) = outcome(format!("{input}GET / HTTP/1.1").as_bytes(), BODY).unwrap();
    assert_eq!(progress, Progress { consumed: input.len(), done: true }, "{input:?}");
    String::from_utf8(data).unwrap()
}

#[test]
fn good_bodies() {
    for (input, expected) in [
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello"),
        ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
        ("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
        ("5;\r\nhello\r\n0;\r\n\r\n", "hello"),
        ("5;a\r\nhello\r\n0;b\r\n\r\n", "hello"),
        ("5;a=b; c=\"d;e\" ;f\tg\r\nhello\r\n0\r\n\r\n", "hello"),
    ] {
        assert_eq!(decoded(input), expected, "{input:?}");
    }
}

#[test]
fn e4_sizes() {
    for size in [
        "", "+5", "-5", " 5", "\t5", "5 ", "5\t", "5 ;a", "0x5", "x", "g", "5g", "5,5", "\u{665}", ":", "\0",
        "_1",
    ] {
        refused(format!("{size}\r\nhello\r\n0\r\n\r\n").as_bytes(), ChunkError::Size);
    }
    for size in ["00000000000000005", "10000000000000000", "11111111111111111", "fffffffffffffffff"] {
        refused(format!("{size}\r\nhello\r\n0\r\n\r\n").as_bytes(), ChunkError::SizeOverflow);
    }
    // Sixteen digits fit, but not the bound.
    for size in ["ffffffffffffffff", "8000000000000000", "100001"] {
        refused(format!("{size}\r\nhello").as_bytes(), ChunkError::TooLarge);
    }
    // Nor may sizes add up past what can be counted.
    let input = b"1\r\na\r\nffffffffffffffff\r\n";
    assert_eq!(outcome(input, u64::MAX), Err(ChunkError::TooLarge));
}

#[test]
fn e4_line_ends() {
    refused(b"5\nhello\r\n0\r\n\r\n", ChunkError::Size);
    refused(b"5\rhello\r\n0\r\n\r\n", ChunkError::LineEnd);
    refused(b"5\r\rhello\r\n0\r\n\r\n", ChunkError::LineEnd);
    refused(b"5;a\nhello\r\n0\r\n\r\n", ChunkError::LineEnd);
    refused(b"5;a\rhello\r\n0\r\n\r\n", ChunkError::LineEnd);
    refused(b"5\r\nhello\n0\r\n\r\n", ChunkError::DataEnd);
    refused(b"5\r\nhello0\r\n\r\n", ChunkError::DataEnd);
    refused(b"5\r\nhello\r0\r\n\r\n", ChunkError::DataEnd);
    refused(b"5\r\nhello!\r\n0\r\n\r\n", ChunkError::DataEnd);
    refused(b"5\r\nhell\r\n0\r\n\r\n", ChunkError::DataEnd);
    refused(b"\r\n5\r\nhello\r\n0\r\n\r\n", ChunkError::Size);
    refused(b"0\n\r\n", ChunkError::Size);
    refused(b"0\r\n\n", ChunkError::Trailer);
    refused(b"0\r\n\rx", ChunkError::LineEnd);
}

#[test]
fn e4_extensions_are_counted() {
    for extension in ["\0", "a\x01", "a\x7f", "a\x0b"] {
        refused(format!("5;{extension}\r\nhello\r\n0\r\n\r\n").as_bytes(), ChunkError::Extension);
    }
    let with = |bytes: usize| format!("0;{}\r\n\r\n", "a".repeat(bytes - 1)).into_bytes();
    let most = EXTENSION_BYTES_MAX as usize;
    assert!(chunked_in_pieces(&with(most), &[], BODY).is_ok());
    assert_eq!(chunked_in_pieces(&with(most + 1), &[], BODY), Err(ChunkError::ExtensionsTooLarge));
    assert_eq!(chunked_in_pieces(&with(64 * 1024), &[], BODY), Err(ChunkError::ExtensionsTooLarge));
    // Over the whole body, and before any of it has ended.
    let many = b"1;abc\r\nx\r\n".repeat(most / 4 + 1);
    assert_eq!(chunked_in_pieces(&many, &[], BODY), Err(ChunkError::ExtensionsTooLarge));
    let endless = [b"1;".to_vec(), vec![b'a'; most]].concat();
    assert_eq!(chunked_in_pieces(&endless, &[], BODY), Err(ChunkError::ExtensionsTooLarge));
}

#[test]
fn e4_an_unfinished_body_is_never_done() {
    let body = b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for end in 0..body.len() {
        let (progress, _) = outcome(&body[..end], BODY).unwrap();
        assert_eq!(progress, Progress { consumed: end, done: false });
    }
}

#[test]
fn e5_trailers_are_bounded_and_ignored() {
    for trailers in [
        "A: b\r\n",
        "A:\r\nB: c \t\r\n",
        "Content-Length: 99\r\n",
        "Transfer-Encoding: chunked\r\nHost: other\r\n",
        "X: \u{e9}\r\n",
    ] {
        assert_eq!(decoded(&format!("5\r\nhello\r\n0\r\n{trailers}\r\n")), "hello", "{trailers:?}");
    }
    for (trailers, error) in [
        ("A\r\n", ChunkError::Trailer),
        (": b\r\n", ChunkError::Trailer),
        ("A : b\r\n", ChunkError::Trailer),
        (" A: b\r\n", ChunkError::Trailer),
        ("A: b\r\n c\r\n", ChunkError::Trailer),
        ("A: b\0\r\n", ChunkError::Trailer),
        ("A: b\n", ChunkError::LineEnd),
        ("A: b\rc\r\n", ChunkError::LineEnd),
        ("\0", ChunkError::Trailer),
        // A request where a trailer should be is no trailer.
        ("GET / HTTP/1.1\r\n", ChunkError::Trailer),
    ] {
        refused(format!("0\r\n{trailers}\r\n").as_bytes(), error);
    }
    let most = TRAILER_BYTES_MAX as usize;
    let one = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "b".repeat(bytes - 4)).into_bytes();
    assert!(chunked_in_pieces(&one(most), &[], BODY).is_ok());
    assert_eq!(chunked_in_pieces(&one(most + 1), &[], BODY), Err(ChunkError::TrailersTooLarge));
    let many = [b"0\r\n".to_vec(), b"A:\r\n".repeat(most / 4 + 1), b"\r\n".to_vec()].concat();
    assert_eq!(chunked_in_pieces(&many, &[], BODY), Err(ChunkError::TrailersTooLarge));
}

#[test]
fn the_callers_bound_holds_for_the_whole_body() {
    let body = b"4\r\nabcd\r\n4\r\nefgh\r\n0\r\n\r\n";
    assert!(outcome(body, 8).is_ok());
    assert_eq!(outcome(body, 7), Err(ChunkError::TooLarge));
    assert_eq!(outcome(body, 0), Err(ChunkError::TooLarge));
    assert!(outcome(b"0\r\n\r\n", 0).is_ok());
    // Also when the caller takes the data away in between.
    let mut decoder = ChunkedDecoder::new();
    let mut out = Vec::new();
    decoder.decode(&body[..9], &mut out, 7).unwrap();
    assert_eq!(out, b"abcd");
    out.clear();
    assert_eq!(decoder.decode(&body[9..], &mut out, 7), Err(ChunkError::TooLarge));
    // And it is refused at its size: nothing of it was taken.
    assert!(out.is_empty());
    assert_eq!(ChunkError::TooLarge.status(), 413);
}

#[test]
fn memory_is_taken_for_data_and_not_for_claims() {
    let mut decoder = ChunkedDecoder::new();
    let mut out = Vec::new();
    decoder.decode(b"ffffffff\r\nabc", &mut out, u64::MAX).unwrap();
    assert_eq!(out, b"abc");
    assert!(out.capacity() < 64);
}

#[test]
fn a_fault_is_final_and_the_end_is_too() {
    let mut decoder = ChunkedDecoder::new();
    let mut out = Vec::new();
    assert_eq!(decoder.decode(b"x", &mut out, BODY), Err(ChunkError::Size));
    assert_eq!(decoder.decode(b"0\r\n\r\n", &mut out, BODY), Err(ChunkError::Size));
    assert_eq!(decoder.decode(b"", &mut out, BODY), Err(ChunkError::Size));

    let mut decoder = ChunkedDecoder::new();
    assert!(decoder.decode(b"0\r\n\r\n", &mut out, BODY).unwrap().done);
    assert!(decoder.is_done());
    let after = decoder.decode(b"5\r\nhello", &mut out, BODY).unwrap();
    assert_eq!(after, Progress { consumed: 0, done: true });
    assert!(out.is_empty());
}

#[test]
fn single_byte_chunks_are_bounded() {
    let most = SMALL_CHUNKS_MAX as usize;
    let chunks = |count: usize| [b"1\r\na\r\n".repeat(count), LAST_CHUNK.to_vec()].concat();
    let (progress, data) = chunked_in_pieces(&chunks(most - 1), &[], u64::MAX).unwrap();
    assert!(progress.done && data.len() == most - 1);
    assert_eq!(chunked_in_pieces(&chunks(most), &[], u64::MAX), Err(ChunkError::TooManyChunks));
}

/// Chunked decoding as one would write it down: the whole at once, by lines. No bounds.
fn by_the_book(input: &[u8]) -> Option<(usize, Vec<u8>)> {
    let line = |at: usize| {
        let end = at + input.get(at..)?.windows(2).position(|bytes| bytes == b"\r\n")?;
        Some((&input[at..end], end + 2))
    };
    let clean = |text: &[u8]| text.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    let (mut at, mut data) = (0, Vec::new());
    loop {
        let (size, next) = line(at)?;
        let (digits, extension) = match size.iter().position(|byte| *byte == b';') {
            Some(mark) => (&size[..mark], &size[mark..]),
            None => (size, &b""[..]),
        };
        if digits.is_empty()
            || digits.len() > 16
            || !digits.iter().all(u8::is_ascii_hexdigit)
            || !clean(extension)
        {
            return None;
        }
        let bytes = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at = next;
        if bytes == 0 {
            break;
        }
        let end = at.checked_add(usize::try_from(bytes).ok()?)?;
        data.extend_from_slice(input.get(at..end)?);
        if input.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        at = end + 2;
    }
    loop {
        let (trailer, next) = line(at)?;
        at = next;
        if trailer.is_empty() {
            return Some((at, data));
        }
        let colon = trailer.iter().position(|byte| *byte == b':')?;
        let name_ok = colon > 0 && trailer[..colon].iter().all(|byte| is_token_byte(*byte));
        if !name_ok || !clean(&trailer[colon..]) {
            return None;
        }
    }
}

fn one_chunk(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_chunk(data, &mut out);
    out
}

fn odd_bodies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 1..20).prop_map(|data| one_chunk(&data)),
        4 => Just(b"0\r\n\r\n".to_vec()),
        1 => Just(b"3;ext=1\r\nabc\r\n".to_vec()),
        1 => Just(b"0\r\nA: b\r\n\r\n".to_vec()),
        1 => Just(b"3\nabc\r\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => "[0-9a-f;: +\r\n]{0,6}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        mut cuts in prop::collection::vec(0usize..2500, 0..8),
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            write_chunk(chunk, &mut body);
        }
        body.extend_from_slice(LAST_CHUNK);
        cuts.sort_unstable();
        let data = chunks.concat();
        let (progress, read) = chunked_in_pieces(&body, &cuts, data.len() as u64).unwrap();
        prop_assert_eq!(progress, Progress { consumed: body.len(), done: true });
        prop_assert_eq!(read, data);
    }

    #[test]
    fn as_by_the_book(body in odd_bodies()) {
        let ours = match chunked_in_pieces(&body, &[], u64::MAX) {
            Ok((progress, data)) if progress.done => Some((progress.consumed, data)),
            _ => None,
        };
        prop_assert_eq!(ours, by_the_book(&body));
    }

    #[test]
    fn any_bytes_in_any_pieces(body in odd_bodies(), noise in prop::collection::vec(any::<u8>(), 0..40)) {
        fuzz::chunked(&body);
        fuzz::chunked(&noise);
    }
}
