//! The destination that takes everything and keeps nothing: for benchmarks of what lies before it. Points count as
//! delivered.

use super::{Accepts, Coding, Format};

pub const NAME: &str = "blackhole";

/// Blocks for the blackhole are not worth compressing.
pub const ACCEPTS: Accepts =
    Accepts { format: Format::Protobuf, coding: Coding::Identity, joined_members: true };
