//! Sends writes, at a limited rate, while this replica leads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_discovery::DiscoveryError;
use lb_discovery::kubernetes::Cluster;
use lb_discovery::kubernetes::controller::{ApiAnswer, ApiRequests};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::lease::Leadership;
use super::time::since_boot;
use super::write_queue::{Write, WriteOutcome, WriteQueue};

/// The least time between two requests, which is a rate of 100 a second. API servers limit each client by priority and fairness.
const GAP: Duration = Duration::from_millis(10);

/// The longest time for one request.
const REQUEST: Duration = Duration::from_secs(5);

/// How long nothing is written at most, if the server asks for time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The handle to the writes that wait. A copy is another handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    queue: Mutex<WriteQueue>,
    changed: Notify,
}

impl Writes {
    /// Changes the queue.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut WriteQueue) -> T) -> T {
        let changed = change(&mut self.lock());
        self.0.changed.notify_one();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, WriteQueue> {
        // No code that can panic runs under the lock.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the writes one after the other, until it is dropped. Nothing is sent unless `leadership` lasts longer than the request may
    /// take.
    pub(super) async fn run(self, cluster: Cluster, leadership: Leadership) {
        let requests = ApiRequests::new(&cluster);
        loop {
            let next = self.lock().next(since_boot());
            let (key, write) = match next {
                Ok(next) => next,
                Err(wait) => {
                    let changed = self.0.changed.notified();
                    match wait {
                        None => changed.await,
                        Some(wait) => tokio::select! {
                            () = changed => {}
                            () = sleep(wait.max(GAP)) => {}
                        },
                    }
                    continue;
                }
            };
            let Some(limit) = leadership.remaining() else {
                self.lock().clear();
                continue;
            };
            let answer = requests.send(&write.request, limit.min(REQUEST)).await;
            let outcome = judge(&write, answer);
            self.lock().ended(key, write, outcome, since_boot());
            let pause = match outcome {
                WriteOutcome::Failed(Some(asked)) => asked.min(LONGEST_PAUSE),
                _ => GAP,
            };
            sleep(pause.max(GAP)).await;
        }
    }
}

/// What an answer means for the write.
fn judge(write: &Write, answer: Result<ApiAnswer, DiscoveryError>) -> WriteOutcome {
    let request = &write.request;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            warn!(%request, %error, "Write failed");
            return WriteOutcome::Failed(error.retry_after());
        }
    };
    match answer.code {
        _ if answer.is_success() => {
            debug!(%request, "Written");
            WriteOutcome::Done
        }
        // The object is gone.
        404 | 410 => WriteOutcome::Done,
        409 if !is_other_manager(&answer) => {
            debug!(%request, "Object changed before the write");
            WriteOutcome::Stale
        }
        409 => {
            let owner = message(&answer);
            warn!(%request, %owner, "Another program writes the same status: let one of them serve the class, or set `take_over`");
            WriteOutcome::Failed(None)
        }
        code => {
            let said = message(&answer);
            warn!(%request, code, %said, "Write refused");
            WriteOutcome::Failed(answer.retry_after)
        }
    }
}

/// Whether a 409 says that another program owns a field, as opposed to another version of the object.
fn is_other_manager(answer: &ApiAnswer) -> bool {
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let causes = status["details"]["causes"].as_array();
    causes.is_some_and(|causes| {
        causes
            .iter()
            .any(|cause| cause["reason"] == "FieldManagerConflict")
    })
}

/// The message of a failed request.
fn message(answer: &ApiAnswer) -> String {
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = status["message"].as_str().unwrap_or("no message");
    text.chars()
        .take(300)
        .flat_map(char::escape_debug)
        .collect()
}
