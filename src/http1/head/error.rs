//! Why a request head is refused: the status, and the words for the client.

/// Why a head is refused. Each of these ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// Method or target are not what the syntax allows.
    RequestLine,
    /// The line ends behind the target, as in HTTP/0.9.
    NoVersion,
    /// Not 1.0 and not 1.1.
    Version,
    /// The connection preface of HTTP/2.
    Http2,
    /// A bare CR or LF, or something between version and line end.
    LineEnd,
    /// More empty lines in front than are skipped.
    EmptyLines,
    /// A header name that is no token, a space before the colon, a folded line.
    HeaderName,
    /// A control byte in a header value.
    HeaderValue,
    /// Past the head's bound.
    HeadTooLarge,
    /// Past the target's bound.
    TargetTooLong,
    /// More fields than are taken.
    TooManyHeaders,
    /// None of the forms a target may have with this method, or a broken percent escape.
    Target,
    /// CONNECT.
    Connect,
    /// HTTP/1.1 without Host.
    HostMissing,
    /// Two Host fields.
    HostRepeated,
    /// A Host that is none.
    HostInvalid,
    /// A Content-Length that is no number, or too large to be one.
    LengthInvalid,
    /// Two Content-Length fields, equal or not.
    LengthRepeated,
    /// Content-Length and Transfer-Encoding.
    LengthAndCoding,
    /// Transfer-Encoding that does not say where the body ends, or two of them.
    CodingInvalid,
    /// Transfer-Encoding in HTTP/1.0.
    CodingInHttp10,
    /// A transfer coding other than chunked.
    CodingUnsupported,
    /// An expectation other than `100-continue`.
    Expectation,
}

impl HeadError {
    /// The status to refuse with.
    pub fn status(self) -> u16 {
        use HeadError::*;
        match self {
            RequestLine | NoVersion | LineEnd | EmptyLines | HeaderName | HeaderValue | Target
            | HostMissing | HostRepeated | HostInvalid | LengthInvalid | LengthRepeated | LengthAndCoding
            | CodingInvalid | CodingInHttp10 => 400,
            TargetTooLong => 414,
            Expectation => 417,
            HeadTooLarge | TooManyHeaders => 431,
            Connect | CodingUnsupported => 501,
            Version | Http2 => 505,
        }
    }

    /// What to tell the client, in a few words.
    pub fn text(self) -> &'static str {
        use HeadError::*;
        match self {
            RequestLine => "malformed request line",
            NoVersion => "request line without HTTP version",
            Version => "only HTTP/1.0 and HTTP/1.1 are served here",
            Http2 => "HTTP/2 is not served on this port, use HTTP/1.1",
            LineEnd => "lines must end with CR LF",
            EmptyLines => "too many empty lines before the request line",
            HeaderName => "malformed header name",
            HeaderValue => "malformed header value",
            HeadTooLarge => "request head too large",
            TargetTooLong => "request target too long",
            TooManyHeaders => "too many headers",
            Target => "malformed request target",
            Connect => "CONNECT is not served",
            HostMissing => "missing Host header",
            HostRepeated => "more than one Host header",
            HostInvalid => "malformed Host header",
            LengthInvalid => "malformed Content-Length",
            LengthRepeated => "more than one Content-Length",
            LengthAndCoding => "both Content-Length and Transfer-Encoding",
            CodingInvalid => "malformed Transfer-Encoding",
            CodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            CodingUnsupported => "unsupported transfer coding",
            Expectation => "unsupported expectation",
        }
    }
}

impl std::fmt::Display for HeadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for HeadError {}
