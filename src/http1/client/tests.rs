//! Tests of the client half. Each response is also cut at every byte.

use proptest::prelude::*;

use super::*;
use crate::http1::fuzz::{self, response_in_pieces};
use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, Method, body, parse_head};

/// The outcome of the whole, checked to be that of every split in two and of single bytes.
fn outcome(input: &[u8], to_head: bool) -> Result<(usize, Reply), ResponseError> {
    let whole = response_in_pieces(input, &[], to_head);
    for cut in 0..=input.len() {
        assert_eq!(
            response_in_pieces(input, &[cut], to_head),
            whole,
            "cut at {cut}: {}",
            input.escape_ascii()
        );
    }
    let bytes: Vec<usize> = (1..input.len()).collect();
    assert_eq!(response_in_pieces(input, &bytes, to_head), whole, "byte by byte: {}", input.escape_ascii());
    whole
}

fn read(input: &str) -> Reply {
    outcome(input.as_bytes(), false).unwrap_or_else(|error| panic!("{error} for {input:?}")).1
}

fn refused(input: &str, expected: ResponseError) {
    assert_eq!(outcome(input.as_bytes(), false).map(|_| ()), Err(expected), "{input:?}");
}

#[test]
fn a_response_with_length() {
    let input = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b \r\nx-a: c\r\n\r\nhello";
    let (used, reply) = outcome(format!("{input}HTTP/1.1 500 next").as_bytes(), false).unwrap();
    assert_eq!(used, input.len());
    assert_eq!(
        (reply.status, &reply.body[..], reply.body_bytes, reply.reusable),
        (200, &b"hello"[..], 5, true)
    );
    assert_eq!(reply.header("X-a"), Some(&b"b"[..]));
    assert_eq!(reply.header("CONTENT-LENGTH"), Some(&b"5"[..]));
    assert_eq!(reply.header("Retry-After"), None);
}

#[test]
fn reuse_follows_version_and_connection() {
    for (input, reusable) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", false),
        ("HTTP/1.0 200 OK\r\n\r\n", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
    ] {
        assert_eq!(read(input).reusable, reusable, "{input:?}");
    }
}

#[test]
fn bodies_of_every_framing() {
    assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n").body, b"");
    assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nall of it").body, b"all of it");
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n";
    assert_eq!(read(chunked).body, b"abcde");
    for status in [204, 304] {
        let reply = read(&format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n"));
        assert_eq!((reply.status, reply.body_bytes), (status, 0));
    }
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked", "X: y"] {
        let (_, reply) = outcome(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes(), true).unwrap();
        assert!(reply.reusable && reply.body.is_empty());
    }
}

#[test]
fn interim_responses_are_skipped_within_a_bound() {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let reply = read(&format!("HTTP/1.1 100 Continue\r\n\r\n{interim}{last}"));
    assert_eq!((reply.status, &reply.body[..], reply.header("Link")), (200, &b"ok"[..], None));
    let most = INTERIM_MAX as usize;
    assert_eq!(read(&(interim.repeat(most) + last)).status, 200);
    refused(&(interim.repeat(most + 1) + last), ResponseError::Interim);
    refused("HTTP/1.1 101 Switching Protocols\r\n\r\n", ResponseError::Interim);
    refused("HTTP/1.1 100 Continue\r\n\r\n", ResponseError::Truncated);
}

#[test]
fn ambiguous_framing_is_refused() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length:",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
    ] {
        refused(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello"), ResponseError::Framing);
    }
    refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ResponseError::Framing);
}

#[test]
fn heads_that_are_none() {
    for input in [
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 99 X\r\n\r\n",
        "HTTP/1.1 099 X\r\n\r\n",
        "HTTP/1.1 2000 X\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "<html>",
        "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        refused(input, ResponseError::Head);
    }
    refused(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1)), ResponseError::Head);
}

#[test]
fn heads_are_bounded() {
    let with =
        |bytes: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: {}\r\n\r\n", "b".repeat(bytes));
    let fixed = with(0).len();
    assert!(response_in_pieces(with(HEAD_BYTES_MAX - fixed).as_bytes(), &[], false).is_ok());
    for bytes in [HEAD_BYTES_MAX - fixed + 1, HEAD_BYTES_MAX, 1 << 20] {
        for cuts in [vec![], vec![100], (1..bytes).step_by(997).collect()] {
            let result = response_in_pieces(with(bytes).as_bytes(), &cuts, false);
            assert_eq!(result.map(|_| ()), Err(ResponseError::HeadTooLarge));
        }
    }
}

#[test]
fn a_connection_that_ends_early_is_told() {
    for input in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        "H",
        "",
    ] {
        refused(input, ResponseError::Truncated);
    }
    let mut reader = ResponseReader::new(false);
    assert!(reader.is_untouched());
    assert_eq!(reader.close(), Err(ResponseError::Truncated));
    let mut reader = ResponseReader::new(false);
    assert_eq!(reader.read(b"H"), Ok(Progress::More));
    assert!(!reader.is_untouched());
    // The status is known before the body is, but there is no reply without the body.
    let mut reader = ResponseReader::new(false);
    assert_eq!(reader.read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"), Ok(Progress::More));
    assert_eq!(reader.status(), Some(200));
    assert_eq!(reader.into_reply(), Err(ResponseError::Truncated));
}

#[test]
fn bad_chunks_are_told() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    refused(&format!("{head}+5\r\nhello"), ResponseError::Chunk(ChunkError::Size));
    refused(&format!("{head}5\r\nhello!"), ResponseError::Chunk(ChunkError::DataEnd));
    let mut reader = ResponseReader::new(false);
    let error = reader.read(format!("{head}x").as_bytes()).unwrap_err();
    assert_eq!(reader.read(b"0\r\n\r\n"), Err(error));
    assert_eq!(reader.close(), Err(error));
}

/// A huge error page costs neither memory nor time.
#[test]
fn d16_bodies_are_kept_and_read_within_bounds() {
    let mut chunked = b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    body::write_chunk(&vec![b'x'; 1 << 20], &mut chunked);
    let heads = [&b"HTTP/1.1 500 X\r\nContent-Length: 1073741824\r\n\r\n"[..], b"HTTP/1.1 500 X\r\n\r\n"];
    let plain = heads.map(|head| [head, &vec![b'x'; 1 << 20]].concat());
    for input in [&chunked, &plain[0], &plain[1]] {
        let mut reader = ResponseReader::new(false);
        let mut pieces = input.chunks(16 * 1024);
        let enough = pieces.position(|piece| reader.read(piece).unwrap() == Progress::Enough);
        assert_eq!(enough, Some((BODY_READ_BYTES_MAX / (16 * 1024)) as usize));
        assert_eq!(reader.read(b"more"), Ok(Progress::Enough));
        let reply = reader.into_reply().unwrap();
        assert_eq!((reply.status, reply.body.len(), reply.reusable), (500, BODY_KEPT_BYTES_MAX, false));
        assert!(reply.body_bytes > BODY_READ_BYTES_MAX && reply.body_bytes < BODY_READ_BYTES_MAX + 20_000);
    }
    // Up to the bound it is read past, and the connection is kept.
    let most = BODY_READ_BYTES_MAX as usize;
    let input =
        [format!("HTTP/1.1 500 X\r\nContent-Length: {most}\r\n\r\n").into_bytes(), vec![b'x'; most]].concat();
    let (_, reply) = response_in_pieces(&input, &[10, 100_000], false).unwrap();
    assert_eq!(
        (reply.body.len(), reply.body_bytes, reply.reusable),
        (BODY_KEPT_BYTES_MAX, most as u64, true)
    );
}

#[test]
fn a_request_is_what_the_server_half_reads() {
    let request = RequestHead {
        method: "POST",
        target: "/v1/write/metric?token=tkn_x",
        host: "dataway.example.com:9528",
        headers: &[("X-Pkg-Id", "dk_1"), ("X-Points", "10"), ("X-Odd", "a\r\nb")],
        content_length: Some(12),
    };
    let mut out = Vec::new();
    request.write(&mut out).unwrap();
    let mut slots = HeaderSlots::new();
    let Ok(HeadOutcome::Complete { head, len }) = parse_head(&out, &mut slots, &HeadLimits::default()) else {
        panic!("not read: {}", out.escape_ascii());
    };
    assert_eq!(len, out.len());
    assert_eq!((head.method, head.target, head.framing), (Method::Post, request.target, Framing::Length(12)));
    assert_eq!(head.header("host"), Some(request.host.as_bytes()));
    assert_eq!(head.header("x-pkg-id"), Some(&b"dk_1"[..]));
    assert_eq!(head.header("x-odd"), Some(&b"a  b"[..]));
}

#[test]
fn a_request_that_would_say_something_else_is_not_written() {
    let good = RequestHead { method: "GET", target: "/", host: "h", headers: &[], content_length: None };
    let mut out = Vec::new();
    for (bad, error) in [
        (RequestHead { method: "G T", ..good }, RequestError::Method),
        (RequestHead { method: "", ..good }, RequestError::Method),
        (RequestHead { target: "", ..good }, RequestError::Target),
        (RequestHead { target: "x", ..good }, RequestError::Target),
        (RequestHead { target: "/ HTTP/1.1\r\nA: b", ..good }, RequestError::Target),
        (RequestHead { host: "", ..good }, RequestError::Host),
        (RequestHead { host: "h\r\nA: b", ..good }, RequestError::Host),
        (RequestHead { headers: &[("A b", "c")], ..good }, RequestError::HeaderName),
        (RequestHead { headers: &[("", "c")], ..good }, RequestError::HeaderName),
        (RequestHead { headers: &[("content-length", "5")], ..good }, RequestError::HeaderName),
        (RequestHead { headers: &[("Transfer-Encoding", "chunked")], ..good }, RequestError::HeaderName),
    ] {
        assert_eq!(bad.write(&mut out), Err(error), "{bad:?}");
        assert!(out.is_empty());
    }
    good.write(&mut out).unwrap();
    assert_eq!(out, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
}

fn odd_responses() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("HTTP/1.1 200 OK\r\n"),
        Just("HTTP/1.0 503 Busy\r\n"),
        Just("HTTP/1.1 100 Continue\r\n\r\n"),
        Just("HTTP/1.1 204 No Content\r\n"),
        Just("Content-Length: 5\r\n"),
        Just("Transfer-Encoding: chunked\r\n"),
        Just("Connection: close\r\n"),
        Just("A: b\n"),
        Just("\r\n"),
        Just("5\r\nhello\r\n0\r\n\r\n"),
        Just("hello"),
        Just("\0"),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_server_half_writes_is_read(
        status in 200u16..600,
        body in prop::collection::vec(any::<u8>(), 0..500),
        value in "[ -~]{0,20}",
        mut cuts in prop::collection::vec(0usize..700, 0..6),
    ) {
        let mut out = Vec::new();
        let response = crate::http1::Response {
            status,
            headers: &[("X-Value", &value)],
            body: &body,
            connection: crate::http1::Connection::Persistent,
            head_only: false,
        };
        response.write(crate::http1::DateCache::new().at(0), &mut out);
        cuts.sort_unstable();
        let (used, reply) = response_in_pieces(&out, &cuts, false).unwrap();
        prop_assert_eq!(used, out.len());
        prop_assert_eq!(reply.status, status);
        prop_assert!(reply.reusable);
        prop_assert_eq!(reply.header("x-value"), Some(value.trim_matches(' ').as_bytes()));
        let expected = if is_bodiless(status) { &[][..] } else { &body };
        prop_assert_eq!(&reply.body[..], expected);
    }

    #[test]
    fn any_bytes_in_any_pieces(
        odd in odd_responses(),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        fuzz::response(&odd);
        fuzz::response(&noise);
        fuzz::response(&[&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &noise].concat());
    }
}
