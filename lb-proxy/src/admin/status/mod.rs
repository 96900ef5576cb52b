//! The schema of `status.json`; `docs/status.md` of this crate describes it field by field.
//!
//! A reader must ignore fields that it does not know. [`VERSION`] grows when a field is removed or changes its meaning.

mod action;
mod backend;
mod collect;
mod counters;
mod server;
mod transition;
mod upstream;

use serde::{Deserialize, Serialize};

pub use action::ActionReport;
pub(super) use backend::admin_name;
pub use backend::{BackendReport, CheckStateReport, InconclusiveReport, OverrideReport};
pub(super) use collect::collect;
pub use counters::{BackendCountersReport, ListenerCountersReport, UpstreamCountersReport};
pub use server::{DescriptorsReport, ListenerReport, ReadinessReason, ReloadEntry, ServerReport};
pub(super) use server::{as_micros, as_millis};
pub use transition::TransitionReport;
pub use upstream::{QueueReport, SourceReport, TierReport, UpstreamReport};

/// The version of the schema.
pub const VERSION: u32 = 1;

/// The status of a server at one moment.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Status {
    /// The version of the schema: [`VERSION`].
    pub version: u32,
    /// The moment, in milliseconds since 1970.
    pub time_ms: u64,
    /// The process and its totals.
    pub server: ServerReport,
    /// The listeners in the order of the configuration.
    pub listeners: Vec<ListenerReport>,
    /// The upstreams in the order of the configuration.
    pub upstreams: Vec<UpstreamReport>,
    /// The overrides of all upstreams.
    pub overrides: Vec<OverrideReport>,
    /// The last reloads, the oldest first.
    pub reloads: Vec<ReloadEntry>,
    /// The last requests of operators that were carried out, the oldest first.
    #[serde(default)]
    pub actions: Vec<ActionReport>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_is_a_status() {
        let document = include_str!("../../../docs/status.md");
        let (_, example) = document.split_once("```json").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let status: Status = serde_json::from_str(example).unwrap();
        assert_eq!(status.version, VERSION);
        let written: serde_json::Value = serde_json::to_value(&status).unwrap();
        let read: serde_json::Value = serde_json::from_str(example).unwrap();
        assert_eq!(written, read);
    }
}
