//! The active checks of an upstream: what they are, what they found, and the tasks that run them.

pub(crate) mod list;
pub(crate) mod record;
mod schedule;
pub(crate) mod tasks;
