//! The whole proxy: shutdown, reload, removal at run time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "admin")]
mod admin;
#[cfg(feature = "admin")]
mod admin_sockets;
mod drain;
#[cfg(feature = "admin")]
mod explain;
mod health;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(all(feature = "netlink", target_os = "linux"))]
mod network;
mod panics;
#[cfg(feature = "metrics")]
mod prometheus;
mod readiness;
mod reload;
mod reload_upstreams;
mod removal;
#[cfg(feature = "saved-state")]
mod saved_state;
mod zeros;
