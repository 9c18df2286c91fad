//! WebSocket frames (RFC 6455), the client's side: what is sent is masked, what comes is not.

use std::io::{self, Read, Write};

use super::super::net::words;

/// Bytes of a message that is received, over all its frames.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A control frame carries no more.
const CONTROL_BYTES_MAX: usize = 125;

const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A status for a close that is none.
pub const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// A whole frame.
pub fn frame(opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    const FINAL: u8 = 0x80;
    const MASKED: u8 = 0x80;
    let mut out = vec![FINAL | opcode];
    match payload.len() {
        length @ 0..=125 => out.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Receives one message; pings on the way are answered, masked by `mask`. Errors are in the words of the reference's
/// library.
pub fn receive(link: &mut (impl Read + Write), mask: impl Fn() -> [u8; 4]) -> Result<Vec<u8>, String> {
    let mut message: Option<Vec<u8>> = None;
    loop {
        let [first, second] = bytes::<2>(link)?;
        let (last, opcode) = (first & 0x80 != 0, first & 15);
        if first & 0x70 != 0 {
            return Err(format!("websocket: unexpected reserved bits 0x{:x}", first & 0x70));
        }
        if second & 0x80 != 0 {
            return Err("websocket: incorrect mask flag".to_owned());
        }
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(bytes::<2>(link)?)),
            127 => u64::from_be_bytes(bytes::<8>(link)?),
            short => u64::from(short),
        };
        let taken = message.as_ref().map_or(0, Vec::len);
        let length = usize::try_from(length).ok().filter(|length| *length <= MESSAGE_BYTES_MAX - taken);
        let length = length.ok_or("websocket: read limit exceeded")?;
        if opcode >= CLOSE && (length > CONTROL_BYTES_MAX || !last) {
            return Err("websocket: control frame length > 125 or not final".to_owned());
        }
        let mut payload = vec![0; length];
        link.read_exact(&mut payload).map_err(|error| ended(&error))?;
        match opcode {
            TEXT | BINARY if message.is_none() => message = Some(payload),
            CONTINUATION => match &mut message {
                Some(message) => message.extend_from_slice(&payload),
                None => return Err("websocket: continuation after FIN".to_owned()),
            },
            PING => {
                let pong = frame(PONG, &payload, mask());
                link.write_all(&pong).map_err(|error| words(&error))?;
                continue;
            }
            PONG => continue,
            CLOSE => return Err(closed(&payload)),
            TEXT | BINARY => return Err("websocket: data before FIN".to_owned()),
            other => return Err(format!("websocket: bad opcode {other}")),
        }
        if last {
            return Ok(message.unwrap_or_default());
        }
    }
}

fn bytes<const COUNT: usize>(link: &mut impl Read) -> Result<[u8; COUNT], String> {
    let mut bytes = [0; COUNT];
    link.read_exact(&mut bytes).map_err(|error| ended(&error))?;
    Ok(bytes)
}

fn ended(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "websocket: close 1006 (abnormal closure): unexpected EOF".to_owned(),
        _ => words(error),
    }
}

/// What a close says.
fn closed(payload: &[u8]) -> String {
    let [high, low, text @ ..] = payload else { return "websocket: close 1005 (no status)".to_owned() };
    let code = u16::from_be_bytes([*high, *low]);
    let name = match code {
        1000 => " (normal)",
        1001 => " (going away)",
        1002 => " (protocol error)",
        1003 => " (unsupported data)",
        1007 => " (invalid payload data)",
        1008 => " (policy violation)",
        1009 => " (message too big)",
        1010 => " (mandatory extension missing)",
        1011 => " (internal server error)",
        _ => "",
    };
    let text = String::from_utf8_lossy(text);
    let colon = if text.is_empty() { "" } else { ": " };
    format!("websocket: close {code}{name}{colon}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes, and what was sent.
    struct Wire<'a>(&'a [u8], Vec<u8>);

    impl Read for Wire<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }

    impl Write for Wire<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.1.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn received(bytes: &[u8]) -> Result<String, String> {
        let mut wire = Wire(bytes, Vec::new());
        receive(&mut wire, || [0; 4]).map(|message| String::from_utf8(message).unwrap())
    }

    #[test]
    fn frames_are_written_masked() {
        assert_eq!(
            frame(TEXT, b"Hello", [0x37, 0xfa, 0x21, 0x3d]),
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
        );
        assert_eq!(&frame(TEXT, &[0; 126], [0; 4])[..4], [0x81, 0xfe, 0, 126]);
        assert_eq!(&frame(TEXT, &[0; 65_536], [0; 4])[..10], [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn messages_are_put_together() {
        assert_eq!(received(b"\x81\x05Hello").as_deref(), Ok("Hello"));
        assert_eq!(received(b"\x01\x03Hel\x80\x02lo").as_deref(), Ok("Hello"));
        assert_eq!(received(b"\x82\x00").as_deref(), Ok(""));
        let long = [b"\x81\x7e\x01\x00".as_slice(), &[b'x'; 256]].concat();
        assert_eq!(received(&long).map(|text| text.len()), Ok(256));
        let mut wire = Wire(b"\x89\x01p\x8a\x00\x01\x01a\x89\x00\x80\x01b", Vec::new());
        assert_eq!(receive(&mut wire, || [0; 4]).as_deref(), Ok(b"ab".as_slice()));
        assert_eq!(wire.1, b"\x8a\x81\0\0\0\0p\x8a\x80\0\0\0\0");
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for (bytes, error) in [
            (b"".as_slice(), "websocket: close 1006 (abnormal closure): unexpected EOF"),
            (b"\x81\x05Hel", "websocket: close 1006 (abnormal closure): unexpected EOF"),
            (b"\x88\x00", "websocket: close 1005 (no status)"),
            (b"\x88\x02\x03\xe8", "websocket: close 1000 (normal)"),
            (b"\x88\x05\x03\xf0no!", "websocket: close 1008 (policy violation): no!"),
            (b"\x81\x85abcdHello", "websocket: incorrect mask flag"),
            (b"\xc1\x00", "websocket: unexpected reserved bits 0x40"),
            (b"\x83\x00", "websocket: bad opcode 3"),
            (b"\x80\x00", "websocket: continuation after FIN"),
            (b"\x01\x00\x81\x00", "websocket: data before FIN"),
            (b"\x89\x7e\x00\x7e", "websocket: control frame length > 125 or not final"),
            (b"\x09\x00", "websocket: control frame length > 125 or not final"),
            (b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "websocket: read limit exceeded"),
            (b"\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x01", "websocket: read limit exceeded"),
        ] {
            assert_eq!(received(bytes), Err(error.to_owned()));
        }
        // Frame by frame as well.
        let half = [b"\x01\x7f\x00\x00\x00\x00\x00\x0f\xff\xff".to_vec(), vec![b'x'; MESSAGE_BYTES_MAX - 1]]
            .concat();
        let two = [half, b"\x80\x02xx".to_vec()].concat();
        assert_eq!(received(&two), Err("websocket: read limit exceeded".to_owned()));
    }
}
