//! Reads `PBPoints`, written from the message definition alone and used by no product code.

use std::collections::BTreeMap;

/// A point as it arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    pub name: String,
    pub tags: BTreeMap<String, String>,
    pub fields: BTreeMap<String, Value>,
    pub time_ns: i64,
    pub warns: usize,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
    Bytes(Vec<u8>),
    Text(String),
    /// An array or a map, not looked into.
    Any(Vec<u8>),
    Nil,
}

/// The points of one body.
pub fn read(bytes: &[u8]) -> Vec<Point> {
    let mut points = Vec::new();
    each(bytes, |number, wire| {
        assert_eq!(number, 1, "PBPoints has one field");
        points.push(point(wire.bytes()));
    });
    points
}

fn point(bytes: &[u8]) -> Point {
    let mut point = Point::default();
    each(bytes, |number, wire| match number {
        1 => point.name = wire.text(),
        2 => {
            let (key, value, is_tag) = field(wire.bytes());
            let new = match (is_tag, value) {
                (true, Value::Text(text)) => point.tags.insert(key.clone(), text).is_none(),
                (true, value) => panic!("tag {key} is {value:?}"),
                (false, value) => point.fields.insert(key.clone(), value).is_none(),
            };
            assert!(new, "{key} stands twice");
        }
        3 => point.time_ns = wire.varint() as i64,
        4 => point.warns += 1,
        5 => {}
        other => panic!("PBPoint has no field {other}"),
    });
    point
}

fn field(bytes: &[u8]) -> (String, Value, bool) {
    let (mut key, mut value, mut is_tag) = (String::new(), Value::Nil, false);
    each(bytes, |number, wire| match number {
        1 => key = wire.text(),
        2 => value = Value::Int(wire.varint() as i64),
        3 => value = Value::Uint(wire.varint()),
        4 => value = Value::Float(wire.double()),
        5 => value = Value::Bool(wire.varint() != 0),
        6 => value = Value::Bytes(wire.bytes().to_vec()),
        7 => value = Value::Any(wire.bytes().to_vec()),
        8 => is_tag = wire.varint() != 0,
        9 | 10 => {}
        11 => value = Value::Text(wire.text()),
        other => panic!("Field has no field {other}"),
    });
    (key, value, is_tag)
}

enum Wire<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn varint(&self) -> u64 {
        match self {
            Wire::Varint(value) => *value,
            _ => panic!("not a varint"),
        }
    }

    fn double(&self) -> f64 {
        match self {
            Wire::Double(value) => *value,
            _ => panic!("not a double"),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        match self {
            Wire::Bytes(value) => value,
            _ => panic!("not bytes"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

fn each<'a>(mut bytes: &'a [u8], mut take: impl FnMut(u64, Wire<'a>)) {
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let wire = match key & 7 {
            0 => Wire::Varint(varint(&mut bytes)),
            1 => {
                let (double, rest) = bytes.split_first_chunk().expect("eight bytes");
                bytes = rest;
                Wire::Double(f64::from_le_bytes(*double))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("a length");
                let (inside, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(inside)
            }
            other => panic!("wire type {other}"),
        };
        take(key >> 3, wire);
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a whole varint");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

#[test]
fn reads_the_example_of_the_definition() {
    let bytes = b"\x0a\x1b\x0a\x07mnotags\x12\x06\x0a\x02f1\x10\x01\x18\x80\x80\xc6\xd5\xf4\xad\xac\xdf\x17";
    let points = read(bytes);
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].name, "mnotags");
    assert_eq!(points[0].fields["f1"], Value::Int(1));
    assert_eq!(points[0].time_ns, 1_711_000_000_000_000_000);
}
