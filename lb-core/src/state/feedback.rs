//! Reports of connections and checks about a backend.

use super::attempt_failure::{AttemptFailure, Ejection};
use super::backend_state::{BackendState, nonzero};
use super::outlier::OutlierDetection;
use crate::backend::Health;
use crate::hash;
use crate::sync::atomic::Ordering::Relaxed;
use crate::time::Timestamp;

impl BackendState {
    /// Stores the health of a backend that no check has reported on.
    pub(crate) fn set_initial_health(&self, health: Health) {
        self.health.replace(health);
        if health != Health::Healthy {
            self.standing.suspect();
        }
    }

    /// Stores the result of an active check. True if the health was different before.
    ///
    /// A backend of the first snapshot that waited for its first check starts warm: it has not recovered, the process has
    /// just begun.
    pub(crate) fn set_health(&self, health: Health, now: Timestamp) -> bool {
        let before = self.health.replace(health);
        let changed = before != health;
        if health == Health::Healthy {
            self.report_answer(now);
        }
        let is_healthy = health == Health::Healthy;
        let readmitted = is_healthy && self.outliers.readmit(now);
        if is_healthy {
            let was_there_at_start =
                before == Health::Unchecked && self.warm_since.load(Relaxed) == 0;
            if changed && !was_there_at_start {
                self.warm_since.store(nonzero(now), Relaxed);
            }
            self.clear_suspicion();
        } else {
            self.standing.suspect();
        }
        if changed || readmitted {
            self.report_change();
        }
        changed
    }

    /// Counts an established connection.
    pub(crate) fn succeeded(&self, now: Timestamp) {
        self.report_answer(now);
        if self.outliers.succeeded(now) {
            self.clear_suspicion();
        }
        if !self.failures.is_clean() && self.failures.succeeded(self.fail_limit().is_some()) {
            self.warm_since.store(nonzero(now), Relaxed);
            self.clear_suspicion();
            self.report_change();
        }
    }

    /// Counts a connection that the backend's host refused or reset. True if that ejects the backend.
    pub(crate) fn failed(&self, now: Timestamp) -> bool {
        self.report_answer(now);
        self.count(AttemptFailure::Answered, now)
    }

    /// Counts a connection of `picked_at` that had no answer. True if that ejects the backend.
    pub(crate) fn unanswered(&self, picked_at: Timestamp, now: Timestamp) -> bool {
        let owner = self.owner.upgrade();
        if owner.is_some_and(|owner| owner.excuses(self, picked_at, now)) {
            return false;
        }
        self.count(AttemptFailure::Unanswered, now)
    }

    fn count(&self, failure: AttemptFailure, now: Timestamp) -> bool {
        if let Some(times) = self.response_times.get() {
            times.failed(now);
        }
        let by_limit = self.fail_limit().is_some_and(|limit| {
            let weight = self.description().weight.get();
            self.damping.failed(weight, limit.max_fails.get());
            let ejects = self.failures.failed(limit, failure, now);
            self.standing.suspect();
            ejects
        });
        let owner = self.owner.upgrade();
        let as_outlier = owner.is_some_and(|owner| owner.detect_outlier(self, failure, now));
        if by_limit || as_outlier {
            self.report_change();
        }
        by_limit || as_outlier
    }

    /// The ejections at `now`: by its fail limit, and as an outlier.
    fn ejections(
        &self,
        detection: Option<&OutlierDetection>,
        now: Timestamp,
    ) -> [Option<Ejection>; 2] {
        let by_limit = |limit| self.failures.ejection(limit, now);
        let by_limit = self.fail_limit().and_then(by_limit);
        [
            by_limit,
            detection.and_then(|detection| self.outliers.ejection(detection, now)),
        ]
    }

    /// Since when it is ejected at `now`, if no failure that led to it was answered.
    pub(crate) fn unanswered_since(
        &self,
        detection: Option<&OutlierDetection>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let ejections = || self.ejections(detection, now).into_iter().flatten();
        let is_unanswered = |ejection: Ejection| ejection.cause == AttemptFailure::Unanswered;
        if !ejections().all(is_unanswered) {
            return None;
        }
        ejections().map(|ejection| ejection.since).max()
    }

    /// Forgets failures without an answer, and ends the ejection that they caused at `since` or later. The caller reports the
    /// change. True if there was an ejection at `now`, and there is none any more.
    pub(crate) fn forgive(
        &self,
        detection: Option<&OutlierDetection>,
        since: Timestamp,
        now: Timestamp,
    ) -> bool {
        let was_ejected = self.ejected_until(now).is_some();
        let by_limit = self.failures.forgive(since);
        let as_outlier = self.outliers.forgive(detection, since, now);
        if by_limit || as_outlier {
            self.clear_suspicion();
        }
        was_ejected && self.ejected_until(now).is_none()
    }

    /// Reports to the balancer that the backend has answered, if it is suspect.
    fn report_answer(&self, now: Timestamp) {
        if self.standing.is_suspect()
            && let Some(owner) = self.owner.upgrade()
        {
            owner.answered(self, now);
        }
    }

    /// Clears the suspicion, if there is no reason left.
    pub(super) fn clear_suspicion(&self) {
        self.standing.clear_if(|| {
            self.failures.is_clean()
                && self.outliers.is_clean()
                && self.health.get() == Health::Healthy
        });
    }

    /// Ejects it as an outlier. False if it is ejected already.
    pub(crate) fn eject(&self, detection: &OutlierDetection, now: Timestamp) -> bool {
        let ejected = self
            .outliers
            .eject(detection, hash::of_addr(self.addr()), now);
        self.standing.suspect();
        ejected
    }

    /// Reports to the balancer that the number of healthy backends has changed.
    pub(crate) fn report_change(&self) {
        if let Some(owner) = self.owner.upgrade() {
            owner.standing_changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::backend::Backend;
    use crate::state::owner::Owner;
    use crate::sync::Arc;

    /// The owner of states that belong to no balancer.
    #[derive(Debug)]
    struct NoOwner;

    impl Owner for NoOwner {
        fn standing_changed(&self) {}

        fn detect_outlier(&self, _: &BackendState, _: AttemptFailure, _: Timestamp) -> bool {
            false
        }

        fn answered(&self, _: &BackendState, _: Timestamp) {}

        fn excuses(&self, _: &BackendState, _: Timestamp, _: Timestamp) -> bool {
            false
        }
    }

    fn example() -> BackendState {
        let backend = Arc::new(Backend::new(([127, 0, 0, 1], 446).into()));
        let now = Timestamp::default();
        let owner: Weak<NoOwner> = Weak::new();
        let state = BackendState::new(Arc::clone(&backend), now, false, owner);
        state.set_description(backend);
        state
    }

    #[test]
    fn a_backend_without_a_reason_left_is_not_suspect() {
        let state = example();
        let later = Timestamp::from_nanos(60_000_000_000);
        assert!(!state.standing().is_suspect());
        assert!(state.failed(Timestamp::default()));
        assert!(state.standing().is_suspect());
        state.set_health(Health::Unhealthy, later);
        let limit = state.fail_limit().unwrap();
        assert!(state.failures.claim(limit, later));
        state.succeeded(later);
        assert!(state.standing().is_suspect(), "a check has failed");
        state.set_health(Health::Healthy, later);
        assert!(!state.standing().is_suspect());
    }
}
