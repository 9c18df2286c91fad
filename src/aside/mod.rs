//! What is answered off the shards, by ordinary blocking code on threads of its own.

pub mod dialtest;
