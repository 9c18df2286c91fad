//! Whose request it is.
//!
//! Whoever sends a request can write any `X-Forwarded-For`. What is in it is believed only as far as trusted proxies
//! have written it: each appends the address it was spoken to from, so the list is read from its right end, over the
//! trusted hops, to the first address that is none of them. What stands left of that one is that client's own claim.
//!
//! DataKit believes the right-most element, then `X-Real-IP`, whoever sent them. That is done under its name alone, and
//! only while no proxies are named.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use crate::http1::Head;
use crate::intake::Peer;
use crate::point::Compat;

/// Hops that are looked at. Real ways have a handful.
const HOPS_MAX: usize = 32;

/// The address requests are counted under.
pub fn address(head: &Head<'_>, peer: &Peer, trusted: &[IpNet], compat: Compat) -> IpAddr {
    let peer = match peer {
        Peer::Ip(address) => address.to_canonical(),
        Peer::Unix => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    match (trusted, compat) {
        ([], Compat::Documented) => peer,
        ([], Compat::Datakit184) => recorded(head).unwrap_or(peer),
        (trusted, _) => behind(head, peer, trusted),
    }
}

/// The first header's right-most element, else `X-Real-IP`.
fn recorded(head: &Head<'_>) -> Option<IpAddr> {
    let forwarded =
        head.header("x-forwarded-for").and_then(|value| value.rsplit(|byte| *byte == b',').next());
    forwarded.and_then(parse).or_else(|| head.header("x-real-ip").and_then(parse))
}

fn behind(head: &Head<'_>, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let values =
        head.headers.iter().rev().filter(|header| header.name.eq_ignore_ascii_case("x-forwarded-for"));
    let mut elements =
        values.flat_map(|header| header.value.rsplit(|byte| *byte == b',')).take(HOPS_MAX).peekable();
    if elements.peek().is_none() {
        return head.header("x-real-ip").and_then(parse).unwrap_or(peer);
    }
    let mut nearest = peer;
    for element in elements {
        // What cannot be read ends what is known.
        let Some(address) = parse(element) else { break };
        nearest = address;
        if !is_trusted(&address) {
            break;
        }
    }
    nearest
}

/// An address as proxies write it: bare, in brackets, with a port.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::super::tests::with_head;
    use super::*;

    fn client(headers: &[(&str, &str)], peer: &str, trusted: &[&str], compat: Compat) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let peer = Peer::Ip(peer.parse().unwrap());
        with_head("GET /v1/ping", headers, |head| address(head, &peer, &trusted, compat).to_string())
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        let trusted = &["10.0.0.0/8", "2001:db8::/32"];
        for (forwarded, peer, expected) in [
            // Not a trusted peer: whatever it says is its own claim.
            ("1.1.1.1", "9.9.9.9", "9.9.9.9"),
            ("1.1.1.1", "10.0.0.1", "1.1.1.1"),
            ("1.1.1.1", "::ffff:10.0.0.1", "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1", "10.0.0.1", "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1 ,10.0.0.2", "10.0.0.1", "1.1.1.1"),
            ("6.6.6.6,1.1.1.1:4711, [2001:db8::7]:80", "10.0.0.1", "1.1.1.1"),
            ("[2002::1]", "2001:db8::1", "2002::1"),
            ("::ffff:1.1.1.1", "10.0.0.1", "1.1.1.1"),
            // All of them trusted: the farthest.
            ("10.0.0.3, 10.0.0.2", "10.0.0.1", "10.0.0.3"),
            // What cannot be read ends what is known.
            ("1.1.1.1, unknown, 10.0.0.2", "10.0.0.1", "10.0.0.2"),
            ("", "10.0.0.1", "10.0.0.1"),
        ] {
            let found = client(&[("X-Forwarded-For", forwarded)], peer, trusted, Compat::Documented);
            assert_eq!(found, expected, "{forwarded} from {peer}");
        }
        let two = [("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "1.1.1.1")];
        assert_eq!(client(&two, "10.0.0.1", trusted, Compat::Documented), "1.1.1.1");
        let real = [("X-Real-IP", "1.1.1.1")];
        assert_eq!(client(&real, "10.0.0.1", trusted, Compat::Documented), "1.1.1.1");
        assert_eq!(client(&real, "9.9.9.9", trusted, Compat::Datakit184), "9.9.9.9");
    }

    #[test]
    fn without_proxies_headers_count_for_datakit_alone() {
        let headers = [("X-Forwarded-For", "6.6.6.6, 1.1.1.1"), ("X-Real-IP", "2.2.2.2")];
        assert_eq!(client(&headers, "9.9.9.9", &[], Compat::Documented), "9.9.9.9");
        assert_eq!(client(&headers, "9.9.9.9", &[], Compat::Datakit184), "1.1.1.1");
        assert_eq!(client(&headers[1..], "9.9.9.9", &[], Compat::Datakit184), "2.2.2.2");
        let unreadable = [("X-Forwarded-For", "me"), ("X-Real-IP", "you")];
        assert_eq!(client(&unreadable, "9.9.9.9", &[], Compat::Datakit184), "9.9.9.9");
        assert_eq!(client(&[], "9.9.9.9", &[], Compat::Datakit184), "9.9.9.9");
    }

    #[test]
    fn a_long_way_is_not_followed_for_ever() {
        let forwarded = vec!["10.0.0.2"; 500].join(",");
        let forwarded = format!("1.1.1.1,{forwarded}");
        let found =
            client(&[("X-Forwarded-For", &forwarded)], "10.0.0.1", &["10.0.0.0/8"], Compat::Documented);
        assert_eq!(found, "10.0.0.2");
    }
}
