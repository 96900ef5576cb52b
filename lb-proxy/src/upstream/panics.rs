//! Panics of an upstream's policy and checks: counts, the problem that the status shows, and the log.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use lb_core::PickError;
use tracing::{error, info};

use super::Upstream;
use super::panic_record::LogLine;
use crate::embedder_code::{PICKER, Panicked, catch, catch_future};

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

    /// Runs code of the embedder outside of a session: the policy, key functions. Counts and logs its panic.
    pub(crate) fn catch<T>(
        &self,
        name: &'static str,
        code: impl FnOnce() -> T,
    ) -> Result<T, Panicked> {
        catch(name, code).inspect_err(|panicked| self.note_panic(panicked))
    }

    /// The same for what ends with the error of a pick.
    pub(crate) fn catch_pick<T>(
        &self,
        code: impl FnOnce() -> Result<T, PickError>,
    ) -> Result<T, PickError> {
        self.catch(PICKER, code).unwrap_or(Err(PickError::Panicked))
    }

    /// The same for a future.
    pub(crate) async fn catch_future<F: Future>(
        &self,
        name: &'static str,
        future: F,
    ) -> Result<F::Output, Panicked> {
        let caught = catch_future(|| name, future).await;
        caught.inspect_err(|panicked| self.note_panic(panicked))
    }

    /// Code of the embedder panicked outside of a session.
    pub(crate) fn note_panic(&self, panicked: &Panicked) {
        let panics = &self.shared().panics;
        if panicked.is_of_picker() {
            panics.policy.fetch_add(1, Relaxed);
            if panics.may_log(LogLine::Policy) {
                let (upstream, policy) = (self.name(), self.policy_name());
                error!(upstream, policy, error = %panicked, "Policy panicked");
            }
        } else if panics.may_log(LogLine::Function) {
            error!(upstream = self.name(), error = %panicked, "Code of the embedder panicked");
        }
    }

    /// Counts a panic of a session, if the policy panicked. The session reports it.
    pub(crate) fn note_panic_of_picker(&self, panicked: &Panicked) {
        if panicked.is_of_picker() {
            self.shared().panics.policy.fetch_add(1, Relaxed);
        }
    }

    /// A check panicked outside of a probe. The caller logs it.
    pub(super) fn count_panic_of_check(&self) {
        self.shared().panics.checks.fetch_add(1, Relaxed);
    }

    /// A probe of the check `name` panicked.
    pub(super) fn note_panic_of_check(&self, name: &str, panicked: &Panicked) {
        self.count_panic_of_check();
        if self.shared().panics.may_log(LogLine::Check) {
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
