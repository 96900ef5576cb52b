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

use run::{ms, secs};
use script::Watch;

fn now(set: Snapshot) -> Watch {
    Watch::Sets(vec![(Duration::ZERO, set)])
}
