//! The request of a connection, and the refusal.

use std::net::SocketAddr;

/// The backends that one connection has already failed on. It is never sent to one of them again.
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
    pub(crate) tried: &'a Tried,
    pub(crate) key: Option<&'a [u8]>,
}

impl<'a> PickRequest<'a> {
    /// A backend that is not in `tried`.
    pub const fn new(tried: &'a Tried) -> Self {
        Self { tried, key: None }
    }

    /// Sets the hash key. Hashing policies send equal keys to one backend, and spread connections without a key, or
    /// with an empty one, by weighted round robin, as nginx. Other policies ignore it. Default: none.
    #[must_use]
    pub const fn key(mut self, key: &'a [u8]) -> Self {
        self.key = if key.is_empty() { None } else { Some(key) };
        self
    }
}

/// Why there is no backend for a connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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
    /// The policy panicked. For callers that catch it: the balancer itself lets a panic unwind.
    #[error("the policy panicked")]
    Panicked,
}

crate::names::list!(PickError {
    Empty = "empty",
    Exhausted = "exhausted",
    NotReady = "not_ready",
    Panicked = "panicked",
});
