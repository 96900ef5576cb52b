//! The driver, in paused time.

#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

mod control;
mod failures;
mod publishing;
#[path = "../support/run.rs"]
mod run;
#[path = "../support/script.rs"]
mod script;
mod staleness;

use std::time::Duration;

use lb_core::Snapshot;

use script::Watch;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn now(set: Snapshot) -> Watch {
    Watch::Sets(vec![(Duration::ZERO, set)])
}
