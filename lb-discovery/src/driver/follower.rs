//! Following one source.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lb_core::{Snapshot, SplitMix64};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info};

use crate::driver::config::{DriverConfig, OnEmpty};
use crate::driver::outage_log::{Due, Kind, LASTING, Outage};
use crate::driver::state::{Shared, adapted};
use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream, with_provenance};
use crate::timing::backoff::Backoff;
use crate::timing::refresh_hints::Hints;

/// The least time between two items of one stream, so that a stream which is always ready cannot keep the other
/// sources from running. Changes are gathered for longer than this anyway.
const ITEM_GAP: Duration = Duration::from_millis(1);

/// Follows one source for good.
pub(crate) struct Follower<'a> {
    pub(crate) index: usize,
    pub(crate) source: &'a Arc<dyn Discovery>,
    pub(crate) shared: &'a Shared,
    pub(crate) config: &'a DriverConfig,
    pub(crate) rng: SplitMix64,
}

impl Follower<'_> {
    pub(crate) async fn run(mut self) -> Infallible {
        let label = self.source.source();
        let mut hints = Hints::new(self.shared.hints(), self.config.min_refresh);
        let mut backoff = Backoff::new(self.config.backoff_base, self.config.backoff_max);
        let mut outage = Outage::inherited(self.shared.is_failing(self.index));
        loop {
            hints.clear();
            let (end, answered) = self.watch(&label, &mut hints, &mut outage).await;
            // One set is not enough: a source may give one and fail, each time it is asked.
            let lasting = backoff.ceiling().min(LASTING);
            if answered.is_some_and(|at| at.elapsed() > lasting) {
                backoff.reset();
            }
            let (delay, may_hurry) = match end {
                End::Answered { valid_for } => (self.delay_for(valid_for, &mut backoff), true),
                End::Failed(error) => {
                    self.record(&label, &error, &mut outage);
                    self.delay(&error, &mut backoff)
                }
            };
            hints.hold_off();
            tokio::select! {
                () = sleep(delay) => {}
                () = hints.next(), if may_hurry => {}
            }
        }
    }

    /// Follows one watch to its end. Returns also when it gave its first set, or said that the backends are withdrawn.
    async fn watch(
        &self,
        label: &Arc<str>,
        hints: &mut Hints,
        outage: &mut Outage,
    ) -> (End, Option<Instant>) {
        let sets = match self.source.watch_raw().await {
            Ok(sets) => sets,
            Err(error) => return (End::Failed(error), None),
        };
        let mut since = None;
        let end = self.items(sets, label, hints, outage, &mut since).await;
        (end, since)
    }

    /// Takes the items of one watch, to its end.
    async fn items(
        &self,
        mut sets: SnapshotStream,
        label: &Arc<str>,
        hints: &mut Hints,
        outage: &mut Outage,
        since: &mut Option<Instant>,
    ) -> End {
        // The last item, if it was an empty answer: how long that holds should the stream end behind it.
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
                Some(Err(error)) => return End::Failed(error),
                None => {
                    return answered.map_or_else(
                        || {
                            End::Failed(DiscoveryError::Closed {
                                what: format!("watching {label}").into(),
                            })
                        },
                        |valid_for| End::Answered { valid_for },
                    );
                }
            }
        }
    }

    fn accept(&self, label: &Arc<str>, snapshot: &Snapshot, outage: &mut Outage) {
        let raw = with_provenance(snapshot.clone(), label);
        let current = adapted(self.source, &raw, label);
        let backends = current.len();
        self.shared.succeeded(self.index, raw, current);
        if outage.succeeded(Instant::now()) {
            info!(source = %label, backends, "Discovery recovered");
        } else {
            debug!(source = %label, backends, "Discovered backends");
        }
    }

    fn record(&self, label: &Arc<str>, error: &DiscoveryError, outage: &mut Outage) {
        let report: Arc<str> = error.report().into();
        let empty = error.is_authoritative_empty();
        let apply = empty && (self.config.on_empty == OnEmpty::Apply || error.is_withdrawal());
        let before = if empty {
            self.shared.emptied(self.index, Arc::clone(&report), apply)
        } else {
            self.shared.failed(self.index, Arc::clone(&report))
        };
        let kind = match before {
            _ if !apply => Kind::Failed,
            None | Some(0) => Kind::Empty,
            Some(_) => Kind::Emptied,
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

    /// Logs what had to wait.
    fn log_due(&self, label: &Arc<str>, outage: &mut Outage) {
        match outage.take_due(Instant::now()) {
            Some((Due::Empty(report), failures)) => log_empty(label, &report, failures),
            Some((Due::Recovered, _)) => {
                let backends = self.shared.backends(self.index).unwrap_or_default();
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

    /// How long to believe an answer that says there is nothing.
    fn negative_delay(&self, valid_for: Duration) -> Duration {
        let floor = self.config.min_refresh;
        valid_for.min(self.config.backoff_max).max(floor)
    }
}

fn log_empty(label: &Arc<str>, report: &Arc<str>, failures: u64) {
    error!(source = %label, error = %report, failures, "Source has no backends");
}

/// How a watch ended.
enum End {
    /// With an empty answer, which is recorded already.
    Answered {
        valid_for: Option<Duration>,
    },
    Failed(DiscoveryError),
}
