//! The driver: follows sources, keeps the last good set of each, and publishes their union.

pub(crate) mod config;
mod follower;
mod outage_log;
pub(crate) mod state;
pub(crate) mod task;
