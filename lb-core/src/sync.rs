//! The atomics, reference counts and swaps of this crate: std's and arc-swap's. Under `--cfg loom`, which explores every
//! interleaving of the models, the atomics are loom's, and the others are stand-ins on loom's atomics with the same contract.
//!
//! The `Arc` of this module is for values whose reference counts matter to a model: states, load indexes, descriptions.
//! All other code uses std's.

#[cfg(loom)]
mod arc;
#[cfg(loom)]
mod swap;

#[cfg(not(loom))]
pub(crate) use arc_swap::{ArcSwapAny, Guard};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Weak, atomic};

#[cfg(loom)]
pub(crate) use arc::{Arc, Weak};
#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(loom)]
pub(crate) use swap::{ArcSwapAny, Guard};
