//! Scripts that users write to take points apart: DataKit's Pipeline.

pub mod lib;
