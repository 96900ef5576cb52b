//! What is remembered of a backend while it is known, whatever else changes about it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use crate::backend::Backend;
use crate::connect_average::ConnectAverage;
use crate::ewma::PeakEwma;
use crate::outlier::{FailLimit, FailureRecord};
use crate::seats::Seats;
use crate::sync::atomic::AtomicU64;
use crate::time::Timestamp;

/// The state of one backend, shared by every set that it is part of and by its leases.
///
/// What a pick reads comes first, next to the reference counts, which are the connections in flight: see [`Held`].
///
/// Relaxed accesses suffice: each field is one word that agrees with itself, and no other memory is read on the
/// strength of one.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct BackendState {
    pub(crate) failures: FailureRecord,
    /// The connections that count towards `max_conns`.
    pub(crate) seats: Seats,
    pub(crate) connect_average: ConnectAverage,
    pub(crate) connect_time: PeakEwma,
    /// Turns taken among the backends of one name, counted at the first of them.
    pub(crate) turns: AtomicU64,
    addr: SocketAddr,
    joined_at: Timestamp,
    described: ArcSwap<Described>,
}

/// What the latest snapshot says of a backend, for those who hold a lease of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Described {
    pub(crate) backend: Arc<Backend>,
    /// The backend's own limit, or none where ejecting it would leave nothing to pick.
    pub(crate) fail_limit: Option<FailLimit>,
}

impl BackendState {
    pub(crate) fn new(described: Described, joined_at: Timestamp) -> Self {
        Self {
            failures: FailureRecord::new(),
            seats: Seats::new(),
            connect_average: ConnectAverage::new(joined_at),
            connect_time: PeakEwma::new(),
            turns: AtomicU64::new(0),
            addr: described.backend.addr,
            joined_at,
            described: ArcSwap::from_pointee(described),
        }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) const fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    pub(crate) fn described(&self) -> arc_swap::Guard<Arc<Described>> {
        self.described.load()
    }

    pub(crate) fn describe(&self, described: Described) {
        self.described.store(Arc::new(described));
    }
}

/// A backend's state in the hands of whoever is not a connection.
///
/// A lease is a strong reference to the state and nothing else, so picking and releasing cost one atomic addition
/// each. Whoever holds the state without being a lease holds a weak reference beside the strong one; then the leases
/// are the strong references without the weak ones. While one of these is made or dropped, the count is one too high or
/// too low for a moment; that happens during updates only.
#[derive(Debug)]
pub(crate) struct Held {
    state: Arc<BackendState>,
    _mark: Weak<BackendState>,
}

impl Held {
    pub(crate) fn new(state: BackendState) -> Self {
        let state = Arc::new(state);
        Self {
            _mark: Arc::downgrade(&state),
            state,
        }
    }

    pub(crate) fn state(&self) -> &BackendState {
        &self.state
    }

    pub(crate) fn in_flight(&self) -> u32 {
        let leases = Arc::strong_count(&self.state).saturating_sub(Arc::weak_count(&self.state));
        u32::try_from(leases).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_full(&self, max_conns: NonZeroU32) -> bool {
        self.in_flight() >= max_conns.get()
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self {
            _mark: Weak::clone(&self._mark),
            state: Arc::clone(&self.state),
        }
    }
}

/// One connection in flight.
#[derive(Debug)]
pub(crate) struct Lease {
    state: Arc<BackendState>,
    /// When it was taken, in nanoseconds but for the lowest bit, which says whether it has one of the seats that
    /// `max_conns` counts: two words fit into registers, three don't.
    taken_at: u64,
}

const SEATED: u64 = 1;

impl Lease {
    /// A connection of the backend, unless `max_conns` are in flight.
    pub(crate) fn take(held: &Held, max_conns: Option<NonZeroU32>, now: Timestamp) -> Option<Self> {
        let mut taken_at = now.as_nanos() & !SEATED;
        if let Some(max) = max_conns {
            if !held.state.seats.take(max, || held.in_flight()) {
                return None;
            }
            taken_at |= SEATED;
        }
        Some(Self {
            state: Arc::clone(&held.state),
            taken_at,
        })
    }

    pub(crate) fn state(&self) -> &BackendState {
        &self.state
    }

    pub(crate) const fn taken_at(&self) -> Timestamp {
        Timestamp::from_nanos(self.taken_at & !SEATED)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.taken_at & SEATED != 0 {
            self.state.seats.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_counted_and_holders_are_not() {
        let described = Described {
            backend: Arc::new(Backend::new(([127, 0, 0, 1], 446).into())),
            fail_limit: None,
        };
        let held = Held::new(BackendState::new(described, Timestamp::default()));
        let other = held.clone();
        assert_eq!((held.in_flight(), other.in_flight()), (0, 0));
        let leases =
            [&held, &other].map(|held| Lease::take(held, None, Timestamp::default()).unwrap());
        assert_eq!((held.in_flight(), other.in_flight()), (2, 2));
        drop(held);
        assert_eq!(other.in_flight(), 2);
        drop(leases);
        assert_eq!(other.in_flight(), 0);
    }
}
