//! Upstreams without a server: pools, and connections to them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod connect;
mod events;
mod picks;
#[cfg(feature = "tower")]
mod tower;
