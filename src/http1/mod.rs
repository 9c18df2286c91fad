//! HTTP/1.0 and HTTP/1.1 as values: bytes in, typed heads and bodies out, and back. No sockets, no clocks.
//!
//! httparse gives the syntax of heads; what a message *means* on the wire, that is where it ends and whether the
//! connection may go on, is decided here and strictly. Two readers of one byte stream that disagree about the end
//! of a message are a request-smuggling hole, so whatever a lenient reader could take in two ways is refused and the
//! connection is closed.
//!
//! - [`head`]: request heads; [`target`]: request targets, hosts, path escapes; [`framing`]: the fields that say where
//!   a message ends, shared by both directions
//! - [`body`]: chunked bodies
//! - [`response`]: what a server writes
//! - [`client`]: the other side, for uploads: request heads out, responses in
//! - [`query`]: query strings as Go reads them; [`route`]: small helpers over decoded paths
//! - [`fuzz`]: bodies of the fuzz targets

pub mod body;
pub mod client;
pub mod framing;
pub mod fuzz;
pub mod head;
pub mod query;
pub mod response;
pub mod route;
pub mod target;

pub use body::{ChunkError, ChunkedDecoder};
pub use framing::{Connection, Framing};
pub use head::{
    Head, HeadError, HeadLimits, HeadOutcome, HeadScan, Header, HeaderSlots, Method, Version, parse_head,
};
pub use response::{DateCache, Response, Template};
