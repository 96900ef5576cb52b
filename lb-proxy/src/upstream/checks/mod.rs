//! The active checks of an upstream: what they are, what they found, and the tasks that run them.

mod handle;
pub(crate) mod list;
pub(crate) mod permits;
pub(crate) mod record;
mod reports;
mod results;
mod run_probe;
mod schedule;
pub(crate) mod tasks;
