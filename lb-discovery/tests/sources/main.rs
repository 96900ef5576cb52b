//! Single sources: fixed lists, handles, polls, files, unions. Paused time, except for files.

#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

mod combinators;
#[cfg(feature = "file")]
mod file;
mod identity;
mod lists;
mod merge;
mod polled;
#[cfg(feature = "system-dns")]
mod system_dns;

use test_support::deadline::{ms, secs};
