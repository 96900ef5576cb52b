//! The atomics of this crate, and what counts references and swaps pointers by them: std's and arc-swap's. Where
//! `--cfg loom` explores every interleaving of the models they are loom's, and stand-ins on loom's that do the same.
//!
//! The `Arc` of here is for what has its references counted, or is told of: states, boards, descriptions. Elsewhere it
//! is std's.

#[cfg(loom)]
mod arc;
#[cfg(loom)]
mod swap;

#[cfg(not(loom))]
pub(crate) use arc_swap::{ArcSwapAny, Cache, Guard};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Weak, atomic};

#[cfg(loom)]
pub(crate) use arc::{Arc, Weak};
#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(loom)]
pub(crate) use swap::{ArcSwapAny, Cache, Guard};
