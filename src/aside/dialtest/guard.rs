//! Which addresses a test may reach.
//!
//! A name is looked up, *all* its addresses are checked, and only an address that was checked is connected to: what the
//! name means a moment later does not matter. An address that carries another one inside (mapped, translated, 6to4) is
//! as internal as that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use ipnet::IpNet;

/// What is forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Whether anything is.
    pub internal_forbidden: bool,
    /// The networks that are internal, in place of the built-in ones.
    pub networks: Vec<IpNet>,
}

impl Guard {
    pub fn forbids(&self, address: IpAddr) -> bool {
        self.internal_forbidden && self.is_internal(address)
    }

    fn is_internal(&self, address: IpAddr) -> bool {
        let mut faces = [Some(address), embedded(address).map(IpAddr::V4)].into_iter().flatten();
        if !self.networks.is_empty() {
            return faces.any(|face| self.networks.iter().any(|network| network.contains(&face)));
        }
        faces.any(|face| match face {
            IpAddr::V4(address) => is_internal_v4(address),
            IpAddr::V6(address) => is_internal_v6(address),
        }) || is_own(address)
    }
}

/// The address of IPv4 that is reached through this one.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let octets = address.octets();
    let [a, b, c, d] = match octets {
        // ::ffff:0:0/96 mapped, ::/96 compatible.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, rest @ ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, rest @ ..] => rest,
        // 64:ff9b::/96, and the local 64:ff9b:1::/48 in its usual form: translated.
        [0, 0x64, 0xff, 0x9b, 0, 0 | 1, 0, 0, 0, 0, 0, 0, rest @ ..] => rest,
        // 2002::/16: 6to4.
        [0x20, 0x02, a, b, c, d, ..] => [a, b, c, d],
        _ => return None,
    };
    Some(Ipv4Addr::new(a, b, c, d))
}

fn is_internal_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        // Beyond what DataKit lists: this network, shared address space (where clouds keep their metadata), protocol
        // assignments, benchmarks, groups, reserved, everyone.
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || a >= 224
}

fn is_internal_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || address.is_multicast()
        // Site-local, deprecated and still routed inside some sites.
        || address.segments()[0] & 0xffc0 == 0xfec0
}

/// Whether it is an address of this machine, whatever network it is in: a socket can be bound to no other.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbids(guard: &Guard, text: &str) -> bool {
        guard.forbids(text.parse().unwrap())
    }

    #[test]
    fn internal_addresses_are_known_in_every_form() {
        let guard = Guard { internal_forbidden: true, networks: Vec::new() };
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::169.254.169.254",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
        ] {
            assert!(forbids(&guard, text), "{text}");
        }
        for text in [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "223.255.255.255",
            "2606:4700::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(!forbids(&guard, text), "{text}");
        }
    }

    #[test]
    fn a_list_replaces_what_is_built_in() {
        let networks = vec!["36.155.132.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let guard = Guard { internal_forbidden: true, networks };
        for (text, expected) in [
            ("36.155.132.76", true),
            ("::ffff:36.155.132.76", true),
            ("2001:db8::1", true),
            ("36.155.133.1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(forbids(&guard, text), expected, "{text}");
        }
        let off = Guard { internal_forbidden: false, ..guard };
        assert!(!forbids(&off, "36.155.132.76"));
        assert!(!forbids(&Guard::default(), "127.0.0.1"));
    }
}
