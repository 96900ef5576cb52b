//! A check's results by backend. They outlive updates and reloads.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Backend, BackendSet, Escaped, Health, Timestamp};

use crate::health::{
    CheckError, CheckReport, CheckSettings, CheckState, CheckStatus, InitialState, LastProbe,
    Machine, ProbeOutcome, ReportedHealth,
};

/// How often a backend that stays unhealthy is logged, at most, because the failing check or its reason changed.
const REASON_INTERVAL: Duration = Duration::from_secs(60);

/// How many bytes of an answer or an error are kept.
const KEPT: usize = 200;

/// What one check found of each backend.
#[derive(Debug, Default)]
pub(crate) struct CheckRecords {
    by_addr: HashMap<SocketAddr, CheckRecord>,
}

/// What one check found of one backend.
#[derive(Debug)]
pub(crate) struct CheckRecord {
    backend: Arc<Backend>,
    machine: Machine,
    /// The health of the backend when the record began.
    began: Health,
    /// Whether a probe has had an answer, one that states nothing included.
    answered: bool,
    since: Timestamp,
    last: Option<LastProbe>,
    /// What the last probe found that agreed with the state.
    reason: Arc<str>,
    last_inconclusive: Option<LastProbe>,
    /// The reason that was logged last, and when.
    logged: Option<(Arc<str>, Timestamp)>,
    transitions: u64,
    probes: u64,
    failures: u64,
    inconclusive: u64,
}

/// A probe that ended, and when.
#[derive(Debug)]
pub(crate) struct EndedProbe {
    pub(crate) result: Result<CheckReport, CheckError>,
    pub(crate) at: Timestamp,
    pub(crate) duration: Duration,
}

impl CheckRecords {
    pub(crate) fn get(&self, addr: SocketAddr) -> Option<&CheckRecord> {
        self.by_addr.get(&addr)
    }

    pub(crate) fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut CheckRecord> {
        self.by_addr.get_mut(&addr)
    }

    /// Makes the records those of the backends in `set`. Returns the backends that a probe under way is no longer about, and
    /// those that have a new record, in the order of `set`.
    pub(crate) fn follow(&mut self, set: &BackendSet, now: Timestamp) -> RecordChanges {
        let mut before = std::mem::take(&mut self.by_addr);
        self.by_addr.reserve(set.snapshot().len());
        let mut changes = RecordChanges::default();
        for status in set.status(now) {
            let backend = status.backend;
            let addr = backend.addr;
            let kept = before.remove(&addr).and_then(|mut record| {
                if record.backend.instance != backend.instance {
                    changes.gone.push(addr);
                    return None;
                }
                if *record.backend != *backend {
                    record.backend = Arc::new(backend.clone());
                }
                Some(record)
            });
            let record = kept.unwrap_or_else(|| {
                changes.new.push(addr);
                CheckRecord::new(backend, status.health, now)
            });
            self.by_addr.insert(addr, record);
        }
        changes.gone.extend(before.into_keys());
        changes
    }

    /// The status of `backend`, for the check `name`.
    pub(crate) fn status(&self, backend: &Backend, name: &Arc<str>, now: Timestamp) -> CheckStatus {
        let found = self.get(backend.addr);
        let same = found.filter(|record| record.backend.instance == backend.instance);
        match same {
            Some(record) => record.status(name),
            // The task has not taken it over yet.
            None => CheckRecord::new(backend, Health::Unchecked, now).status(name),
        }
    }
}

/// What an update changed of the records.
#[derive(Debug, Default)]
pub(crate) struct RecordChanges {
    pub(crate) gone: Vec<SocketAddr>,
    pub(crate) new: Vec<SocketAddr>,
}

impl CheckRecord {
    /// The record of a backend with the health `began`: connections may have kept its state while it was removed, or another
    /// check found it.
    fn new(backend: &Backend, began: Health, now: Timestamp) -> Self {
        Self {
            backend: Arc::new(backend.clone()),
            machine: Machine::new(CheckState::Unchecked),
            began,
            answered: false,
            since: now,
            last: None,
            reason: Arc::default(),
            last_inconclusive: None,
            logged: None,
            transitions: 0,
            probes: 0,
            failures: 0,
            inconclusive: 0,
        }
    }

    pub(crate) const fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    pub(crate) fn state(&self) -> CheckState {
        self.machine.state()
    }

    /// Whether the backend keeps its health until this check has decided. A backend with a health from before waits for an
    /// answer only, as a check that never states anything must not hold it for ever.
    pub(crate) fn holds_health(&self, settings: &CheckSettings) -> bool {
        let needs_pass = !settings.initial.is_up();
        self.state() == CheckState::Unchecked
            && match self.began {
                Health::Unhealthy => !self.answered,
                Health::Healthy => needs_pass && !self.answered,
                _ => needs_pass,
            }
    }

    /// What the last probe found that agreed with the state.
    pub(crate) const fn reason(&self) -> &Arc<str> {
        &self.reason
    }

    /// Whether a log that the backend stays unhealthy is due at `now`: the last one is long enough ago, and said something else.
    pub(crate) fn log_is_due(&self, now: Timestamp) -> bool {
        self.logged.as_ref().is_none_or(|(reason, at)| {
            *reason != self.reason && now.saturating_since(*at) >= REASON_INTERVAL
        })
    }

    /// Whether a reason was logged.
    pub(crate) const fn was_logged(&self) -> bool {
        self.logged.is_some()
    }

    /// Stores that the reason is logged at `now`.
    pub(crate) fn set_logged(&mut self, now: Timestamp) {
        self.logged = Some((Arc::clone(&self.reason), now));
    }

    /// The interval to the next probe.
    pub(crate) fn interval(&self, settings: &CheckSettings) -> Duration {
        let CheckSettings { interval, .. } = *settings;
        let other = match self.machine.state() {
            _ if self.machine.is_in_doubt() => settings.interval_in_doubt,
            CheckState::Down => settings.interval_down,
            _ => None,
        };
        other.unwrap_or(interval)
    }

    /// Takes the result of a probe. Returns whether the state changed.
    pub(crate) fn observe(&mut self, ended: &EndedProbe, settings: &CheckSettings) -> bool {
        let outcome = outcome(&ended.result);
        self.probes += 1;
        self.last = Some(LastProbe {
            outcome,
            text: self.text(&ended.result),
            at: ended.at,
            duration: ended.duration,
        });
        let result = &ended.result;
        self.answered |= matches!(result, Ok(_) | Err(CheckError::Inconclusive(_)));
        let passed = match outcome {
            ProbeOutcome::Inconclusive => {
                self.inconclusive += 1;
                self.last_inconclusive.clone_from(&self.last);
                return false;
            }
            ProbeOutcome::Failed => {
                self.failures += 1;
                false
            }
            ProbeOutcome::Passed => true,
        };
        let was_decided = self.state() != CheckState::Unchecked;
        let changed = match (self.began, was_decided) {
            // It has to pass as one that went down.
            (Health::Unhealthy, false) => {
                let strict = settings.clone().initial(InitialState::FullyDown);
                self.machine.observe(passed, &strict)
            }
            _ => self.machine.observe(passed, settings),
        };
        let agrees = match self.state() {
            CheckState::Down => !passed,
            CheckState::Unchecked => true,
            CheckState::Up => passed,
        };
        if agrees && let Some(last) = &self.last {
            self.reason = Arc::clone(&last.text);
        }
        if changed {
            self.since = ended.at;
            self.transitions += u64::from(was_decided);
        }
        changed
    }

    /// What the probe said. Equal texts of successive probes share their memory.
    fn text(&self, result: &Result<CheckReport, CheckError>) -> Arc<str> {
        let text = match result {
            Ok(CheckReport { text: None, .. }) => return Arc::default(),
            Ok(CheckReport {
                text: Some(text), ..
            }) => bounded(text),
            Err(error) => bounded(&error.to_string()),
        };
        match &self.last {
            Some(last) if *last.text == *text => Arc::clone(&last.text),
            _ => text.into(),
        }
    }

    fn status(&self, name: &Arc<str>) -> CheckStatus {
        CheckStatus {
            backend: Arc::clone(&self.backend),
            check: Arc::clone(name),
            state: self.state(),
            since: self.since,
            consecutive: self.machine.consecutive(),
            last: self.last.clone(),
            reason: Arc::clone(&self.reason),
            last_inconclusive: self.last_inconclusive.clone(),
            transitions: self.transitions,
            probes: self.probes,
            failures: self.failures,
            inconclusive: self.inconclusive,
        }
    }
}

fn outcome(result: &Result<CheckReport, CheckError>) -> ProbeOutcome {
    match result {
        Err(CheckError::Inconclusive(_) | CheckError::Local(_)) => ProbeOutcome::Inconclusive,
        Err(_) => ProbeOutcome::Failed,
        Ok(report) => match report.health {
            ReportedHealth::Up => ProbeOutcome::Passed,
            ReportedHealth::Down => ProbeOutcome::Failed,
            ReportedHealth::Unstated => ProbeOutcome::Inconclusive,
        },
    }
}

/// The beginning of `text`, escaped.
fn bounded(text: &str) -> String {
    let mut escaped = Escaped(text).to_string();
    if escaped.len() > KEPT {
        let end = (0..=KEPT).rev().find(|&end| escaped.is_char_boundary(end));
        escaped.truncate(end.unwrap_or(0));
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> CheckRecord {
        let backend = Backend::new("10.0.0.1:446".parse().unwrap());
        CheckRecord::new(&backend, Health::Healthy, at(0))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn ended(result: Result<CheckReport, CheckError>, seconds: u64) -> EndedProbe {
        EndedProbe {
            result,
            at: at(seconds),
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn a_probe_without_a_result_keeps_the_reason_of_the_state() {
        let (mut record, settings) = (record(), CheckSettings::default());
        let stopped = CheckReport::with_text("stopped").health(ReportedHealth::Down);
        assert!(record.observe(&ended(Ok(stopped), 1), &settings));
        let unstated = CheckReport::with_text("maxconn:7").health(ReportedHealth::Unstated);
        record.observe(&ended(Ok(unstated), 2), &settings);
        let nonsense = CheckError::Inconclusive("nonsense".into());
        record.observe(&ended(Err(nonsense), 3), &settings);
        let text = |status: &CheckStatus| status.last_inconclusive.clone().map(|last| last.text);
        let status = record.status(&"agent".into());
        assert_eq!(
            (status.state, &*status.reason),
            (CheckState::Down, "stopped")
        );
        assert_eq!(text(&status).as_deref(), Some("nonsense"));
        record.observe(&ended(Ok(CheckReport::with_text("up")), 4), &settings);
        let status = record.status(&"agent".into());
        assert_eq!((status.state, &*status.reason), (CheckState::Up, "up"));
        assert_eq!(text(&status).as_deref(), Some("nonsense"));
    }

    #[test]
    fn a_changed_reason_is_logged_once_and_at_most_once_a_minute() {
        let (mut record, settings) = (record(), CheckSettings::default());
        let mut fail = |text: &str, seconds| {
            let error = CheckError::Unexpected(text.into());
            record.observe(&ended(Err(error), seconds), &settings);
            let is_due = record.log_is_due(at(seconds));
            if is_due {
                record.set_logged(at(seconds));
            }
            is_due
        };
        assert!(fail("refused", 0));
        assert!(!fail("refused", 100));
        assert!(fail("status 503", 101));
        assert!(!fail("refused", 102));
        assert!(!fail("status 503", 170));
        assert!(fail("refused", 171));
    }
}
