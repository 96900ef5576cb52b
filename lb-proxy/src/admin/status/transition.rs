//! The part of the status about changes of backends.

use serde::{Deserialize, Serialize};

use super::server::millis;
use crate::reports::Transition;

/// An ejection or a change of health of a backend.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TransitionReport {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The backend's address, or `unix:` and the path.
    pub backend: String,
    /// The backend's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `ejected`, `healthy` or `unhealthy`.
    pub change: String,
}

impl TransitionReport {
    pub(super) fn of(transition: &Transition) -> Self {
        Self {
            time_ms: millis(transition.at),
            backend: transition.backend.to_string(),
            name: transition.name.as_deref().map(str::to_owned),
            change: transition.kind.as_str().to_owned(),
        }
    }
}
