//! The listening sockets of the process. Bound before any shard runs, so that a port in use is an error at once, and kept
//! here as long as the address is served: shards get copies, and so does a successor, so that whoever knocks between two
//! owners waits in the kernel and is not refused.

use std::io;
use std::os::fd::OwnedFd;

use crate::config::{Address, Listener};
use crate::rt::net;
use crate::shard::Opened;

/// One address and its sockets: one a shard for a port; one for all of them in the file system.
pub struct Bound {
    pub name: &'static str,
    /// Port 0 stays 0.
    pub configured: Address,
    pub address: Address,
    pub sockets: Vec<OwnedFd>,
}

/// Binds what is configured, taking over from `before` what is there already; what of it is not wanted any more is closed.
/// A socket that is taken over is served even where there are fewer shards now: connections wait at it.
pub fn bind(listeners: &[Listener], shards: usize, before: Vec<Bound>) -> io::Result<Vec<Bound>> {
    let mut before = before;
    let mut all = Vec::new();
    for listener in listeners {
        let same = |bound: &Bound| bound.name == listener.name && bound.configured == listener.address;
        let mut bound = match before.iter().position(same) {
            Some(at) => before.swap_remove(at),
            None => first(listener)?,
        };
        if let Address::Tcp(address) = bound.address {
            while bound.sockets.len() < shards {
                bound.sockets.push(net::bind(address).map_err(|error| refused(listener, error))?);
            }
        }
        all.push(bound);
    }
    Ok(all)
}

fn first(listener: &Listener) -> io::Result<Bound> {
    let (address, socket) = match &listener.address {
        Address::Tcp(address) => {
            // With port reuse two gateways could share an address and each take half of the connections.
            net::refuse_shared(*address).map_err(|error| refused(listener, error))?;
            let socket = net::bind(*address).map_err(|error| refused(listener, error))?;
            (Address::Tcp(net::local_addr(&socket)?), socket)
        }
        Address::Unix(path) => {
            let socket = net::bind_path(path).map_err(|error| refused(listener, error))?;
            (listener.address.clone(), socket)
        }
    };
    Ok(Bound { name: listener.name, configured: listener.address.clone(), address, sockets: vec![socket] })
}

fn refused(listener: &Listener, error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot listen on {} ({}): {error}", listener.address, listener.name),
    )
}

/// Copies of the sockets, dealt out to the shards.
pub fn deal(all: &[Bound], shards: usize) -> io::Result<Vec<Vec<Opened>>> {
    let mut dealt: Vec<Vec<Opened>> = (0..shards).map(|_| Vec::new()).collect();
    for bound in all {
        let of = |socket: &OwnedFd| -> io::Result<Opened> {
            Ok(Opened { name: bound.name, configured: bound.configured.clone(), socket: socket.try_clone()? })
        };
        if let (Address::Unix(_), [socket]) = (&bound.address, &bound.sockets[..]) {
            // Every shard takes from the one queue.
            for shard in &mut dealt {
                shard.push(of(socket)?);
            }
            continue;
        }
        for (index, socket) in bound.sockets.iter().enumerate() {
            dealt[index % shards].push(of(socket)?);
        }
    }
    Ok(dealt)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn listener(name: &'static str, port: u16) -> Listener {
        Listener { name, address: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port))) }
    }

    #[test]
    fn what_is_bound_is_taken_over_and_the_rest_is_closed() {
        let before = bind(&[listener("datakit", 0), listener("datadog", 0)], 2, Vec::new()).unwrap();
        let addresses: Vec<SocketAddr> = before.iter().filter_map(|bound| bound.address.tcp()).collect();
        assert_ne!(addresses[0], addresses[1], "both are port 0, and two listeners all the same");
        assert!(before.iter().all(|bound| bound.sockets.len() == 2));

        let after = bind(&[listener("datakit", 0), listener("skywalking", 0)], 3, before).unwrap();
        assert_eq!(after[0].address, Address::Tcp(addresses[0]));
        assert_eq!(after[0].sockets.len(), 3, "one for each shard");
        net::refuse_shared(addresses[1]).expect("nobody listens there any more");

        let fewer = bind(&[listener("datakit", 0)], 1, after).unwrap();
        let dealt = deal(&fewer, 1).unwrap();
        assert_eq!(dealt[0].len(), 3, "connections may wait at each of them");
    }

    #[test]
    fn a_socket_in_the_file_system_is_one_for_all_shards_and_leaves_no_trace_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/kitgate.sock");
        let listener = Listener { name: "socket", address: Address::Unix(path.clone()) };
        let bound = bind(std::slice::from_ref(&listener), 3, Vec::new()).unwrap();
        let dealt = deal(&bound, 3).unwrap();
        assert!(dealt.iter().all(|shard| shard.len() == 1));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o722);
        drop((bound, dealt));
        // What a process that has ended left is replaced; a file of somebody's is not.
        assert!(path.exists());
        drop(bind(std::slice::from_ref(&listener), 1, Vec::new()).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        let error = bind(std::slice::from_ref(&listener), 1, Vec::new()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
