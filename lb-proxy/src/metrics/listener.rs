//! The counters of one listener.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lb_core::Endpoint;

use super::end_counts::{EndCounts, LiveEndCounts};
use super::shards::Shards;
use super::traffic::{Direction, LiveTraffic, Traffic};
use crate::close_reason::CloseReason;
use crate::failures::kind::AcceptPause;

/// The counters of one listener since it was bound. A connection that a route passes to another listener counts at the one
/// that accepted it.
#[non_exhaustive]
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ListenerMetrics {
    /// What it listens on.
    pub listener: Endpoint,
    /// Whether it listens now. A removed listener is reported until its last session has ended.
    pub is_current: bool,
    /// Connections accepted. Always the sum of `active` and of `ended`.
    pub accepted: u64,
    /// Connections that are open now.
    pub active: u64,
    /// Connections that ended.
    pub ended: EndCounts,
    /// Pauses of accepting, by their reason.
    pub pauses: PauseCounts,
    /// Bytes, those of open sessions included.
    pub traffic: Traffic,
}

/// How often accepting paused, by reason.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PauseCounts {
    /// The limit of new connections in a time.
    pub rate: u64,
    /// The limit of open sessions, or of descriptors for them.
    pub sessions: u64,
    /// accept(2) failed for lack of descriptors or memory.
    pub shortage: u64,
}

/// The live counters of one listener.
#[derive(Debug)]
pub(crate) struct ListenerCounters {
    listener: Endpoint,
    shards: Shards<ListenerShard>,
    pauses: [AtomicU64; 3],
}

/// What one worker counts.
#[derive(Debug, Default)]
struct ListenerShard {
    accepted: AtomicU64,
    ended: LiveEndCounts,
    traffic: LiveTraffic,
}

impl ListenerCounters {
    pub(super) fn new(listener: Endpoint, workers: usize) -> Self {
        Self {
            listener,
            shards: Shards::new(workers, ListenerShard::default),
            pauses: Default::default(),
        }
    }

    pub(crate) fn accepted(&self, worker: usize) {
        self.shards.of(worker).accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self, worker: usize, reason: CloseReason) {
        self.shards.of(worker).ended.increment(reason as usize);
    }

    pub(crate) fn add_bytes(&self, worker: usize, direction: Direction, n: u64) {
        self.shards.of(worker).traffic.add(direction, n);
    }

    /// Counts a pause of accepting.
    pub(crate) fn paused(&self, pause: AcceptPause) {
        let at = match pause {
            AcceptPause::Rate => 0,
            AcceptPause::Sessions => 1,
            AcceptPause::Shortage => 2,
        };
        self.pauses[at].fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self, is_current: bool) -> ListenerMetrics {
        let [rate, sessions, shortage] = self.pauses.each_ref().map(|count| count.load(Relaxed));
        let mut metrics = ListenerMetrics {
            listener: self.listener.clone(),
            is_current,
            accepted: 0,
            active: 0,
            ended: EndCounts::default(),
            pauses: PauseCounts {
                rate,
                sessions,
                shortage,
            },
            traffic: Traffic::default(),
        };
        // The ends of all workers first: so there are never more ends than connections.
        for shard in self.shards.iter() {
            shard.ended.add_to(&mut metrics.ended.0);
        }
        for shard in self.shards.iter() {
            metrics.accepted += shard.accepted.load(Relaxed);
            shard.traffic.add_to(&mut metrics.traffic);
        }
        metrics.active = metrics.accepted - metrics.ended.total();
        metrics
    }
}
