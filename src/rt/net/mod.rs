//! Sockets of our own on one epoll descriptor a shard.

mod driver;
mod listener;
mod stream;

pub use driver::{Driver, Registration};
pub use listener::{AcceptError, Listener, bind, bind_path, local_addr, refuse_shared};
pub use stream::Stream;
