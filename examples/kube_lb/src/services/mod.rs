//! From Services to addresses, listeners and status. Pure.
//!
//! - `annotations`: the settings that annotations make, with a table of all of them;
//! - `settings`: their values;
//! - `ours`: which Services are served, and what they ask of the pools;
//! - `planner`: their listeners and upstreams;
//! - `problems`: what is wrong with annotations and fields;
//! - `status`: what is reported of them; `port_error`: the errors of ports.

pub mod annotations;
mod ours;
mod planner;
mod port_error;
mod problems;
mod settings;
mod source_ranges;
mod status;

pub use ours::{NotOurs, address_request, check_ours, leftover};
pub use planner::{Feedback, PlannedService, ReadServices, ServiceRules};
pub use problems::{AnnotationProblem, Problems};
pub use settings::{IdleTimeout, ServiceSettings};
pub(crate) use source_ranges::source_ranges;
pub use status::{ServiceReport, report};

#[cfg(test)]
mod tests;
