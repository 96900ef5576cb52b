//! Counters of connections, attempts and bytes.

mod traffic_record;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::upstream::attempt_times::AttemptTimes;

pub(crate) use traffic_record::TrafficRecord;

macro_rules! counters {
    (
        happened { $($(#[$doc:meta])* $name:ident,)* }
        ended { $($(#[$end_doc:meta])* $end:ident,)* }
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
        }

        /// The live counters of one worker.
        ///
        /// An addition costs one relaxed atomic operation on memory that no other worker writes.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
            $(pub(crate) $end: Counter,)*
        }

        impl Counters {
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
        access_denied,
        /// Ended: the client exceeded its rate of new connections.
        client_rate,
        /// Ended: the client had as many sessions as it may have.
        client_sessions,
        /// Ended: the zone of clients was full.
        client_zone_full,
        /// Ended: the rate of new connections was exceeded.
        rate_refused,
        /// Ended: the limit of sessions was reached.
        sessions_refused,
        /// Ended: a hook refused the connection.
        hook_refused,
        /// Ended: the first bytes were invalid, or the client ended its stream before they were complete.
        preread_errors,
        /// Ended: the first bytes did not arrive in time.
        preread_timeouts,
        /// Ended: no backend could be connected.
        no_backend,
        /// Ended: the wait queue was full.
        queue_full,
        /// Ended: the wait queue's time-out passed.
        queue_timeouts,
        /// Ended: the client closed or reset its connection before it had a backend.
        clients_gone,
        /// Ended: both sides sent all they had.
        finished,
        /// Ended: the route answered the connection.
        responded,
        /// Ended: the route refused the connection.
        route_refused,
        /// Ended: the client reset its connection.
        client_resets,
        /// Ended: the backend reset its connection.
        backend_resets,
        /// Ended: the backend was removed.
        backends_removed,
        /// Ended: the backend became unhealthy or was ejected.
        backends_unhealthy,
        /// Ended: neither side sent a first byte in time.
        first_byte_timeouts,
        /// Ended: both sides were silent for the idle time-out.
        idle_timeouts,
        /// Ended: the remaining direction was silent after the other one had ended.
        half_closed_timeouts,
        /// Ended: the maximum age was reached.
        max_age_reached,
        /// Ended: an operator closed the session.
        operator_closed,
        /// Ended: a shutdown cut the session.
        aborted,
    }
}

/// The counters of both directions of one session, which queries of live sessions read as well.
#[derive(Debug)]
pub(crate) struct SessionTraffic {
    pub(crate) to_backend: Counter,
    pub(crate) to_client: Counter,
}

impl SessionTraffic {
    /// Counters that also add to `counters`. `first_byte` is notified when the first byte of the backend comes.
    pub(crate) fn new(counters: &Arc<Counters>, first_byte: Option<Arc<AttemptTimes>>) -> Self {
        Self {
            to_backend: Counter::of_session(counters, |counters| &counters.bytes_to_backends),
            to_client: Counter::of_session(counters, |counters| &counters.bytes_to_clients)
                .notifying(first_byte),
        }
    }
}

/// Selects one counter of a worker.
type SelectCounter = fn(&Counters) -> &Counter;

/// A live counter. All operations are relaxed: a reader may see counters of different moments.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    count: AtomicU64,
    /// Present in the counter of one direction of one session that is observed.
    session: Option<Box<SessionPart>>,
}

/// What the counter of one session has besides the count.
#[derive(Debug)]
struct SessionPart {
    /// The counter that includes this one.
    total: (Arc<Counters>, SelectCounter),
    record: TrafficRecord,
}

impl Counter {
    /// A counter of one direction of one session, which has a [record](Self::record) and also adds to one of `counters`.
    fn of_session(counters: &Arc<Counters>, which: SelectCounter) -> Self {
        Self {
            count: AtomicU64::new(0),
            session: Some(Box::new(SessionPart {
                total: (Arc::clone(counters), which),
                record: TrafficRecord::default(),
            })),
        }
    }

    /// Lets the record notify `first_byte` when the first byte or the end of the source comes.
    fn notifying(mut self, first_byte: Option<Arc<AttemptTimes>>) -> Self {
        if let Some(session) = &mut self.session {
            session.record = TrafficRecord::notifying(first_byte);
        }
        self
    }

    pub(crate) fn add(&self, n: u64) {
        self.count.fetch_add(n, Relaxed);
        if let Some(session) = &self.session {
            let (counters, which) = &session.total;
            which(counters).add(n);
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
        self.session.as_ref().map(|session| &session.record)
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
