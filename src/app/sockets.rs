//! The listening sockets of the process. Bound before any shard runs, so that a port in use is an error at once, and kept
//! here as long as the address is served: shards get copies, and so does a successor, so that whoever knocks between two
//! owners waits in the kernel and is not refused.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::config::Listener;
use crate::rt::net;
use crate::shard::Opened;

/// One address and its sockets: one a shard.
pub struct Bound {
    pub name: &'static str,
    /// Port 0 stays 0.
    pub configured: SocketAddr,
    pub address: SocketAddr,
    pub sockets: Vec<OwnedFd>,
}

/// Binds what is configured, taking over from `before` what is there already; what of it is not wanted any more is closed.
/// A socket that is taken over is served even where there are fewer shards now: connections wait at it.
pub fn bind(listeners: &[Listener], shards: usize, before: Vec<Bound>) -> io::Result<Vec<Bound>> {
    let mut before = before;
    let mut all = Vec::new();
    for listener in listeners {
        let same = |bound: &Bound| (bound.name, bound.configured) == (listener.name, listener.address);
        let mut bound = match before.iter().position(same) {
            Some(at) => before.swap_remove(at),
            None => first(listener)?,
        };
        while bound.sockets.len() < shards {
            bound.sockets.push(net::bind(bound.address).map_err(|error| refused(listener, error))?);
        }
        all.push(bound);
    }
    Ok(all)
}

fn first(listener: &Listener) -> io::Result<Bound> {
    // With port reuse two gateways could share an address and each take half of the connections.
    net::refuse_shared(listener.address).map_err(|error| refused(listener, error))?;
    let socket = net::bind(listener.address).map_err(|error| refused(listener, error))?;
    Ok(Bound {
        name: listener.name,
        configured: listener.address,
        address: net::local_addr(&socket)?,
        sockets: vec![socket],
    })
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
        for (index, socket) in bound.sockets.iter().enumerate() {
            dealt[index % shards].push(Opened {
                name: bound.name,
                configured: bound.configured,
                socket: socket.try_clone()?,
            });
        }
    }
    Ok(dealt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(name: &'static str, port: u16) -> Listener {
        Listener { name, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    #[test]
    fn what_is_bound_is_taken_over_and_the_rest_is_closed() {
        let before = bind(&[listener("datakit", 0), listener("datadog", 0)], 2, Vec::new()).unwrap();
        let addresses: Vec<SocketAddr> = before.iter().map(|bound| bound.address).collect();
        assert_ne!(addresses[0], addresses[1], "both are port 0, and two listeners all the same");
        assert!(before.iter().all(|bound| bound.sockets.len() == 2));

        let after = bind(&[listener("datakit", 0), listener("skywalking", 0)], 3, before).unwrap();
        assert_eq!(after[0].address, addresses[0]);
        assert_eq!(after[0].sockets.len(), 3, "one for each shard");
        net::refuse_shared(addresses[1]).expect("nobody listens there any more");

        let fewer = bind(&[listener("datakit", 0)], 1, after).unwrap();
        let dealt = deal(&fewer, 1).unwrap();
        assert_eq!(dealt[0].len(), 3, "connections may wait at each of them");
    }
}
