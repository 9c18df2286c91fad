//! The body of `/v1/query/raw`. Recorded: DataKit reads it into its own form and writes that, every key, in one order.

use serde_json::Value;

use crate::intake::gojson::{Fields, kind, parse};
use crate::point::echo::{json_number, json_string};

const LIST: &str = "[]*httpapi.SingleQuery";
const ONE: &str = "httpapi.SingleQuery";

/// The body as the destination gets it. The error is what is wrong with it, in Go's words.
pub fn rewrite(body: &[u8], token: Option<&str>) -> Result<Vec<u8>, String> {
    let value = parse(body)?;
    let fields = Fields::root(&value, "httpapi", "QueryRaw")?;
    let mut out = b"{\"token\":".to_vec();
    let own = fields.text("token")?;
    json_string(if own.is_empty() { token.unwrap_or_default() } else { own }.as_bytes(), &mut out);
    out.extend_from_slice(b",\"queries\":");
    match fields.list("queries", LIST)? {
        None => out.extend_from_slice(b"null"),
        Some(queries) => list(queries, &mut out, |query, out| match query {
            Value::Null => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            query => single(&fields.inside(query, "queries", "SingleQuery", ONE)?, out),
        })?,
    }
    out.extend_from_slice(b",\"echo_explain\":");
    boolean(fields.boolean("echo_explain")?, &mut out);
    out.push(b'}');
    Ok(out)
}

fn single(query: &Fields<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    out.extend_from_slice(b"{\"time_range\":");
    numbers(query, "time_range", out)?;
    key("search_after", out);
    match query.list("search_after", "[]interface {}")? {
        None => out.extend_from_slice(b"null"),
        Some(values) => list(values, out, |value, out| {
            any(value, out);
            Ok(())
        })?,
    }
    key("orderby", out);
    match query.list("orderby", "[]map[string]string")? {
        None => out.extend_from_slice(b"null"),
        Some(values) => list(values, out, |value, out| order(query, value, out))?,
    }
    for name in ["query", "conditions", "max_duration"] {
        key(name, out);
        json_string(query.text(name)?.as_bytes(), out);
    }
    for name in ["max_point", "limit", "slimit", "offset", "soffset"] {
        key(name, out);
        integer(query.integer(name)?, out);
    }
    for name in ["disable_slimit", "disable_multiple_field", "highlight"] {
        key(name, out);
        boolean(query.boolean(name)?, out);
    }
    out.push(b'}');
    Ok(())
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn numbers(query: &Fields<'_>, name: &str, out: &mut Vec<u8>) -> Result<(), String> {
    match query.list(name, "[]int")? {
        None => out.extend_from_slice(b"null"),
        Some(values) => list(values, out, |value, out| {
            // `null` leaves Go's zero.
            integer(if value.is_null() { 0 } else { query.as_integer(name, value)? }, out);
            Ok(())
        })?,
    }
    Ok(())
}

fn order(query: &Fields<'_>, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let members = match value {
        Value::Null => {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        Value::Object(members) => members,
        other => return Err(query.mismatch("orderby", kind(other), "map[string]string")),
    };
    out.push(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        let text = match value {
            Value::String(text) => text,
            Value::Null => "",
            other => return Err(query.mismatch("orderby", kind(other), "string")),
        };
        if index > 0 {
            out.push(b',');
        }
        json_string(name.as_bytes(), out);
        out.push(b':');
        json_string(text.as_bytes(), out);
    }
    out.push(b'}');
    Ok(())
}

fn list(
    values: &[Value],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&Value, &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(value, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Any value, as Go writes what it has read into an interface. As deep as the reader lets it be.
fn any(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => boolean(*value, out),
        Value::Number(number) => json_number(number.as_f64().unwrap_or_default(), out),
        Value::String(text) => json_string(text.as_bytes(), out),
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                any(value, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json_string(name.as_bytes(), out);
                out.push(b':');
                any(value, out);
            }
            out.push(b'}');
        }
    }
}

fn integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn boolean(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(body: &str) -> Result<String, String> {
        rewrite(body.as_bytes(), Some("tkn_1")).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn every_key_is_written_in_one_order() {
        assert_eq!(
            rewritten(r#"{"queries":[{"query":"M::cpu","limit":2,"unknown":1}],"echo_explain":true}"#)
                .unwrap(),
            "{\"token\":\"tkn_1\",\"queries\":[{\"time_range\":null,\"search_after\":null,\"orderby\":null,\
             \"query\":\"M::cpu\",\"conditions\":\"\",\"max_duration\":\"\",\"max_point\":0,\"limit\":2,\"slimit\":0,\
             \"offset\":0,\"soffset\":0,\"disable_slimit\":false,\"disable_multiple_field\":false,\
             \"highlight\":false}],\"echo_explain\":true}"
        );
        let full = r#"{"token":"own","queries":[null,{"time_range":[1,2],"search_after":[1.5,"<",null,{"a":[1e21]}],
            "orderby":[{"time":"desc"},null],"highlight":true}]}"#;
        let full = rewritten(full).unwrap();
        assert!(full.starts_with(
            "{\"token\":\"own\",\"queries\":[null,{\"time_range\":[1,2],\"search_after\":[1.5,"
        ));
        assert!(
            full.contains("\"\\u003c\",null,{\"a\":[1e+21]}],\"orderby\":[{\"time\":\"desc\"},null]"),
            "{full}"
        );
        assert_eq!(rewritten("{}").unwrap(), r#"{"token":"tkn_1","queries":null,"echo_explain":false}"#);
    }

    #[test]
    fn what_is_wrong_is_said_as_go_does() {
        for (body, text) in [
            ("xx", "invalid character 'x' looking for beginning of value"),
            ("", "unexpected end of JSON input"),
            (
                r#"{"queries":1}"#,
                "json: cannot unmarshal number into Go struct field QueryRaw.queries of type []*httpapi.SingleQuery",
            ),
            (
                r#"{"queries":[{"limit":"x"}]}"#,
                "json: cannot unmarshal string into Go struct field SingleQuery.queries.limit of type int",
            ),
        ] {
            assert_eq!(rewritten(body), Err(text.to_owned()));
        }
    }
}
