//! DNS as a source, against a real server on this machine, in real time.

#![cfg(feature = "dns")]
#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

mod failures;
mod follow;
mod forged;
mod lookup;
mod names;
mod service;
mod silence;
