//! ICMP messages as bytes: echo requests, and what comes back.

use std::net::IpAddr;

/// Types of messages.
const ECHO_REPLY_V4: u8 = 0;
const UNREACHABLE_V4: u8 = 3;
const ECHO_V4: u8 = 8;
const TIME_EXCEEDED_V4: u8 = 11;
const PARAMETER_PROBLEM_V4: u8 = 12;
const ECHO_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// Type, code, checksum, identifier, sequence number.
const HEADER_BYTES: usize = 8;

/// What an echo is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoId {
    pub identifier: u16,
    pub sequence: u16,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    Reply(EchoId),
    /// A router or the target gave our message back; what can be told of it is which one it was.
    Returned(EchoId),
}

/// An echo request to an address of this kind.
pub fn echo(to: IpAddr, id: EchoId, payload: &[u8]) -> Vec<u8> {
    let kind = if to.is_ipv4() { ECHO_V4 } else { ECHO_V6 };
    let mut message = vec![kind, 0, 0, 0];
    message.extend_from_slice(&id.identifier.to_be_bytes());
    message.extend_from_slice(&id.sequence.to_be_bytes());
    message.extend_from_slice(payload);
    // Of IPv6 the kernel computes it: the addresses are in it.
    if to.is_ipv4() {
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    message
}

/// Reads a message; `ip_header`: a raw socket of IPv4 gives the header too. `None`: nothing that is waited for.
pub fn read(bytes: &[u8], v4: bool, ip_header: bool) -> Option<Message> {
    let bytes = if ip_header { behind_ip_header(bytes)? } else { bytes };
    match (v4, *bytes.first()?) {
        (true, ECHO_REPLY_V4) | (false, ECHO_REPLY_V6) => echo_id(bytes).map(Message::Reply),
        (true, UNREACHABLE_V4 | TIME_EXCEEDED_V4 | PARAMETER_PROBLEM_V4) => {
            // Behind its own header stands what was sent: IP header and at least eight bytes.
            let sent = behind_ip_header(bytes.get(HEADER_BYTES..)?)?;
            (*sent.first()? == ECHO_V4).then(|| echo_id(sent)).flatten().map(Message::Returned)
        }
        _ => None,
    }
}

fn echo_id(message: &[u8]) -> Option<EchoId> {
    let number = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    Some(EchoId { identifier: number(4)?, sequence: number(6)? })
}

fn behind_ip_header(bytes: &[u8]) -> Option<&[u8]> {
    let first = *bytes.first()?;
    (first >> 4 == 4).then(|| bytes.get(usize::from(first & 15) * 4..)).flatten()
}

/// The sum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: EchoId = EchoId { identifier: 0x1234, sequence: 7 };

    fn v4() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    #[test]
    fn an_echo_and_its_sum_are_written() {
        let message = echo(v4(), ID, b"ICMP testing");
        assert_eq!(&message[..2], [8, 0]);
        assert_eq!(&message[4..], b"\x12\x34\x00\x07ICMP testing");
        // Summed with its sum, a message gives zero.
        assert_eq!(checksum(&message), 0);
        let message = echo("::1".parse().unwrap(), ID, b"x");
        assert_eq!(message, b"\x80\0\0\0\x12\x34\x00\x07x");
    }

    #[test]
    fn what_comes_back_is_told_apart() {
        let mut reply = echo(v4(), ID, b"x");
        assert_eq!(read(&reply, true, false), None, "our own request, seen on the loopback");
        reply[0] = 0;
        assert_eq!(read(&reply, true, false), Some(Message::Reply(ID)));
        let ip = |payload: &[u8], words: u8| {
            let mut packet = vec![0; usize::from(words) * 4];
            packet[0] = 0x40 | words;
            packet.extend_from_slice(payload);
            packet
        };
        assert_eq!(read(&ip(&reply, 5), true, true), Some(Message::Reply(ID)));
        assert_eq!(read(&ip(&reply, 15), true, true), Some(Message::Reply(ID)));
        for kind in [3, 11, 12] {
            let mut exceeded = vec![kind, 0, 0, 0, 0, 0, 0, 0];
            exceeded.extend(ip(&echo(v4(), ID, b""), 6));
            assert_eq!(read(&ip(&exceeded, 5), true, true), Some(Message::Returned(ID)));
            // Every cut of it is nothing, and no panic.
            let packet = ip(&exceeded, 5);
            for end in 0..packet.len() {
                assert_eq!(read(&packet[..end], true, true), None, "{end}");
            }
        }
        let mut reply = echo("::1".parse().unwrap(), ID, b"x");
        reply[0] = 129;
        assert_eq!(read(&reply, false, false), Some(Message::Reply(ID)));
        assert_eq!(read(&reply, true, false), None);
        assert_eq!(read(&[0x60; 40], true, true), None);
    }
}
