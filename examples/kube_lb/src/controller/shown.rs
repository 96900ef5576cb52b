//! Figures of a decision, for the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decide::Decision;
use crate::metrics::{ServedListener, ServedNames, ServedUpstream};
use crate::services::Feedback;

/// What `decision` and `feedback` say. O(listeners + upstreams).
pub(super) fn shown(decision: &Decision, feedback: &Feedback) -> ServedNames {
    let listeners = decision.plan.listeners().iter();
    let listeners = listeners.map(|(addr, listener)| ServedListener {
        addr: *addr,
        owner: listener.owner.clone(),
        part: listener.part.clone(),
        routes: listener.routes.clone(),
        is_refused: feedback.listening.contains_key(addr),
    });
    let upstreams = decision.plan.upstreams().iter();
    let upstreams = upstreams.map(|(name, upstream)| ServedUpstream {
        name: Arc::clone(name),
        service: upstream.backends.service.clone(),
        port: upstream.backends.port,
    });
    let grants = || decision.grants.values();
    let settings = decision.services.iter();
    ServedNames {
        listeners: listeners.collect(),
        upstreams: upstreams.collect(),
        problems: BTreeMap::from([
            ("address", grants().map(|grant| grant.problems.len()).sum()),
            ("backends", feedback.backends.len()),
            ("port_taken", grants().map(|grant| grant.lost.len()).sum()),
            (
                "settings",
                settings.map(|planned| planned.problems.len()).sum(),
            ),
        ]),
    }
}
