//! Tests of response writing.

use super::*;
use crate::http1::client::{Progress, ResponseReader};

const DATE: &[u8; DATE_BYTES] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn written(response: &Response<'_>) -> String {
    let mut out = b"before".to_vec();
    response.write(DATE, &mut out);
    String::from_utf8(out.split_off("before".len())).unwrap()
}

const PLAIN: Response<'_> =
    Response { status: 200, headers: &[], body: b"", connection: Connection::Persistent, head_only: false };

#[test]
fn a_whole_response() {
    let response =
        Response { headers: &[("Content-Type", ""), ("X-Datakit", "1.84.1/h")], body: b"{}", ..PLAIN };
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: \r\nX-Datakit: 1.84.1/h\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        Content-Length: 2\r\n\r\n{}";
    assert_eq!(written(&response), expected);
}

#[test]
fn connection_lines() {
    for (connection, line) in [
        (Connection::Persistent, ""),
        (Connection::KeepAlive, "Connection: keep-alive\r\n"),
        (Connection::Close, "Connection: close\r\n"),
    ] {
        let expected = format!("Content-Length: 0\r\n{line}\r\n");
        assert!(written(&Response { connection, ..PLAIN }).ends_with(&expected), "{connection:?}");
    }
}

#[test]
fn statuses_without_body_say_nothing_of_one() {
    for status in [100, 199, 204, 304] {
        let text = written(&Response { status, body: b"never", ..PLAIN });
        assert!(text.ends_with("GMT\r\n\r\n") && !text.contains("Content-Length"), "{text}");
    }
}

#[test]
fn head_tells_the_length_and_sends_nothing() {
    let text = written(&Response { body: b"12345", head_only: true, ..PLAIN });
    assert!(text.ends_with("Content-Length: 5\r\n\r\n"), "{text}");
}

#[test]
fn a_value_cannot_start_a_header() {
    for (value, shown) in [
        ("a\r\nSet-Cookie: x", "a  Set-Cookie: x"),
        ("\n", " "),
        ("a\0b\x7fc\td", "a b c\td"),
        ("http://é", "http://é"),
    ] {
        let text = written(&Response { headers: &[("Access-Control-Allow-Origin", value)], ..PLAIN });
        assert!(text.contains(&format!("\r\nAccess-Control-Allow-Origin: {shown}\r\nDate: ")), "{text:?}");
        let mut out = Vec::new();
        Template::new(200, &[]).write_with(DATE, &[("A", value)], b"", Connection::Close, false, &mut out);
        assert!(
            String::from_utf8(out).unwrap().contains(&format!("\r\nA: {shown}\r\nContent-Length: 0\r\n"))
        );
    }
}

#[test]
fn a_template_writes_what_a_response_writes() {
    let headers = [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")];
    for status in [200, 204, 400, 503, 799] {
        let template = Template::new(status, &headers);
        assert_eq!(template.status(), status);
        for connection in [Connection::Persistent, Connection::KeepAlive, Connection::Close] {
            for head_only in [false, true] {
                for body in [&b""[..], b"x", &[b'y'; 12_345]] {
                    let mut expected = Vec::new();
                    Response { status, headers: &headers, body, connection, head_only }
                        .write(DATE, &mut expected);
                    let (mut plain, mut with) = (Vec::new(), Vec::new());
                    template.write(DATE, body, connection, head_only, &mut plain);
                    template.write_with(DATE, &[], body, connection, head_only, &mut with);
                    assert_eq!(plain, expected);
                    assert_eq!(with, expected);
                }
            }
        }
    }
}

#[test]
fn a_refusal_is_text_and_closes() {
    let mut out = Vec::new();
    write_refusal(431, "too many headers", DATE, &mut out);
    let mut reader = ResponseReader::new(false);
    assert_eq!(reader.read(&out), Ok(Progress::Done { consumed: out.len() }));
    let reply = reader.into_reply().unwrap();
    assert_eq!((reply.status, &reply.body[..], reply.reusable), (431, &b"too many headers"[..], false));
    assert_eq!(reply.header("connection"), Some(&b"close"[..]));
    assert_eq!(reply.header("date"), Some(&DATE[..]));
}

#[test]
fn the_continue_line_is_a_response() {
    let mut reader = ResponseReader::new(false);
    assert_eq!(reader.read(CONTINUE), Ok(Progress::More));
    assert!(!reader.is_untouched() && reader.status().is_none());
}

#[test]
fn dates() {
    let mut cache = DateCache::new();
    for (unix_seconds, expected) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (253_402_300_800, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (-1, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (i64::MIN, "Thu, 01 Jan 1970 00:00:00 GMT"),
    ] {
        assert_eq!(std::str::from_utf8(cache.at(unix_seconds)).unwrap(), expected, "{unix_seconds}");
        assert_eq!(cache.at(unix_seconds), &render_date(unix_seconds));
    }
}

/// Every day of four centuries, against a calendar that is counted on.
#[test]
fn dates_follow_the_calendar() {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let mut day = 0i64;
    for year in 1970..2370 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in months.iter().zip(lengths) {
            for day_of_month in 1..=length {
                let expected = format!(
                    "{}, {day_of_month:02} {month} {year:04} 12:34:56 GMT",
                    weekdays[(day % 7) as usize]
                );
                assert_eq!(render_date(day * 86_400 + 45_296), expected.as_bytes());
                day += 1;
            }
        }
    }
}
