//! The whole proxy: shutdown, reload, removal at run time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod drain;
mod health;
#[cfg(feature = "metrics")]
mod metrics;
mod reload;
mod reload_upstreams;
mod removal;
