//! Frames as tools handle them: their points unpacked within bounds, data packed into blocks, blocks committed in batches.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Failure, shown};
use crate::admin::spools::Spools;
use crate::codec::compress::{Gzip, Zstd};
use crate::config::Compression;
use crate::point::{Category, Route};
use crate::spool::inspect::FrameHeader;
use crate::spool::{Block, COMMIT_BYTES_TARGET, Codec, Kind};
use crate::upload::body;
use crate::upload::dead::{codec_name, kind_name};

/// What a tool takes into memory of one frame, packed or unpacked: above the largest body that a gateway takes, and what a
/// file that somebody made up can cost.
pub const FRAME_BYTES_MAX: u64 = 256 << 20;

/// Frames of one commit: bounds what has to be done again when a tool is killed.
pub const BATCH_FRAMES_MAX: usize = 256;

/// Whether a frame may be taken into memory.
pub fn fits(header: &FrameHeader) -> bool {
    header.frame_bytes() as u64 <= FRAME_BYTES_MAX && u64::from(header.raw_bytes) <= FRAME_BYTES_MAX
}

/// The points of a block, or the request that it is.
pub fn unpack(block: &Block) -> Option<Vec<u8>> {
    if u64::from(block.raw_bytes) > FRAME_BYTES_MAX {
        return None;
    }
    body::unpack(block).ok()
}

/// Data as a block, compressed as this gateway does it.
pub struct Packer {
    method: Method,
}

enum Method {
    Identity,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl Packer {
    pub fn new(compression: Compression) -> Packer {
        let method = match compression {
            Compression::Identity => Method::Identity,
            Compression::Gzip => Method::Gzip(Box::default()),
            Compression::Zstd => Zstd::new().map_or(Method::Identity, |zstd| Method::Zstd(Box::new(zstd))),
        };
        Packer { method }
    }

    /// None: more than a frame can hold.
    pub fn pack(
        &mut self,
        category: Category,
        route: &Route,
        raw: &[u8],
        points: u32,
        now_ms: u64,
    ) -> Option<Block> {
        let mut packed = Vec::new();
        let codec = match &mut self.method {
            Method::Identity => None,
            Method::Gzip(gzip) => gzip.compress(raw, &mut packed).ok().map(|()| Codec::Gzip),
            Method::Zstd(zstd) => zstd.compress(raw, &mut packed).ok().map(|()| Codec::Zstd),
        };
        let payload = if codec.is_some() { Bytes::from(packed) } else { Bytes::copy_from_slice(raw) };
        Some(Block {
            category: category as u8,
            codec: codec.unwrap_or(Codec::Identity),
            kind: Kind::Points,
            points,
            raw_bytes: u32::try_from(raw.len()).ok()?,
            sealed_ms: now_ms,
            route: Bytes::from(route.encode()),
            payload_crc: crc32c::crc32c(&payload),
            payload,
        })
    }
}

/// Blocks on their way into a log, and whatever has to be noted when they are there.
pub struct Batch<N> {
    pub blocks: Vec<Block>,
    pub notes: Vec<N>,
    bytes: usize,
}

impl<N> Default for Batch<N> {
    fn default() -> Batch<N> {
        Batch { blocks: Vec::new(), notes: Vec::new(), bytes: 0 }
    }
}

impl<N> Batch<N> {
    pub fn push(&mut self, block: Block) {
        self.bytes += block.payload.len() + block.route.len();
        self.blocks.push(block);
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= COMMIT_BYTES_TARGET || self.blocks.len() >= BATCH_FRAMES_MAX
    }

    /// Makes the blocks durable. Gives the notes back, to be made now.
    pub fn commit(&mut self, spools: &mut dyn Spools, category: Category) -> Result<Vec<N>, Failure> {
        let blocks = std::mem::take(&mut self.blocks);
        self.bytes = 0;
        if !blocks.is_empty() {
            let refused = |error| Failure::Failed(format!("{}: {error}", category.name()));
            spools.commit(category, blocks).map_err(refused)?;
        }
        Ok(std::mem::take(&mut self.notes))
    }
}

/// A stored route as people may see it.
pub fn route_shown(route: &[u8]) -> String {
    Route::decode(route).map_or_else(|_| "(unreadable)".to_owned(), |route| route.shown())
}

/// The words for a codec and a kind, also for those that this version does not know.
pub fn sort_names(header: &FrameHeader) -> (String, String) {
    (
        Codec::from_byte(header.codec)
            .map_or_else(|| format!("codec {}", header.codec), |c| codec_name(c).into()),
        Kind::from_byte(header.kind).map_or_else(|| format!("kind {}", header.kind), |k| kind_name(k).into()),
    )
}

/// What a frame says of itself, for machines.
pub fn header_json(category: &str, header: &FrameHeader, route: &str, offset: u64) -> Map<String, Value> {
    let (codec, kind) = sort_names(header);
    let value = json!({
        "category": category,
        "seq": header.place.seq,
        "sealed_ms": header.sealed_ms,
        "points": header.points,
        "kind": kind,
        "codec": codec,
        "raw_bytes": header.raw_bytes,
        "payload_bytes": header.payload_bytes,
        "route": route,
        "offset": offset,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The same for people, on one line.
pub fn header_text(category: &str, header: &FrameHeader, route: &str) -> String {
    let (codec, kind) = sort_names(header);
    let route = if route.is_empty() { String::new() } else { format!(", route {route}") };
    format!(
        "{category} frame {}: {} ({kind}), sealed {}, {} as {codec}{route}",
        header.place.seq,
        shown::count(header.points.into(), "point"),
        shown::time(header.sealed_ms),
        shown::bytes(header.payload_bytes.into()),
    )
}
