//! The atomics of this crate: std's, or loom's where `--cfg loom` explores every interleaving of the models.

#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic;
