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

use super::answer::message;
use super::lease::Leadership;
use super::time::since_boot;
use super::write_queue::{Write, WriteOutcome, WriteQueue};
use crate::log_limit::LogLimits;
use crate::metrics::{ControllerMetrics, WriteResult};

/// The least time between two requests, which is a rate of 100 a second. API servers limit each client by priority and fairness.
const GAP: Duration = Duration::from_millis(10);

/// The longest time for one request.
const REQUEST: Duration = Duration::from_secs(5);

/// How long nothing is written at most, if the server asks for time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The handle to the writes that wait. A copy is another handle.
#[derive(Clone, Debug)]
pub(super) struct Writes(Arc<WriteState>);

#[derive(Debug)]
struct WriteState {
    queue: Mutex<WriteQueue>,
    changed: Notify,
    metrics: ControllerMetrics,
}

impl Writes {
    /// An empty queue, which `metrics` shows.
    pub(super) fn new(metrics: ControllerMetrics) -> Self {
        Self(Arc::new(WriteState {
            queue: Mutex::default(),
            changed: Notify::new(),
            metrics,
        }))
    }

    /// Changes the queue.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut WriteQueue) -> T) -> T {
        let mut queue = self.lock();
        let changed = change(&mut queue);
        self.0.metrics.waiting(queue.len());
        drop(queue);
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
        let mut judge = Judge {
            metrics: self.0.metrics.clone(),
            log_limits: LogLimits::default(),
            undone: LogLimits::default(),
        };
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
                self.change(WriteQueue::clear);
                continue;
            };
            let answer = requests.send(&write.request, limit.min(REQUEST)).await;
            let outcome = judge.judge(&write, answer);
            let (kind, object) = (write.kind, key.clone());
            let undone = self.change(|queue| queue.ended(key, write, outcome, since_boot()));
            judge.undone(kind, object, undone);
            let pause = match outcome {
                WriteOutcome::Failed(Some(asked)) => asked.min(LONGEST_PAUSE),
                _ => GAP,
            };
            sleep(pause.max(GAP)).await;
        }
    }
}

/// How often in a row the same is written before a line says so: a backup may have been restored, or a user may have edited a status.
const UNDONE: u32 = 3;

/// Judges answers, counts them, and logs failures, of each kind at most one in 30 s.
struct Judge {
    metrics: ControllerMetrics,
    log_limits: LogLimits<(&'static str, WriteResult)>,
    undone: LogLimits<&'static str>,
}

impl Judge {
    /// What an answer means for the write.
    fn judge(&mut self, write: &Write, answer: Result<ApiAnswer, DiscoveryError>) -> WriteOutcome {
        let result = match &answer {
            Err(_) => WriteResult::Failed,
            Ok(answer) if answer.is_success() => WriteResult::Written,
            Ok(ApiAnswer {
                code: 404 | 410, ..
            }) => WriteResult::Gone,
            Ok(answer) if answer.code != 409 => WriteResult::Refused,
            Ok(answer) if is_other_manager(answer) => WriteResult::OtherManager,
            Ok(_) => WriteResult::Conflict,
        };
        self.metrics.wrote(write.kind, result);
        let problem = match &answer {
            Err(error) => error.to_string(),
            Ok(answer) => format!("{} {}", answer.code, message(answer)),
        };
        match result {
            // There is nothing to write to any more.
            WriteResult::Written | WriteResult::Gone => WriteOutcome::Done,
            WriteResult::Conflict => WriteOutcome::Stale,
            WriteResult::Failed | WriteResult::OtherManager | WriteResult::Refused => {
                self.log(write, result, &problem);
                WriteOutcome::Failed(match answer {
                    Err(error) => error.retry_after(),
                    Ok(answer) => answer.retry_after,
                })
            }
        }
    }

    /// Logs that what is written for `object` was undone `times` in a row.
    fn undone(&mut self, kind: &'static str, object: Option<String>, times: u32) {
        if times > 0 {
            self.metrics.undone(kind);
        }
        if times >= UNDONE
            && let Some(object) = object
            && let Some(suppressed) = self.undone.admit(kind)
        {
            warn!(%object, times, suppressed, "Status undone by another process: two controllers serve one class");
        }
    }

    fn log(&mut self, write: &Write, result: WriteResult, problem: &str) {
        let request = &write.request;
        let Some(suppressed) = self.log_limits.admit((write.kind, result)) else {
            debug!(%request, %problem, "Write failed");
            return;
        };
        match result {
            WriteResult::OtherManager => {
                warn!(%request, %problem, suppressed, "Another program writes the same status: let one of them serve the class, or set `take_over`");
            }
            WriteResult::Refused => warn!(%request, %problem, suppressed, "Write refused"),
            _ => warn!(%request, %problem, suppressed, "Write failed"),
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

#[cfg(test)]
mod tests {
    use lb_discovery::kubernetes::controller::{ApiMethod, ApiRequest};
    use serde_json::json;

    use super::*;

    /// A server's answer to a request, from the API server of the tests.
    async fn answers() -> (
        ApiRequests,
        test_support::kubernetes::ApiServer,
        tempfile::TempDir,
    ) {
        let api = test_support::kubernetes::ApiServer::start().await;
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = api.kubeconfig(dir.path(), "", "token: secret");
        (ApiRequests::new(&Cluster::kubeconfig(kubeconfig)), api, dir)
    }

    #[tokio::test]
    async fn answers_are_judged_and_counted_by_kind_and_result() {
        let (requests, api, _dir) = answers().await;
        let mut judge = Judge {
            metrics: ControllerMetrics::default(),
            log_limits: LogLimits::default(),
            undone: LogLimits::default(),
        };
        api.put(
            "services",
            json!({"metadata": {"name": "web", "namespace": "default"}}),
        );
        let path = "/api/v1/namespaces/default/services/web";
        let merge = ApiMethod::Patch("application/merge-patch+json");
        let with_version = |version: &str| json!({"metadata": {"resourceVersion": version}});
        let cases = [
            (path, json!({"spec": {"x": 1}}), WriteOutcome::Done),
            (path, with_version("1000000"), WriteOutcome::Stale),
            (
                "/api/v1/namespaces/default/services/gone",
                json!({}),
                WriteOutcome::Done,
            ),
        ];
        for (path, body, expected) in cases {
            let request = ApiRequest::new(merge, path).body(body.to_string());
            let answer = requests.send(&request, REQUEST).await;
            let write = Write {
                kind: "services",
                request,
                digest: 0,
                events: Vec::new(),
            };
            assert_eq!(judge.judge(&write, answer), expected, "{path}");
        }
        // The server validates what is written into a status.
        let status = |reason: &str| {
            let condition = json!({"type": "A", "status": "True", "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"});
            json!({"status": {"conditions": [condition]}}).to_string()
        };
        for (reason, code) in [("two words", 422), ("Word", 200)] {
            let request = ApiRequest::new(merge, format!("{path}/status")).body(status(reason));
            assert_eq!(requests.send(&request, REQUEST).await.unwrap().code, code);
        }
        api.forbid("services");
        let request = ApiRequest::new(merge, path).body("{}");
        let write = Write {
            kind: "services",
            request,
            digest: 0,
            events: Vec::new(),
        };
        for _ in 0..3 {
            let answer = requests.send(&write.request, REQUEST).await;
            assert_eq!(judge.judge(&write, answer), WriteOutcome::Failed(None));
        }
        let counts = judge.metrics.writes();
        let count = |result| counts.get(&("services", result)).copied();
        assert_eq!(count(WriteResult::Written), Some(1));
        assert_eq!(count(WriteResult::Conflict), Some(1));
        assert_eq!(count(WriteResult::Gone), Some(1));
        assert_eq!(count(WriteResult::Refused), Some(3));
        assert_eq!(count(WriteResult::Failed), None);
        // The lines of the last two were left out.
        assert_eq!(
            judge.log_limits.admit(("services", WriteResult::Refused)),
            None
        );
    }
}
