//! Panics of an upstream's policy and checks: counts, the problem that the status shows, and the log.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info};

use super::Upstream;
use crate::embedder_code::{PICKER, Panicked};

/// How often a line of one kind is logged. The panics of sessions have reports of their own.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What is known of the panics of an upstream.
#[derive(Debug, Default)]
pub(crate) struct UpstreamPanics {
    policy: AtomicU64,
    checks: AtomicU64,
    /// Picks of a backend that the session had tried already.
    repeated: AtomicU64,
    state: Mutex<PanicState>,
}

#[derive(Debug, Default)]
struct PanicState {
    /// Why the last set is not in use.
    problem: Option<Arc<str>>,
    /// When each kind of line was logged last.
    logged: [Option<Instant>; 3],
}

/// The kinds of lines.
#[derive(Clone, Copy, Debug)]
enum LogLine {
    Policy,
    RepeatedPick,
    Check,
}

impl UpstreamPanics {
    /// Whether a line of this kind may be logged now.
    fn may_log(&self, line: LogLine) -> bool {
        let logged = &mut self.lock().logged[line as usize];
        let may = logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if may {
            *logged = Some(Instant::now());
        }
        may
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, PanicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// How often its policy has panicked: while it compiled, picked, explained or computed a digest.
    pub fn policy_panics(&self) -> u64 {
        self.shared().panics.policy.load(Relaxed)
    }

    /// How often its active checks have panicked. Such a probe counts as failed.
    pub fn check_panics(&self) -> u64 {
        self.shared().panics.checks.load(Relaxed)
    }

    /// Why the last set of the sources is not in use: the policy panicked while it compiled it. The membership before serves,
    /// and the update is tried again after 1 s, and after at most a minute each time. `None` if the last set is in use.
    pub fn policy_problem(&self) -> Option<Arc<str>> {
        self.shared().panics.lock().problem.clone()
    }

    /// A publication failed. The caller holds the lock of the membership.
    pub(super) fn note_unpublished(&self, panicked: &Panicked) {
        let panics = &self.shared().panics;
        panics.policy.fetch_add(1, Relaxed);
        let text = Arc::from(panicked.to_string());
        let before = panics.lock().problem.replace(Arc::clone(&text));
        if before.as_ref() != Some(&text) || panics.may_log(LogLine::Policy) {
            let (upstream, policy) = (self.name(), self.policy_name());
            error!(upstream, policy, error = %text, "Policy panicked: the last membership stays");
        }
        self.shared().unpublished.notify_one();
        self.readiness_changed();
    }

    /// A publication succeeded.
    pub(super) fn note_published(&self) {
        let problem = self.shared().panics.lock().problem.take();
        if problem.is_some() {
            let (upstream, policy) = (self.name(), self.policy_name());
            info!(upstream, policy, "Policy recovered");
        }
    }

    /// The policy panicked outside of a session.
    pub(crate) fn note_policy_panic(&self, panicked: &Panicked) {
        let panics = &self.shared().panics;
        panics.policy.fetch_add(1, Relaxed);
        if panics.may_log(LogLine::Policy) {
            let (upstream, policy) = (self.name(), self.policy_name());
            error!(upstream, policy, error = %panicked, "Policy panicked");
        }
    }

    /// Counts a panic of a session, if the policy panicked. The session reports it.
    pub(crate) fn note_panic_of_picker(&self, panicked: &Panicked) {
        if panicked.code == PICKER {
            self.shared().panics.policy.fetch_add(1, Relaxed);
        }
    }

    /// A probe of the check `name` panicked.
    pub(super) fn note_panic_of_check(&self, name: &str, panicked: &Panicked) {
        let panics = &self.shared().panics;
        panics.checks.fetch_add(1, Relaxed);
        if panics.may_log(LogLine::Check) {
            error!(upstream = self.name(), check = name, error = %panicked, "Health check panicked");
        }
    }

    pub(super) fn note_panic_of_task(&self, panicked: &Panicked, pause: Duration) {
        error!(upstream = self.name(), error = %panicked, ?pause, "Upstream panicked: followed again after a pause");
    }

    /// The policy picked a backend that the session has tried already.
    #[cold]
    pub(super) fn note_repeated_pick(&self) {
        let panics = &self.shared().panics;
        let picks = panics.repeated.fetch_add(1, Relaxed) + 1;
        if panics.may_log(LogLine::RepeatedPick) {
            let (upstream, policy) = (self.name(), self.policy_name());
            error!(
                upstream,
                policy, picks, "Policy picked a backend again that the session had tried: refused"
            );
        }
    }
}
