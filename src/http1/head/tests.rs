//! Tests of request heads. Each input is also cut at every byte: the outcome must not depend on how it arrives.

mod book;

use super::*;
use crate::http1::fuzz::{Read, head_in_pieces, head_whole};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: HEAD_BYTES_MAX,
    target_bytes_max: TARGET_BYTES_MAX,
    headers_max: HEADERS_MAX,
};

/// The outcome of the whole, checked to be that of every split in two and of single bytes.
fn outcome(input: &[u8]) -> Result<Option<Read>, HeadError> {
    let whole = head_whole(input, &LIMITS);
    for cut in 0..=input.len() {
        let pieces = head_in_pieces(input, &[cut], &LIMITS);
        assert_eq!(pieces, whole, "cut at {cut}: {}", input.escape_ascii());
        // And a plain parse of any prefix sees the same, or nothing yet.
        if cut < input.len() {
            let prefix = head_whole(&input[..cut], &LIMITS);
            assert!(
                prefix == whole || prefix == Ok(None),
                "prefix {cut}: {prefix:?} of {}",
                input.escape_ascii()
            );
        }
    }
    let bytes: Vec<usize> = (1..input.len()).collect();
    assert_eq!(head_in_pieces(input, &bytes, &LIMITS), whole, "byte by byte: {}", input.escape_ascii());
    whole
}

fn accepted(input: &[u8]) -> Read {
    match outcome(input) {
        Ok(Some(read)) => read,
        other => panic!("{other:?} for {}", input.escape_ascii()),
    }
}

fn refused(input: &[u8], expected: HeadError) {
    assert_eq!(outcome(input), Err(expected), "{}", input.escape_ascii());
}

/// A POST with the given lines behind Host.
fn post(lines: &str) -> Vec<u8> {
    format!("POST /v1/write/metric HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes()
}

fn framing_of(lines: &str) -> Framing {
    accepted(&post(lines)).framing
}

fn refused_lines(lines: &str, expected: HeadError) {
    refused(&post(lines), expected);
}

const AGENT: &[u8] = b"POST /v1/write/logging?precision=ms&input=nginx HTTP/1.1\r\n\
    Host: 127.0.0.1:9529\r\n\
    User-Agent: Go-http-client/1.1\r\n\
    Content-Length: 2048\r\n\
    Content-Type: application/line-protocol\r\n\
    Content-Encoding: gzip\r\n\
    X-Forwarded-For: 10.1.2.3\r\n\
    Accept: */*\r\n\
    Accept-Encoding: gzip\r\n\
    X-Trace:\r\n\
    Connection: keep-alive\r\n\r\n";

#[test]
fn what_an_agent_sends() {
    let mut slots = HeaderSlots::new();
    let input = [AGENT, b"body follows"].concat();
    let Ok(HeadOutcome::Complete { head, len }) = parse_head(&input, &mut slots, &LIMITS) else {
        panic!("no head");
    };
    assert_eq!(len, AGENT.len());
    assert_eq!((head.method, head.method_text), (Method::Post, "POST"));
    assert_eq!(head.target, "/v1/write/logging?precision=ms&input=nginx");
    assert_eq!((head.path, head.query), ("/v1/write/logging", "precision=ms&input=nginx"));
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Length(2048));
    assert!(head.keep_alive && !head.expect_continue);
    assert_eq!(head.connection(), Connection::Persistent);
    assert_eq!(head.headers.len(), 10);
    assert_eq!(head.header("content-encoding"), Some(&b"gzip"[..]));
    assert_eq!(head.header("X-TRACE"), Some(&b""[..]));
    assert_eq!(head.header("Content"), None);
    outcome(&input).unwrap();
}

#[test]
fn e1_length_and_coding_together() {
    for (length, coding) in [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("content-length: 5", "TRANSFER-ENCODING: CHUNKED"),
        ("CONTENT-LENGTH: 0", "transfer-encoding: Chunked"),
        ("cOnTeNt-LeNgTh: 5", "tRaNsFeR-eNcOdInG: chunked"),
    ] {
        refused_lines(&format!("{length}\r\n{coding}\r\n"), HeadError::LengthAndCoding);
        refused_lines(&format!("{coding}\r\n{length}\r\n"), HeadError::LengthAndCoding);
        refused_lines(&format!("{length}\r\nX: y\r\n{coding}\r\nZ:\r\n"), HeadError::LengthAndCoding);
    }
    // An unknown coding beside a length is no better.
    refused_lines("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", HeadError::LengthAndCoding);
    refused_lines("Content-Length: 5\r\nTransfer-Encoding: chunked, gzip\r\n", HeadError::LengthAndCoding);
    // Over HTTP/1.0 likewise.
    let old = b"POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    refused(old, HeadError::LengthAndCoding);
    // What looks like one and is another name does not count.
    assert_eq!(framing_of("Content-Length: 5\r\nTransfer_Encoding: chunked\r\n"), Framing::Length(5));
    assert_eq!(framing_of("Content_Length: 5\r\nTransfer-Encoding: chunked\r\n"), Framing::Chunked);
}

#[test]
fn e2_lengths() {
    assert_eq!(framing_of(""), Framing::None);
    assert_eq!(framing_of("Content-Length: 0\r\n"), Framing::Length(0));
    assert_eq!(framing_of("Content-Length:5\r\n"), Framing::Length(5));
    // White space around a value is no part of it.
    assert_eq!(framing_of("Content-Length: \t 5 \t\r\n"), Framing::Length(5));
    assert_eq!(
        framing_of("Content-Length: 9999999999999999999\r\n"),
        Framing::Length(9_999_999_999_999_999_999)
    );
    for value in [
        "",
        "+5",
        "-5",
        "-0",
        "0x5",
        "5x",
        "5 5",
        "5,5",
        "5, 5",
        "5;5",
        "5.0",
        "1e3",
        "\"5\"",
        "five",
        "٥",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        refused_lines(&format!("Content-Length: {value}\r\n"), HeadError::LengthInvalid);
    }
    // Control bytes never get as far.
    refused_lines("Content-Length: \x0b5\r\n", HeadError::HeaderValue);
    for (first, second) in [("5", "5"), ("5", "6"), ("0", "5")] {
        let lines = format!("Content-Length: {first}\r\nContent-Length: {second}\r\n");
        refused_lines(&lines, HeadError::LengthRepeated);
        let apart = format!("Content-Length: {first}\r\nA: b\r\ncontent-length: {second}\r\n");
        refused_lines(&apart, HeadError::LengthRepeated);
    }
}

#[test]
fn e3_transfer_codings() {
    assert_eq!(framing_of("Transfer-Encoding: chunked\r\n"), Framing::Chunked);
    assert_eq!(framing_of("Transfer-Encoding:\tCHUNKED \r\n"), Framing::Chunked);
    for value in ["", "chunked, gzip", "chunked, chunked", "chunked,identity", ",", "chunked, chunked, gzip"]
    {
        refused_lines(&format!("Transfer-Encoding: {value}\r\n"), HeadError::CodingInvalid);
    }
    for value in [
        "gzip, chunked",
        "xchunked",
        "chunkedx",
        "identity",
        "gzip",
        "chunked;a=b",
        "\"chunked\"",
        "chunked ,",
    ] {
        refused_lines(&format!("Transfer-Encoding: {value}\r\n"), HeadError::CodingUnsupported);
    }
    refused_lines("Transfer-Encoding: chunked\x0b\r\n", HeadError::HeaderValue);
    refused_lines("Transfer-Encoding: \x0bchunked\r\n", HeadError::HeaderValue);
    for second in ["chunked", "gzip", "identity", ""] {
        let lines = format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: {second}\r\n");
        refused_lines(&lines, HeadError::CodingInvalid);
        let lines = format!("Transfer-Encoding: {second}\r\nTransfer-Encoding: chunked\r\n");
        refused_lines(&lines, HeadError::CodingInvalid);
    }
    for folded in ["Transfer-Encoding:\r\n chunked\r\n", "Transfer-Encoding: chunked\r\n\t, gzip\r\n"] {
        refused_lines(folded, HeadError::HeaderName);
    }
    refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::CodingInHttp10);
    refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", HeadError::CodingInHttp10);
    for error in [HeadError::CodingInvalid, HeadError::CodingInHttp10, HeadError::LengthAndCoding] {
        assert_eq!(error.status(), 400);
    }
    assert_eq!(HeadError::CodingUnsupported.status(), 501);
}

#[test]
fn e6_line_ends() {
    let good = "GET / HTTP/1.1\r\nHost: h\r\nA: b \t\r\nE:\r\nF: \t\r\n\r\n";
    assert_eq!(accepted(good.as_bytes()).headers.len(), 4);
    // Every line end in turn as bare LF, as bare CR, as CR CR LF, as LF CR.
    let ends: Vec<usize> = good.match_indices("\r\n").map(|(at, _)| at).collect();
    for end in ends {
        for wrong in ["\n", "\r", "\r\r\n", "\n\r"] {
            let mut bad = good.to_owned();
            bad.replace_range(end..end + 2, wrong);
            // A head that has lost its end is refused once something follows.
            bad.push_str("GET / HTTP/1.1\r\n\r\n");
            let result = head_whole(bad.as_bytes(), &LIMITS);
            assert!(matches!(result, Err(error) if error.status() == 400), "{result:?} for {bad:?}");
            outcome(bad.as_bytes()).unwrap_err();
        }
    }
    refused(b"GET / HTTP/1.1\nHost: h\n\n", HeadError::LineEnd);
    refused(b"GET / HTTP/1.1\r\nHost: h\r\n\n", HeadError::LineEnd);
    refused(b"GET / HTTP/1.1\r\nHost: h\n\r\n", HeadError::LineEnd);
    refused(b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", HeadError::LineEnd);
}

#[test]
fn e6_names_and_values() {
    for line in [
        "A : b",
        "A\t: b",
        " A: b",
        "\tA: b",
        ": b",
        "A",
        "A b: c",
        "A\x00: b",
        "A\x0b: b",
        "A\x7f: b",
        "Ä: b",
        "A(b): c",
        "A,B: c",
        "A\"B\": c",
        "A/B: c",
        "A[0]: c",
        "A@b: c",
        "{A}: c",
    ] {
        refused_lines(&format!("{line}\r\n"), HeadError::HeaderName);
    }
    // A folded line is a line that starts with white space, in the first place as well.
    refused_lines("A: b\r\n c\r\n", HeadError::HeaderName);
    refused_lines("A: b\r\n\tc\r\n", HeadError::HeaderName);
    refused(b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", HeadError::HeaderName);
    for value in ["\x00", "a\x00b", "a\rb", "\ra", "a\x01", "a\x7f", "a\x1b[0m"] {
        refused_lines(&format!("A: {value}\r\n"), HeadError::HeaderValue);
    }
    let read = accepted(&post("!#$%&'*+-.^_`|~0aZ: \t a:b\tc é \r\n"));
    assert_eq!(read.headers[1], ("!#$%&'*+-.^_`|~0aZ".to_owned(), "a:b\tc é".as_bytes().to_vec()));
}

/// The vector code of the syntax looks at blocks of bytes: a bad byte must be seen in every lane.
#[test]
fn e6_every_byte_in_every_lane() {
    const LANES: usize = 70;
    for byte in 0..=255u8 {
        for at in 0..LANES {
            let mut filler = [b'a'; LANES];
            filler[at] = byte;
            let value = [b"GET / HTTP/1.1\r\nHost: h\r\nA: ", &filler[..], b"\r\n\r\n"].concat();
            assert_eq!(
                head_whole(&value, &LIMITS).is_ok(),
                framing::is_value_byte(byte),
                "value, {byte:#x} at {at}"
            );

            let name = [b"GET / HTTP/1.1\r\nHost: h\r\n", &filler[..], b": v\r\n\r\n"].concat();
            let name_ok = framing::is_token_byte(byte) || (byte == b':' && at > 0);
            assert_eq!(head_whole(&name, &LIMITS).is_ok(), name_ok, "name, {byte:#x} at {at}");

            let target = [b"GET /", &filler[..], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
            // `%aa` is an escape; with fewer than two digits behind it, it is none. Single high bytes are no UTF-8.
            let target_ok = (b'!'..0x7f).contains(&byte) && (byte != b'%' || at + 2 < LANES);
            assert_eq!(head_whole(&target, &LIMITS).is_ok(), target_ok, "target, {byte:#x} at {at}");

            let method = [&filler[..], b" / HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
            let method_ok = framing::is_token_byte(byte);
            assert_eq!(head_whole(&method, &LIMITS).is_ok(), method_ok, "method, {byte:#x} at {at}");
        }
    }
}

#[test]
fn e7_hosts() {
    let get = |host: &str| format!("GET / HTTP/1.1\r\n{host}\r\n").into_bytes();
    for host in ["Host: h\r\n", "host: h:1\r\n", "HOST:[::1]:9529\r\n", "Host:\r\n", "Host: \t h \r\n"] {
        accepted(&get(host));
    }
    refused(&get(""), HeadError::HostMissing);
    refused(&get("Hosts: h\r\n"), HeadError::HostMissing);
    refused(&get("Host: h\r\nHost: h\r\n"), HeadError::HostRepeated);
    refused(&get("Host: h\r\nA: b\r\nhOST: i\r\n"), HeadError::HostRepeated);
    refused(b"GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", HeadError::HostRepeated);
    for host in ["a b", "a/b", "u@h", "h:x", "h:1:2", "[::1", "::1", "h\"", "é"] {
        refused(&get(&format!("Host: {host}\r\n")), HeadError::HostInvalid);
    }
    accepted(b"GET / HTTP/1.0\r\n\r\n");
    refused(b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", HeadError::HostInvalid);
}

#[test]
fn e7_target_forms() {
    let with =
        |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
    let parts = |input: &[u8]| {
        let mut slots = HeaderSlots::new();
        let Ok(HeadOutcome::Complete { head, .. }) = parse_head(input, &mut slots, &LIMITS) else {
            panic!("no head")
        };
        (head.path.to_owned(), head.query.to_owned())
    };
    assert_eq!(parts(&with("GET", "http://other:1/v1/ping?a=b")), ("/v1/ping".into(), "a=b".into()));
    assert_eq!(parts(&with("GET", "http://other")), ("/".into(), String::new()));
    assert_eq!(parts(&with("OPTIONS", "*")), ("*".into(), String::new()));
    // An absolute form does not make up for a Host that is missing.
    refused(b"GET http://h/ HTTP/1.1\r\n\r\n", HeadError::HostMissing);
    refused(&with("GET", "*"), HeadError::Target);
    refused(&with("POST", "*"), HeadError::Target);
    refused(&with("OPTIONS", "*a"), HeadError::Target);
    refused(&with("GET", "h:80"), HeadError::Target);
    refused(&with("GET", "v1/ping"), HeadError::Target);
    refused(&with("GET", "ftp://h/"), HeadError::Target);
    refused(&with("GET", "http://u:p@h/"), HeadError::Target);
    refused(&with("GET", "http:///v1"), HeadError::Target);
    refused(&with("GET", "/%"), HeadError::Target);
    refused(&with("GET", "/%2"), HeadError::Target);
    refused(&with("GET", "/a%xyb"), HeadError::Target);
    // In a query a broken escape only costs its pair.
    assert_eq!(parts(&with("GET", "/a?b=%")).1, "b=%");
    for target in ["h:80", "h", "/", "*", "http://h/"] {
        refused(&with("CONNECT", target), HeadError::Connect);
    }
}

#[test]
fn e8_versions() {
    for (version, error, status) in [
        ("HTTP/1.2", HeadError::Version, 505),
        ("HTTP/2.0", HeadError::Version, 505),
        ("HTTP/0.9", HeadError::Version, 505),
        ("HTTP/3.0", HeadError::Version, 505),
        ("HTTP/9.9", HeadError::Version, 505),
        ("HTTP/1.x", HeadError::RequestLine, 400),
        ("HTTP/11.", HeadError::RequestLine, 400),
        ("http/1.1", HeadError::RequestLine, 400),
        ("HTTPS/1.1", HeadError::RequestLine, 400),
        ("ICAP/1.0", HeadError::RequestLine, 400),
        (" HTTP/1.1", HeadError::RequestLine, 400),
        ("HTTP/1.10", HeadError::LineEnd, 400),
        ("HTTP/1.1\t", HeadError::LineEnd, 400),
    ] {
        refused(format!("GET / {version}\r\nHost: h\r\n\r\n").as_bytes(), error);
        assert_eq!(error.status(), status, "{version}");
    }
    refused(b"GET /\r\n", HeadError::NoVersion);
    refused(b"GET /\r\nHost: h\r\n\r\n", HeadError::NoVersion);
    refused(b"GET /\n", HeadError::NoVersion);
    refused(b"GET\r\n", HeadError::RequestLine);
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HeadError::Http2);
    assert_eq!(HeadError::Http2.status(), 505);
    // The hello of TLS, spoken to a plain port.
    refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", HeadError::RequestLine);
}

#[test]
fn connections_by_version() {
    for (version, line, expected) in [
        ("1.1", "", Connection::Persistent),
        ("1.1", "Connection: close\r\n", Connection::Close),
        ("1.1", "Connection: keep-alive\r\n", Connection::Persistent),
        ("1.1", "Connection: upgrade\r\nconnection: CLOSE\r\n", Connection::Close),
        ("1.0", "", Connection::Close),
        ("1.0", "Connection: Keep-Alive\r\n", Connection::KeepAlive),
        ("1.0", "Connection: foo, keep-alive\r\n", Connection::KeepAlive),
        ("1.0", "Connection: keep-alive, close\r\n", Connection::Close),
    ] {
        let input = format!("GET / HTTP/{version}\r\nHost: h\r\n{line}\r\n");
        let mut slots = HeaderSlots::new();
        let Ok(HeadOutcome::Complete { head, .. }) = parse_head(input.as_bytes(), &mut slots, &LIMITS) else {
            panic!("no head for {input:?}");
        };
        assert_eq!(head.connection(), expected, "{input:?}");
        outcome(input.as_bytes()).unwrap();
    }
}

#[test]
fn e9_every_split_reads_the_same() {
    outcome(&[AGENT, AGENT].concat()).unwrap();
    // A prefix of a good head is never refused.
    for end in 0..AGENT.len() {
        assert_eq!(head_whole(&AGENT[..end], &LIMITS), Ok(None), "after {end} bytes");
    }
}

#[test]
fn e9_empty_lines_in_front_are_bounded() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for lines in 0..=EMPTY_LINES_MAX {
        let input = "\r\n".repeat(lines) + get;
        assert_eq!(accepted(input.as_bytes()).len, input.len());
    }
    refused(("\r\n".repeat(EMPTY_LINES_MAX + 1) + get).as_bytes(), HeadError::EmptyLines);
    refused(&b"\r\n".repeat(10_000), HeadError::EmptyLines);
    refused(b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::LineEnd);
    refused(b"\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::LineEnd);
    refused(b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::LineEnd);
    refused(b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::RequestLine);
}

/// A refused body is not skipped: what follows the head of a request we refuse is still there, and nobody reads it as
/// a request, because every error closes. Here: the length of the head never includes what follows it.
#[test]
fn e10_what_follows_a_head_is_left_alone() {
    let smuggled = b"GET /admin HTTP/1.1\r\nHost: h\r\n\r\n";
    let input = [post("Content-Length: 99999999\r\n"), smuggled.to_vec()].concat();
    let read = accepted(&input);
    assert_eq!(&input[read.len..], smuggled);
    assert_eq!(read.framing, Framing::Length(99_999_999));
}

#[test]
fn e11_expectations() {
    for (lines, expected) in [
        ("Content-Length: 5\r\nExpect: 100-continue\r\n", true),
        ("Expect: 100-Continue\r\nContent-Length: 5\r\n", true),
        ("Transfer-Encoding: chunked\r\nEXPECT: 100-CONTINUE\r\n", true),
        // Nothing to wait for.
        ("Content-Length: 0\r\nExpect: 100-continue\r\n", false),
        ("Expect: 100-continue\r\n", false),
        ("Content-Length: 5\r\nExpect:\r\n", false),
        ("Content-Length: 5\r\n", false),
    ] {
        assert_eq!(accepted(&post(lines)).flags.1, expected, "{lines:?}");
    }
    for value in ["200-ok", "100-continue, other", "100-continue; a=b", "100 continue", "x"] {
        refused_lines(&format!("Content-Length: 5\r\nExpect: {value}\r\n"), HeadError::Expectation);
    }
    assert_eq!(HeadError::Expectation.status(), 417);
    // HTTP/1.0 does not know interim responses.
    let old = b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    assert!(!accepted(old).flags.1);
}

#[test]
fn e12_bounds() {
    let headers =
        |count: usize| post(&(1..count).map(|index| format!("A{index}: b\r\n")).collect::<String>());
    assert_eq!(accepted(&headers(HEADERS_MAX)).headers.len(), HEADERS_MAX);
    refused(&headers(HEADERS_MAX + 1), HeadError::TooManyHeaders);
    refused(&headers(100), HeadError::TooManyHeaders);
    assert_eq!(HeadError::TooManyHeaders.status(), 431);

    let target =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(bytes - 1)).into_bytes();
    assert!(matches!(head_whole(&target(TARGET_BYTES_MAX), &LIMITS), Ok(Some(_))));
    for bytes in [TARGET_BYTES_MAX + 1, HEAD_BYTES_MAX, HEAD_BYTES_MAX * 4] {
        assert_eq!(head_whole(&target(bytes), &LIMITS), Err(HeadError::TargetTooLong));
        // Told as soon as it is known, and not before.
        let early = target(bytes);
        let known = "GET ".len() + TARGET_BYTES_MAX + 1;
        assert_eq!(head_whole(&early[..known - 1], &LIMITS), Ok(None));
        assert_eq!(head_whole(&early[..known], &LIMITS), Err(HeadError::TargetTooLong));
    }
    let arguments = format!("GET /?{} HTTP/1.1\r\nHost: h\r\n\r\n", "a=1&".repeat(10_000));
    assert_eq!(head_whole(arguments.as_bytes(), &LIMITS), Err(HeadError::TargetTooLong));
    assert_eq!(HeadError::TargetTooLong.status(), 414);

    let fixed = post("A: \r\n").len();
    let value = |bytes: usize| post(&format!("A: {}\r\n", "b".repeat(bytes)));
    let largest = value(HEAD_BYTES_MAX - fixed);
    assert_eq!(largest.len(), HEAD_BYTES_MAX);
    assert!(matches!(head_whole(&largest, &LIMITS), Ok(Some(_))));
    for bytes in [HEAD_BYTES_MAX - fixed + 1, 64 * 1024] {
        assert_eq!(head_whole(&value(bytes), &LIMITS), Err(HeadError::HeadTooLarge));
        let cuts: Vec<usize> = (1..value(bytes).len()).step_by(1021).collect();
        assert_eq!(head_in_pieces(&value(bytes), &cuts, &LIMITS), Err(HeadError::HeadTooLarge));
    }
    assert_eq!(head_whole(&largest[..HEAD_BYTES_MAX - 1], &LIMITS), Ok(None));
    // A method without end.
    assert_eq!(head_whole(&[b'A'; HEAD_BYTES_MAX], &LIMITS), Err(HeadError::HeadTooLarge));
    assert_eq!(HeadError::HeadTooLarge.status(), 431);
    // What lies beyond the bound is not looked at.
    let beyond = [&largest[..HEAD_BYTES_MAX - 2], b"\0\0"].concat();
    assert_eq!(head_whole(&beyond, &LIMITS), Err(HeadError::HeaderName));
    let beyond = [&value(HEAD_BYTES_MAX)[..HEAD_BYTES_MAX], b"\0\0"].concat();
    assert_eq!(head_whole(&beyond, &LIMITS), Err(HeadError::HeadTooLarge));
}

#[test]
fn e13_methods() {
    for (text, expected) in [
        ("GET", Method::Get),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("HEAD", Method::Head),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("TRACE", Method::Trace),
        ("get", Method::Other),
        ("PROPFIND", Method::Other),
        ("P!", Method::Other),
    ] {
        let input = format!("{text} / HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut slots = HeaderSlots::new();
        let Ok(HeadOutcome::Complete { head, .. }) = parse_head(input.as_bytes(), &mut slots, &LIMITS) else {
            panic!("no head for {input:?}");
        };
        assert_eq!((head.method, head.method_text), (expected, text));
        outcome(input.as_bytes()).unwrap();
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / a HTTP/1.1",
        "G(T / HTTP/1.1",
        " / HTTP/1.1",
    ] {
        refused(format!("{line}\r\nHost: h\r\n\r\n").as_bytes(), HeadError::RequestLine);
    }
    refused(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::RequestLine);
    refused(b"GET /\xc0\xae HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::RequestLine);
    accepted("GET /文?x=中 HTTP/1.1\r\nHost: h\r\n\r\n".as_bytes());
}

/// A head that drips in byte by byte is parsed for its first bytes, its first lines and its end.
#[test]
fn e9_a_dripping_head_is_parsed_seldom() {
    let mut scan = HeadScan::default();
    let parses = (1..=AGENT.len()).filter(|end| scan.worth_parsing(&AGENT[..*end], &LIMITS)).count();
    assert_eq!(parses, 1 + (EMPTY_LINES_MAX + 1) + 1);
    let endless = [&AGENT[..AGENT.len() - 2], &b"A: b\r\n".repeat(1000)].concat();
    let mut scan = HeadScan::default();
    let parses = (1..=endless.len()).filter(|end| scan.worth_parsing(&endless[..*end], &LIMITS)).count();
    assert_eq!(parses, 1 + (EMPTY_LINES_MAX + 1));
}

#[test]
fn every_error_has_a_text_and_a_status() {
    use HeadError::*;
    for error in [
        RequestLine,
        NoVersion,
        Version,
        Http2,
        LineEnd,
        EmptyLines,
        HeaderName,
        HeaderValue,
        HeadTooLarge,
        TargetTooLong,
        TooManyHeaders,
        Target,
        Connect,
        HostMissing,
        HostRepeated,
        HostInvalid,
        LengthInvalid,
        LengthRepeated,
        LengthAndCoding,
        CodingInvalid,
        CodingInHttp10,
        CodingUnsupported,
        Expectation,
    ] {
        assert!(!crate::http1::response::reason(error.status()).is_empty(), "{error:?}");
        assert!(!error.text().is_empty());
    }
}
