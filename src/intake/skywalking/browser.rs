//! What SkyWalking's client in browsers says of pages: how long they took to load, and what went wrong in them.
//!
//! DataKit has no such routes, so that these points are ours. An object becomes a point: texts of [`TAGS`] are tags, all
//! other members are fields, under their names with underscores. Figures are metrics, measurement `skywalking_browser_…`;
//! errors are logs, whose measurement is the service, as that of other logs.

use crate::codec::json::{Value, View};
use crate::intake::convert::{Builder, Conversion, Fault};
use crate::point::Category;

use super::Collector;

const NS_PER_MS: i64 = 1_000_000;

/// Members of an object: four times as many as any has.
const MEMBERS_MAX: usize = 64;

/// Members that tell one series of figures, or one kind of error, from another.
const TAGS: [&[u8]; 8] =
    [b"service", b"serviceVersion", b"pagePath", b"category", b"grade", b"name", b"type", b"resourceType"];

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Page,
    WebVitals,
    Resource,
    Interaction,
    Error,
}

impl Kind {
    /// By the path of the route.
    pub fn of(path: &[u8]) -> Option<Kind> {
        Some(match path {
            b"/browser/perfData" => Kind::Page,
            b"/browser/perfData/webVitals" => Kind::WebVitals,
            b"/browser/perfData/resources" => Kind::Resource,
            b"/browser/perfData/webInteractions" => Kind::Interaction,
            b"/browser/errorLog" | b"/browser/errorLogs" => Kind::Error,
            _ => return None,
        })
    }

    pub fn category(self) -> Category {
        if self == Kind::Error { Category::Logging } else { Category::Metric }
    }

    fn measurement(self) -> &'static [u8] {
        match self {
            Kind::Page => b"skywalking_browser_page",
            Kind::WebVitals => b"skywalking_browser_web_vitals",
            Kind::Resource => b"skywalking_browser_resource",
            Kind::Interaction => b"skywalking_browser_interaction",
            // Of one that says no service.
            Kind::Error => b"skywalking_browser",
        }
    }
}

/// Converts an object; what its texts lie in is given to the tape as `body`.
pub fn convert<'a>(
    kind: Kind,
    object: impl Value<'a>,
    body: &[u8],
    collector: &Collector,
    cx: &mut Conversion<'_>,
) -> Result<(), Fault> {
    let members = match object.view() {
        View::Object(members) => members,
        other => return Err(Fault::malformed(format!("an object that is {}", other.kind()))),
    };
    let (mut service, mut time_ms) = (Vec::new(), 0);
    let mut point = Builder::new(cx.tape, body);
    if kind == Kind::Error {
        point.tag(b"status", b"error");
    }
    for (key, value) in members.take(MEMBERS_MAX) {
        let key = key.decode();
        let name = snake_case(&key);
        match value.view() {
            View::Text(text) if *key == *b"time" => {
                // Numbers of 64 bits are also written as texts.
                time_ms = str::from_utf8(&text.decode()).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            }
            View::Number(number) if *key == *b"time" => time_ms = number.to_i64().unwrap_or(0),
            View::Text(text) => {
                let text = text.decode();
                if *key == *b"service" {
                    service = text.to_vec();
                }
                if TAGS.contains(&&*key) {
                    point.tag(&name, &text);
                } else {
                    point.text_field(&name, &text);
                }
            }
            View::Number(number) => match (number.to_i64(), number.to_f64()) {
                (Some(int), _) => point.int_field(&name, int),
                (None, Some(float)) => point.float_field(&name, float),
                (None, None) => {}
            },
            View::Bool(value) => point.bool_field(&name, value),
            View::Null | View::Array(_) | View::Object(_) => {}
        }
    }
    for (key, value) in &collector.options.tags {
        point.tag(key.as_bytes(), value.as_bytes());
    }
    let measurement = if kind == Kind::Error && !service.is_empty() { &service } else { kind.measurement() };
    point.finish(measurement, time_ms.max(0).checked_mul(NS_PER_MS).unwrap_or_default());
    Ok(())
}

/// A name in camel case with underscores.
fn snake_case(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + 4);
    for &byte in key {
        if byte.is_ascii_uppercase() && !name.is_empty() {
            name.push(b'_');
        }
        name.push(byte.to_ascii_lowercase());
    }
    name
}
