//! What the functions of the script language do, apart from the language: bytes and numbers in, bytes and numbers out.
//! No clocks, files or zones of the machine: now and the local zone are arguments.

pub mod json;
pub mod time;

#[cfg(test)]
mod testing;
