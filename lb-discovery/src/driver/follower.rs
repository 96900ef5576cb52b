//! The follower of one source.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lb_core::{Snapshot, SplitMix64};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info};

use crate::driver::config::{DriverConfig, OnEmpty};
use crate::driver::outage_log::{DueLine, LASTING, OutageLog, SourceFailure};
use crate::driver::state::{DriverState, adapted};
use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};
use crate::timing::backoff::Backoff;
use crate::timing::refresh_hints::RefreshHints;
use crate::union::labelled;

/// The minimum time between two items of one stream, so that a stream which is always ready cannot starve the followers
/// of other sources. The publisher gathers changes for longer than this anyway.
const ITEM_GAP: Duration = Duration::from_millis(1);

/// Follows one source until it is dropped.
pub(crate) struct Follower<'a> {
    pub(crate) index: usize,
    pub(crate) source: &'a Arc<dyn Source>,
    pub(crate) state: &'a DriverState,
    pub(crate) config: &'a DriverConfig,
    pub(crate) rng: SplitMix64,
}

impl Follower<'_> {
    pub(crate) async fn run(mut self) -> Infallible {
        let label = self.source.label();
        let mut hints = RefreshHints::new(self.state.hints(), self.config.min_refresh);
        let mut backoff = Backoff::new(self.config.backoff_base, self.config.backoff_max);
        let mut outage = OutageLog::inherited(self.state.is_failing(self.index));
        loop {
            hints.clear();
            let (end, answered) = self.watch(&label, &mut hints, &mut outage).await;
            // One set is not enough: a source may yield one and fail, each time its watch is opened.
            let lasting = backoff.ceiling().min(LASTING);
            if answered.is_some_and(|at| at.elapsed() > lasting) {
                backoff.reset();
            }
            let (delay, may_hurry) = match end {
                WatchEnd::Answered { valid_for } => (self.delay_for(valid_for, &mut backoff), true),
                WatchEnd::Failed(error) => {
                    self.record(&label, &error, &mut outage);
                    self.delay(&error, &mut backoff)
                }
            };
            hints.hold_off();
            let next = Instant::now().checked_add(delay);
            self.state.set_next_attempt(self.index, next);
            tokio::select! {
                () = sleep(delay) => {}
                () = hints.next(), if may_hurry => {}
            }
            self.state.set_next_attempt(self.index, None);
        }
    }

    /// Follows one watch to its end. Also returns when the watch yielded its first set or its first withdrawal.
    async fn watch(
        &self,
        label: &Arc<str>,
        hints: &mut RefreshHints,
        outage: &mut OutageLog,
    ) -> (WatchEnd, Option<Instant>) {
        let sets = match self.source.watch_raw().await {
            Ok(sets) => sets,
            Err(error) => return (WatchEnd::Failed(error), None),
        };
        let mut since = None;
        let end = self.items(sets, label, hints, outage, &mut since).await;
        (end, since)
    }

    /// Handles the items of one watch, to its end.
    async fn items(
        &self,
        mut sets: SnapshotStream,
        label: &Arc<str>,
        hints: &mut RefreshHints,
        outage: &mut OutageLog,
        since: &mut Option<Instant>,
    ) -> WatchEnd {
        // The validity of the last item, if that was an empty answer: it decides the delay if the stream ends after it.
        let mut answered: Option<Option<Duration>> = None;
        loop {
            let due = outage.due();
            let item = tokio::select! {
                item = sets.next() => item,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.log_due(label, outage);
                    continue;
                }
                () = hints.next() => {
                    self.source.refresh();
                    continue;
                }
            };
            match item {
                Some(Ok(snapshot)) => {
                    since.get_or_insert_with(Instant::now);
                    answered = None;
                    self.accept(label, &snapshot, outage);
                    sleep(ITEM_GAP).await;
                }
                Some(Err(error)) if error.is_authoritative_empty() => {
                    if error.is_withdrawal() {
                        since.get_or_insert_with(Instant::now);
                    }
                    self.record(label, &error, outage);
                    if answered.replace(error.valid_for()).is_some() {
                        sleep(ITEM_GAP).await;
                    }
                }
                Some(Err(error)) => return WatchEnd::Failed(error),
                None => {
                    return answered.map_or_else(
                        || {
                            WatchEnd::Failed(DiscoveryError::Closed {
                                what: format!("watching {label}").into(),
                            })
                        },
                        |valid_for| WatchEnd::Answered { valid_for },
                    );
                }
            }
        }
    }

    fn accept(&self, label: &Arc<str>, snapshot: &Snapshot, outage: &mut OutageLog) {
        let raw = labelled(snapshot.clone(), label);
        let current = adapted(self.source, &raw, label);
        let backends = current.len();
        let replaces = self.state.succeeded(self.index, raw, current);
        if outage.succeeded(Instant::now()) {
            info!(source = %label, backends, "Discovery recovered");
        } else if replaces {
            info!(source = %label, backends, "Restored set replaced");
        } else {
            debug!(source = %label, backends, "Discovered backends");
        }
    }

    fn record(&self, label: &Arc<str>, error: &DiscoveryError, outage: &mut OutageLog) {
        let report: Arc<str> = error.report().into();
        let empty = error.is_authoritative_empty();
        let apply = empty && (self.config.on_empty == OnEmpty::Apply || error.is_withdrawal());
        let before = if empty {
            self.state.emptied(self.index, Arc::clone(&report), apply)
        } else {
            self.state.failed(self.index, Arc::clone(&report))
        };
        let kind = match before {
            _ if !apply => SourceFailure::Failed,
            None | Some(0) => SourceFailure::Empty,
            Some(_) => SourceFailure::Emptied,
        };
        let Some(failures) = outage.failed(kind, &report, Instant::now()) else {
            debug!(source = %label, error = %report, "Discovery still fails");
            return;
        };
        match (apply, before) {
            (true, _) => log_empty(label, &report, failures),
            (false, None) => {
                error!(source = %label, error = %report, failures, "Discovery failed, no backends known yet");
            }
            (false, Some(0)) => {
                error!(source = %label, error = %report, failures, "Discovery failed, no backends known");
            }
            (false, Some(kept)) => {
                error!(source = %label, error = %report, failures, kept, "Discovery failed, keeping the last set");
            }
        }
    }

    /// Logs the line that had to wait.
    fn log_due(&self, label: &Arc<str>, outage: &mut OutageLog) {
        match outage.take_due(Instant::now()) {
            Some((DueLine::Empty(report), failures)) => log_empty(label, &report, failures),
            Some((DueLine::Recovered, _)) => {
                let backends = self.state.backends(self.index).unwrap_or_default();
                info!(source = %label, backends, "Discovery recovered");
            }
            None => {}
        }
    }

    /// How long to wait after `error`, and whether a hint may end the wait.
    fn delay(&mut self, error: &DiscoveryError, backoff: &mut Backoff) -> (Duration, bool) {
        let delay = self.delay_for(error.valid_for(), backoff);
        match error.retry_after() {
            Some(wait) => (delay.max(wait.min(self.config.backoff_max)), false),
            None => (delay, true),
        }
    }

    fn delay_for(&mut self, valid_for: Option<Duration>, backoff: &mut Backoff) -> Duration {
        match valid_for {
            Some(valid_for) => self.negative_delay(valid_for),
            None => backoff.next_delay(&mut self.rng),
        }
    }

    /// How long an authoritative empty answer holds, within the configured bounds.
    fn negative_delay(&self, valid_for: Duration) -> Duration {
        let floor = self.config.min_refresh;
        valid_for.min(self.config.backoff_max).max(floor)
    }
}

fn log_empty(label: &Arc<str>, report: &Arc<str>, failures: u64) {
    error!(source = %label, error = %report, failures, "Source has no backends");
}

/// How a watch ended.
enum WatchEnd {
    /// After an empty answer, which is recorded already.
    Answered {
        valid_for: Option<Duration>,
    },
    Failed(DiscoveryError),
}
