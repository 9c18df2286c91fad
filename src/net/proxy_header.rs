//! The PROXY protocol, versions 1 and 2 (haproxy's `proxy-protocol.txt`): what a proxy says about a connection before its
//! first byte. Pure.
//!
//! ```text
//! v1   PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n
//! v2   12 bytes of signature, version and command, family and protocol, length (2, big endian), addresses, extensions
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header that is read: a v2 one may announce 64 KiB of extensions, and those in use have some hundred bytes.
pub const HEADER_BYTES_MAX: usize = 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const V1: &[u8] = b"PROXY ";
/// With its line end: the standard's own bound.
const V1_BYTES_MAX: usize = 107;
const V2_FIXED_BYTES: usize = 16;

/// What stands at the front of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// More has to come.
    Partial,
    /// No such header: the proxy asks for itself.
    None,
    /// So many bytes of header. Without a source the proxy speaks for itself, as in its own checks.
    Header {
        source: Option<SocketAddr>,
        bytes: usize,
    },
    Bad,
}

/// Looks at what has come so far.
pub fn parse(bytes: &[u8]) -> Outcome {
    let begins = |prefix: &[u8]| {
        let common = prefix.len().min(bytes.len());
        bytes[..common] == prefix[..common]
    };
    if bytes.is_empty() {
        Outcome::Partial
    } else if begins(&SIGNATURE) {
        version_2(bytes)
    } else if begins(V1) {
        version_1(bytes)
    } else {
        Outcome::None
    }
}

fn version_1(bytes: &[u8]) -> Outcome {
    let looked_at = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = memchr::memmem::find(looked_at, b"\r\n") else {
        return if looked_at.len() == V1_BYTES_MAX { Outcome::Bad } else { Outcome::Partial };
    };
    let Ok(line) = std::str::from_utf8(&looked_at[..end]) else { return Outcome::Bad };
    let bytes = end + 2;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        // Whatever follows is to be passed over.
        ["PROXY", "UNKNOWN", ..] => Outcome::Header { source: None, bytes },
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let address = |text: &str| -> Option<IpAddr> {
                let address: IpAddr = text.parse().ok()?;
                (address.is_ipv4() == (family == "TCP4")).then_some(address)
            };
            // As the standard writes numbers: no sign and no leading zero.
            let port = |text: &str| -> Option<u16> {
                let plain = text == "0" || !text.starts_with(['0', '+']);
                text.parse().ok().filter(|_| plain)
            };
            match (address(source), address(destination), port(source_port), port(destination_port)) {
                (Some(ip), Some(_), Some(port), Some(_)) => {
                    Outcome::Header { source: Some(SocketAddr::new(ip, port)), bytes }
                }
                _ => Outcome::Bad,
            }
        }
        _ => Outcome::Bad,
    }
}

fn version_2(bytes: &[u8]) -> Outcome {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else { return Outcome::Partial };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[12] >> 4 != 2 || V2_FIXED_BYTES + length > HEADER_BYTES_MAX {
        return Outcome::Bad;
    }
    let Some(body) = rest.get(..length) else { return Outcome::Partial };
    let bytes = V2_FIXED_BYTES + length;
    let source = match (fixed[12] & 0x0f, fixed[13]) {
        // LOCAL: of the proxy itself.
        (0, _) => None,
        (1, 0x11 | 0x12) => {
            let Some(&[a, b, c, d, _, _, _, _, high, low, _, _]) = body.first_chunk::<12>() else {
                return Outcome::Bad;
            };
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
        }
        (1, 0x21 | 0x22) => {
            let (Some(address), Some(&[high, low])) =
                (body.first_chunk::<16>(), body.get(32..34).and_then(|port| port.first_chunk::<2>()))
            else {
                return Outcome::Bad;
            };
            if body.len() < 36 {
                return Outcome::Bad;
            }
            Some(SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes([high, low])))
        }
        // Unix sockets and what is yet to come: nobody that could be named.
        (1, _) => None,
        _ => return Outcome::Bad,
    };
    Outcome::Header { source, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(source: &str, bytes: usize) -> Outcome {
        Outcome::Header { source: Some(source.parse().unwrap()), bytes }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn version_1_lines() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(parse(line), header("192.0.2.7:56324", 45));
        assert_eq!(parse(b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n"), header("[2001:db8::7]:1", 32));
        assert_eq!(parse(b"PROXY UNKNOWN ff x\r\n"), Outcome::Header { source: None, bytes: 20 });
        for bad in [
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY SCTP 1.2.3.4 1.2.3.4 1 2\r\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), Outcome::Bad, "{bad}");
        }
        assert_eq!(parse(&[b"PROXY ".as_slice(), &[b'x'; 200]].concat()), Outcome::Bad);
    }

    #[test]
    fn version_2_headers() {
        let mut v4 = vec![192, 0, 2, 7, 198, 51, 100, 1];
        v4.extend([0xdc, 0x04, 1, 187]);
        assert_eq!(parse(&v2(1, 0x11, &v4)), header("192.0.2.7:56324", 28));
        // Extensions are passed over.
        let extended = [&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(parse(&v2(1, 0x11, &extended)), header("192.0.2.7:56324", 35));
        let mut v6 = vec![0; 36];
        v6[15] = 9;
        v6[33] = 80;
        assert_eq!(parse(&v2(1, 0x21, &v6)), header("[::9]:80", 52));
        assert_eq!(parse(&v2(0, 0, &[])), Outcome::Header { source: None, bytes: 16 });
        assert_eq!(parse(&v2(1, 0x31, &[0; 216])), Outcome::Header { source: None, bytes: 232 });
        assert_eq!(parse(&v2(1, 0x11, &v4[..11])), Outcome::Bad);
        assert_eq!(parse(&v2(1, 0x21, &v6[..35])), Outcome::Bad);
        assert_eq!(parse(&v2(2, 0x11, &v4)), Outcome::Bad);
        let mut version_3 = v2(1, 0x11, &v4);
        version_3[12] = 0x31;
        assert_eq!(parse(&version_3), Outcome::Bad);
        assert_eq!(parse(&v2(1, 0x11, &vec![0; HEADER_BYTES_MAX])), Outcome::Bad);
    }

    #[test]
    fn requests_without_one_are_seen_at_once() {
        for request in ["GET / HTTP/1.1\r\n", "POST /", "\r\nGET /", "\u{16}\u{3}\u{1}"] {
            assert_eq!(parse(request.as_bytes()), Outcome::None, "{request:?}");
        }
        assert_eq!(parse(b""), Outcome::Partial);
        // A request may begin as one of them does.
        assert_eq!(parse(b"P"), Outcome::Partial);
        assert_eq!(parse(b"PO"), Outcome::None);
    }

    proptest! {
        #[test]
        fn every_beginning_of_a_header_is_one(cut in 0usize..28, any in prop::collection::vec(any::<u8>(), 0..200)) {
            let whole = v2(1, 0x11, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
            prop_assert_eq!(parse(&whole[..cut]), Outcome::Partial);
            let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
            prop_assert_eq!(parse(&line[..cut]), Outcome::Partial);
            // No panic, and never more bytes than there are.
            for bytes in [any.clone(), [&SIGNATURE[..], &any].concat(), [V1, &any].concat()] {
                if let Outcome::Header { bytes: taken, .. } = parse(&bytes) {
                    prop_assert!(taken <= bytes.len());
                }
            }
        }
    }
}
