//! One decision: what is asked, and the lease that comes of it.

use std::net::SocketAddr;

use crate::backend::Backend;
use crate::lease::lease::Lease;
use crate::sync::Arc;
use crate::time::Timestamp;

/// The backends that one connection has already failed on; it is never sent to one of them again.
///
/// Allocates at the first failure only. nginx's `tried` bitmap.
#[derive(Clone, Debug, Default)]
pub struct Tried(Vec<SocketAddr>);

impl Tried {
    /// Nothing tried yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Remembers `addr`.
    pub fn insert(&mut self, addr: SocketAddr) {
        if !self.contains(addr) {
            self.0.push(addr);
        }
    }

    /// Whether `addr` was tried.
    pub fn contains(&self, addr: SocketAddr) -> bool {
        self.0.contains(&addr)
    }

    /// How many were tried.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was tried.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a connection asks for.
#[derive(Clone, Copy, Debug)]
pub struct PickRequest<'a> {
    tried: &'a Tried,
    key: Option<&'a [u8]>,
}

impl<'a> PickRequest<'a> {
    /// A backend that is not in `tried`.
    pub const fn new(tried: &'a Tried) -> Self {
        Self { tried, key: None }
    }

    pub(crate) const fn tried(&self) -> &'a Tried {
        self.tried
    }

    pub(crate) const fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// Sets the key that hashing policies send to one backend. Default: none, which they spread like round robin;
    /// so they do with an empty key, as nginx. Other policies ignore it.
    #[must_use]
    pub const fn with_key(mut self, key: &'a [u8]) -> Self {
        self.key = if key.is_empty() { None } else { Some(key) };
        self
    }
}

/// A backend that was picked, and one of its connections in flight: dropping it gives that back.
#[derive(Debug)]
#[must_use = "dropping a Pick gives its connection in flight back"]
pub struct Pick {
    lease: Lease,
}

impl Pick {
    pub(crate) const fn new(lease: Lease) -> Self {
        Self { lease }
    }

    /// Where to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.lease.state().addr()
    }

    /// The backend to connect to as its source describes it now, or described it at last. Costs two reference counts;
    /// for the address alone take [`addr`](Self::addr).
    pub fn backend(&self) -> Arc<Backend> {
        Arc::clone(&self.lease.state().described())
    }

    /// Reports that the connection was established at `now`: failures of long ago are forgiven, and the time since
    /// the pick counts as a sample of the backend's connect time.
    pub fn connected(&self, now: Timestamp) {
        let state = self.lease.state();
        state.succeeded(now);
        state.end_rest(now);
        let taken = now.saturating_since(self.lease.taken_at());
        state.connect_time.add(taken, now);
        state.connect_average.add(taken);
    }

    /// Reports that the connection could not be established, and gives it back.
    pub fn failed(self, now: Timestamp) -> FailureEffect {
        if self.lease.state().failed(now) {
            FailureEffect::Ejected
        } else {
            FailureEffect::Counted
        }
    }
}

/// What a reported failure did to the backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureEffect {
    /// It stays eligible.
    Counted,
    /// It gets no new connections for its `fail_timeout`, or for as long as outlier detection says.
    Ejected,
}

/// Why there is no backend for a connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PickError {
    /// No backend takes connections: none is known, or all are draining or of weight 0.
    #[error("no backend takes connections")]
    Empty,
    /// Every backend that takes connections is full, ejected, unhealthy, or was tried by this connection.
    #[error("every backend is full, ejected, unhealthy or already tried")]
    Exhausted,
    /// No snapshot has been applied yet; the caller may wait for the first.
    #[error("no backends are known yet")]
    NotReady,
}
