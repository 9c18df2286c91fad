//! Stage 1: connections. Accepts, reads whole requests into pooled buffers, hands them to a [`Service`], writes the
//! answers in order. Knows HTTP/1.1 and no protocol above it.
//!
//! - [`accept`]: the accept loop of one listener of one shard
//! - [`conn`]: the life of one connection
//! - [`buffers`]: receive buffers, borrowed only while a request is incomplete
//! - [`service`]: what a connection calls
//! - [`transport`]: what it receives from and sends to, and how it begins; [`proxy_header`]: what a proxy says of it; [`tls`]

pub mod accept;
pub mod buffers;
pub mod conn;
pub mod proxy_header;
pub mod service;
pub mod tls;
pub mod transport;

pub use accept::{Closing, Gate, accept};
pub use conn::ConnLimits;
pub use service::{Admission, Answer, Incoming, OwnedBody, Service};

#[cfg(test)]
mod entrance_tests;
#[cfg(test)]
mod tests;
