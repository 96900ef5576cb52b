//! Plain counters of what happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    (
        happened { $($(#[$doc:meta])* $name:ident,)* }
        ended { $($(#[$end_doc:meta])* $end:ident,)* }
    ) => {
        /// What a proxy has counted since it was bound.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
            $($(#[$end_doc])* pub $end: u64,)*
        }

        impl Metrics {
            /// Connections that ended, for whichever reason.
            pub const fn ended(&self) -> u64 {
                0 $(+ self.$end)*
            }
        }

        /// The live counters of one worker. An addition costs one relaxed atomic operation on memory that no other worker
        /// writes to.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
            $(pub(crate) $end: Counter,)*
        }

        impl Counters {
            /// Adds what was counted to `sum`.
            pub(crate) fn add_to(&self, sum: &mut Metrics) {
                $(sum.$name += self.$name.get();)*
                $(sum.$end += self.$end.get();)*
            }
        }
    };
}

counters! {
    happened {
        /// Connections accepted. At any time it is the sum of those active and of those that ended, for whichever reason.
        accepted,
        /// Connections that are being served now.
        active,
        /// Calls of `accept` that failed for a reason of one connection; the next is accepted at once.
        accept_errors,
        /// Calls of `accept` that failed for want of descriptors or memory; accepting pauses for a moment.
        accept_exhausted,
        /// Times that accepting paused because the descriptors or the sessions that are allowed were all in use.
        accept_pauses,
        /// Attempts to connect to a backend.
        connect_attempts,
        /// Attempts that were refused, reset or unreachable, or failed on this machine.
        connect_failures,
        /// Times that an attempt had to wait for a descriptor or memory.
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
        /// Ended: the client came too soon after its last connection.
        client_rate,
        /// Ended: the client had all the sessions that it may have.
        client_sessions,
        /// Ended: the zone of clients was full.
        client_zone_full,
        /// Ended: too many new connections.
        rate_refused,
        /// Ended: too many sessions.
        sessions_refused,
        /// Ended: refused by a hook.
        hook_refused,
        /// Ended: the first bytes were wrong, or the client ended before they were complete.
        preread_errors,
        /// Ended: the first bytes did not come in time.
        preread_timeouts,
        /// Ended: no backend.
        no_backend,
        /// Ended: no room in the queue for a backend.
        queue_full,
        /// Ended: no backend was free in time.
        queue_timeouts,
        /// Ended: the client went away before it had a backend.
        clients_gone,
        /// Ended by both sides.
        finished,
        /// Ended by a reset from the client.
        client_resets,
        /// Ended by a reset from the backend.
        backend_resets,
        /// Ended because the backend was removed.
        backends_removed,
        /// Ended because the backend became unhealthy or was ejected.
        backends_unhealthy,
        /// Ended because neither side said anything in time.
        first_byte_timeouts,
        /// Ended idle.
        idle_timeouts,
        /// Ended idle with one direction closed.
        half_closed_timeouts,
        /// Ended because they had lasted as long as they may.
        max_age_reached,
        /// Ended: cut off by a shutdown.
        aborted,
    }
}

/// Picks a counter out of a worker's.
type Which = fn(&Counters) -> &Counter;

#[derive(Debug, Default)]
pub(crate) struct Counter {
    count: AtomicU64,
    /// What it is a part of.
    total: Option<(Arc<Counters>, Which)>,
}

impl Counter {
    /// A counter of its own that also counts for one of `counters`.
    pub(crate) fn part_of(counters: &Arc<Counters>, which: Which) -> Self {
        Self {
            count: AtomicU64::new(0),
            total: Some((Arc::clone(counters), which)),
        }
    }

    pub(crate) fn add(&self, n: u64) {
        self.count.fetch_add(n, Relaxed);
        if let Some((counters, which)) = &self.total {
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
}
