//! The destination that takes everything and keeps nothing: for benchmarks of what lies before it. Points count as
//! delivered.

pub const NAME: &str = "blackhole";
