//! The driver: follows sources, keeps the last good set of each, and publishes their union.
//!
//! - `task`: [`Driver`](task::Driver), which runs one follower a source and publishes what they find;
//! - `follower`: one source: opens its watch again and again, with growing delays;
//! - `state`: what followers write and the publisher reads; `source_state` is the part of one source;
//! - `handle`, `status`: what an embedder reads, and its hints;
//! - `last_set`: last good sets that outlive the process;
//! - `outage_log`: which failures of a source are logged.

pub(crate) mod config;
mod follower;
pub(crate) mod handle;
pub(crate) mod last_set;
mod outage_log;
mod source_state;
mod state;
pub(crate) mod status;
pub(crate) mod task;
