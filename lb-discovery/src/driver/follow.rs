//! Following one source.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lb_core::{Snapshot, SplitMix64};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::config::{DriverConfig, OnEmpty};
use super::state::{Shared, adapted};
use crate::backoff::Backoff;
use crate::discovery::{Discovery, with_provenance};
use crate::error::DiscoveryError;
use crate::hints::Hints;

/// The least time between two items of one stream, so that a stream which is always ready cannot keep the other
/// sources from running. Changes are gathered for longer than this anyway.
const ITEM_GAP: Duration = Duration::from_millis(1);

/// Follows one source for good.
pub(super) struct Follower<'a> {
    pub(super) index: usize,
    pub(super) source: &'a Arc<dyn Discovery>,
    pub(super) shared: &'a Shared,
    pub(super) config: &'a DriverConfig,
    pub(super) rng: SplitMix64,
}

impl Follower<'_> {
    pub(super) async fn run(mut self) -> Infallible {
        let label = self.source.source();
        let mut hints = Hints::new(self.shared.hints(), self.config.min_refresh);
        let mut backoff = Backoff::new(self.config.backoff_base, self.config.backoff_max);
        loop {
            hints.clear();
            let valid_for = match self.watch(&label, &mut backoff, &mut hints).await {
                End::Answered { valid_for } => valid_for,
                End::Failed(error) => {
                    self.record(&label, &error);
                    error.valid_for()
                }
            };
            let delay = match valid_for {
                Some(valid_for) => self.negative_delay(valid_for),
                None => backoff.next_delay(&mut self.rng),
            };
            hints.hold_off();
            tokio::select! {
                () = sleep(delay) => {}
                () = hints.next() => {}
            }
        }
    }

    /// Follows one watch to its end.
    async fn watch(&self, label: &Arc<str>, backoff: &mut Backoff, hints: &mut Hints) -> End {
        let mut sets = match self.source.watch_raw().await {
            Ok(sets) => sets,
            Err(error) => return End::Failed(error),
        };
        // The last item, if it was an empty answer: how long that holds should the stream end behind it.
        let mut answered: Option<Option<Duration>> = None;
        loop {
            let item = tokio::select! {
                item = sets.next() => item,
                () = hints.next() => {
                    self.source.refresh();
                    continue;
                }
            };
            match item {
                Some(Ok(snapshot)) => {
                    backoff.reset();
                    answered = None;
                    self.accept(label, &snapshot);
                    sleep(ITEM_GAP).await;
                }
                Some(Err(error)) if error.is_authoritative_empty() => {
                    if error.is_withdrawal() {
                        backoff.reset();
                    }
                    self.record(label, &error);
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

    fn accept(&self, label: &Arc<str>, snapshot: &Snapshot) {
        let raw = with_provenance(snapshot.clone(), label);
        let current = adapted(self.source, &raw, label);
        let backends = current.len();
        if self.shared.succeeded(self.index, raw, current) {
            info!(source = %label, backends, "Discovery recovered");
        } else {
            debug!(source = %label, backends, "Discovered backends");
        }
    }

    fn record(&self, label: &Arc<str>, error: &DiscoveryError) {
        let report: Arc<str> = error.report().into();
        let empty = error.is_authoritative_empty();
        let apply = empty && (self.config.on_empty == OnEmpty::Apply || error.is_withdrawal());
        let first = if empty {
            self.shared.emptied(self.index, Arc::clone(&report), apply)
        } else {
            self.shared.failed(self.index, Arc::clone(&report))
        };
        match (first, apply, self.shared.kept(self.index)) {
            (false, _, kept) => {
                let kept = kept.unwrap_or_default();
                debug!(source = %label, error = %report, kept, "Discovery still fails");
            }
            (true, true, _) => error!(source = %label, error = %report, "Source has no backends"),
            (true, false, Some(kept)) => {
                warn!(source = %label, error = %report, kept, "Discovery failed, keeping the last set");
            }
            (true, false, None) => {
                warn!(source = %label, error = %report, "Discovery failed, no backends known yet");
            }
        }
    }

    /// How long to believe an answer that says there is nothing.
    fn negative_delay(&self, valid_for: Duration) -> Duration {
        let floor = self.config.min_refresh;
        valid_for.min(self.config.backoff_max).max(floor)
    }
}

/// How a watch ended.
enum End {
    /// With an empty answer, which is recorded already.
    Answered {
        valid_for: Option<Duration>,
    },
    Failed(DiscoveryError),
}
