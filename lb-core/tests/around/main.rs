//! The settings around the policies, feature by feature.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod explain;
mod loads;
mod outliers;
mod priorities;
mod slow_start;
#[path = "../support/mod.rs"]
mod support;
mod survival;
mod threads;
mod updates;
mod zones;
