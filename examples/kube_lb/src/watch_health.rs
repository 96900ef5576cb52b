//! Whether the watches of the cluster's objects work, by kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_discovery::DiscoveryError;
use tokio::time::Instant;
use tracing::{error, info};

use crate::log_limit::LogLimit;

/// The state of the watches, by the plural name of the kind. A copy is another handle.
#[derive(Clone, Debug, Default)]
pub struct WatchHealth(Arc<Mutex<BTreeMap<&'static str, KindState>>>);

/// What the watch of one kind has shown.
#[derive(Debug, Default)]
struct KindState {
    is_listed: bool,
    failure: Option<WatchFailure>,
    failures: u64,
    log_limit: LogLimit,
}

#[derive(Debug)]
struct WatchFailure {
    since: Instant,
    text: String,
    is_denied: bool,
    /// Whether a line of the log says so.
    is_logged: bool,
}

/// A report about the watch of one kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KindHealth {
    /// The plural name of the kind.
    pub kind: &'static str,
    /// Whether its objects were listed once.
    pub is_listed: bool,
    /// Whether the server refuses to show them for want of permission.
    pub is_denied: bool,
    /// For how long every request has failed. Zero while the last one succeeded.
    pub stale: Duration,
    /// How many requests have failed.
    pub failures: u64,
    /// What the last failed request said, while they fail.
    pub problem: Option<String>,
}

impl WatchHealth {
    /// A watch of `kind` has begun, if it had not.
    pub(crate) fn follow(&self, kind: &'static str) {
        self.lock().entry(kind).or_default();
    }

    /// The objects of `kind` were listed.
    pub(crate) fn listed(&self, kind: &'static str) {
        self.lock().entry(kind).or_default().is_listed = true;
    }

    /// A request failed. Returns whether that shows for the first time that the kind cannot be listed for want of permission.
    pub(crate) fn failed(&self, kind: &'static str, error: &DiscoveryError) -> bool {
        let mut kinds = self.lock();
        let state = kinds.entry(kind).or_default();
        state.failures += 1;
        let is_denied = matches!(error, DiscoveryError::Denied { .. });
        let before = state.failure.take();
        let was_denied = before.as_ref().is_some_and(|failure| failure.is_denied);
        let is_new_denial = is_denied && !was_denied && !state.is_listed;
        let mut is_logged = before.as_ref().is_some_and(|failure| failure.is_logged);
        if is_new_denial {
            error!(kind, %error, "Objects may not be read: served without them");
            is_logged = true;
        } else if !is_logged && let Some(suppressed) = state.log_limit.admit(Instant::now()) {
            error!(kind, %error, suppressed, "Objects not followed");
            is_logged = true;
        }
        state.failure = Some(WatchFailure {
            since: before.map_or_else(Instant::now, |failure| failure.since),
            text: error.to_string(),
            is_denied,
            is_logged,
        });
        is_new_denial
    }

    /// A request succeeded after a failure.
    pub(crate) fn recovered(&self, kind: &'static str) {
        let mut kinds = self.lock();
        let failure = kinds.get_mut(kind).and_then(|state| state.failure.take());
        if failure.is_some_and(|failure| failure.is_logged) {
            info!(kind, "Objects followed again");
        }
    }

    /// Whether each kind was listed once or may not be read: the rest is served without it.
    pub(crate) fn is_settled(&self) -> bool {
        let kinds = self.lock();
        kinds.values().all(|state| {
            let failure = state.failure.as_ref();
            state.is_listed || failure.is_some_and(|failure| failure.is_denied)
        })
    }

    /// Whether the objects of `kind` were listed once.
    pub(crate) fn is_listed(&self, kind: &str) -> bool {
        self.lock().get(kind).is_some_and(|state| state.is_listed)
    }

    /// A report for each kind that is followed.
    pub fn kinds(&self) -> Vec<KindHealth> {
        let kinds = self.lock();
        let reports = kinds.iter().map(|(kind, state)| {
            let failure = state.failure.as_ref();
            KindHealth {
                kind,
                is_listed: state.is_listed,
                is_denied: failure.is_some_and(|failure| failure.is_denied),
                stale: failure.map_or(Duration::ZERO, |failure| failure.since.elapsed()),
                failures: state.failures,
                problem: failure.map(|failure| failure.text.clone()),
            }
        });
        reports.collect()
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, KindState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use test_support::log::Capture;

    use super::*;

    fn denied() -> DiscoveryError {
        DiscoveryError::Denied {
            what: "listing".into(),
            problem: "403 Forbidden".into(),
        }
    }

    fn silent() -> DiscoveryError {
        DiscoveryError::Timeout {
            what: "listing".into(),
            problem: "no answer".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_may_not_be_read_is_not_waited_for_and_one_that_fails_is() {
        let health = WatchHealth::default();
        health.follow("services");
        health.follow("nodes");
        assert!(!health.is_settled());
        health.listed("services");
        assert!(!health.failed("nodes", &silent()) && !health.is_settled());
        assert!(health.failed("nodes", &denied()) && health.is_settled());
        assert!(!health.failed("nodes", &denied()), "that is known");
        assert!(!health.is_listed("nodes") && health.is_listed("services"));
        tokio::time::advance(Duration::from_secs(7)).await;
        let nodes = health.kinds().remove(0);
        assert_eq!((nodes.kind, nodes.failures), ("nodes", 3));
        assert!(nodes.is_denied && nodes.problem.is_some());
        assert_eq!(nodes.stale, Duration::from_secs(7));
        // It is again waited for: the right was granted, and the server answers nothing.
        health.failed("nodes", &silent());
        assert!(!health.is_settled());
        health.recovered("nodes");
        health.listed("nodes");
        let nodes = health.kinds().remove(0);
        assert!(health.is_settled() && !nodes.is_denied && nodes.is_listed);
        assert_eq!((nodes.stale, nodes.problem), (Duration::ZERO, None));
        // A right that is withdrawn later empties nothing.
        assert!(!health.failed("services", &denied()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_and_recovers_all_the_time_is_logged_rarely_and_one_that_stays_failed_is()
     {
        let log = Capture::install();
        let health = WatchHealth::default();
        for _ in 0..10 {
            health.failed("services", &silent());
            health.recovered("services");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // One failure, and its end.
        assert_eq!(log.take().len(), 2);
        // The next failure lasts: it is logged as soon as the limit allows it, once.
        for _ in 0..40 {
            health.failed("services", &silent());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let lines = log.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("Objects not followed"), "{lines:?}");
    }
}
