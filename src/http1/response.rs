//! Responses, written into a byte vector.
//!
//! A head is status line, the caller's headers, Date, Content-Length and, where needed, Connection. What a route
//! always says is rendered once into a [`Template`]; a reply is then a few copies. Values that come from requests may
//! be passed on: line ends and other control bytes in them become spaces, so no value can start a header of its own.

use super::framing::Connection;

/// Sent once, when a client waits before its body and the body is wanted.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes of a date in a header: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_BYTES: usize = 29;

/// Beside headers and body, a head needs no more than this: status line, Date, Content-Length, Connection, line ends.
const HEAD_BYTES_FIXED: usize = 192;

/// A response. See [`Template`] for those whose headers hardly change.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status. Below 200, and with 204 and 304, nothing is said or sent of a body.
    pub status: u16,
    /// All headers but Date, Content-Length, Transfer-Encoding and Connection.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// What to say of the connection.
    pub connection: Connection,
    /// Answer to HEAD: the length of the body is told, the body is not sent.
    pub head_only: bool,
}

impl Response<'_> {
    /// Appends the response to `out`. `date` comes from a [`DateCache`].
    pub fn write(&self, date: &[u8; DATE_BYTES], out: &mut Vec<u8>) {
        let headers_bytes: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        out.reserve(HEAD_BYTES_FIXED + headers_bytes + self.body.len());
        write_start(self.status, self.headers, out);
        out.extend_from_slice(date);
        write_end(self.status, self.body, self.connection, self.head_only, out);
    }
}

/// The constant part of a response head, rendered once: status line, headers, and the name of Date.
#[derive(Clone, Debug)]
pub struct Template {
    status: u16,
    start: Box<[u8]>,
}

impl Template {
    /// Renders what does not change. The rules of [`Response`] hold.
    pub fn new(status: u16, headers: &[(&str, &str)]) -> Template {
        let mut start = Vec::new();
        write_start(status, headers, &mut start);
        Template { status, start: start.into() }
    }

    /// The status it was made for.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Appends a whole response to `out`.
    #[inline]
    pub fn write(
        &self,
        date: &[u8; DATE_BYTES],
        body: &[u8],
        connection: Connection,
        head_only: bool,
        out: &mut Vec<u8>,
    ) {
        out.reserve(HEAD_BYTES_FIXED + self.start.len() + body.len());
        out.extend_from_slice(&self.start);
        out.extend_from_slice(date);
        write_end(self.status, body, connection, head_only, out);
    }

    /// As [`Template::write`], with headers that vary.
    pub fn write_with(
        &self,
        date: &[u8; DATE_BYTES],
        headers: &[(&str, &str)],
        body: &[u8],
        connection: Connection,
        head_only: bool,
        out: &mut Vec<u8>,
    ) {
        let headers_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        out.reserve(HEAD_BYTES_FIXED + self.start.len() + headers_bytes + body.len());
        out.extend_from_slice(&self.start);
        out.extend_from_slice(date);
        for (name, value) in headers {
            out.extend_from_slice(b"\r\n");
            write_field(name, value, out);
        }
        write_end(self.status, body, connection, head_only, out);
    }
}

/// Appends a plain text answer that refuses a request and ends its connection.
pub fn write_refusal(status: u16, text: &str, date: &[u8; DATE_BYTES], out: &mut Vec<u8>) {
    let response = Response {
        status,
        headers: &[("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")],
        body: text.as_bytes(),
        connection: Connection::Close,
        head_only: false,
    };
    response.write(date, out);
}

/// Whether a response of this status says and sends nothing of a body.
pub fn is_bodiless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

/// Status line, headers, and the name of the Date header.
fn write_start(status: u16, headers: &[(&str, &str)], out: &mut Vec<u8>) {
    assert!((100..1000).contains(&status), "BUG: status {status}");
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        write_field(name, value, out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Date: ");
}

/// Everything behind the date, which has no line end yet.
#[inline]
fn write_end(status: u16, body: &[u8], connection: Connection, head_only: bool, out: &mut Vec<u8>) {
    let bodiless = is_bodiless(status);
    if !bodiless {
        out.extend_from_slice(b"\r\nContent-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
    }
    out.extend_from_slice(match connection {
        Connection::Persistent => b"\r\n\r\n",
        Connection::KeepAlive => b"\r\nConnection: keep-alive\r\n\r\n",
        Connection::Close => b"\r\nConnection: close\r\n\r\n",
    });
    if !bodiless && !head_only {
        out.extend_from_slice(body);
    }
}

/// One header without its line end.
pub(super) fn write_field(name: &str, value: &str, out: &mut Vec<u8>) {
    debug_assert!(
        !name.is_empty() && name.bytes().all(super::framing::is_token_byte),
        "BUG: header name {name:?}"
    );
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    // Without an early exit this is a handful of vector instructions.
    let unsafe_bytes = value.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == 0x7f));
    if unsafe_bytes {
        for byte in &mut out[start..] {
            if !super::framing::is_value_byte(*byte) {
                *byte = b' ';
            }
        }
    }
}

/// The words that go with a status; empty for one that has none.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Request Entity Too Large",
        414 => "Request URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

/// The Date header's value, rendered once a second.
#[derive(Clone, Debug)]
pub struct DateCache {
    unix_seconds: i64,
    text: [u8; DATE_BYTES],
}

impl Default for DateCache {
    fn default() -> DateCache {
        DateCache::new()
    }
}

impl DateCache {
    /// Holds the epoch.
    pub fn new() -> DateCache {
        DateCache { unix_seconds: 0, text: render_date(0) }
    }

    /// The date of that second.
    #[inline]
    pub fn at(&mut self, unix_seconds: i64) -> &[u8; DATE_BYTES] {
        if unix_seconds != self.unix_seconds {
            self.text = render_date(unix_seconds);
            self.unix_seconds = unix_seconds;
        }
        &self.text
    }
}

/// The last second of the year 9999: the format has four digits of year. A clock beyond it, or before the epoch, is
/// wrong and is shown as the nearest that fits.
const UNIX_SECONDS_MAX: i64 = 253_402_300_799;

/// IMF-fixdate, RFC 9110 section 5.6.7.
fn render_date(unix_seconds: i64) -> [u8; DATE_BYTES] {
    const SECONDS_PER_DAY: i64 = 86_400;
    const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let unix_seconds = unix_seconds.clamp(0, UNIX_SECONDS_MAX);
    let (days, second) = (unix_seconds / SECONDS_PER_DAY, unix_seconds % SECONDS_PER_DAY);

    // Civil date from days, counted in eras of 400 years from 1 March of year 0: the leap day comes last in a year,
    // so days within it follow one formula.
    const DAYS_TO_EPOCH: i64 = 719_468;
    const DAYS_PER_ERA: i64 = 146_097;
    let day = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (day / DAYS_PER_ERA, day % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);

    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let mut digits = |at: usize, value: i64| {
        text[at] = b'0' + (value / 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    };
    digits(5, day_of_month);
    digits(12, year / 100);
    digits(14, year % 100);
    digits(17, second / 3600);
    digits(20, second / 60 % 60);
    digits(23, second % 60);
    text[..3].copy_from_slice(WEEKDAYS[(days % 7) as usize]);
    text[8..11].copy_from_slice(MONTHS[month as usize]);
    text
}

#[cfg(test)]
mod tests;
