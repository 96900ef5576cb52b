//! Ejections that end before their time, because an outage of this machine caused them.

use std::time::Duration;

use lb_core::{BackendStatus, ForgivenEjections, Health, Timestamp};
use tracing::warn;

use super::Upstream;

impl Upstream {
    /// Ends the ejections that failures without an answer caused: the embedder knows that this machine's path to the
    /// backends was gone and has returned, such as a link, an address or a route. An unhealthy backend stays unhealthy. O(n).
    ///
    /// Without a call the first answer of a backend ends an outage, if all failed within a moment; see
    /// [`CommonOutage`](lb_core::CommonOutage).
    pub fn forgive_unanswered(&self) {
        self.shared().balancer.forgive_unanswered(self.now());
        self.note_forgiven();
    }

    /// As [`forgive_unanswered`](Self::forgive_unanswered), but only ejections that began during the last `outage`. O(n).
    pub fn forgive_unanswered_within(&self, outage: Duration) {
        let now = self.now();
        let nanos = u64::try_from(outage.as_nanos()).unwrap_or(u64::MAX);
        let since = Timestamp::from_nanos(now.as_nanos().saturating_sub(nanos));
        let balancer = &self.shared().balancer;
        balancer.forgive_unanswered_since(since, now);
        self.note_forgiven();
    }

    /// Counts, logs and propagates what was forgiven since the last call. Costs a load if nothing was.
    pub(super) fn note_forgiven(&self) {
        if let Some(forgiven) = self.shared().balancer.take_forgiven() {
            self.propagate(forgiven);
        }
    }

    #[cold]
    fn propagate(&self, forgiven: ForgivenEjections) {
        if let Some(counters) = self.counters() {
            counters.forgiven(forgiven.backends);
        }
        if self.drain().is_used() {
            let (set, now) = (self.backends(), self.now());
            let status = set.status(now);
            let is_eligible = |status: &BackendStatus<'_>| {
                status.ejected_until.is_none() && status.health == Health::Healthy
            };
            for status in status.filter(is_eligible) {
                self.drain().healthy(status.backend.addr);
            }
        }
        warn!(
            upstream = self.name(),
            backends = forgiven.backends,
            outage = ?forgiven.outage,
            "Ejections forgiven"
        );
        self.readiness_changed();
        self.send_forgiven(forgiven.backends);
        self.serve_queue();
    }
}
