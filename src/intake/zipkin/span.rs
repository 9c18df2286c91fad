//! A Zipkin span, whatever form it came in: JSON of both versions, protobuf of the second (Thrift of the first:
//! [`super::thrift`]).

use crate::codec::json::{Text, Value, View};
use crate::intake::convert::Fault;
use crate::intake::protobuf::put_hex;
use crate::point::echo::json_string;
use crate::point::pb::{self, Wire};

/// A span.
#[derive(Debug, Default)]
pub struct Span {
    pub trace_id: String,
    pub id: String,
    /// Empty: it has none.
    pub parent_id: String,
    pub kind: Vec<u8>,
    pub name: Vec<u8>,
    pub timestamp_us: i64,
    pub duration_us: i64,
    pub service: Vec<u8>,
    pub remote_service: Vec<u8>,
    pub tags: Vec<(Vec<u8>, Vec<u8>)>,
}

/// As DataKit has it.
const UNKNOWN_SERVICE: &[u8] = b"zipkin_v2_unknow_service";

/// Tags of a span: more than a point takes.
pub const TAGS_MAX: usize = 1024;

fn wrong(what: &str) -> Fault {
    Fault::Malformed(format!("{what} is not what it should be"))
}

fn text<'a>(value: impl Value<'a>, what: &str) -> Result<Vec<u8>, Fault> {
    match value.view() {
        View::Null => Ok(Vec::new()),
        View::Text(text) => Ok(text.decode().into_owned()),
        _ => Err(wrong(what)),
    }
}

/// Hexadecimal, of any length up to 128 bits. Zero is none.
fn id<'a>(value: impl Value<'a>, what: &str) -> Result<String, Fault> {
    let id = String::from_utf8(text(value, what)?).map_err(|_| wrong(what))?;
    if id.len() > 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong(what));
    }
    Ok(without_zero(id.to_ascii_lowercase()))
}

fn without_zero(id: String) -> String {
    if id.bytes().all(|byte| byte == b'0') { String::new() } else { id }
}

/// Whole microseconds; some clients write them with a point.
fn micros<'a>(value: impl Value<'a>, what: &str) -> Result<i64, Fault> {
    let number = match value.view() {
        View::Null => return Ok(0),
        View::Number(number) => number.to_i64().or_else(|| number.to_f64().map(|number| number as i64)),
        _ => None,
    };
    number.ok_or_else(|| wrong(what))
}

/// The name of the service at an endpoint.
fn service<'a>(endpoint: impl Value<'a>) -> Result<Vec<u8>, Fault> {
    for (key, value) in members(endpoint, "endpoint")? {
        if *key.decode() == *b"serviceName" {
            return text(value, "serviceName");
        }
    }
    Ok(Vec::new())
}

fn members<'a, V: Value<'a>>(object: V, what: &str) -> Result<Vec<(Text<'a>, V)>, Fault> {
    match object.view() {
        View::Null => Ok(Vec::new()),
        View::Object(members) => Ok(members.take(TAGS_MAX).collect()),
        _ => Err(wrong(what)),
    }
}

fn items<'a, V: Value<'a>>(array: V, what: &str) -> Result<Vec<V>, Fault> {
    match array.view() {
        View::Null => Ok(Vec::new()),
        View::Array(items) => Ok(items.take(TAGS_MAX).collect()),
        _ => Err(wrong(what)),
    }
}

impl Span {
    /// Of version 2.
    pub fn v2<'a>(span: impl Value<'a>) -> Result<Span, Fault> {
        let mut read = Span::default();
        for (key, value) in members(span, "span")? {
            match &*key.decode() {
                b"traceId" => read.trace_id = id(value, "traceId")?,
                b"id" => read.id = id(value, "id")?,
                b"parentId" => read.parent_id = id(value, "parentId")?,
                b"kind" => read.kind = text(value, "kind")?,
                b"name" => read.name = text(value, "name")?,
                b"timestamp" => read.timestamp_us = micros(value, "timestamp")?,
                b"duration" => read.duration_us = micros(value, "duration")?,
                b"localEndpoint" => read.service = service(value)?,
                b"remoteEndpoint" => read.remote_service = service(value)?,
                b"tags" => {
                    for (key, value) in members(value, "tags")? {
                        read.tags.push((key.decode().into_owned(), text(value, "a tag")?));
                    }
                }
                _ => {}
            }
        }
        read.checked()
    }

    /// Of version 1: names of services stand at annotations.
    pub fn v1<'a>(span: impl Value<'a>) -> Result<Span, Fault> {
        let mut read = Span::default();
        let mut times = Vec::new();
        for (key, value) in members(span, "span")? {
            match &*key.decode() {
                b"traceId" => read.trace_id = id(value, "traceId")?,
                b"id" => read.id = id(value, "id")?,
                b"parentId" => read.parent_id = id(value, "parentId")?,
                b"name" => read.name = text(value, "name")?,
                b"timestamp" => read.timestamp_us = micros(value, "timestamp")?,
                b"duration" => read.duration_us = micros(value, "duration")?,
                b"annotations" => {
                    for annotation in items(value, "annotations")? {
                        for (key, value) in members(annotation, "annotation")? {
                            match &*key.decode() {
                                b"timestamp" => times.push(micros(value, "timestamp")?),
                                b"endpoint" if read.service.is_empty() => read.service = service(value)?,
                                _ => {}
                            }
                        }
                    }
                }
                b"binaryAnnotations" => {
                    for annotation in items(value, "binaryAnnotations")? {
                        let (mut name, mut says) = (Vec::new(), Vec::new());
                        for (key, value) in members(annotation, "annotation")? {
                            match (&*key.decode(), value.view()) {
                                (b"key", _) => name = text(value, "key")?,
                                (b"value", View::Text(text)) => says = text.decode().into_owned(),
                                (b"value", View::Bool(value)) => says = value.to_string().into_bytes(),
                                (b"value", View::Number(number)) => says = number.text().to_vec(),
                                (b"endpoint", _) if read.service.is_empty() => read.service = service(value)?,
                                _ => {}
                            }
                        }
                        read.tags.push((name, says));
                    }
                }
                _ => {}
            }
        }
        read.times_of(times.into_iter());
        read.checked()
    }

    /// Of version 2, in protobuf.
    pub fn protobuf(bytes: &[u8]) -> Result<Span, Fault> {
        const KINDS: [&str; 5] = ["", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"];
        let hex = |bytes: &[u8]| {
            let mut out = Vec::new();
            put_hex(bytes, &mut out);
            without_zero(String::from_utf8(out).unwrap_or_default())
        };
        let service = |bytes| {
            let names = pb::fields(bytes).filter_map(Result::ok).filter_map(|field| match field {
                (1, Wire::Len(name)) => Some(name.to_vec()),
                _ => None,
            });
            names.last().unwrap_or_default()
        };
        let mut read = Span::default();
        for field in pb::fields(bytes) {
            match field? {
                (1, Wire::Len(id)) => read.trace_id = hex(id),
                (2, Wire::Len(id)) => read.parent_id = hex(id),
                (3, Wire::Len(id)) => read.id = hex(id),
                (4, Wire::Varint(kind)) => {
                    read.kind = KINDS.get(kind as usize).copied().unwrap_or_default().as_bytes().to_vec();
                }
                (5, Wire::Len(name)) => read.name = name.to_vec(),
                (6, Wire::Fixed64(time)) => read.timestamp_us = time as i64,
                (7, Wire::Varint(time)) => read.duration_us = time as i64,
                (8, Wire::Len(endpoint)) => read.service = service(endpoint),
                (9, Wire::Len(endpoint)) => read.remote_service = service(endpoint),
                (11, Wire::Len(entry)) if read.tags.len() < TAGS_MAX => {
                    let (mut key, mut value) = (Vec::new(), Vec::new());
                    for field in pb::fields(entry) {
                        match field? {
                            (1, Wire::Len(text)) => key = text.to_vec(),
                            (2, Wire::Len(text)) => value = text.to_vec(),
                            _ => {}
                        }
                    }
                    read.tags.push((key, value));
                }
                _ => {}
            }
        }
        read.checked()
    }

    /// Of version 1: where the span does not say when it began and how long it took, its annotations do.
    pub fn times_of(&mut self, annotations: impl Iterator<Item = i64>) {
        let (first, last) = annotations
            .filter(|at| *at > 0)
            .fold((i64::MAX, 0), |(first, last), at| (first.min(at), last.max(at)));
        if self.timestamp_us == 0 && last > 0 {
            self.timestamp_us = first;
        }
        if self.duration_us == 0 && last > first {
            self.duration_us = last - first;
        }
    }

    pub fn checked(self) -> Result<Span, Fault> {
        if self.trace_id.is_empty() || self.id.is_empty() {
            return Err(Fault::malformed("a span without an id, or without that of its trace"));
        }
        Ok(self)
    }

    /// Whose it is.
    pub fn service(&self) -> &[u8] {
        if self.service.is_empty() { UNKNOWN_SERVICE } else { &self.service }
    }

    /// What it is of: what version 1 calls a resource, if it does.
    pub fn resource(&self) -> &[u8] {
        self.tag("path.http").unwrap_or(&self.name)
    }

    pub fn is_error(&self) -> bool {
        self.tag("error").is_some()
    }

    pub fn tag(&self, wanted: &str) -> Option<&[u8]> {
        self.tags.iter().find(|(key, _)| key == wanted.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// As JSON of version 2, for what did not come as JSON.
    pub fn json(&self) -> Vec<u8> {
        let mut out = b"{\"traceId\":".to_vec();
        json_string(self.trace_id.as_bytes(), &mut out);
        let mut member = |name: &str, value: &[u8]| {
            if !value.is_empty() {
                out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                json_string(value, &mut out);
            }
        };
        member("id", self.id.as_bytes());
        member("parentId", self.parent_id.as_bytes());
        member("kind", &self.kind);
        member("name", &self.name);
        let (timestamp, duration) = (self.timestamp_us, self.duration_us);
        out.extend_from_slice(format!(",\"timestamp\":{timestamp},\"duration\":{duration}").as_bytes());
        for (name, service) in [("localEndpoint", &self.service), ("remoteEndpoint", &self.remote_service)] {
            if !service.is_empty() {
                out.extend_from_slice(format!(",\"{name}\":{{\"serviceName\":").as_bytes());
                json_string(service, &mut out);
                out.push(b'}');
            }
        }
        out.extend_from_slice(b",\"tags\":{");
        for (index, (key, value)) in self.tags.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json_string(key, &mut out);
            out.push(b':');
            json_string(value, &mut out);
        }
        out.extend_from_slice(b"}}");
        out
    }
}
