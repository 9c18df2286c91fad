//! Sealing: an open block's bytes become a payload, compressed once, with its checksum.

use bytes::Bytes;

use crate::codec::compress::{Gzip, Zstd};
use crate::config::Compression;
use crate::spool::Codec;

/// The compressor of a shard.
pub struct Sealer {
    method: Method,
    scratch: Vec<u8>,
}

enum Method {
    Identity,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl Sealer {
    pub fn new(compression: Compression) -> Sealer {
        let method = match compression {
            Compression::Identity => Method::Identity,
            Compression::Gzip => Method::Gzip(Box::default()),
            Compression::Zstd => match Zstd::new() {
                Ok(zstd) => Method::Zstd(Box::new(zstd)),
                Err(_) => {
                    tracing::error!("no memory for a zstd context; blocks stay uncompressed");
                    Method::Identity
                }
            },
        };
        Sealer { method, scratch: Vec::new() }
    }

    /// The payload of `raw`, how it is coded, and its CRC32C. What a compressor refuses travels as it is.
    pub fn seal(&mut self, raw: &[u8]) -> (Codec, Bytes, u32) {
        self.scratch.clear();
        let (codec, compressed) = match &mut self.method {
            Method::Identity => (Codec::Identity, false),
            Method::Gzip(gzip) => (Codec::Gzip, gzip.compress(raw, &mut self.scratch).is_ok()),
            Method::Zstd(zstd) => (Codec::Zstd, zstd.compress(raw, &mut self.scratch).is_ok()),
        };
        let (codec, bytes) = if compressed { (codec, &self.scratch[..]) } else { (Codec::Identity, raw) };
        // Copied to its size: payloads live on in the tail cache, scratch space does not.
        (codec, Bytes::copy_from_slice(bytes), crc32c::crc32c(bytes))
    }
}
