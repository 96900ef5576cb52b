//! What the driver knows of its sources, and the handle that shows it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::Snapshot;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::source::{Discovery, with_provenance};

/// How the sources of a driver fare, in their order.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// One entry per source.
    pub sources: Vec<SourceStatus>,
}

/// How one source fares.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// The source's label.
    pub source: Arc<str>,
    /// How many backends its set has.
    pub backends: usize,
    /// Time since its last success, that is since it last gave a set. An authoritative empty answer that empties the
    /// set is a success. `None` if there was none yet. Grows while a source is quiet, too:
    /// what tells trouble is [`stale_for`](Self::stale_for).
    pub last_success: Option<Duration>,
    /// How long the set has gone unconfirmed: time since the first failure after the last success. `None` while the
    /// last outcome is a success, or while there is no outcome yet.
    pub stale_for: Option<Duration>,
    /// Whether the set was dropped because it went unconfirmed for longer than
    /// [`max_stale`](crate::DriverConfig::max_stale).
    pub expired: bool,
    /// Why the last attempt failed, or why there are no backends. `None` if neither.
    pub last_error: Option<Arc<str>>,
    /// How many attempts failed, ends of a watch and empty answers with a reason included.
    pub failures: u64,
    /// How many sets it gave, equal ones included.
    pub updates: u64,
}

impl SourceStatus {
    /// Whether the source fails, so that its backends are those that it gave last, if any.
    pub fn is_stale(&self) -> bool {
        self.stale_for.is_some()
    }
}

/// Shows how a [`Driver`](crate::Driver)'s sources fare and passes hints to them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DriverHandle {
    shared: Arc<Shared>,
}

impl DriverHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// A hint that the published set may be outdated, for instance because connections fail: sources should look
    /// again soon. A source that waits after a failure is tried at once.
    ///
    /// Cheap, and safe to call for each failed connection: hints that arrive together count as one, and per source
    /// at most one in [`min_refresh`](crate::DriverConfig::min_refresh) is acted on.
    pub fn refresh(&self) {
        self.shared.hints.send_replace(());
    }

    /// How each source fares at this moment. O(sources).
    pub fn status(&self) -> Status {
        let now = Instant::now();
        let shared = self.shared.lock();
        let sources = shared.all.iter().map(|s| s.status(now)).collect();
        Status { sources }
    }
}

/// What the followers write and the publisher and the handles read.
pub(crate) struct Shared {
    sources: Mutex<Sources>,
    changed: Notify,
    hints: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn new(labels: impl Iterator<Item = Arc<str>>) -> Self {
        Self {
            sources: Mutex::new(Sources::new(labels.map(SourceState::new).collect())),
            changed: Notify::new(),
            hints: watch::Sender::new(()),
        }
    }

    /// Gives the source `index`, unless it has a set of its own, the last good set of the source `from` of `old`, and since
    /// when and why that one fails: a set does not become younger when it is taken over.
    pub(crate) fn inherit(&self, index: usize, source: &dyn Discovery, old: &Self, from: usize) {
        let old = old.lock().all[from].clone();
        let current = adapted(source, &old.raw, &source.source());
        self.change(index, |state| {
            if state.last_success.is_none() {
                state.raw = old.raw;
                state.current = current;
                state.last_success = old.last_success;
                state.failing_since = old.failing_since;
                state.expired = old.expired;
                state.last_error = old.last_error;
            }
        });
    }

    /// Waits until a source has changed since the last wait. For one waiter.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn hints(&self) -> watch::Receiver<()> {
        self.hints.subscribe()
    }

    /// Whether the first publication need not wait any longer.
    pub(crate) fn is_complete(&self) -> bool {
        let counts = self.lock().counts;
        counts.unanswered == 0 && (counts.failed == 0 || counts.with_backends > 0)
    }

    /// All backends of all sources. O(1) in the number of backends if one source has them all.
    pub(crate) fn union(&self) -> Snapshot {
        let sources = self.lock();
        let mut sets = sources.all.iter().map(|s| &s.current);
        if sources.counts.with_backends == 1 {
            let only = sets.find(|set| !set.is_empty());
            return only.cloned().unwrap_or_default();
        }
        sets.flatten().cloned().collect()
    }

    /// Records a new set, as the source gave it and as it adapted it.
    pub(crate) fn succeeded(&self, index: usize, raw: Snapshot, current: Snapshot) {
        self.change(index, |source| {
            source.updates += 1;
            source.raw = raw;
            if source.current != current {
                source.current = current;
                source.is_news = true;
            }
            source.succeed(Outcome::Set);
            source.last_error = None;
        });
    }

    /// Records a failure. Returns how many [backends](Self::backends) there are.
    pub(crate) fn failed(&self, index: usize, error: Arc<str>) -> Option<usize> {
        self.change(index, |source| {
            source.failures += 1;
            source.last_error = Some(error);
            source.end_with(Outcome::Failed);
            source.fail();
            source.backends()
        })
    }

    /// Records an authoritative empty answer, and empties the set if `apply`. Returns how many
    /// [backends](Self::backends) there were.
    pub(crate) fn emptied(&self, index: usize, error: Arc<str>, apply: bool) -> Option<usize> {
        self.change(index, |source| {
            source.failures += 1;
            let before = source.backends();
            source.last_error = Some(error);
            source.end_with(Outcome::Empty);
            if apply {
                source.is_news |= !source.current.is_empty();
                source.drop_set();
                source.succeed(Outcome::Empty);
            } else {
                source.fail();
            }
            before
        })
    }

    /// When the first of the sets that are there is to be dropped, if no source recovers before.
    pub(crate) fn next_expiry(&self, max_stale: Duration) -> Option<Instant> {
        let sources = self.lock();
        let expiries = sources.all.iter().filter_map(|s| s.expiry(max_stale));
        expiries.min()
    }

    /// Drops the sets that have gone unconfirmed for `max_stale`, and names their sources.
    pub(crate) fn expire(&self, max_stale: Duration) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut sources = self.lock();
        let expired = sources
            .all
            .iter_mut()
            .filter(|s| s.expiry(max_stale).is_some_and(|expiry| expiry <= now));
        let drop = |source: &mut SourceState| {
            source.drop_set();
            source.expired = true;
            Arc::clone(&source.label)
        };
        let labels = expired.map(drop).collect();
        sources.count();
        labels
    }

    /// How many backends a source's last set has. `None` if it never gave one.
    pub(crate) fn backends(&self, index: usize) -> Option<usize> {
        self.lock().all[index].backends()
    }

    /// Whether a source fails, as far as is known.
    pub(crate) fn is_failing(&self, index: usize) -> bool {
        self.lock().all[index].failing_since.is_some()
    }

    /// Changes a source, and wakes the publisher if that is news to it. O(1) in the number of sources: with thousands of
    /// them each one's news must not cost a look at all.
    fn change<T>(&self, index: usize, change: impl FnOnce(&mut SourceState) -> T) -> T {
        let mut sources = self.lock();
        let Sources { all, counts } = &mut *sources;
        let source = &mut all[index];
        counts.leave(source);
        let result = change(source);
        counts.enter(source);
        if std::mem::take(&mut source.is_news) {
            self.changed.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Sources> {
        // Every update leaves the state whole, so one that panicked elsewhere spoils nothing.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sources in their order, and what the publisher must know of them together.
struct Sources {
    all: Vec<SourceState>,
    counts: Counts,
}

impl Sources {
    fn new(all: Vec<SourceState>) -> Self {
        let counts = Counts::default();
        let mut sources = Self { all, counts };
        sources.count();
        sources
    }

    fn count(&mut self) {
        self.counts = Counts::default();
        self.all.iter().for_each(|source| self.counts.enter(source));
    }
}

/// How many sources are how.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    failed: usize,
    unanswered: usize,
    with_backends: usize,
}

impl Counts {
    fn enter(&mut self, source: &SourceState) {
        self.failed += usize::from(source.outcome == Outcome::Failed);
        self.unanswered += usize::from(source.outcome == Outcome::None);
        self.with_backends += usize::from(!source.current.is_empty());
    }

    fn leave(&mut self, source: &SourceState) {
        self.failed -= usize::from(source.outcome == Outcome::Failed);
        self.unanswered -= usize::from(source.outcome == Outcome::None);
        self.with_backends -= usize::from(!source.current.is_empty());
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.lock();
        let labels: Vec<_> = sources.all.iter().map(|s| Arc::clone(&s.label)).collect();
        f.debug_struct("Shared")
            .field("sources", &labels)
            .finish_non_exhaustive()
    }
}

/// What `source` makes of a set that it gave, with every backend's source named.
pub(crate) fn adapted(source: &dyn Discovery, raw: &Snapshot, label: &Arc<str>) -> Snapshot {
    with_provenance(source.adapt(raw.clone()), label)
}

/// What the last attempt brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    None,
    Empty,
    Failed,
    Set,
}

#[derive(Clone)]
struct SourceState {
    label: Arc<str>,
    /// The last set before [`Discovery::adapt`], for a driver that takes over.
    raw: Snapshot,
    current: Snapshot,
    outcome: Outcome,
    last_success: Option<Instant>,
    failing_since: Option<Instant>,
    expired: bool,
    last_error: Option<Arc<str>>,
    failures: u64,
    updates: u64,
    /// Whether the publisher does not know of a change yet.
    is_news: bool,
}

impl SourceState {
    fn new(label: Arc<str>) -> Self {
        Self {
            label,
            raw: Snapshot::default(),
            current: Snapshot::default(),
            outcome: Outcome::None,
            last_success: None,
            failing_since: None,
            expired: false,
            last_error: None,
            failures: 0,
            updates: 0,
            is_news: false,
        }
    }

    fn drop_set(&mut self) {
        self.raw = Snapshot::default();
        self.current = Snapshot::default();
    }

    fn succeed(&mut self, outcome: Outcome) {
        self.end_with(outcome);
        self.expired = false;
        self.last_success = Some(Instant::now());
        self.failing_since = None;
    }

    fn fail(&mut self) {
        self.is_news |= self.failing_since.is_none();
        self.failing_since.get_or_insert_with(Instant::now);
    }

    /// How many backends the last set has. `None` if there was none yet.
    fn backends(&self) -> Option<usize> {
        self.last_success.map(|_| self.current.len())
    }

    fn end_with(&mut self, outcome: Outcome) {
        self.is_news |= self.outcome != outcome;
        self.outcome = outcome;
    }

    /// When its set is to be dropped, if it has one and fails.
    fn expiry(&self, max_stale: Duration) -> Option<Instant> {
        let since = self.failing_since.filter(|_| !self.current.is_empty())?;
        since.checked_add(max_stale)
    }

    fn status(&self, now: Instant) -> SourceStatus {
        let since = |then: Instant| now.saturating_duration_since(then);
        SourceStatus {
            source: Arc::clone(&self.label),
            backends: self.current.len(),
            last_success: self.last_success.map(since),
            stale_for: self.failing_since.map(since),
            expired: self.expired,
            last_error: self.last_error.clone(),
            failures: self.failures,
            updates: self.updates,
        }
    }
}
