//! One shard per core, signals, drain, exit codes.
