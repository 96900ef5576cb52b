//! Requests of operators that changed something, for status pages.

use std::time::SystemTime;

use crate::history::History;

/// How many actions are kept.
const KEPT: usize = 64;

/// A request of an operator that was carried out.
#[derive(Clone, Debug)]
pub(crate) struct OperatorAction {
    /// When it was carried out.
    pub(crate) at: SystemTime,
    /// What sent it.
    pub(crate) by: String,
    /// The name of the request, such as `drain`.
    pub(crate) name: &'static str,
    /// The upstream that the request named.
    pub(crate) upstream: Option<String>,
    /// The endpoint of the backend that it named.
    pub(crate) backend: Option<String>,
    /// The number of the session that it named.
    pub(crate) session: Option<u64>,
    /// The weight, the limit or the level that it set.
    pub(crate) value: Option<String>,
    pub(crate) effect: ActionEffect,
}

/// What an action changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ActionEffect {
    /// A setting of the backend, in this many upstreams.
    Changed(u64),
    /// This many sessions were closed.
    Closed {
        closed: u64,
        /// Those of them that were reset at once.
        reset: u64,
        /// Others that were closing already.
        closing: u64,
    },
    /// A setting of the program.
    Set,
}

/// The last actions.
pub(crate) type ActionHistory = History<OperatorAction, KEPT>;

impl OperatorAction {
    /// An action that is carried out now, without a target.
    pub(crate) fn now(name: &'static str, by: &str, effect: ActionEffect) -> Self {
        Self {
            at: SystemTime::now(),
            by: by.to_owned(),
            name,
            upstream: None,
            backend: None,
            session: None,
            value: None,
            effect,
        }
    }
}
