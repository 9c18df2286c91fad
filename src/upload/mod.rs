//! upload
pub mod archive;
pub mod batcher;
pub mod body;
pub mod carrier;
pub mod dead;
pub mod env;
mod gate;
mod race;
pub mod retry;
pub mod source;
pub mod worker;

#[cfg(test)]
pub(crate) mod testing;
