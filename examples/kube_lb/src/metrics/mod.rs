//! The metrics of the controller, beside those that lb-proxy has of the proxy.
//!
//! - `record`: what the controller counts and shows;
//! - `served`: the names of what is served;
//! - `collector`: the families.
//!
//! `docs/metrics.md` lists all of them.

mod collector;
mod record;
mod served;

pub use collector::registry;
pub use record::{ControllerMetrics, WriteResult};
pub(crate) use served::{ServedListener, ServedNames, ServedUpstream};
