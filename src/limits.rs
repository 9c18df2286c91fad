//! The bounds that stages share, with their reasons, and how they relate: checked when this is compiled. A bound that
//! one stage alone keeps stands beside its use; what a user may move is a setting, and its default is here.

/// A request body on the wire. Twice the longest field value of the point model (32 MiB), so that every point that may
/// be written fits into a body.
pub const BODY_BYTES_MAX_DEFAULT: usize = 64 << 20;

/// A request body after decompression: as much again. What is beyond is a bomb or a mistake.
pub const DECODED_BODY_BYTES_MAX_DEFAULT: usize = 128 << 20;

/// A body up to this size is decoded in one go, straight into the open block: a quarter of a millisecond at a gigabyte
/// a second, so that other connections do not wait longer.
pub const DIRECT_BODY_BYTES_MAX: usize = 256 << 10;

/// The same for a compressed body: it is five to ten times as large when decompressed. One that is larger than the bound
/// above is begun anew, in steps.
pub const DIRECT_CODED_BYTES_MAX: usize = 32 << 10;

/// The same where every point meets filters or a script: it takes the general path, a dozen times as long. A larger one
/// whose points have proved to do so is begun anew, in steps.
pub const DIRECT_HOOKED_BYTES_MAX: usize = DIRECT_BODY_BYTES_MAX / 8;

/// An open block of this many raw bytes is sealed at once. Past 64 KiB compression gains 3 %, and past the second-level
/// cache it loses time; below, commits and frames become many. Several blocks share a commit and an upload request.
pub const BLOCK_RAW_BYTES: usize = 128 << 10;

/// Payload bytes of one commit. Beyond a megabyte a batch falls out of the cache while it is copied: 17 MB batches
/// halved the rate.
pub const COMMIT_BYTES_MAX: usize = 1 << 20;

/// Payload bytes waiting in one ring at most: eight commits' worth.
pub const RING_BYTES_MAX: usize = 8 << 20;

/// Raw bytes of one upload request: DataKit's own default, which every DataWay takes.
pub const UPLOAD_RAW_BYTES_MAX_DEFAULT: usize = 1 << 20;

// A body that is decoded in one go leaves a block that one commit and one upload request take: lines grow by less than
// half when they become protobuf.
const _: () = assert!(BLOCK_RAW_BYTES + DIRECT_BODY_BYTES_MAX * 3 / 2 < UPLOAD_RAW_BYTES_MAX_DEFAULT);
const _: () = assert!(BLOCK_RAW_BYTES + DIRECT_BODY_BYTES_MAX * 3 / 2 < COMMIT_BYTES_MAX);
const _: () = assert!(RING_BYTES_MAX >= 4 * COMMIT_BYTES_MAX);
const _: () = assert!(DIRECT_CODED_BYTES_MAX < DIRECT_BODY_BYTES_MAX);
const _: () = assert!(BODY_BYTES_MAX_DEFAULT <= DECODED_BODY_BYTES_MAX_DEFAULT);
