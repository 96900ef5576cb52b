//! Reading files with a time limit, away from the threads that carry sessions.

#[cfg(feature = "kubernetes")]
pub(crate) mod blocking;
pub(crate) mod reader;
