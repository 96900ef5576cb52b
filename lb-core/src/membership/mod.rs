//! What is built from a snapshot and replaced as one value.

pub(crate) mod compiled;
pub(crate) mod known;
pub(crate) mod registry;
pub(crate) mod set;
pub(crate) mod shared;
