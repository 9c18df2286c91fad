//! Writes small databases in MaxMind's format, for tests. Stands alone: the integration tests include it too.

use std::net::IpAddr;

/// A database in the making: networks and their records, already encoded.
pub struct Mmdb {
    kind: String,
    nodes: Vec<[Record; 2]>,
    data: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

impl Mmdb {
    pub fn new(kind: &str) -> Mmdb {
        Mmdb { kind: kind.to_owned(), nodes: vec![[Record::Empty; 2]], data: Vec::new() }
    }

    /// All addresses of a network have this record.
    pub fn put(mut self, network: &str, prefix: u32, record: &[u8]) -> Mmdb {
        let (bits, prefix) = match network.parse().expect("an address") {
            IpAddr::V4(ip) => (u128::from(u32::from(ip)), prefix + 96),
            IpAddr::V6(ip) => (u128::from(ip), prefix),
        };
        let offset = self.data.len();
        self.data.extend_from_slice(record);
        let mut node = 0;
        for depth in 0..prefix {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == prefix {
                self.nodes[node][side] = Record::Data(offset);
            } else if let Record::Node(next) = self.nodes[node][side] {
                node = next;
            } else {
                self.nodes.push([Record::Empty; 2]);
                let next = self.nodes.len() - 1;
                self.nodes[node][side] = Record::Node(next);
                node = next;
            }
        }
        self
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        let count = self.nodes.len();
        let mut out = Vec::new();
        for record in self.nodes.iter().flatten() {
            let value = match *record {
                Record::Empty => count,
                Record::Node(node) => node,
                Record::Data(offset) => count + 16 + offset,
            };
            out.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
        }
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&self.data);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let number = |kind: u8, value: usize| {
            let bytes = (value as u32).to_be_bytes();
            [&[kind << 5 | 4][..], &bytes].concat()
        };
        // Kind 9, a 64-bit number, is written as an extended one.
        let epoch = [&[4, 9 - 7][..], &1_700_000_000_u32.to_be_bytes()].concat();
        out.extend(map(&[
            ("binary_format_major_version", vec![5 << 5 | 1, 2]),
            ("binary_format_minor_version", vec![5 << 5]),
            ("build_epoch", epoch),
            ("database_type", text(&self.kind)),
            ("description", map(&[("en", text("for tests"))])),
            ("ip_version", vec![5 << 5 | 1, 6]),
            ("languages", [&[1, 11 - 7][..], &text("en")].concat()),
            ("node_count", number(6, count)),
            ("record_size", vec![5 << 5 | 1, 24]),
        ]));
        out
    }
}

/// A string of up to 284 bytes.
pub fn text(text: &str) -> Vec<u8> {
    let len = text.len();
    let mut out = if len < 29 { vec![2 << 5 | len as u8] } else { vec![2 << 5 | 29, (len - 29) as u8] };
    out.extend_from_slice(text.as_bytes());
    out
}

/// A map of encoded values.
pub fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![7 << 5 | pairs.len() as u8];
    for (key, value) in pairs {
        out.extend(text(key));
        out.extend_from_slice(value);
    }
    out
}

/// The record of a place.
pub fn city(city: Option<&str>, province: Option<&str>, country: Option<&str>) -> Vec<u8> {
    let named = |name: &str| map(&[("names", map(&[("de", text("anders")), ("en", text(name))]))]);
    let mut pairs = Vec::new();
    if let Some(name) = city {
        pairs.push(("city", named(name)));
    }
    if let Some(code) = country {
        pairs.push(("country", map(&[("iso_code", text(code))])));
    }
    if let Some(name) = province {
        pairs.push(("subdivisions", [&[1, 11 - 7][..], &named(name)].concat()));
    }
    map(&pairs)
}

/// The record of a provider.
pub fn isp(key: &str, name: &str) -> Vec<u8> {
    map(&[(key, text(name))])
}
