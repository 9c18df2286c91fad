//! Body formats that several protocols share: bytes in, views out. No points, no sockets, no clocks.

pub mod compress;
pub mod content_encoding;
pub mod jfr;
pub mod json;
pub mod line_protocol;
pub mod msgpack;
pub mod multipart;
pub mod pprof;
pub mod protobuf;
pub mod raw_package;
