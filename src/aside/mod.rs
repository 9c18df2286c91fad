//! Requests that are answered aside: beside the shards, on threads that may wait for files, programs and other hosts.

pub mod sourcemap;
