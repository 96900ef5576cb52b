//! Plain counters of what happened.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a proxy has counted since it was bound.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The live counters behind [`Metrics`]. An addition costs one relaxed atomic operation.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Metrics {
                Metrics { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Connections accepted.
    accepted,
    /// Sessions open now.
    active,
    /// Calls of `accept` that failed for a reason of one connection; the next is accepted at once.
    accept_errors,
    /// Calls of `accept` that failed for want of descriptors or memory; accepting pauses for a moment.
    accept_exhausted,
    /// Attempts to connect to a backend.
    connect_attempts,
    /// Attempts that were refused, reset or unreachable.
    connect_failures,
    /// Attempts that timed out.
    connect_timeouts,
    /// Failures that ejected a backend.
    ejections,
    /// Sessions that ended without a backend.
    no_backend,
    /// Sessions that both sides ended.
    finished,
    /// Sessions that a reset from the client ended.
    client_resets,
    /// Sessions that a reset from the backend ended.
    backend_resets,
    /// Sessions in which neither side said anything in time.
    first_byte_timeouts,
    /// Sessions that ended idle.
    idle_timeouts,
    /// Sessions that ended idle with one direction closed.
    half_closed_timeouts,
    /// Sessions that had lasted as long as they may.
    max_age_reached,
    /// Sessions that a shutdown cut off.
    aborted,
    /// Bytes from clients to backends.
    bytes_to_backends,
    /// Bytes from backends to clients.
    bytes_to_clients,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn decrement(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
