//! Vector code and its plain counterparts.

pub mod wire;
