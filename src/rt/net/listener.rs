//! Listening sockets: one a shard and address, `SO_REUSEPORT`, level-triggered in the shard's set.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use rustix::event::epoll::EventFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::driver::{Driver, Registration};
use super::stream::Stream;

/// Connections the kernel may queue while the shard is busy; the kernel lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// Why there is no connection to hand out.
#[derive(Debug)]
pub enum AcceptError {
    /// The process or the machine is out of descriptors or memory: pause, do not spin.
    Exhausted(io::Error),
    /// Anything else; the next call may succeed.
    Failed(io::Error),
}

/// A listening socket of this shard.
pub struct Listener {
    registration: Registration,
    fd: OwnedFd,
    armed: Cell<bool>,
    /// A socket in the file system: who comes is on this machine.
    is_local: bool,
}

/// Binds a listening socket without a shard: done before any shard starts, so that a port in use is an error at once.
pub fn bind(addr: SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    sockopt::set_socket_reuseport(&fd, true)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    // Inherited by the connections.
    sockopt::set_tcp_nodelay(&fd, true)?;
    rustix::net::bind(&fd, &addr)?;
    Ok(fd)
}

/// Who may connect to a socket in the file system: everybody may write to it, as DataKit leaves it.
const SOCKET_MODE: u32 = 0o722;
const SOCKET_DIR_MODE: u32 = 0o755;

/// The same for a socket in the file system. One that is left over from before is replaced; any other file is not.
pub fn bind_path(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there"));
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
                std::fs::create_dir_all(parent)?;
                std::fs::set_permissions(parent, std::fs::Permissions::from_mode(SOCKET_DIR_MODE))?;
            }
        }
        Err(error) => return Err(error),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&fd, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(fd)
}

/// Refuses an address that somebody listens on already. Port reuse, which our own shards need of each other, would
/// let a second gateway share it and take half of the connections.
pub fn refuse_shared(addr: SocketAddr) -> io::Result<()> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    Ok(rustix::net::bind(&fd, &addr)?)
}

/// The address a bound socket really has (port 0 asks the kernel for one).
pub fn local_addr(fd: &OwnedFd) -> io::Result<SocketAddr> {
    let addr = rustix::net::getsockname(fd)?;
    SocketAddr::try_from(addr).map_err(|_| io::Error::other("not an IP socket"))
}

impl Listener {
    /// Starts to listen on a socket from [`bind`].
    pub fn new(fd: OwnedFd) -> io::Result<Listener> {
        rustix::net::listen(&fd, BACKLOG)?;
        let registration = Driver::current().register(fd.as_fd(), EventFlags::IN)?;
        let is_local = rustix::net::getsockname(&fd)?.address_family() == AddressFamily::UNIX;
        Ok(Listener { registration, fd, armed: Cell::new(true), is_local })
    }

    /// The next connection and its peer's address.
    pub async fn accept(&self) -> Result<(Stream, SocketAddr), AcceptError> {
        loop {
            match rustix::net::acceptfrom_with(&self.fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok((fd, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    let unnamed = if self.is_local { [127, 0, 0, 1] } else { [0, 0, 0, 0] };
                    let peer = peer.unwrap_or_else(|| SocketAddr::from((unnamed, 0)));
                    return Stream::accepted(fd).map(|stream| (stream, peer)).map_err(AcceptError::Failed);
                }
                Err(rustix::io::Errno::AGAIN) => {
                    self.registration.clear_ready();
                    poll_fn(|cx| self.registration.poll_readable(cx)).await.map_err(AcceptError::Failed)?;
                }
                // The peer gave up between its knock and our answer, or a signal came: nothing happened.
                Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => {}
                Err(
                    error @ (rustix::io::Errno::MFILE
                    | rustix::io::Errno::NFILE
                    | rustix::io::Errno::NOBUFS
                    | rustix::io::Errno::NOMEM),
                ) => return Err(AcceptError::Exhausted(error.into())),
                Err(error) => return Err(AcceptError::Failed(error.into())),
            }
        }
    }

    /// Takes the listener out of the set while nothing can be accepted; being level-triggered it would fire for ever.
    pub fn disarm(&self) -> io::Result<()> {
        if self.armed.replace(false) {
            self.registration.arm(self.fd.as_fd(), EventFlags::empty())?;
        }
        Ok(())
    }

    pub fn rearm(&self) -> io::Result<()> {
        if !self.armed.replace(true) {
            self.registration.arm(self.fd.as_fd(), EventFlags::IN)?;
        }
        Ok(())
    }
}
