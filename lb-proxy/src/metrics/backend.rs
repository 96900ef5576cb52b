//! The counters of one backend.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use lb_core::{Backend, Endpoint, Health};

use super::attempt_counts::{AttemptCounts, AttemptEnd, LiveAttemptCounts};
use super::shards::Shards;
use super::traffic::{Direction, LiveTraffic, Traffic};
use crate::close_reason::CloseReason;

/// The counters of one backend of an upstream.
#[non_exhaustive]
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BackendMetrics {
    /// The backend's address or path.
    pub backend: Endpoint,
    /// Whether it is in the upstream's current set. A backend that left is reported until its last session has ended.
    pub is_current: bool,
    /// Sessions that are open now.
    pub active: u64,
    /// Attempts to connect, by outcome. Those that connected are the sessions.
    pub attempts: AttemptCounts,
    /// Sessions that ended because the backend reset its connection.
    pub resets: u64,
    /// How often a failure ejected it.
    pub ejections: u64,
    /// How often it became healthy.
    pub recoveries: u64,
    /// How often it became unhealthy.
    pub losses: u64,
    /// Bytes, those of open sessions included.
    pub traffic: Traffic,
}

/// How many parts the bytes of a backend have at most, so that many workers do not make a backend large.
const TRAFFIC_PARTS: usize = 4;

/// The live counters of one backend. Workers share them, because a session changes them a few times, except for the bytes.
#[derive(Debug)]
pub(crate) struct BackendCounters {
    endpoint: Endpoint,
    /// Attempts and sessions that will change the counters.
    in_use: AtomicU64,
    /// Whether the upstream reports them.
    is_listed: AtomicBool,
    active: AtomicU64,
    attempts: LiveAttemptCounts,
    resets: AtomicU64,
    ejections: AtomicU64,
    recoveries: AtomicU64,
    losses: AtomicU64,
    traffic: Shards<LiveTraffic>,
}

impl BackendCounters {
    pub(super) fn new(backend: &Backend, workers: usize) -> Self {
        Self {
            endpoint: backend.endpoint(),
            in_use: AtomicU64::new(0),
            is_listed: AtomicBool::new(true),
            active: AtomicU64::new(0),
            attempts: LiveAttemptCounts::default(),
            resets: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
            recoveries: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            traffic: Shards::new(workers.min(TRAFFIC_PARTS), LiveTraffic::default),
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.endpoint.key()
    }

    pub(super) fn ejected(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    pub(super) fn health_changed(&self, health: Health) {
        let count = match health {
            Health::Healthy => &self.recoveries,
            _ => &self.losses,
        };
        count.fetch_add(1, Relaxed);
    }

    /// Whether the upstream reports them. If not, the caller lists them again.
    pub(super) fn is_listed(&self) -> bool {
        // SeqCst: pairs with `unlist`. Either this reads that they are not listed, or `unlist` reads that they are in use.
        self.is_listed.load(SeqCst)
    }

    pub(super) fn list(&self) {
        self.is_listed.store(true, SeqCst);
    }

    /// Takes them out of the upstream's list, unless they are in use.
    pub(super) fn unlist(&self) -> bool {
        self.is_listed.store(false, SeqCst);
        let unused = self.in_use.load(SeqCst) == 0;
        if !unused {
            self.list();
        }
        unused
    }

    pub(super) fn read(&self, is_current: bool) -> BackendMetrics {
        let mut metrics = BackendMetrics {
            backend: self.endpoint.clone(),
            is_current,
            active: self.active.load(Relaxed),
            attempts: AttemptCounts::default(),
            resets: self.resets.load(Relaxed),
            ejections: self.ejections.load(Relaxed),
            recoveries: self.recoveries.load(Relaxed),
            losses: self.losses.load(Relaxed),
            traffic: Traffic::default(),
        };
        self.attempts.add_to(&mut metrics.attempts);
        for part in self.traffic.iter() {
            part.add_to(&mut metrics.traffic);
        }
        metrics
    }
}

/// One attempt, or the session that it led to: keeps the counters in use.
#[derive(Debug)]
pub(crate) struct BackendUse {
    counters: Arc<BackendCounters>,
    is_connected: bool,
}

impl BackendUse {
    pub(super) fn begin(counters: Arc<BackendCounters>) -> Self {
        counters.in_use.fetch_add(1, SeqCst);
        Self {
            counters,
            is_connected: false,
        }
    }

    pub(super) fn counters(&self) -> &Arc<BackendCounters> {
        &self.counters
    }

    pub(super) fn attempt_ended(&mut self, end: AttemptEnd) {
        self.counters.attempts.increment(end);
        if end == AttemptEnd::Connected {
            self.is_connected = true;
            self.counters.active.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn add_bytes(&self, worker: usize, direction: Direction, n: u64) {
        self.counters.traffic.of(worker).add(direction, n);
    }

    /// Counts the end of the session.
    pub(super) fn session_ended(&self, reason: CloseReason) {
        if reason == CloseReason::BackendReset {
            self.counters.resets.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for BackendUse {
    fn drop(&mut self) {
        if self.is_connected {
            self.counters.active.fetch_sub(1, Relaxed);
        }
        self.counters.in_use.fetch_sub(1, SeqCst);
    }
}
