//! Counters of connections, attempts and bytes: of each worker, and by listener, upstream and backend.

pub(crate) mod attempt_counts;
mod backend;
mod backend_list;
mod counter;
pub(crate) mod detailed;
mod end_counts;
mod histogram;
mod kept;
mod listener;
mod live_counts;
mod no_backend_counts;
mod relay_traffic;
pub(crate) mod session;
mod shards;
mod traffic;
mod traffic_record;
mod upstream;

use crate::close_reason::CloseReason;

pub use attempt_counts::AttemptCounts;
pub use backend::BackendMetrics;
pub use detailed::DetailedMetrics;
pub use end_counts::EndCounts;
pub use histogram::Histogram;
pub use listener::{ListenerMetrics, PauseCounts};
pub use no_backend_counts::NoBackendCounts;
pub use traffic::Traffic;
pub use upstream::UpstreamMetrics;

pub(crate) use backend::BackendCounters;
pub(crate) use counter::{Counter, EndCounter};
pub(crate) use listener::ListenerCounters;
pub(crate) use relay_traffic::RelayTraffic;
pub(crate) use traffic::Direction;
pub(crate) use upstream::UpstreamCounters;

macro_rules! counters {
    (
        happened { $($(#[$doc:meta])* $name:ident,)* }
        ended { $($(#[$end_doc:meta])* $end:ident: $reason:ident,)* }
    ) => {
        /// The counters of a proxy since it was bound.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        pub struct Metrics {
            /// Connections accepted. Always the sum of `active` and of all that ended.
            pub accepted: u64,
            /// Connections that are open now. One counts as ended when all that it held is released, after
            /// [`Hooks::close`](crate::Hooks::close).
            pub active: u64,
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
                    ("accepted", self.accepted),
                    ("active", self.active),
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
            /// Bytes that relays moved, which the bytes below do not include.
            pub(crate) relayed: RelayTraffic,
            pub(crate) accepted: Counter,
            $(pub(crate) $name: Counter,)*
            $(pub(crate) $end: EndCounter,)*
        }

        impl Counters {
            pub(crate) fn of_worker(worker: usize) -> Self {
                Self {
                    worker,
                    ..Self::default()
                }
            }

            /// The counter of connections that ended for `reason`.
            pub(crate) const fn ended(&self, reason: CloseReason) -> &EndCounter {
                match reason {
                    $(CloseReason::$reason => &self.$end,)*
                }
            }

            fn add_ends_to(&self, sum: &mut Metrics) {
                $(sum.$end += self.$end.get();)*
            }

            /// Adds everything but the ends.
            fn add_rest_to(&self, sum: &mut Metrics) {
                sum.accepted += self.accepted.get();
                $(sum.$name += self.$name.get();)*
                sum.bytes_to_backends += self.relayed.to_backend.get();
                sum.bytes_to_clients += self.relayed.to_client.get();
            }
        }
    };
}

impl Metrics {
    /// The sum of the counters of these workers.
    pub(crate) fn read<'a>(workers: impl Iterator<Item = &'a Counters> + Clone) -> Self {
        let mut sum = Self::default();
        // The ends of all workers first: so there are never more ends than connections.
        workers
            .clone()
            .for_each(|worker| worker.add_ends_to(&mut sum));
        workers.for_each(|worker| worker.add_rest_to(&mut sum));
        sum.active = sum.accepted - sum.ended();
        sum
    }
}

counters! {
    happened {
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
        /// Panics of the embedder's code in sessions, in the admin server, and of the
        /// [pre-stop hook](crate::ProxyBuilder::pre_stop_hook). One in a session ends it, except one of
        /// [`Hooks::close`](crate::Hooks::close), whose session has ended.
        panics,
        /// Bytes from clients to backends.
        bytes_to_backends,
        /// Bytes from backends to clients.
        bytes_to_clients,
    }
    ended {
        /// Ended: the address was denied.
        access_denied: AccessDenied,
        /// Ended: the local address had left the machine.
        addresses_lost: AddressLost,
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
        /// Ended: code of the embedder panicked.
        panicked: Panicked,
        /// Ended: an operator closed the session.
        operator_closed: Operator,
        /// Ended: a shutdown cut the session.
        aborted: Aborted,
    }
}
