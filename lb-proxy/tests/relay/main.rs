//! The relay: bytes, every order of closing, sessions that are cut.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bandwidth;
mod bytes;
#[cfg(target_os = "linux")]
mod close;
#[cfg(target_os = "linux")]
mod cut;
#[cfg(target_os = "linux")]
mod rule;
mod streams;
