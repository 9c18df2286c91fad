//! The encoded form of points: protobuf `PBPoints` bytes and their count. From here on nothing else travels.
//!
//! Repeated protobuf fields concatenate, so a batch is extended point by point, and batches are joined by putting
//! their bytes one behind another.

/// Encoded points of one lane, growing. The open block of a shard's lane is one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// `PBPoints` wire bytes: a sequence of field 1, one per point.
    pub bytes: Vec<u8>,
    /// How many points `bytes` holds.
    pub points: u32,
}

/// A place in a batch to return to when the rest of a request turns out to be bad.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    points: u32,
}

impl Mark {
    /// How many points there were.
    pub fn points(self) -> u32 {
        self.points
    }
}

impl Batch {
    pub fn with_capacity(bytes: usize) -> Batch {
        Batch { bytes: Vec::with_capacity(bytes), points: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.points == 0
    }

    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), points: self.points }
    }

    /// What was added since `mark`.
    pub fn since(&self, mark: Mark) -> &[u8] {
        self.bytes.get(mark.bytes..).unwrap_or_default()
    }

    /// Puts `bytes`, as many points as before, in place of what was added since `mark`.
    pub fn replace(&mut self, mark: Mark, bytes: &[u8]) {
        assert!(mark.bytes <= self.bytes.len(), "BUG: replacing from {} of {}", mark.bytes, self.bytes.len());
        self.bytes.truncate(mark.bytes);
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets everything added since `mark`.
    pub fn rollback(&mut self, mark: Mark) {
        assert!(mark.bytes <= self.bytes.len(), "BUG: rollback to {} of {}", mark.bytes, self.bytes.len());
        self.bytes.truncate(mark.bytes);
        self.points = mark.points;
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.points = 0;
    }
}
