//! A sealed block: what the rings carry, what becomes one frame on disk, and what an upload joins.

use bytes::Bytes;

/// How a payload is compressed. The discriminant is on disk: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    Identity = 0,
    Gzip = 1,
    Zstd = 2,
}

impl Codec {
    /// The codec with this number, if this version knows it.
    pub fn from_byte(byte: u8) -> Option<Codec> {
        [Codec::Identity, Codec::Gzip, Codec::Zstd].into_iter().find(|codec| *codec as u8 == byte)
    }
}

/// What a payload holds. The discriminant is on disk: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `PBPoints`; payloads of one codec and route may be joined.
    Points = 0,
    /// A request as it came (`codec::raw_package`): goes out as it is, alone, and counts as one point.
    Raw = 1,
    /// A package that failed again and again and waits in a side log: an opaque header, then its payload as it was.
    Parked = 2,
}

impl Kind {
    /// The kind with this number, if this version knows it.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Points, Kind::Raw, Kind::Parked].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// An immutable run of points of one lane, compressed once, checksummed once; or one raw package.
#[derive(Clone, Debug)]
pub struct Block {
    pub category: u8,
    pub codec: Codec,
    pub kind: Kind,
    pub points: u32,
    /// Bytes of the payload before compression.
    pub raw_bytes: u32,
    /// Wall clock at sealing, for age policies and for people.
    pub sealed_ms: u64,
    /// The encoded route (`point::Route::encode`); opaque here, at most `spool::ROUTE_BYTES_MAX`.
    pub route: Bytes,
    pub payload: Bytes,
    /// CRC32C of `payload`, computed where the block was sealed.
    pub payload_crc: u32,
}
