//! The readiness of a server for new connections, with the conditions that decide it.
//!
//! `server/readiness.rs` decides, in one place. Here are what it reports and the signal that something may have changed.

mod condition;
mod signal;

pub use condition::{Readiness, ReadinessCheck, ReadinessCondition};
pub(crate) use signal::{ReadinessObservers, ReadinessSignal};
