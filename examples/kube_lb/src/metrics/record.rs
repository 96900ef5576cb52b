//! Counters and gauges of the controller.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::served::ServedNames;
use crate::clusters::Knowledge;
use crate::watch_health::WatchHealth;

/// The upper bounds of the buckets of the time of a reconciliation, in seconds.
const RECONCILE_BUCKETS: [f64; 12] = [
    0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// What the controller counts and shows. A copy is another handle.
#[derive(Clone, Default)]
pub struct ControllerMetrics(Arc<MetricState>);

struct MetricState {
    reconciles: Histogram,
    counts: Mutex<Counts>,
    watches: WatchHealth,
}

/// The counters, and what is shown as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) failed_plans: u64,
    /// By the kind of the object and the result.
    pub(super) writes: BTreeMap<(&'static str, WriteResult), u64>,
    /// How often the same was written again, by the kind.
    pub(super) undone: BTreeMap<&'static str, u64>,
    /// Writes and Events that wait.
    pub(super) waiting: usize,
    pub(super) is_leader: bool,
    /// How often leadership has begun.
    pub(super) leaderships: u64,
    pub(super) failed_renewals: u64,
    /// How many objects of each kind are known, by its plural name.
    pub(super) objects: BTreeMap<&'static str, usize>,
    pub(super) served: Arc<ServedNames>,
    /// What is known of each cluster, by its name.
    pub(super) clusters: Vec<(String, Knowledge)>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum WriteResult {
    /// The object had changed: the next version makes another write.
    Conflict,
    /// There was no answer.
    Failed,
    /// The object no longer exists.
    Gone,
    /// Another program owns the field.
    OtherManager,
    /// Any other answer.
    Refused,
    /// It was carried out.
    Written,
}

impl WriteResult {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::Conflict,
        Self::Failed,
        Self::Gone,
        Self::OtherManager,
        Self::Refused,
        Self::Written,
    ];

    /// The value of the label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Gone => "gone",
            Self::OtherManager => "other_manager",
            Self::Refused => "refused",
            Self::Written => "written",
        }
    }
}

impl Default for MetricState {
    fn default() -> Self {
        Self {
            reconciles: Histogram::new(RECONCILE_BUCKETS),
            counts: Mutex::default(),
            watches: WatchHealth::default(),
        }
    }
}

impl ControllerMetrics {
    /// Counts a reconciliation that took this long.
    pub(crate) fn reconciled(&self, took: Duration) {
        self.0.reconciles.observe(took.as_secs_f64());
    }

    /// Counts a plan that was not applied.
    pub(crate) fn plan_failed(&self) {
        self.lock().failed_plans += 1;
    }

    /// Shows how many objects of each kind are known, by its plural name.
    pub(crate) fn know(&self, objects: BTreeMap<&'static str, usize>) {
        self.lock().objects = objects;
    }

    /// Shows how old what is known of each cluster is.
    pub(crate) fn follow(&self, clusters: Vec<(String, Knowledge)>) {
        self.lock().clusters = clusters;
    }

    /// Shows what is served now.
    pub(crate) fn serve(&self, served: ServedNames) {
        self.lock().served = Arc::new(served);
    }

    /// Counts a write that repeats the last one of an object of the kind `kind`.
    pub(crate) fn undone(&self, kind: &'static str) {
        *self.lock().undone.entry(kind).or_default() += 1;
    }

    /// Counts an attempt to write an object of the kind with this plural name.
    pub(crate) fn wrote(&self, kind: &'static str, result: WriteResult) {
        *self.lock().writes.entry((kind, result)).or_default() += 1;
    }

    /// Shows how many writes wait.
    pub(crate) fn waiting(&self, writes: usize) {
        self.lock().waiting = writes;
    }

    /// Shows whether this replica leads.
    pub(crate) fn leads(&self, is_leader: bool) {
        let mut counts = self.lock();
        let was_leader = std::mem::replace(&mut counts.is_leader, is_leader);
        counts.leaderships += u64::from(is_leader && !was_leader);
    }

    /// Counts a failed attempt to read or write the Lease.
    pub(crate) fn renewal_failed(&self) {
        self.lock().failed_renewals += 1;
    }

    /// The state of the watches.
    pub fn watches(&self) -> &WatchHealth {
        &self.0.watches
    }

    pub(super) fn reconciles(&self) -> Histogram {
        self.0.reconciles.clone()
    }

    /// The attempts to write, by the kind of the object and the result.
    #[cfg(test)]
    pub(crate) fn writes(&self) -> BTreeMap<(&'static str, WriteResult), u64> {
        self.lock().writes.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ControllerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ControllerMetrics")
            .field(&self.counts())
            .finish()
    }
}
