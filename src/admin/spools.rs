//! What tools have done to spools: one trait, so that a tool neither knows nor cares whether a gateway is running.

use crate::point::Category;
use crate::spool::{Block, LogStats};

/// The logs of a data directory: those of a running gateway, or opened by the tool itself under the owner's lock.
pub trait Spools {
    /// Makes blocks durable at the end of the category's log, from where they are uploaded like any others. All of them,
    /// or an error: then some may be there.
    fn commit(&mut self, category: Category, blocks: Vec<Block>) -> Result<(), String>;

    /// Gives up what is spooled before this frame and not out; says how many points that were.
    fn drop_before(&mut self, category: Category, seq: u64) -> Result<u64, String>;

    fn stats(&mut self, category: Category) -> Result<LogStats, String>;
}
