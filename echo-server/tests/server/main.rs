//! The server over real sockets, and the binary as a process.

#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

mod common;
mod lifetime;
mod lines;
mod listen;
#[cfg(target_os = "linux")]
mod process;
