//! The part of a backend's state that survives the process: its failures, its ejections, its health, its slow start.
//!
//! Load is not remembered, because the connections are those of the process that ended; nor are the averages of times, which a few
//! connections measure again.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::backend::Health;
use crate::time::TimeOffset;

/// What is remembered of a backend, with moments relative to the moment of the export.
///
/// [`BackendSet::memories`](crate::BackendSet::memories) exports it, and [`Updater::recall`](crate::Updater::recall) takes it
/// in another process, whose clock has another epoch.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendMemory {
    /// The backend's address.
    pub addr: SocketAddr,
    /// Its incarnation: another one starts afresh.
    pub instance: Option<Arc<str>>,
    /// The result of the last active check. With `None` the backend starts as a new one does.
    pub health: Option<Health>,
    /// Failures that count against its fail limit.
    pub failures: Option<FailureMemory>,
    /// Failures in a row, for outlier detection.
    pub failures_in_row: u32,
    /// Its ejections by outlier detection.
    pub ejections: Option<EjectionMemory>,
    /// When its slow start began, if it joined late or has recovered.
    pub warm_since: Option<TimeOffset>,
}

/// Failures that count against a fail limit.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailureMemory {
    /// How many.
    pub count: u32,
    /// When the window began: at the last failure, or at the pick of a trial.
    pub since: TimeOffset,
    /// Whether a connection was picked after the window had passed, so that its success forgives.
    pub renewed: bool,
}

/// Ejections by outlier detection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EjectionMemory {
    /// How many in the last time, which makes the next one longer.
    pub count: u16,
    /// When the last one ends or has ended.
    pub until: TimeOffset,
    /// Whether a connection has succeeded since its end.
    pub over: bool,
}

impl BackendMemory {
    /// Nothing is remembered of the backend at `addr`.
    pub const fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            instance: None,
            health: None,
            failures: None,
            failures_in_row: 0,
            ejections: None,
            warm_since: None,
        }
    }

    /// Sets [`instance`](field@Self::instance).
    #[must_use]
    pub fn instance(mut self, instance: Option<Arc<str>>) -> Self {
        self.instance = instance;
        self
    }

    /// Sets [`health`](field@Self::health).
    #[must_use]
    pub const fn health(mut self, health: Option<Health>) -> Self {
        self.health = health;
        self
    }

    /// Sets [`failures`](field@Self::failures).
    #[must_use]
    pub const fn failures(mut self, failures: Option<FailureMemory>) -> Self {
        self.failures = failures;
        self
    }

    /// Sets [`failures_in_row`](field@Self::failures_in_row).
    #[must_use]
    pub const fn failures_in_row(mut self, failures: u32) -> Self {
        self.failures_in_row = failures;
        self
    }

    /// Sets [`ejections`](field@Self::ejections).
    #[must_use]
    pub const fn ejections(mut self, ejections: Option<EjectionMemory>) -> Self {
        self.ejections = ejections;
        self
    }

    /// Sets [`warm_since`](field@Self::warm_since).
    #[must_use]
    pub const fn warm_since(mut self, since: Option<TimeOffset>) -> Self {
        self.warm_since = since;
        self
    }
}

impl FailureMemory {
    /// See the fields.
    pub const fn new(count: u32, since: TimeOffset, renewed: bool) -> Self {
        Self {
            count,
            since,
            renewed,
        }
    }
}

impl EjectionMemory {
    /// See the fields.
    pub const fn new(count: u16, until: TimeOffset, over: bool) -> Self {
        Self { count, until, over }
    }
}
