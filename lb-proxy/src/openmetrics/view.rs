//! One scrape's view of the upstreams.

use std::sync::Arc;

use lb_core::{BackendSet, Priority, Timestamp};
use lb_discovery::DriverStatus;

use crate::health::CheckStatus;
use crate::upstream::Upstream;

/// One upstream at the moment of a scrape.
#[derive(Debug)]
pub(super) struct UpstreamView {
    pub(super) name: Arc<str>,
    pub(super) policy: &'static str,
    pub(super) set: Arc<BackendSet>,
    pub(super) now: Timestamp,
    pub(super) queued: usize,
    pub(super) queue_capacity: usize,
    pub(super) is_in_panic: bool,
    pub(super) discovery: DriverStatus,
    /// Empty unless backends are shown.
    pub(super) checks: Vec<CheckStatus>,
    pub(super) tables: Vec<(Priority, u64)>,
}

impl UpstreamView {
    fn new(upstream: &Upstream, by_backend: bool) -> Self {
        Self {
            name: Arc::clone(upstream.shared_name()),
            policy: upstream.policy_name(),
            set: upstream.backends(),
            now: upstream.now(),
            queued: upstream.queued(),
            queue_capacity: upstream.queue_capacity(),
            is_in_panic: upstream.is_in_panic(),
            discovery: upstream.discovery(),
            checks: if by_backend {
                upstream.health_checks()
            } else {
                Vec::new()
            },
            tables: upstream.digests(),
        }
    }

    /// The views of `upstreams` by name. Of several with one name, which a series could not distinguish, the first is shown.
    pub(super) fn of(upstreams: &[Upstream], by_backend: bool) -> Vec<Self> {
        let views = upstreams
            .iter()
            .map(|upstream| Self::new(upstream, by_backend));
        let mut views: Vec<_> = views.collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views.dedup_by(|later, first| later.name == first.name);
        views
    }
}
