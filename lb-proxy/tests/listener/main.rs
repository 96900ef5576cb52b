//! Listeners and workers: sockets, addresses, limits.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod burst;
mod covered;
#[cfg(target_os = "linux")]
mod freebind;
mod handover;
mod inherit;
mod limits;
#[cfg(target_os = "linux")]
mod multipath;
mod own_listener;
mod sharing;
mod unix;
mod workers;
