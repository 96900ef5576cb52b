//! The counters of one upstream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lb_core::{Backend, BackendSet, Health};

use super::attempt_counts::{AttemptCounts, AttemptEnd, LiveAttemptCounts};
use super::backend::{BackendCounters, BackendMetrics};
use super::backend_list::BackendList;
use super::end_counts::{EndCounts, LiveEndCounts};
use super::histogram::{CONNECT_TIME, Histogram, LiveHistogram, QUEUE_WAIT, SESSION_LENGTH};
use super::no_backend_counts::{LiveNoBackendCounts, NoBackendCounts};
use super::shards::Shards;
use super::traffic::{Direction, LiveTraffic, Traffic};
use crate::close_reason::CloseReason;
use crate::no_backend_cause::NoBackendCause;

/// The counters of one upstream since the server has used it. [Fixed](crate::UpstreamBuilder::fixed) upstreams have none.
#[non_exhaustive]
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct UpstreamMetrics {
    /// The upstream's name. Upstreams of one name are counted together.
    pub upstream: Arc<str>,
    /// Whether the server uses it now. A removed upstream is reported until its last session has ended.
    pub is_current: bool,
    /// Sessions that needed a backend of it. Always the sum of `active` and of `ended`.
    pub sessions: u64,
    /// Those that are open now, the ones that wait for a backend included.
    pub active: u64,
    /// Those that ended.
    pub ended: EndCounts,
    /// Those that ended for [`CloseReason::NoBackend`], by cause.
    pub no_backend: NoBackendCounts,
    /// Attempts to connect, by outcome.
    pub attempts: AttemptCounts,
    /// Attempts that followed a failed attempt of the same session.
    pub retries: u64,
    /// How often a failure ejected a backend.
    pub ejections: u64,
    /// Ejections that ended before their time, because an outage of this machine caused them.
    pub forgiven: u64,
    /// How often a backend became healthy.
    pub recoveries: u64,
    /// How often a backend became unhealthy.
    pub losses: u64,
    /// From the begin of an attempt to the connection.
    pub connect_time: Histogram,
    /// From accepting to the end of a session.
    pub session_length: Histogram,
    /// How long sessions waited in the queue, those that got no backend included.
    pub queue_wait: Histogram,
    /// Bytes, those of open sessions included.
    pub traffic: Traffic,
    /// Its backends that have had an attempt or a change, in the order of their addresses.
    pub backends: Vec<BackendMetrics>,
}

/// The live counters of one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamCounters {
    name: Arc<str>,
    shards: Shards<UpstreamShard>,
    queue_wait: LiveHistogram<{ QUEUE_WAIT.len() }>,
    ejections: AtomicU64,
    forgiven: AtomicU64,
    recoveries: AtomicU64,
    losses: AtomicU64,
    backends: BackendList,
}

/// What one worker counts.
#[derive(Debug)]
struct UpstreamShard {
    sessions: AtomicU64,
    ended: LiveEndCounts,
    no_backend: LiveNoBackendCounts,
    attempts: LiveAttemptCounts,
    retries: AtomicU64,
    traffic: LiveTraffic,
    connect_time: LiveHistogram<{ CONNECT_TIME.len() }>,
    session_length: LiveHistogram<{ SESSION_LENGTH.len() }>,
}

impl UpstreamCounters {
    pub(super) fn new(name: Arc<str>, workers: usize) -> Self {
        let shard = || UpstreamShard {
            sessions: AtomicU64::new(0),
            ended: LiveEndCounts::default(),
            no_backend: LiveNoBackendCounts::default(),
            attempts: LiveAttemptCounts::default(),
            retries: AtomicU64::new(0),
            traffic: LiveTraffic::default(),
            connect_time: LiveHistogram::new(&CONNECT_TIME),
            session_length: LiveHistogram::new(&SESSION_LENGTH),
        };
        Self {
            name,
            shards: Shards::new(workers, shard),
            queue_wait: LiveHistogram::new(&QUEUE_WAIT),
            ejections: AtomicU64::new(0),
            forgiven: AtomicU64::new(0),
            recoveries: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            backends: BackendList::new(workers),
        }
    }

    pub(super) fn session_begun(&self, worker: usize) {
        self.shards.of(worker).sessions.fetch_add(1, Relaxed);
    }

    pub(super) fn session_ended(
        &self,
        worker: usize,
        reason: CloseReason,
        cause: Option<NoBackendCause>,
        length: Duration,
    ) {
        let shard = self.shards.of(worker);
        if reason == CloseReason::NoBackend {
            let cause = cause.unwrap_or(NoBackendCause::NoneEligible);
            shard.no_backend.increment(cause as usize);
        }
        shard.session_length.record(length);
        shard.ended.increment(reason as usize);
    }

    pub(super) fn add_bytes(&self, worker: usize, direction: Direction, n: u64) {
        self.shards.of(worker).traffic.add(direction, n);
    }

    pub(super) fn retried(&self, worker: usize) {
        self.shards.of(worker).retries.fetch_add(1, Relaxed);
    }

    pub(super) fn attempt_ended(&self, worker: usize, end: AttemptEnd, time: Duration) {
        let shard = self.shards.of(worker);
        shard.attempts.increment(end);
        if end == AttemptEnd::Connected {
            shard.connect_time.record(time);
        }
    }

    pub(crate) fn queued(&self, wait: Duration) {
        self.queue_wait.record(wait);
    }

    /// A failure has ejected `backend`.
    pub(crate) fn ejected(&self, backend: &Backend) {
        self.ejections.fetch_add(1, Relaxed);
        self.backend(backend).ejected();
    }

    /// So many ejections were forgiven.
    pub(crate) fn forgiven(&self, backends: u32) {
        self.forgiven.fetch_add(backends.into(), Relaxed);
    }

    /// An active check has found another health of `backend`.
    pub(crate) fn health_changed(&self, backend: &Backend, health: Health) {
        let count = match health {
            Health::Healthy => &self.recoveries,
            _ => &self.losses,
        };
        count.fetch_add(1, Relaxed);
        self.backend(backend).health_changed(health);
    }

    /// The counters of a backend, which go on if it has left and returned.
    pub(crate) fn backend(&self, backend: &Backend) -> Arc<BackendCounters> {
        self.backends.of(backend)
    }

    /// Reports `counters` again, which were not listed any more.
    pub(super) fn relist(&self, counters: &Arc<BackendCounters>) {
        self.backends.relist(counters);
    }

    /// Bounds what is kept of backends that are not in `set`, which the upstream has now.
    pub(crate) fn updated(&self, set: &BackendSet) {
        self.backends.limit(set);
    }

    /// Whether no session uses it.
    pub(super) fn is_unused(&self) -> bool {
        let mut ended = EndCounts::default();
        let sessions = self.read_sessions(&mut ended);
        sessions == ended.total()
    }

    /// Adds the ends to `ended`, and returns the number of sessions.
    fn read_sessions(&self, ended: &mut EndCounts) -> u64 {
        // The ends of all workers first: so there are never more ends than sessions.
        for shard in self.shards.iter() {
            shard.ended.add_to(&mut ended.0);
        }
        let sessions = self.shards.iter();
        sessions.map(|shard| shard.sessions.load(Relaxed)).sum()
    }

    /// Reads all counters. With `forget`, backends are reported for the last time that have left and have no session.
    pub(super) fn read(
        &self,
        is_current: bool,
        is_member: impl Fn(SocketAddr) -> bool,
        forget: bool,
    ) -> UpstreamMetrics {
        let mut metrics = UpstreamMetrics {
            upstream: Arc::clone(&self.name),
            is_current,
            sessions: 0,
            active: 0,
            ended: EndCounts::default(),
            no_backend: NoBackendCounts::default(),
            attempts: AttemptCounts::default(),
            retries: 0,
            ejections: self.ejections.load(Relaxed),
            forgiven: self.forgiven.load(Relaxed),
            recoveries: self.recoveries.load(Relaxed),
            losses: self.losses.load(Relaxed),
            connect_time: Histogram::default(),
            session_length: Histogram::default(),
            queue_wait: Histogram::default(),
            traffic: Traffic::default(),
            backends: self.backends.read(is_member, forget),
        };
        self.queue_wait.add_to(&mut metrics.queue_wait);
        metrics.sessions = self.read_sessions(&mut metrics.ended);
        metrics.active = metrics.sessions - metrics.ended.total();
        for shard in self.shards.iter() {
            shard.no_backend.add_to(&mut metrics.no_backend.0);
            shard.attempts.add_to(&mut metrics.attempts);
            metrics.retries += shard.retries.load(Relaxed);
            shard.traffic.add_to(&mut metrics.traffic);
            shard.connect_time.add_to(&mut metrics.connect_time);
            shard.session_length.add_to(&mut metrics.session_length);
        }
        metrics
    }
}
