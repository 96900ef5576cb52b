//! A host that serves some connections at once and queues the rest.

use std::collections::VecDeque;

use crate::scenario::{Failure, Group};

/// The state of a backend outside the balancer.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    servers: u32,
    busy: u32,
    queue: VecDeque<usize>,
    pub(crate) failure: Option<Failure>,
    /// In nanoseconds; `None` for a host that was present at the start and is warm.
    joined_at: Option<u64>,
}

impl Host {
    pub(crate) const fn new(group: &Group) -> Self {
        Self {
            servers: group.servers.get(),
            busy: 0,
            queue: VecDeque::new(),
            failure: None,
            joined_at: None,
        }
    }

    /// Starts again at `now`, cold.
    pub(crate) const fn join(&mut self, now: u64) {
        self.joined_at = Some(now);
    }

    /// Accepts connection `id`. True if its service begins at once, false if it waits.
    pub(crate) fn admit(&mut self, id: usize) -> bool {
        if self.busy < self.servers {
            self.busy += 1;
            true
        } else {
            self.queue.push_back(id);
            false
        }
    }

    /// Ends one service. Returns the waiting connection that is served next.
    pub(crate) fn finish(&mut self) -> Option<usize> {
        let next = self.queue.pop_front();
        if next.is_none() {
            self.busy -= 1;
        }
        next
    }

    /// The factor of all times at `now`: the group's factor just after the host joined, falling linearly to 1.
    pub(crate) fn slowness(&self, group: &Group, now: u64) -> f64 {
        let (Some(cold), Some(joined)) = (group.cold, self.joined_at) else {
            return 1.0;
        };
        let age = now.saturating_sub(joined) as f64 / cold.lasts.get().nanos() as f64;
        let extra = cold.factor.get() - 1.0;
        1.0 + extra * (1.0 - age).max(0.0)
    }
}
