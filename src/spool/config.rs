//! What a log is told when it is opened, and what it tells.

use super::format::{ROUTE_BYTES_MAX, SECTOR_BYTES, SEGMENT_HEADER_BYTES};
use std::time::Duration;

/// What one write hands to the disk: at 256 KiB to 1 MiB direct writes reach their full rate, and larger ones only
/// fall out of the cache between the copy and the write.
pub const WRITE_BYTES_MAX: usize = 1 << 20;
/// And what a read or write of something larger asks for at a time: the copies on both sides of it are work of the shard's,
/// and others are served in between. Of this size they fit into the memory that is registered with the ring.
pub(super) const PIECE_BYTES: usize = 256 << 10;
/// How much a caller should gather into one commit when there is more: about one write.
pub const COMMIT_BYTES_TARGET: usize = WRITE_BYTES_MAX;

const _: () =
    assert!(WRITE_BYTES_MAX.is_multiple_of(SECTOR_BYTES) && PIECE_BYTES.is_multiple_of(SECTOR_BYTES));
const _: () = assert!(ROUTE_BYTES_MAX < WRITE_BYTES_MAX);

/// What to do when a log's capacity is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuse what is new; what is spooled stays.
    #[default]
    Refuse,
    /// Drop the oldest segment, and say how many points went.
    EvictOldest,
}

/// The bounds of one log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Length of an ordinary segment.
    pub segment_bytes: u64,
    /// Bytes of disk that live segments may take.
    pub capacity_bytes: u64,
    pub when_full: WhenFull,
    /// Memory for committed frames that nobody has taken yet.
    pub tail_bytes_max: usize,
    /// Segments kept for reuse at most.
    pub spares_max: usize,
    /// What is older than this is given up by [`super::Log::expire`], whole segments at a time. None: nothing is.
    pub max_age: Option<Duration>,
    /// Bytes of the file system that new segments leave free, so that cursors, deletions and everybody else go on.
    pub reserve_bytes: u64,
    /// Which lane a route belongs to, for the sums; see [`super::LaneKey`]. Pure, and the same for ever.
    pub lane_of: fn(&[u8]) -> u64,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 32 << 20,
            capacity_bytes: 4 << 30,
            when_full: WhenFull::Refuse,
            tail_bytes_max: 8 << 20,
            spares_max: 2,
            max_age: None,
            reserve_bytes: 0,
            lane_of: |_route| 0,
        }
    }
}

impl LogConfig {
    /// The smallest segment: a header and two sectors of frames.
    pub const SEGMENT_BYTES_MIN: u64 = (SEGMENT_HEADER_BYTES + 2 * SECTOR_BYTES) as u64;

    /// With lengths in whole sectors, and at least two segments in the capacity: with one, nothing could ever be
    /// evicted, and delivery of the one would stop intake until its last frame.
    pub(super) fn normalised(mut self) -> LogConfig {
        let sector = SECTOR_BYTES as u64;
        self.capacity_bytes = self.capacity_bytes.max(2 * Self::SEGMENT_BYTES_MIN);
        let half = self.capacity_bytes / 2;
        self.segment_bytes =
            self.segment_bytes.clamp(Self::SEGMENT_BYTES_MIN, half.max(Self::SEGMENT_BYTES_MIN));
        self.segment_bytes -= self.segment_bytes % sector;
        self
    }
}

/// How much a window may hold. The first frame goes in whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    pub frames_max: usize,
    /// Bytes before compression.
    pub raw_bytes_max: usize,
    /// Bytes as stored.
    pub stored_bytes_max: usize,
}

/// Why a commit did not take all of its blocks.
#[derive(Debug)]
pub struct CommitError {
    /// The numbers of the first blocks, as many as there are numbers: these are spooled all the same.
    pub committed: std::ops::Range<u64>,
    pub reason: CommitFailure,
}

/// The reason.
#[derive(Debug)]
pub enum CommitFailure {
    /// No room, by the capacity or by the disk. It comes back by itself: refuse, and let the sender try again.
    Full,
    /// This block is larger than the log's capacity: trying again will not help.
    TooLarge,
    /// The disk fails, also on a second segment. Trying again may help; whether the blocks will turn up after a
    /// restart is not known.
    Io(std::io::Error),
}

impl std::fmt::Display for CommitFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CommitFailure::Full => f.write_str("the spool is full"),
            CommitFailure::TooLarge => f.write_str("larger than the spool's capacity"),
            CommitFailure::Io(error) => write!(f, "the spool cannot write: {error}"),
        }
    }
}

/// How a frame ended. The discriminant is on disk, in the cursor's sums: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fate {
    /// The destination has it.
    Delivered = 0,
    /// It is in the dead-letter log.
    Dead = 1,
    /// It is in a side log, from where it is sent again.
    Parked = 2,
    /// Given up to make room.
    Evicted = 3,
    /// Given up for its age.
    Expired = 4,
    /// Unreadable.
    Lost = 5,
    /// Given up by an operator.
    Dropped = 6,
}

/// What became of one frame's points: the rest of them was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub dead_points: u32,
    pub parked_points: u32,
}

/// Frames `first_seq..=last_seq` are done with. Told to the observer, once for each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    pub first_seq: u64,
    pub last_seq: u64,
    pub points: u64,
    /// Of frames that ended in several ways: dead if anything of them is, else parked if anything is.
    pub fate: Fate,
    pub delivered_points: u64,
    pub dead_points: u64,
    pub parked_points: u64,
}

impl Completion {
    /// Frames that all ended in the same way.
    pub(super) fn whole(first_seq: u64, last_seq: u64, points: u64, fate: Fate) -> Completion {
        let of = |other: Fate| if fate == other { points } else { 0 };
        Completion {
            first_seq,
            last_seq,
            points,
            fate,
            delivered_points: of(Fate::Delivered),
            dead_points: of(Fate::Dead),
            parked_points: of(Fate::Parked),
        }
    }
}

/// What lies put aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub frames: u64,
    pub points: u64,
    pub bytes: u64,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullState {
    #[default]
    Room,
    /// The log's own capacity.
    Capacity,
    /// The file system.
    Disk,
    /// All logs together: see [`super::policy`].
    Total,
}

/// Where a log stands. The sums count from its opening, the rest is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    pub spooled_points: u64,
    pub spooled_frames: u64,
    /// Bytes of the frames, without what fills sectors.
    pub spooled_bytes: u64,
    pub segments: u64,
    /// Bytes of disk under live segments, and with those kept for reuse.
    pub disk_bytes: u64,
    pub disk_bytes_with_spares: u64,
    pub spares: u64,
    /// Frames in memory that nobody has taken.
    pub tail_bytes: u64,
    pub windows_open: u64,
    /// When the oldest spooled frame was sealed, or a little earlier; none when nothing is spooled.
    pub oldest_ms: Option<u64>,
    pub full: FullState,
    /// What of the spooled is put aside: see [`super::Log::defer`].
    pub deferred: Backlog,

    pub commits: u64,
    pub committed_frames: u64,
    pub committed_points: u64,
    pub committed_bytes: u64,
    pub commits_failed: u64,
    /// Write and sync of all commits, and the longest.
    pub commit_ns: u64,
    pub sync_ns: u64,
    pub sync_ns_max: u64,
    pub segments_poisoned: u64,
    pub segments_created: u64,
    pub segments_reused: u64,
    pub cursor_writes: u64,
    pub windows_from_memory: u64,
    pub windows_from_disk: u64,
    pub delivered_points: u64,
    pub dead_points: u64,
    pub parked_points: u64,
    pub evicted_points: u64,
    pub expired_points: u64,
    pub dropped_points: u64,
    /// Told when a loss is found; in the totals when the window around it ends.
    pub lost_points: u64,
    pub lost_frames: u64,
}

impl LogStats {
    pub(super) fn add(&mut self, completion: &Completion) {
        self.delivered_points += completion.delivered_points;
        self.dead_points += completion.dead_points;
        self.parked_points += completion.parked_points;
        match completion.fate {
            Fate::Evicted => self.evicted_points += completion.points,
            Fate::Expired => self.expired_points += completion.points,
            Fate::Dropped => self.dropped_points += completion.points,
            Fate::Lost => self.lost_points += completion.points,
            Fate::Delivered | Fate::Dead | Fate::Parked => {}
        }
    }
}
