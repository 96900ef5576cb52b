//! Hooks that write one event a session, ready to use: `tracing` events, and lines of JSON.

mod attempts;
#[cfg(feature = "access-events")]
mod json;
mod log;
#[cfg(feature = "access-events")]
mod record;
#[cfg(feature = "access-events")]
mod writer;

#[cfg(feature = "access-events")]
pub use json::JsonEvents;
pub use log::{ACCESS_TARGET, TracingEvents};
