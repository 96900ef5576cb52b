//! The checks of an upstream, as they were described and as they run.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_core::{BackendSet, Health, Timestamp};
use rustix::process::{Resource, getrlimit};

use super::record::CheckRecords;
use crate::health::{CheckSettings, CheckState, CheckStatus, HealthCheck, ProbeSource};

/// How many bytes of the name of a check are used.
const LONGEST_NAME: usize = 100;

/// A check of an upstream, as it was described. Two are equal if their `Debug` texts and their settings are.
#[derive(Clone, Debug)]
pub(crate) struct DescribedCheck {
    pub(crate) check: Arc<dyn HealthCheck>,
    /// Unique in the upstream.
    pub(crate) name: Arc<str>,
    /// The name that it would have alone.
    wanted: Arc<str>,
    /// Its `Debug` text.
    pub(crate) identity: Arc<str>,
    pub(crate) settings: CheckSettings,
}

impl DescribedCheck {
    /// A check beside `others`, with a name that none of them has.
    pub(crate) fn beside(
        others: &[Self],
        check: impl HealthCheck,
        settings: CheckSettings,
    ) -> Self {
        let wanted = settings.name.as_deref().unwrap_or_else(|| check.name());
        let wanted = Arc::from(wanted);
        let is_taken = |name: &str| others.iter().any(|other| *other.name == *name);
        Self {
            name: unique_name(&wanted, is_taken),
            wanted,
            identity: format!("{check:?}").into(),
            check: Arc::new(check),
            settings,
        }
    }
}

impl PartialEq for DescribedCheck {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && self.settings == other.settings
    }
}

/// The beginning of `wanted`, with a number if that name is taken.
fn unique_name(wanted: &str, is_taken: impl Fn(&str) -> bool) -> Arc<str> {
    let longest = LONGEST_NAME.min(wanted.len());
    let end = (0..=longest)
        .rev()
        .find(|&end| wanted.is_char_boundary(end));
    let begin = &wanted[..end.unwrap_or(0)];
    let numbered = (2_usize..).map(|n| format!("{begin} #{n}"));
    let mut names = std::iter::once(begin.to_owned()).chain(numbered);
    let free = names.find(|name| !is_taken(name));
    free.expect("there are more numbers than checks").into()
}

/// A check that runs, and what it found of each backend.
#[derive(Debug)]
pub(crate) struct RunningCheck {
    pub(crate) described: DescribedCheck,
    pub(crate) source: ProbeSource,
    pub(crate) records: Mutex<CheckRecords>,
}

impl RunningCheck {
    fn new(described: DescribedCheck, records: CheckRecords) -> Self {
        Self {
            source: ProbeSource::new(&described.settings),
            described,
            records: Mutex::new(records),
        }
    }

    pub(crate) fn settings(&self) -> &CheckSettings {
        &self.described.settings
    }

    /// No code that can panic runs under the lock.
    pub(crate) fn records(&self) -> MutexGuard<'_, CheckRecords> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checks of an upstream, as they run. Without checks it is an empty list behind a lock that no session takes.
#[derive(Debug, Default)]
pub(crate) struct CheckList {
    running: Mutex<Vec<Arc<RunningCheck>>>,
    combining: Mutex<()>,
    forgotten: AtomicU64,
}

impl CheckList {
    /// The checks.
    pub(crate) fn running(&self) -> Vec<Arc<RunningCheck>> {
        self.lock().clone()
    }

    /// Whether a check with this identity runs.
    pub(crate) fn runs(&self, identity: &Arc<str>) -> bool {
        let running = self.lock();
        running
            .iter()
            .any(|check| check.described.identity == *identity)
    }

    /// Counts how often reports of checks were forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Lets every check report again what backends ask for, because something of it was forgotten. Before the membership
    /// without it is published.
    pub(crate) fn forget_reports(&self) {
        self.forgotten.fetch_add(1, Ordering::Release);
    }

    /// Held while a result changes a backend's health, so that the results of several checks are combined one after the
    /// other.
    pub(crate) fn combine(&self) -> MutexGuard<'_, ()> {
        self.combining
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the checks by `described`. One that is described as before goes on. One with other settings keeps what it
    /// has found.
    pub(crate) fn replace(&self, described: &[DescribedCheck]) {
        let mut running = self.lock();
        let mut old = std::mem::take(&mut *running);
        let mut take = |is_it: &dyn Fn(&DescribedCheck) -> bool| {
            let found = old.iter().position(|old| is_it(&old.described));
            found.map(|i| old.remove(i))
        };
        // First of all, so that none that goes on gives its records to another one with the same identity.
        let same: Vec<_> = described
            .iter()
            .map(|new| take(&|old| old == new))
            .collect();
        // One that goes on keeps its name, even if the names of those in front of it have changed.
        let kept = same.iter().flatten();
        let mut names: HashSet<_> = kept.map(|kept| Arc::clone(&kept.described.name)).collect();
        for (described, same) in described.iter().zip(same) {
            running.push(same.unwrap_or_else(|| {
                let mut described = described.clone();
                if names.contains(&described.name) {
                    described.name = unique_name(&described.wanted, |n| names.contains(n));
                }
                names.insert(Arc::clone(&described.name));
                let alike = take(&|old| old.identity == described.identity);
                let records = alike.map(|alike| std::mem::take(&mut *alike.records()));
                let records = records.unwrap_or_default();
                Arc::new(RunningCheck::new(described, records))
            }));
        }
    }

    /// The health that all checks together give the backend at `addr`. `None` if one that has to find it healthy first has
    /// not decided.
    pub(crate) fn health(&self, addr: SocketAddr) -> Option<Health> {
        let mut waits = false;
        for check in &*self.lock() {
            match check.records().get(addr) {
                Some(record) if record.state() == CheckState::Down => {
                    return Some(Health::Unhealthy);
                }
                Some(record) => waits |= record.holds_health(check.settings()),
                // The check has just been added.
                None => waits = true,
            }
        }
        (!waits).then_some(Health::Healthy)
    }

    /// The name of a check that has found the backend at `addr` down, and its reason.
    pub(crate) fn failure(&self, addr: SocketAddr) -> Option<(Arc<str>, Arc<str>)> {
        self.lock().iter().find_map(|check| {
            let records = check.records();
            let record = records.get(addr)?;
            let is_down = record.state() == CheckState::Down;
            is_down.then(|| {
                (
                    Arc::clone(&check.described.name),
                    Arc::clone(record.reason()),
                )
            })
        })
    }

    /// The status of each check of each backend of `set`.
    pub(crate) fn status(&self, set: &BackendSet, now: Timestamp) -> Vec<CheckStatus> {
        let checks = self.running();
        let status = checks.iter().flat_map(|check| {
            let records = check.records();
            let of = |backend| records.status(backend, &check.described.name, now);
            set.snapshot().iter().map(of).collect::<Vec<_>>()
        });
        status.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<RunningCheck>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The health of a backend that becomes known to an upstream with `checks`.
pub(crate) fn initial_health(checks: &[DescribedCheck], of_config: Health) -> Health {
    let waits = checks.iter().any(|check| !check.settings.initial.is_up());
    if waits { Health::Unchecked } else { of_config }
}

/// How many probes `checks` make at once, at most.
pub(crate) fn max_concurrent(checks: &[DescribedCheck]) -> usize {
    let of = |check: &DescribedCheck| check.settings.max_concurrent;
    checks.iter().map(of).fold(0, usize::saturating_add)
}

/// How many descriptors probes may take: an eighth of the limit of the process.
pub(crate) fn most_probes() -> usize {
    let most = getrlimit(Resource::Nofile).current.map(|limit| limit / 8);
    most.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX).max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::TcpCheck;

    #[test]
    fn no_two_checks_of_an_upstream_have_one_name() {
        let mut checks = Vec::new();
        let long = "\u{e9}".repeat(LONGEST_NAME);
        for name in [
            None,
            None,
            Some("tcp #2"),
            Some("a"),
            Some("tcp"),
            Some(&long),
            Some(&long),
        ] {
            let settings = match name {
                Some(name) => CheckSettings::default().name(name),
                None => CheckSettings::default(),
            };
            let check = DescribedCheck::beside(&checks, TcpCheck::new(), settings);
            checks.push(check);
        }
        let names: Vec<_> = checks.iter().map(|check| &*check.name).collect();
        let cut = "\u{e9}".repeat(LONGEST_NAME / 2);
        let second = format!("{cut} #2");
        let expected = ["tcp", "tcp #2", "tcp #2 #2", "a", "tcp #3", &cut, &second];
        assert_eq!(names, expected);
    }
}
