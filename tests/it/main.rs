//! Integration tests, one binary.

mod golden_write;
