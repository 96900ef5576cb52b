//! Reports of refused clients and of failed connections: the first ones at once, the next ones as counts.
//!
//! A session that succeeds does not call this module.

pub(crate) mod kind;
mod report;

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::Endpoint;
use tokio::time::Instant;

use kind::{Failure, FailureEvent, FailureKind};
use report::report;

pub use report::{ACCEPT_TARGET, FAILURES_TARGET};

/// How often a kind of failure is reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How many failures of a kind are reported one by one after a pause.
const BURST: u32 = 3;

/// How many kinds are counted separately. Further kinds are counted together by their reasons.
const MAX_KINDS: usize = 1024;

/// Counts failures by kind and writes reports of them to the log.
#[derive(Debug, Default)]
pub(crate) struct FailureReports {
    kinds: Mutex<HashMap<FailureKind, FailureCount>>,
    /// Whether there are kinds. Read without the lock.
    used: AtomicBool,
}

/// The failures of one kind.
#[derive(Debug)]
struct FailureCount {
    /// Failures that are not reported yet.
    count: u64,
    /// The first of them.
    first: Example,
    /// The token bucket of the reports, [`BURST`] tokens deep with one token in [`REPORT_EVERY`]: the moment at which it is
    /// full again.
    paid_at: Instant,
}

/// The details of one of several failures.
#[derive(Debug, Default)]
struct Example {
    client: Option<SocketAddr>,
    backend: Option<Endpoint>,
    error: Option<String>,
}

impl FailureReports {
    /// Counts a failure, and reports it if its kind is due.
    pub(crate) fn record(&self, failure: Failure, event: &FailureEvent<'_>) {
        let now = Instant::now();
        let mut kind = FailureKind {
            failure,
            listener: event.listener.clone(),
            upstream: event.upstream.cloned(),
        };
        let mut kinds = self.lock();
        self.used.store(true, Relaxed);
        if kinds.len() >= MAX_KINDS && !kinds.contains_key(&kind) {
            (kind.listener, kind.upstream) = (None, None);
        }
        let tally = kinds
            .entry(kind.clone())
            .or_insert_with(|| FailureCount::new(now));
        tally.count += 1;
        if tally.is_due(now) {
            let count = tally.take(now).0;
            drop(kinds);
            let backend = event.backend.clone();
            report(&kind, count, event.client, backend, event.error);
        } else if tally.count == 1 {
            tally.first = event.into();
        }
    }

    /// Reports the counts that are due, and forgets kinds that have not occurred for a while. Called every second.
    pub(crate) fn report_due(&self) {
        self.report_matching(|tally, now| tally.is_due(now));
    }

    /// Reports all counts, at the end of the server.
    pub(crate) fn flush(&self) {
        self.report_matching(|_, _| true);
    }

    fn report_matching(&self, matches: impl Fn(&FailureCount, Instant) -> bool) {
        if !self.used.load(Relaxed) {
            return;
        }
        let now = Instant::now();
        let mut reports = Vec::new();
        let mut kinds = self.lock();
        kinds.retain(|kind, tally| {
            if tally.count > 0 && matches(tally, now) {
                reports.push((kind.clone(), tally.take(now)));
            }
            tally.count > 0 || tally.paid_at > now
        });
        self.used.store(!kinds.is_empty(), Relaxed);
        drop(kinds);
        for (kind, (count, first)) in reports {
            let error = first.error.as_ref().map(|error| error as &dyn Display);
            report(&kind, count, first.client, first.backend, error);
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<FailureKind, FailureCount>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailureCount {
    fn new(now: Instant) -> Self {
        Self {
            count: 0,
            first: Example::default(),
            paid_at: now,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.paid_at <= now + REPORT_EVERY * (BURST - 1)
    }

    /// The count and the example for a report that is written now.
    fn take(&mut self, now: Instant) -> (u64, Example) {
        self.paid_at = self.paid_at.max(now) + REPORT_EVERY;
        let count = std::mem::take(&mut self.count);
        (count, std::mem::take(&mut self.first))
    }
}

impl From<&FailureEvent<'_>> for Example {
    fn from(event: &FailureEvent<'_>) -> Self {
        Self {
            client: event.client,
            backend: event.backend.clone(),
            error: event.error.map(ToString::to_string),
        }
    }
}

#[cfg(test)]
mod tests;
