//! The part of the status about what operators did.

use serde::{Deserialize, Serialize};

use super::server::millis;
use crate::operator_action::{ActionEffect, OperatorAction};

/// A request of an operator that was carried out.
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ActionReport {
    /// When it was carried out, in milliseconds since 1970.
    pub time_ms: u64,
    /// The name of the request: `close`, `drain`, `log_level`, `max_conns`, `ready`, `undrain` or `weight`.
    pub action: String,
    /// What sent it, such as a user of the machine.
    pub by: String,
    /// The upstream that the request named; absent without one: every upstream that has the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The endpoint of the backend that the request named; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The number of the session that the request named; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// The weight, the limit or the level of the log that it set; absent for other requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// In how many upstreams the setting of the backend differed before; absent for other requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
    /// How many sessions it closed; absent for other requests, as the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<u64>,
    /// How many of the closed sessions were reset at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<u64>,
    /// How many other sessions were closing already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<u64>,
}

impl From<OperatorAction> for ActionReport {
    fn from(action: OperatorAction) -> Self {
        let mut report = Self {
            time_ms: millis(action.at),
            action: action.name.to_owned(),
            by: action.by,
            upstream: action.upstream,
            backend: action.backend,
            session: action.session,
            value: action.value,
            changed: None,
            closed: None,
            reset: None,
            closing: None,
        };
        match action.effect {
            ActionEffect::Changed(upstreams) => report.changed = Some(upstreams),
            ActionEffect::Closed {
                closed,
                reset,
                closing,
            } => {
                report.closed = Some(closed);
                report.reset = Some(reset);
                report.closing = Some(closing);
            }
            ActionEffect::Set => {}
        }
        report
    }
}
