//! Exporting what is remembered of a backend, and taking it.

use super::backend_state::{BackendState, nonzero};
use super::memory::BackendMemory;
use crate::sync::atomic::Ordering::Relaxed;
use crate::time::{TimeOffset, Timestamp};

impl BackendState {
    /// What is to be remembered at `now`.
    pub(crate) fn memory(&self, now: Timestamp) -> BackendMemory {
        let warm_since = self.warm_since.load(Relaxed);
        let warm_since = (warm_since > 0).then(|| Timestamp::from_nanos(warm_since));
        BackendMemory {
            addr: self.addr(),
            instance: self.description().instance.clone(),
            health: Some(self.health()),
            failures: self.failures.memory(now),
            failures_in_row: self.outliers.streak(),
            ejections: self.outliers.memory(now),
            warm_since: warm_since.map(|since| TimeOffset::between(since, now)),
        }
    }

    /// Takes what was remembered. `now` is the moment that its offsets are relative to. Called before the state is shared.
    pub(crate) fn recall(&self, memory: &BackendMemory, now: Timestamp) {
        if let Some(health) = memory.health {
            self.health.replace(health);
        }
        if let Some(failures) = memory.failures {
            self.failures.recall(failures, now);
        }
        self.outliers
            .recall(memory.failures_in_row, memory.ejections, now);
        let warm_since = memory.warm_since.map(|since| nonzero(since.from(now)));
        self.warm_since.store(warm_since.unwrap_or(0), Relaxed);
        // It may have nothing against it: the first success clears that.
        self.standing.suspect();
        self.clear_suspicion();
    }
}
