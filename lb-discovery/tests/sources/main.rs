//! The sources that need no network, in paused time.

#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

mod adaptors;
mod identity;
mod merge;
mod own;
mod poll;
#[path = "../support/run.rs"]
mod run;
#[path = "../support/script.rs"]
mod script;

use run::{ms, secs};
