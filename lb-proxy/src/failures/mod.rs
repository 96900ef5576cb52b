//! Clients that get no service and connections that fail: reported at once at first, then as counts.
//!
//! Nothing here is touched by a session that succeeds.

mod report;

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::hooks::CloseReason;
use report::report;

pub use report::FAILURES_TARGET;

/// A kind of failure is reported once in this time.
const EVERY: Duration = Duration::from_secs(10);

/// After a pause, so many failures of a kind are reported at once, one by one.
const BURST: u32 = 3;

/// Kinds that are counted apart. Further ones are counted together by their reasons.
const MOST_KINDS: usize = 1024;

/// Counts failures by kind and reports them.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    kinds: Mutex<HashMap<Kind, Tally>>,
    /// Whether there are kinds, to be read without the lock.
    used: AtomicBool,
}

/// What failed, and why.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Failure {
    /// Accepting pauses.
    Accept(Pause),
    /// A client was closed.
    Client(CloseReason),
    /// An attempt to connect failed.
    Connect(Blame),
}

/// Why accepting pauses.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Pause {
    Rate,
    Sessions,
    Shortage,
}

/// Why an attempt to connect failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Blame {
    Backend,
    Local,
    Loop,
    Shortage,
    Timeout,
}

/// One failure. What is not known is `None`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Event<'a> {
    pub(crate) listener: Option<SocketAddr>,
    pub(crate) upstream: Option<&'a Arc<str>>,
    pub(crate) client: Option<SocketAddr>,
    pub(crate) backend: Option<SocketAddr>,
    pub(crate) error: Option<&'a dyn Display>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Kind {
    failure: Failure,
    listener: Option<SocketAddr>,
    upstream: Option<Arc<str>>,
}

/// The failures of one kind.
#[derive(Debug)]
struct Tally {
    /// Not reported yet.
    count: u64,
    /// The first of them.
    first: Example,
    /// When the reports that were written have been paid for, at one in [`EVERY`].
    paid_at: Instant,
}

/// What one of several failures was about.
#[derive(Debug, Default)]
struct Example {
    client: Option<SocketAddr>,
    backend: Option<SocketAddr>,
    error: Option<String>,
}

impl Failures {
    /// Counts a failure, and reports it if its kind is due.
    pub(crate) fn note(&self, failure: Failure, event: &Event<'_>) {
        let now = Instant::now();
        let mut kind = Kind {
            failure,
            listener: event.listener,
            upstream: event.upstream.cloned(),
        };
        let mut kinds = self.lock();
        self.used.store(true, Relaxed);
        if kinds.len() >= MOST_KINDS && !kinds.contains_key(&kind) {
            (kind.listener, kind.upstream) = (None, None);
        }
        let tally = kinds.entry(kind.clone()).or_insert_with(|| Tally::new(now));
        tally.count += 1;
        if tally.is_due(now) {
            let count = tally.take(now).0;
            drop(kinds);
            report(&kind, count, event.client, event.backend, event.error);
        } else if tally.count == 1 {
            tally.first = event.into();
        }
    }

    /// Reports the counts that are due, and forgets kinds that have not occurred for a while. To be called every
    /// second or so.
    pub(crate) fn report_due(&self) {
        self.report_those(|tally, now| tally.is_due(now));
    }

    /// Reports all counts: none are to follow.
    pub(crate) fn flush(&self) {
        self.report_those(|_, _| true);
    }

    fn report_those(&self, is_wanted: impl Fn(&Tally, Instant) -> bool) {
        if !self.used.load(Relaxed) {
            return;
        }
        let now = Instant::now();
        let mut reports = Vec::new();
        let mut kinds = self.lock();
        kinds.retain(|kind, tally| {
            if tally.count > 0 && is_wanted(tally, now) {
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
    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Tally>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn new(now: Instant) -> Self {
        Self {
            count: 0,
            first: Example::default(),
            paid_at: now,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.paid_at <= now + EVERY * (BURST - 1)
    }

    /// The count and the example for a report that is written now.
    fn take(&mut self, now: Instant) -> (u64, Example) {
        self.paid_at = self.paid_at.max(now) + EVERY;
        let count = std::mem::take(&mut self.count);
        (count, std::mem::take(&mut self.first))
    }
}

impl From<&Event<'_>> for Example {
    fn from(event: &Event<'_>) -> Self {
        Self {
            client: event.client,
            backend: event.backend,
            error: event.error.map(ToString::to_string),
        }
    }
}

#[cfg(test)]
mod tests;
