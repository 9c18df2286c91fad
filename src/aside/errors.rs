//! `POST /v1/lasterror`: another program reports what went wrong in it. It shows in metrics and nowhere else.

use crate::intake::Reply;
use crate::intake::gojson::{Fields, camelised, parse};

use super::{Desk, Request};

/// Takes a report.
pub fn report(desk: &Desk, request: &Request<'_>) -> Reply {
    let now_s =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    match read(request.body) {
        Ok((input, source, text)) => {
            desk.registry.errors().report(&input, &source, &text, now_s);
            Reply::empty(200)
        }
        Err(text) => {
            // Recorded: an error without a type, whose text becomes the code.
            let mut body = b"{\"error_code\":".to_vec();
            crate::point::echo::json_string(camelised(&text).as_bytes(), &mut body);
            body.push(b'}');
            Reply::json(500, body)
        }
    }
}

/// Input, source and text of a report.
fn read(body: &[u8]) -> Result<(String, String, String), String> {
    let bad = |error: String| format!("invalid JSON body: {error}");
    let value = parse(body).map_err(bad)?;
    let fields = Fields::root(&value, "httpapi", "ErrMessage").map_err(bad)?;
    let input = fields.text("input").map_err(bad)?;
    let source = fields.text("source").map_err(bad)?;
    let text = fields.text("err_content").map_err(bad)?;
    if input.is_empty() || text.is_empty() {
        return Err("input or errcontent can not be nil".to_owned());
    }
    Ok((input.to_owned(), source.to_owned(), text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_needs_an_input_and_a_text() {
        let good = read(br#"{"Input":"redis","source":"s","err_content":"x","more":1}"#).unwrap();
        assert_eq!(good, ("redis".to_owned(), "s".to_owned(), "x".to_owned()));
        for body in ["{}", r#"{"input":"","err_content":"x"}"#, r#"{"input":"a","errcontent":"b"}"#] {
            assert_eq!(read(body.as_bytes()), Err("input or errcontent can not be nil".to_owned()));
        }
        assert_eq!(
            camelised(&read(br#"{"input":1,"err_content":"x"}"#).unwrap_err()),
            "invalidJSONBody:Json:CannotUnmarshalNumberIntoGoStructFieldErrMessage.InputOfTypeString"
        );
    }
}
