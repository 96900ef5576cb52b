//! The driver, in paused time.

#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

mod control;
mod failures;
mod histories;
mod panics;
mod publishing;
mod restored;
mod staleness;

use std::time::Duration;

use lb_core::Snapshot;
use test_support::deadline::{ms, secs};
use test_support::discovery::Watch;

fn now(set: Snapshot) -> Watch {
    Watch::Sets(vec![(Duration::ZERO, set)])
}
