//! The driver's record of all its sources.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::Snapshot;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::caught::caught;
use crate::driver::last_set::LastSet;
use crate::driver::source_state::{AttemptOutcome, BegunSet, SourceState};
use crate::driver::status::DriverStatus;
use crate::source::Source;
use crate::union::{labelled, union};

/// What the followers write, and the publisher and the handles read.
pub(crate) struct DriverState {
    sources: Mutex<SourceStates>,
    changed: Notify,
    hints: watch::Sender<()>,
}

impl DriverState {
    pub(crate) fn new(labels: impl Iterator<Item = Arc<str>>) -> Self {
        Self {
            sources: Mutex::new(SourceStates::new(labels.map(SourceState::new).collect())),
            changed: Notify::new(),
            hints: watch::Sender::new(()),
        }
    }

    /// Copies the last good set of source `from` of `old` to source `index`, with its staleness and its error, unless
    /// source `index` has yielded a set itself. Taking a set over does not make it younger. The counters go on, unless
    /// source `index` has counted an attempt itself.
    pub(crate) fn inherit(&self, index: usize, source: &dyn Source, old: &Self, from: usize) {
        let old = old.lock().all[from].clone();
        let current = adapted(source, &old.raw, &source.label());
        self.change(index, |state| {
            if (state.failures, state.updates) == (0, 0) {
                (state.failures, state.updates) = (old.failures, old.updates);
                state.panics = old.panics;
            }
            if state.last_success.is_none() {
                state.raw = old.raw;
                state.current = current;
                state.last_success = old.last_success;
                state.begun_with = old.begun_with;
                state.failing_since = old.failing_since;
                state.expired = old.expired;
                state.last_error = old.last_error;
            }
        });
    }

    /// Lets source `index` begin with the set of another process, unless it has one already.
    pub(crate) fn begin_with(&self, index: usize, source: &dyn Source, set: &LastSet) {
        let label = source.label();
        let raw = labelled(set.backends.clone(), &label);
        let current = adapted(source, &raw, &label);
        self.change(index, |state| {
            if state.outcome == AttemptOutcome::None && state.backends().is_none() {
                state.raw = raw;
                state.current = current;
                state.begun_with = Some(BegunSet {
                    at: Instant::now(),
                    age: set.age,
                });
                state.end_with(AttemptOutcome::BegunWith);
            }
        });
    }

    /// The last good set of each source that has one.
    pub(crate) fn last_sets(&self, sources: &[Arc<dyn Source>]) -> Vec<LastSet> {
        let now = Instant::now();
        let found: Vec<_> = {
            let states = self.lock();
            let found = |state: &SourceState| {
                let age = state.age(now).filter(|_| !state.expired)?;
                Some((Arc::clone(&state.label), state.raw.clone(), age))
            };
            states.all.iter().map(found).collect()
        };
        // Without the lock: an identity is the source's code.
        let sets = sources.iter().zip(found).filter_map(|(source, found)| {
            let (label, backends, age) = found?;
            let shown = Arc::clone(&label);
            caught(&shown, || LastSet::of(&**source, label, backends, age))
        });
        sets.collect()
    }

    /// Waits until a source has changed since the last wait. For one waiter.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Sends a refresh hint to every follower.
    pub(crate) fn hint(&self) {
        self.hints.send_replace(());
    }

    pub(crate) fn hints(&self) -> watch::Receiver<()> {
        self.hints.subscribe()
    }

    pub(crate) fn status(&self) -> DriverStatus {
        let now = Instant::now();
        let sources = self.lock().all.iter().map(|s| s.status(now)).collect();
        DriverStatus { sources }
    }

    /// Whether the first publication need not wait any longer.
    pub(crate) fn is_complete(&self) -> bool {
        let counts = self.lock().counts;
        counts.unanswered == 0 && (counts.failed == 0 || counts.with_backends > 0)
    }

    /// All backends of all sources; see [`union`].
    pub(crate) fn union(&self) -> Snapshot {
        union(self.lock().all.iter().map(|source| &source.current))
    }

    /// Records a new set, before and after [`Source::adapt`]. Returns whether it takes the place of the set of another process.
    pub(crate) fn succeeded(&self, index: usize, raw: Snapshot, current: Snapshot) -> bool {
        self.change(index, |source| {
            let replaces = source.begun_with.is_some();
            source.updates += 1;
            source.raw = raw;
            if source.current != current {
                source.current = current;
                source.is_changed = true;
            }
            source.succeed(AttemptOutcome::Set);
            source.last_error = None;
            replaces
        })
    }

    /// Records a failure, maybe a panic. Returns how many [backends](Self::backends) there are.
    pub(crate) fn failed(&self, index: usize, error: Arc<str>, is_panic: bool) -> Option<usize> {
        self.change(index, |source| {
            source.failures += 1;
            source.panics += u64::from(is_panic);
            source.last_error = Some(error);
            source.end_with(AttemptOutcome::Failed);
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
            source.end_with(AttemptOutcome::Empty);
            if apply {
                source.is_changed |= !source.current.is_empty();
                source.drop_set();
                source.succeed(AttemptOutcome::Empty);
            } else {
                source.fail();
            }
            before
        })
    }

    /// When the first set is to be dropped, if no source recovers before. `None` if no stale source has a set.
    pub(crate) fn next_expiry(&self, max_stale: Duration) -> Option<Instant> {
        let sources = self.lock();
        let expiries = sources.all.iter().filter_map(|s| s.expiry(max_stale));
        expiries.min()
    }

    /// Drops the sets that have been stale for `max_stale`, and returns the labels of their sources.
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

    /// Stores when the next watch of a source is opened. `None`: it is opened now.
    pub(crate) fn set_next_attempt(&self, index: usize, at: Option<Instant>) {
        self.lock().all[index].next_attempt = at;
    }

    /// The label of a source.
    pub(crate) fn label(&self, index: usize) -> Arc<str> {
        Arc::clone(&self.lock().all[index].label)
    }

    /// Number of backends in a source's last set. `None` if it never yielded one.
    pub(crate) fn backends(&self, index: usize) -> Option<usize> {
        self.lock().all[index].backends()
    }

    /// Whether a source fails, as far as is known.
    pub(crate) fn is_failing(&self, index: usize) -> bool {
        self.lock().all[index].failing_since.is_some()
    }

    /// Changes a source, and wakes the publisher if that changes what it publishes. O(1) in the number of sources: with
    /// thousands of them, a change of one must not visit all.
    fn change<T>(&self, index: usize, change: impl FnOnce(&mut SourceState) -> T) -> T {
        let mut sources = self.lock();
        let SourceStates { all, counts } = &mut *sources;
        let source = &mut all[index];
        counts.remove(source);
        let result = change(source);
        counts.add(source);
        if std::mem::take(&mut source.is_changed) {
            self.changed.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, SourceStates> {
        // No update can panic half-way, so a poisoned lock guards a consistent state.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DriverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.lock();
        let labels: Vec<_> = sources.all.iter().map(|s| Arc::clone(&s.label)).collect();
        f.debug_struct("DriverState")
            .field("sources", &labels)
            .finish_non_exhaustive()
    }
}

/// All sources in their order, and their totals.
struct SourceStates {
    all: Vec<SourceState>,
    counts: Counts,
}

impl SourceStates {
    fn new(all: Vec<SourceState>) -> Self {
        let counts = Counts::default();
        let mut sources = Self { all, counts };
        sources.count();
        sources
    }

    fn count(&mut self) {
        self.counts = Counts::default();
        self.all.iter().for_each(|source| self.counts.add(source));
    }
}

/// Number of sources in each condition that the publisher waits for.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    failed: usize,
    unanswered: usize,
    with_backends: usize,
}

impl Counts {
    fn add(&mut self, source: &SourceState) {
        self.failed += usize::from(source.outcome == AttemptOutcome::Failed);
        self.unanswered += usize::from(source.outcome == AttemptOutcome::None);
        self.with_backends += usize::from(!source.current.is_empty());
    }

    fn remove(&mut self, source: &SourceState) {
        self.failed -= usize::from(source.outcome == AttemptOutcome::Failed);
        self.unanswered -= usize::from(source.outcome == AttemptOutcome::None);
        self.with_backends -= usize::from(!source.current.is_empty());
    }
}

/// The set that `source` makes of `raw`, with `label` as the source of every backend that has none.
pub(crate) fn adapted(source: &dyn Source, raw: &Snapshot, label: &Arc<str>) -> Snapshot {
    labelled(source.adapt(raw.clone()), label)
}
