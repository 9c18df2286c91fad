//! Who sent a request, as far as headers can tell: the address that becomes the tag `ip`.

use std::borrow::Cow;

use crate::http1::Head;
use crate::intake::Peer;

/// An address takes at most 45 characters, with a zone a few more. What a client claims beyond that is cut: it is
/// written into every point of its request.
const ADDRESS_BYTES_MAX: usize = 128;

/// The address: of the configured header, `X-Forwarded-For`, `X-Real-IP`, the connection, the first that says anything.
/// Of a list the first element, neither trimmed nor checked: recorded.
pub fn of<'a>(head: &Head<'a>, peer: &Peer, header: &str) -> Cow<'a, str> {
    for name in [header, "X-Forwarded-For", "X-Real-IP"] {
        let Some(value) = head.header(name).filter(|value| !value.is_empty()) else { continue };
        let first = value.split(|byte| *byte == b',').next().unwrap_or_default();
        let first = first.get(..ADDRESS_BYTES_MAX).unwrap_or(first);
        return String::from_utf8_lossy(first);
    }
    match peer {
        Peer::Ip(ip) => Cow::Owned(ip.to_canonical().to_string()),
        Peer::Unix => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};

    fn address(headers: &str, peer: Peer) -> String {
        let text = format!("POST /v1/write/rum HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        let mut slots = HeaderSlots::new();
        match parse_head(text.as_bytes(), &mut slots, &HeadLimits::default()).unwrap() {
            HeadOutcome::Complete { head, .. } => of(&head, &peer, "X-Client").into_owned(),
            HeadOutcome::Partial => panic!("a partial head"),
        }
    }

    #[test]
    fn the_first_header_that_says_anything_counts() {
        let peer = Peer::Ip([10, 0, 0, 7].into());
        let all = "X-Real-IP: 3.3.3.3\r\nX-Forwarded-For: 2.2.2.2\r\nX-Client: 1.1.1.1\r\n";
        assert_eq!(address(all, peer), "1.1.1.1");
        assert_eq!(address("X-Real-IP: 3.3.3.3\r\nX-Forwarded-For: 2.2.2.2\r\n", peer), "2.2.2.2");
        assert_eq!(address("X-Real-IP: 3.3.3.3\r\nX-Forwarded-For: \r\n", peer), "3.3.3.3");
        assert_eq!(address("", peer), "10.0.0.7");
        assert_eq!(address("", Peer::Ip("::ffff:10.0.0.7".parse().unwrap())), "10.0.0.7");
        assert_eq!(address("", Peer::Unix), "");
    }

    #[test]
    fn of_a_list_the_first_element_stands_as_it_is() {
        let peer = Peer::Unix;
        assert_eq!(address("X-Forwarded-For: 1.2.3.4 , 5.6.7.8\r\n", peer), "1.2.3.4 ");
        assert_eq!(address("X-Forwarded-For: abc\r\n", peer), "abc");
        assert_eq!(address("X-Forwarded-For: ,5.6.7.8\r\n", peer), "");
        let long = format!("X-Forwarded-For: {}\r\n", "9".repeat(4000));
        assert_eq!(address(&long, peer).len(), ADDRESS_BYTES_MAX);
    }
}
