//! Errors in the DataKit dialect: `{"error_code":"<code>","message":"<text>"}`.
//!
//! Codes in `datakit.` are DataKit's own; what it has no code for is in `kitgate.`. An agent throws away what is
//! answered with any 4xx and keeps what is answered with 5xx, so a 4xx is only for what will never be acceptable.

use crate::intake::Reply;
use crate::point::echo::json_string;

/// A typed error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: u16,
    pub code: &'static str,
    /// Empty: the answer has no `message`.
    pub message: String,
}

impl ApiError {
    pub const EMPTY_BODY: ApiError = ApiError::bare(400, "datakit.emptyBody");
    pub const NO_POINTS: ApiError = ApiError::bare(400, "datakit.noPoints");
    /// Never with a message: recorded.
    pub const DECODE_BODY_FAILED: ApiError = ApiError::bare(400, "datakit.decodeBodyFailed");

    const fn bare(status: u16, code: &'static str) -> ApiError {
        ApiError { status, code, message: String::new() }
    }

    pub fn bad_request(message: String) -> ApiError {
        ApiError { status: 400, code: "datakit.badRequest", message }
    }

    /// `path` is decoded.
    pub fn invalid_category(path: &[u8]) -> ApiError {
        let mut quoted = Vec::new();
        crate::point::quote(path, &mut quoted);
        let message = format!("invalid URL {}", String::from_utf8_lossy(&quoted));
        ApiError { status: 400, code: "datakit.invalidCategory", message }
    }

    pub fn invalid_line_point(message: String) -> ApiError {
        ApiError { status: 400, code: "datakit.invalidLinePoint", message }
    }

    pub fn invalid_json_point(message: String) -> ApiError {
        ApiError { status: 400, code: "datakit.invalidJsonPoint", message }
    }

    pub fn invalid_protobuf_point(message: String) -> ApiError {
        ApiError { status: 400, code: "datakit.invalidProtobufPoint", message }
    }

    pub fn point_got_warning(message: String) -> ApiError {
        ApiError { status: 400, code: "datakit.pointGotWarning", message }
    }

    /// The body is larger than we take, before or after decompression. DataKit has no limit, hence no code.
    pub fn body_too_large(limit_bytes: usize) -> ApiError {
        let message = format!("the body is larger than {limit_bytes} bytes");
        ApiError { status: 413, code: "kitgate.bodyTooLarge", message }
    }

    pub fn reply(&self) -> Reply {
        let mut body = Vec::with_capacity(64 + self.message.len());
        body.extend_from_slice(b"{\"error_code\":");
        json_string(self.code.as_bytes(), &mut body);
        if !self.message.is_empty() {
            body.extend_from_slice(b",\"message\":");
            json_string(self.message.as_bytes(), &mut body);
        }
        body.push(b'}');
        Reply::json(self.status, body)
    }
}

/// Nothing is wrong with the request, but it cannot be taken now. 503, which agents keep and send again.
pub fn overloaded(reason: &str, retry_after_s: u32) -> Reply {
    let error = ApiError { status: 503, code: "kitgate.overloaded", message: reason.to_owned() };
    let mut reply = error.reply();
    reply.headers.push(("Retry-After", retry_after_s.to_string().into()));
    reply
}

/// The request took too long. Recorded: plain text, Go's duration, no envelope.
pub fn timed_out(timeout: std::time::Duration) -> Reply {
    Reply {
        status: 408,
        content_type: crate::intake::ContentType::Value("text/plain; charset=utf-8".into()),
        body: format!("timeout({})", super::ping::go_duration(timeout)).into_bytes(),
        close: true,
        ..Reply::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_dialects_form() {
        assert_eq!(ApiError::EMPTY_BODY.reply().body, br#"{"error_code":"datakit.emptyBody"}"#);
        let reply = ApiError::invalid_category(b"/v1/write/a\"b").reply();
        assert_eq!(
            String::from_utf8(reply.body).unwrap(),
            r#"{"error_code":"datakit.invalidCategory","message":"invalid URL \"/v1/write/a\\\"b\""}"#
        );
        let reply = ApiError::invalid_line_point("a<b>&\u{2028}".to_owned()).reply();
        let body = String::from_utf8(reply.body).unwrap();
        assert!(body.contains(r#""message":"a\u003cb\u003e\u0026\u2028""#), "{body}");
    }

    #[test]
    fn overload_is_said_in_a_way_that_agents_keep_their_data() {
        let reply = overloaded("the spool is full", 7);
        assert_eq!(reply.status, 503);
        assert_eq!(reply.headers, [("Retry-After", "7".into())]);
        assert!(reply.body.starts_with(b"{\"error_code\":\"kitgate.overloaded\",\"message\":"));
    }
}
