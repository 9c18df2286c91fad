//! Descriptors from one process to another: how listening sockets outlive the process that bound them.
//!
//! One message is one line of text with the descriptors that belong to it; the receiver confirms each with one byte, so that
//! no message runs into the next.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Descriptors of one message at most: the kernel takes 253.
pub const DESCRIPTORS_MAX: usize = 250;

/// A line says what its descriptors are: far below this.
const LINE_BYTES_MAX: usize = 4096;

const CONFIRMED: [u8; 1] = *b"+";

/// Sends a line and the descriptors that belong to it.
pub fn send(mut stream: &UnixStream, line: &str, descriptors: &[impl AsFd]) -> io::Result<()> {
    let text = format!("{line}\n");
    if descriptors.len() > DESCRIPTORS_MAX || text.len() > LINE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too much for one message"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    if !borrowed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
    stream.write_all(&text.as_bytes()[sent..])?;
    let mut confirmed = [0; 1];
    stream.read_exact(&mut confirmed)?;
    if confirmed == CONFIRMED { Ok(()) } else { Err(io::Error::other("the other side speaks otherwise")) }
}

/// Receives what [`send`] sends.
pub fn receive(mut stream: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut text = Vec::new();
    let mut descriptors = Vec::new();
    while text.last() != Some(&b'\n') {
        let mut bytes = [0; LINE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(stream, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(&bytes[..received.bytes]);
        if text.len() > LINE_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message has no end"));
        }
    }
    text.pop();
    let line = String::from_utf8(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    stream.write_all(&CONFIRMED)?;
    Ok((line, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_socket_that_was_handed_over_goes_on_listening() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sender = std::thread::spawn(move || {
            send(&ours, "first", &[&listener]).unwrap();
            drop(listener);
            send(&ours, "second", &[] as &[OwnedFd]).unwrap();
        });
        let (line, mut descriptors) = receive(&theirs).unwrap();
        assert_eq!((line.as_str(), descriptors.len()), ("first", 1));
        assert_eq!(receive(&theirs).unwrap().0, "second");
        sender.join().unwrap();
        let listener = TcpListener::from(descriptors.remove(0));
        let _client = TcpStream::connect(address).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn an_end_in_the_middle_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(b"half").unwrap();
        drop(ours);
        assert!(receive(&theirs).is_err());
    }
}
