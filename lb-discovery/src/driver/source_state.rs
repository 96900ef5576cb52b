//! The driver's record of one source.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Snapshot;
use tokio::time::Instant;

use crate::driver::status::SourceStatus;

/// The outcome of the last attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AttemptOutcome {
    /// No attempt has ended yet.
    None,
    /// None by this driver: the source began with the set of another process.
    BegunWith,
    Empty,
    Failed,
    Set,
}

/// The age of a set when the driver began with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BegunSet {
    pub(crate) at: Instant,
    pub(crate) age: Duration,
}

/// One source: its last good set, and how its attempts went.
#[derive(Clone)]
pub(crate) struct SourceState {
    pub(crate) label: Arc<str>,
    /// The last set before [`Source::adapt`](crate::Source::adapt), for a driver that takes over.
    pub(crate) raw: Snapshot,
    pub(crate) current: Snapshot,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) last_success: Option<Instant>,
    /// The set of another process, until the source succeeds.
    pub(crate) begun_with: Option<BegunSet>,
    pub(crate) failing_since: Option<Instant>,
    /// When the next watch is opened. `None` while one is open.
    pub(crate) next_attempt: Option<Instant>,
    pub(crate) expired: bool,
    pub(crate) last_error: Option<Arc<str>>,
    pub(crate) failures: u64,
    pub(crate) panics: u64,
    pub(crate) updates: u64,
    /// Whether there is a change that the publisher has not been notified of.
    pub(crate) is_changed: bool,
}

impl SourceState {
    pub(crate) fn new(label: Arc<str>) -> Self {
        Self {
            label,
            raw: Snapshot::default(),
            current: Snapshot::default(),
            outcome: AttemptOutcome::None,
            last_success: None,
            begun_with: None,
            failing_since: None,
            next_attempt: None,
            expired: false,
            last_error: None,
            failures: 0,
            panics: 0,
            updates: 0,
            is_changed: false,
        }
    }

    pub(crate) fn drop_set(&mut self) {
        self.raw = Snapshot::default();
        self.current = Snapshot::default();
    }

    pub(crate) fn succeed(&mut self, outcome: AttemptOutcome) {
        self.end_with(outcome);
        self.expired = false;
        self.last_success = Some(Instant::now());
        self.begun_with = None;
        self.failing_since = None;
    }

    pub(crate) fn fail(&mut self) {
        self.is_changed |= self.failing_since.is_none();
        self.failing_since.get_or_insert_with(Instant::now);
    }

    pub(crate) fn end_with(&mut self, outcome: AttemptOutcome) {
        self.is_changed |= self.outcome != outcome;
        self.outcome = outcome;
    }

    /// Number of backends in the last set. `None` before the first one.
    pub(crate) fn backends(&self) -> Option<usize> {
        let has_set = self.last_success.is_some() || self.begun_with.is_some();
        has_set.then(|| self.current.len())
    }

    /// When the set is to be dropped, if there is one and the source fails.
    pub(crate) fn expiry(&self, max_stale: Duration) -> Option<Instant> {
        let since = self.failing_since.filter(|_| !self.current.is_empty())?;
        let before = self.begun_with.map_or(Duration::ZERO, |begun| begun.age);
        since.checked_add(max_stale.saturating_sub(before))
    }

    /// Time since the last success, that of another process included.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        let since = |then: Instant| now.saturating_duration_since(then);
        let begun = |begun: BegunSet| begun.age.saturating_add(since(begun.at));
        self.last_success
            .map(since)
            .or_else(|| self.begun_with.map(begun))
    }

    pub(crate) fn status(&self, now: Instant) -> SourceStatus {
        let since = |then: Instant| now.saturating_duration_since(then);
        SourceStatus {
            label: Arc::clone(&self.label),
            backends: self.current.len(),
            last_success: self.age(now),
            is_restored: self.begun_with.is_some(),
            stale_for: self.failing_since.map(since),
            next_attempt: self
                .next_attempt
                .map(|at| at.saturating_duration_since(now)),
            expired: self.expired,
            last_error: self.last_error.clone(),
            failures: self.failures,
            panics: self.panics,
            updates: self.updates,
        }
    }
}
