//! The active checks of an upstream: what they are, what they found, and the tasks that run them.

mod handle;
pub(crate) mod list;
pub(crate) mod permits;
mod probe_thread;
pub(crate) mod record;
mod reports;
pub(crate) mod resources;
mod results;
mod run_probe;
mod schedule;
pub(crate) mod tasks;
