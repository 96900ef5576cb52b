//! The state of an upstream that another process may begin with, and beginning with it.

use std::sync::Arc;
use std::time::Duration;

use lb_core::{BackendMemory, Health};
use tracing::info;

use super::{Upstream, lock, read};
use crate::saved_state::SavedUpstream;

impl Upstream {
    /// The last good sets of its sources, and the state of its backends. O(backends).
    pub(crate) fn export(&self) -> SavedUpstream {
        let shared = self.shared();
        let sets = read(&shared.discovery).last_sets();
        let memories = self.backends().memories(self.now()).collect();
        SavedUpstream {
            name: Arc::clone(&shared.name),
            sets,
            memories,
        }
    }

    /// What speaks against its backends. O(backends).
    pub(crate) fn export_faults(&self) -> SavedUpstream {
        let set = self.backends();
        let memories = set.memories(self.now()).filter(speaks_against);
        SavedUpstream {
            name: Arc::clone(&self.shared().name),
            sets: Vec::new(),
            memories: memories.collect(),
        }
    }

    /// Begins with what another process knew. Only before a server follows it. Returns whether it took a set.
    ///
    /// Without an active check the health of a backend is not taken: nothing would ever find it healthy again.
    pub(crate) fn restore(&self, mut saved: SavedUpstream) -> bool {
        let shared = self.shared();
        let Ok(mut plan) = shared.follower.try_lock() else {
            return false;
        };
        let Some(plan) = &mut *plan else {
            return false;
        };
        if plan.checks.is_empty() {
            for memory in &mut saved.memories {
                memory.health = None;
            }
        }
        let taken = plan.driver.begin_with(&saved.sets);
        lock(&shared.membership).recall(saved.memories, self.now());
        let sets = saved.sets.iter().zip(taken);
        let (taken, left): (Vec<_>, Vec<_>) = sets.partition(|(_, taken)| *taken);
        let left: Vec<_> = left.iter().map(|(set, _)| &*set.label).collect();
        let backends: usize = taken.iter().map(|(set, _)| set.backends.len()).sum();
        let age = taken.iter().map(|(set, _)| set.age).max();
        let age = Duration::from_secs(age.unwrap_or_default().as_secs());
        info!(upstream = self.name(), backends, ?age, not_taken = ?left, "Saved state restored");
        !taken.is_empty()
    }
}

fn speaks_against(memory: &BackendMemory) -> bool {
    memory.failures.is_some()
        || memory.failures_in_row > 0
        || memory.ejections.is_some()
        || memory.health == Some(Health::Unhealthy)
}
