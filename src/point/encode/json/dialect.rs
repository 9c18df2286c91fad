//! The two dialects.
