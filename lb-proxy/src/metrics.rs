//! Counters of connections, attempts and bytes.

pub(crate) mod attempt_counts;
mod backend;
pub(crate) mod detailed;
mod end_counts;
mod histogram;
mod listener;
pub(crate) mod session;
mod shards;
mod traffic;
mod traffic_record;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::close_reason::CloseReason;
use crate::upstream::attempt_times::AttemptTimes;

use session::SessionCounters;

pub use attempt_counts::AttemptCounts;
pub use backend::BackendMetrics;
pub use detailed::DetailedMetrics;
pub use end_counts::EndCounts;
pub use histogram::Histogram;
pub use listener::{ListenerMetrics, PauseCounts};
pub use traffic::Traffic;
pub use upstream::UpstreamMetrics;

pub(crate) use backend::BackendCounters;
pub(crate) use listener::ListenerCounters;
pub(crate) use traffic::Direction;
pub(crate) use traffic_record::TrafficRecord;
pub(crate) use upstream::UpstreamCounters;

macro_rules! counters {
    (
        happened { $($(#[$doc:meta])* $name:ident,)* }
        ended { $($(#[$end_doc:meta])* $end:ident: $reason:ident,)* }
    ) => {
        /// The counters of a proxy since it was bound.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
            $($(#[$end_doc])* pub $end: u64,)*
        }

        impl Metrics {
            /// The number of connections that ended, for any reason.
            pub const fn ended(&self) -> u64 {
                0 $(+ self.$end)*
            }

            /// The names and values of all counters.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [
                    $((stringify!($name), self.$name),)*
                    $((stringify!($end), self.$end),)*
                ]
                .into_iter()
            }

            /// The number of connections that ended for `reason`.
            pub const fn ended_for(&self, reason: CloseReason) -> u64 {
                match reason {
                    $(CloseReason::$reason => self.$end,)*
                }
            }
        }

        /// The live counters of one worker.
        ///
        /// An addition costs one relaxed atomic operation on memory that no other worker writes.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            /// The worker's number, for counters with a part for each worker.
            pub(crate) worker: usize,
            $(pub(crate) $name: Counter,)*
            $(pub(crate) $end: Counter,)*
        }

        impl Counters {
            pub(crate) fn of_worker(worker: usize) -> Self {
                Self {
                    worker,
                    ..Self::default()
                }
            }

            /// The counter of connections that ended for `reason`.
            pub(crate) const fn ended(&self, reason: CloseReason) -> &Counter {
                match reason {
                    $(CloseReason::$reason => &self.$end,)*
                }
            }

            /// Adds the counts to `sum`.
            pub(crate) fn add_to(&self, sum: &mut Metrics) {
                $(sum.$name += self.$name.get();)*
                $(sum.$end += self.$end.get();)*
            }
        }
    };
}

counters! {
    happened {
        /// Connections accepted. Always the sum of `active` and of all that ended.
        accepted,
        /// Connections that are open now.
        active,
        /// Calls of accept(2) that failed because of one connection. The next connection is accepted at once.
        accept_errors,
        /// Calls of accept(2) that failed for lack of descriptors or memory. The accept loop pauses for a moment.
        accept_exhausted,
        /// Pauses of accept loops because all allowed descriptors or sessions were in use.
        accept_pauses,
        /// Attempts to connect to a backend.
        connect_attempts,
        /// Attempts that were refused, reset or unreachable, or that failed on this machine.
        connect_failures,
        /// Waits of attempts for a descriptor or memory.
        connect_shortages,
        /// Attempts that timed out.
        connect_timeouts,
        /// Failures that ejected a backend.
        ejections,
        /// Bytes from clients to backends.
        bytes_to_backends,
        /// Bytes from backends to clients.
        bytes_to_clients,
    }
    ended {
        /// Ended: the address was denied.
        access_denied: AccessDenied,
        /// Ended: the client exceeded its rate of new connections.
        client_rate: ClientRate,
        /// Ended: the client had as many sessions as it may have.
        client_sessions: ClientSessions,
        /// Ended: the zone of clients was full.
        client_zone_full: ClientZoneFull,
        /// Ended: the rate of new connections was exceeded.
        rate_refused: Rate,
        /// Ended: the limit of sessions was reached.
        sessions_refused: Sessions,
        /// Ended: a hook refused the connection.
        hook_refused: Refused,
        /// Ended: the first bytes were invalid, or the client ended its stream before they were complete.
        preread_errors: Preread,
        /// Ended: the first bytes did not arrive in time.
        preread_timeouts: PrereadTimeout,
        /// Ended: no backend could be connected.
        no_backend: NoBackend,
        /// Ended: the wait queue was full.
        queue_full: QueueFull,
        /// Ended: the wait queue's time-out passed.
        queue_timeouts: QueueTimeout,
        /// Ended: the client closed or reset its connection before it had a backend.
        clients_gone: ClientGone,
        /// Ended: both sides sent all they had.
        finished: Finished,
        /// Ended: the route answered the connection.
        responded: Responded,
        /// Ended: the route refused the connection.
        route_refused: RouteRefused,
        /// Ended: the client reset its connection.
        client_resets: ClientReset,
        /// Ended: the backend reset its connection.
        backend_resets: BackendReset,
        /// Ended: the backend was removed.
        backends_removed: BackendRemoved,
        /// Ended: the backend became unhealthy or was ejected.
        backends_unhealthy: BackendUnhealthy,
        /// Ended: neither side sent a first byte in time.
        first_byte_timeouts: FirstByteTimeout,
        /// Ended: both sides were silent for the idle time-out.
        idle_timeouts: IdleTimeout,
        /// Ended: the remaining direction was silent after the other one had ended.
        half_closed_timeouts: HalfClosedTimeout,
        /// Ended: the maximum age was reached.
        max_age_reached: MaxAge,
        /// Ended: an operator closed the session.
        operator_closed: Operator,
        /// Ended: a shutdown cut the session.
        aborted: Aborted,
    }
}

/// The counters of both directions of one session, which queries of live sessions read as well.
#[derive(Debug)]
pub(crate) struct SessionTraffic {
    pub(crate) to_backend: Counter,
    pub(crate) to_client: Counter,
}

impl SessionTraffic {
    /// Counters that also add to `counters`.
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        Self {
            to_backend: Counter::of_session(counters, |counters| &counters.bytes_to_backends),
            to_client: Counter::of_session(counters, |counters| &counters.bytes_to_clients),
        }
    }

    /// Adds to what `session` is counted in as well.
    pub(crate) fn counted_in(self, session: &Arc<SessionCounters>) -> Self {
        Self {
            to_backend: self.to_backend.counted_in(session, Direction::ToBackend),
            to_client: self.to_client.counted_in(session, Direction::ToClient),
        }
    }

    /// Records what a summary reports. `first_byte` is notified when the first byte of the backend comes.
    pub(crate) fn recording(self, first_byte: Option<Arc<AttemptTimes>>) -> Self {
        Self {
            to_backend: self.to_backend.recording(None),
            to_client: self.to_client.recording(first_byte),
        }
    }

    /// Whether it records what a summary reports.
    pub(crate) fn is_recording(&self) -> bool {
        self.to_client.record().is_some()
    }
}

/// Selects one counter of a worker.
type SelectCounter = fn(&Counters) -> &Counter;

/// A live counter. All operations are relaxed: a reader may see counters of different moments.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    count: AtomicU64,
    /// Present in the counter of one direction of one session that is observed or counted in detail.
    session: Option<Box<SessionPart>>,
}

/// What the counter of one session has besides the count.
#[derive(Debug)]
struct SessionPart {
    /// The counter that includes this one.
    total: (Arc<Counters>, SelectCounter),
    /// What else includes it.
    detailed: Option<(Arc<SessionCounters>, Direction)>,
    /// Present if the session is observed.
    record: Option<TrafficRecord>,
}

impl Counter {
    /// A counter of one direction of one session, which also adds to one of `counters`.
    fn of_session(counters: &Arc<Counters>, which: SelectCounter) -> Self {
        Self {
            count: AtomicU64::new(0),
            session: Some(Box::new(SessionPart {
                total: (Arc::clone(counters), which),
                detailed: None,
                record: None,
            })),
        }
    }

    /// Adds to the counters of `session` as well.
    fn counted_in(mut self, session: &Arc<SessionCounters>, direction: Direction) -> Self {
        if let Some(part) = &mut self.session {
            part.detailed = Some((Arc::clone(session), direction));
        }
        self
    }

    /// Has a [record](Self::record), which notifies `first_byte` when the first byte or the end of the source comes.
    fn recording(mut self, first_byte: Option<Arc<AttemptTimes>>) -> Self {
        if let Some(session) = &mut self.session {
            session.record = Some(TrafficRecord::notifying(first_byte));
        }
        self
    }

    pub(crate) fn add(&self, n: u64) {
        self.count.fetch_add(n, Relaxed);
        if let Some(session) = &self.session {
            session.add(n);
        }
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn decrement(&self) {
        self.count.fetch_sub(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The record of the direction that it counts.
    pub(crate) fn record(&self) -> Option<&TrafficRecord> {
        self.session.as_ref()?.record.as_ref()
    }

    /// Records bytes that were read from the source of the direction.
    pub(crate) fn note_read(&self, n: usize) {
        if let Some(record) = self.record() {
            record.note_read(n as u64);
        }
    }

    /// Records bytes that the sink of the direction accepted and that are not counted.
    pub(crate) fn note_added(&self, n: usize) {
        if let Some(record) = self.record() {
            record.note_added(n as u64);
        }
    }

    /// Records the end or the reset of the source of the direction.
    pub(crate) fn note_end(&self) {
        if let Some(record) = self.record() {
            record.note_end();
        }
    }
}

impl SessionPart {
    /// Adds to what includes the counter.
    #[inline(never)]
    fn add(&self, n: u64) {
        let (counters, which) = &self.total;
        which(counters).add(n);
        if let Some((session, direction)) = &self.detailed {
            session.add_bytes(*direction, n);
        }
    }
}
