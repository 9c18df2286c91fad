//! The disk-backed queue: one append-only log of frames per category. It knows frames, not points.
//!
//! # What it promises
//!
//! - When [`Log::commit`] returns, its blocks survive a power cut: their bytes are synced, and so is the name of the file.
//! - What went out under a window's boundaries goes out under them again, after a crash too, until it is completed.
//! - Damage stays where it is: it costs the frames it hits, which are counted and named, and the rest goes on.
//! - The sums are exact at any moment and from the first moment after a restart, in constant time.
//! - What became of every point is counted, in all and by lane, and fits what goes out again after any crash (`account`).
//! - Memory, the windows that are out, spare files and the bytes of a log on disk are bounded.
//!
//! # On disk
//!
//! ```text
//! <data_dir>/LOCK                         held by the kernel for the owner; its pid inside
//! <data_dir>/spool/<category>/
//!     cursor                              how far delivery is, and which windows are out (see `cursor`)
//!     segment-<id, 16 hex digits>         frames; ids grow and are never given twice
//!     spare-<id>, unfinished-<id>         to become a segment: ready, or left half-made by a crash
//!     quarantined-<id>                    the newest few segments in which something could not be read
//!
//! segment:  0        4096                     8192
//!           ├────────┼────────────────────────┼────────────────────────┼────────────────────────┤
//!           │ header │ frame frame frame 0 0 0│ frame                  │ (as it was: zeros, or a │
//!           │        │        commit          │ continued  frame 0 0 0 │  former life's frames)  │
//!           ├────────┴────────────────────────┴────────────────────────┴────────────────────────┤
//!                    every commit begins at a sector of its own
//!
//! frame:    header 80 bytes │ route │ payload │ zeros up to a multiple of 8
//! ```
//!
//! `format` has every field. What carries the weight:
//!
//! - *seq*: consecutive within a log, across segments and restarts. A segment ends where the next begins: frames in it
//!   with later numbers are of a commit that failed there and was done again elsewhere.
//! - *salt*: in the segment's header and in every frame of it, different in each life of a file. A recycled segment is
//!   not cleared; the frames of its life before have another salt.
//! - *segment id*, in the segment's header and in every frame of it: where the header is lost, a frame of a life before,
//!   with a number that was given again elsewhere, is not taken for one of this life.
//! - *points and bytes before*: in every header, so that the difference of two places is exact whatever lies between.
//! - *segment floor*, in the cursor: segments with smaller ids are done with, whatever a crash brings back.
//! - *CRC32C*, of header with route and of payload apart: with the header intact a damaged payload is skipped in one
//!   step and named with its points; with it damaged the next frame is searched in steps of 8 bytes.
//!
//! # Writing
//!
//! One commit at a time: frames are copied into aligned buffers of at most [`WRITE_BYTES_MAX`], written one behind
//! another, and one sync covers all. A sector that holds acknowledged frames is never written again, so a torn write can
//! only hit what nobody was told of. The first commit into a segment writes its header along and syncs the directory too.
//! After a failed write or sync nothing is assumed: the segment is closed where it last was good and the blocks are
//! written once more to another one; if that fails too, so does the commit. No sync is ever repeated to see whether it
//! works now. A segment that somebody has removed takes writes and forgets them: after each sync it is asked whether it
//! still has a name. A disk without room, down to the reserve, is a state: commits say [`CommitFailure::Full`], everything else goes on, and
//! [`Log::maintain`] notices when there is room again.
//!
//! # Reading and delivering
//!
//! [`Log::next_window`] gives consecutive frames as soon as there are any; batches are as large as the load makes them.
//! Its boundaries are in the cursor, durably, before it returns; one sync covers openings and completions of all workers.
//! Frames come from memory while the reader is caught up, otherwise from disk with one read ahead, each checked. Windows
//! complete in any order; the cursor moves over what is done without a gap, and segments behind the *durable* cursor
//! become spares or are removed. After an outage [`Log::defer`] puts the backlog aside: fresh frames go on at once, windows
//! are cut from the beginning of the stretch aside, and segments between that are done with leave as well.
//!
//! # Giving up
//!
//! By the log's capacity ([`WhenFull::EvictOldest`]), the total of all logs (`policy`), age (`age`), or an operator: the
//! oldest first, told to the observer, in the sums, and gone from the disk only when the cursor says so durably.
//!
//! # Recovery
//!
//! Bounded: names, the cursor, the first sector of each segment, and the frames of the last segment; its torn end is cut.
//! What was readable but perhaps never synced is made durable before anything is built on it. The recovered segments are
//! not written again. A lost cursor costs duplicates under new ids, never data. A segment whose header is lost is read by
//! the salt of its frames, of those that say they are of this segment.
//!
//! # Versions
//!
//! The cursor and the segments have versions of their own. A later version's files are refused and left as they are. An
//! upgrade reads the old ones: segments as they are, with the new version written into new segments only; the cursor once,
//! replaced as a whole by the first write, under its own name, in one renaming. A crash before that is followed by the
//! same upgrade. Segments are of version 1; what a header says behind its CRC was added later and may be missing, as
//! may the segment in a frame. The cursor is of version 3; version 1 had no sums, which then begin behind what it says is
//! done with, and for the lanes with the last segment: frames before that are counted on their lane when they are gone.
//!
//! # Not supported
//!
//! Several owners; changes by anyone else while a log is open; merging two logs. With a frame lost behind what the newest
//! cursor knows of, torn and damaged cannot be told apart: it is reported as lost if something whole follows it, and cut
//! otherwise. A window that was out when its segment was evicted, and comes back after all, counts as lost.

mod account;
mod age;
mod block;
mod config;
mod cursor;
pub mod file;
mod format;
mod give_up;
pub mod inspect;
mod ledger;
mod log;
mod owner;
mod place;
pub mod policy;
mod pool;
mod recover;
mod scan;
mod settle;
mod tail;
mod turn;
mod window;
mod writer;

#[cfg(test)]
mod tests;

pub use account::{LANES_MAX, LaneKey, Totals};
pub use block::{Block, Codec, Kind};
pub use config::{
    Backlog, COMMIT_BYTES_TARGET, CommitError, CommitFailure, Completion, Fate, FullState, LogConfig,
    LogStats, Settled, WRITE_BYTES_MAX, WhenFull, WindowLimits,
};
pub use file::Durability;
pub use file::direct::DirectDisk;
pub use format::{LogId, PAYLOAD_BYTES_MAX, ROUTE_BYTES_MAX};
pub use ledger::{DEFERRED_MAX, WINDOWS_DEFERRED_MAX, WINDOWS_OPEN_MAX};
pub use log::{Log, Observer};
pub use owner::{OwnError, Owner, fresh_id};
pub use place::package_id;
pub use recover::{OpenError, RecoveryReport};
pub use window::{Frame, Window};
