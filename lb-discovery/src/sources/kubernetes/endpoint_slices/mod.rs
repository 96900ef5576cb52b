//! The pods of a Service, at their own addresses.

pub(crate) mod skipped;
pub(crate) mod snapshot;
pub(crate) mod source;
