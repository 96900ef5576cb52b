//! When each backend is probed: the task of one check.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Rng, SplitMix64};
use tokio::select;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::list::{DescribedCheck, RunningCheck, most_probes};
use super::record::EndedProbe;
use super::reports::{Asked, PendingReports};
use super::results::Results;
use super::run_probe::run_probe;
use crate::health::{CheckError, SHORTEST_INTERVAL};
use crate::upstream::Upstream;

/// The first probes of backends that wait for them are spread over at most this time.
const LONGEST_FIRST_SPREAD: Duration = Duration::from_secs(1);

/// How often a shortage of this machine is logged, and probes that start late.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Probes the backends of one upstream with one check.
pub(super) struct Scheduler {
    upstream: Upstream,
    check: Arc<RunningCheck>,
    /// The next probe of each backend. Entries with another token than their backend's are outdated.
    due: BinaryHeap<Reverse<Due>>,
    targets: HashMap<SocketAddr, Target>,
    probes: JoinSet<(Due, EndedProbe)>,
    /// The most probes at once.
    limit: usize,
    next_token: u64,
    spread: Spread,
    rng: SplitMix64,
    complained: [Option<Instant>; 2],
    reports: PendingReports,
}

/// The next probe of a backend.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Due {
    at: Instant,
    addr: SocketAddr,
    token: u64,
}

/// A backend that is probed.
#[derive(Debug)]
struct Target {
    token: u64,
    /// The part of an interval that the second probe follows the first one after, if that is not a whole one.
    second: Option<f64>,
    /// The probe under way.
    probe: Option<AbortHandle>,
    asked: Asked,
}

/// Even shares of an interval, for any number of backends: multiples of the golden ratio.
#[derive(Debug, Default)]
struct Spread(u32);

impl Spread {
    fn next(&mut self) -> f64 {
        let share = f64::from(self.0) / 2_f64.powi(32);
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        share
    }
}

impl Scheduler {
    /// Probes until the task is aborted.
    pub(super) async fn run(upstream: Upstream, check: Arc<RunningCheck>) {
        let mut members = upstream.membership_changes();
        let mut scheduler = Self {
            limit: check.settings().max_concurrent.get().min(most_probes()),
            upstream,
            check,
            due: BinaryHeap::new(),
            targets: HashMap::new(),
            probes: JoinSet::new(),
            next_token: 0,
            spread: Spread::default(),
            rng: SplitMix64::new(RandomState::new().hash_one(0_u64)),
            complained: [None; 2],
            reports: PendingReports::default(),
        };
        loop {
            members.borrow_and_update();
            scheduler.follow();
            scheduler.probe_while(&mut members).await;
        }
    }

    /// Probes until the membership changes.
    async fn probe_while(&mut self, members: &mut tokio::sync::watch::Receiver<u64>) {
        loop {
            let now = Instant::now();
            self.publish_reports(now);
            let next = self.start_due(now);
            let next = next.into_iter().chain(self.reports.due()).min();
            select! {
                biased;
                // The sender lives as long as the upstream.
                _ = members.changed() => return,
                Some(ended) = self.probes.join_next() => {
                    self.ended(ended);
                    while let Some(ended) = self.probes.try_join_next() {
                        self.ended(ended);
                    }
                }
                () = until(next) => {}
            }
        }
    }

    /// Takes over the present backends: drops the probes of those that are gone, and schedules those that are new.
    fn follow(&mut self) {
        let set = self.upstream.backends();
        let check = Arc::clone(&self.check);
        let mut records = check.records();
        let changes = records.follow(&set, self.upstream.now());
        for addr in &changes.gone {
            self.forget(*addr);
        }
        let begin = Instant::now();
        let settings = check.settings();
        let interval = settings.interval;
        let spread = match settings.initial.is_up() {
            true => interval,
            false => interval.min(LONGEST_FIRST_SPREAD),
        };
        // If the first probes are close to each other, the second ones spread them over the interval.
        let second = 1.0 - spread.as_secs_f64() / interval.as_secs_f64();
        // Records may be older than this task.
        let unscheduled: Vec<SocketAddr> = match self.targets.is_empty() {
            true => set.snapshot().iter().map(|backend| backend.addr).collect(),
            false => changes.new,
        };
        drop(records);
        for addr in unscheduled {
            let share = self.spread.next();
            let due = Due {
                at: begin + spread.mul_f64(share),
                addr,
                token: self.next_token,
            };
            self.next_token += 1;
            let target = Target {
                token: due.token,
                second: (second > 0.0).then_some(second * share),
                probe: None,
                asked: Asked::default(),
            };
            self.targets.insert(addr, target);
            self.due.push(Reverse(due));
        }
    }

    fn forget(&mut self, addr: SocketAddr) {
        let target = self.targets.remove(&addr);
        if let Some(probe) = target.and_then(|target| target.probe) {
            probe.abort();
        }
    }

    /// Starts the probes that are due, as many as the limit allows. Returns when the next one is due.
    fn start_due(&mut self, now: Instant) -> Option<Instant> {
        while self.probes.len() < self.limit {
            let due = self.due.peek().map(|Reverse(due)| *due)?;
            let is_current = self.target(due).is_some();
            if is_current && due.at > now {
                return Some(due.at);
            }
            self.due.pop();
            if is_current {
                self.start(due, now);
            }
        }
        None
    }

    fn start(&mut self, due: Due, now: Instant) {
        let late = now.saturating_duration_since(due.at);
        if late > self.check.settings().interval && self.may_complain(0) {
            let (upstream, check) = (self.upstream.name(), &*self.check.described.name);
            let limit = self.limit;
            warn!(
                upstream,
                check,
                ?late,
                limit,
                "Probes start late: too many at once"
            );
        }
        let records = self.check.records();
        let Some(record) = records.get(due.addr) else {
            return;
        };
        let backend = Arc::clone(record.backend());
        drop(records);
        let header = self.upstream.probe_header(self.check.settings());
        let begun = Due { at: now, ..due };
        let probe = run_probe(
            self.upstream.clone(),
            Arc::clone(&self.check),
            backend,
            header,
        );
        let probe = self.probes.spawn(async move { (begun, probe.await) });
        if let Some(target) = self.target(due) {
            target.probe = Some(probe);
        }
    }

    /// The backend that `due` is about, unless it has been replaced since.
    fn target(&mut self, due: Due) -> Option<&mut Target> {
        let target = self.targets.get_mut(&due.addr);
        target.filter(|target| target.token == due.token)
    }

    fn ended(&mut self, ended: Result<(Due, EndedProbe), JoinError>) {
        let (begun, probe) = match ended {
            Ok(ended) => ended,
            // Its backend is gone.
            Err(error) if error.is_cancelled() => return,
            Err(error) => match self.panicked(&error) {
                Some(ended) => ended,
                None => return,
            },
        };
        if self.target(begun).is_none() {
            return;
        }
        if let Err(CheckError::Local(error)) = &probe.result
            && self.may_complain(1)
        {
            let (upstream, check) = (self.upstream.name(), &*self.check.described.name);
            warn!(upstream, check, %error, "Probe not possible on this machine");
        }
        let target = self.targets.get_mut(&begun.addr);
        if let Some((target, report)) = target.zip(probe.result.as_ref().ok()) {
            self.reports.add(begun.addr, report, &mut target.asked);
        }
        let results = Results {
            upstream: &self.upstream,
            check: &self.check,
        };
        let interval = results.take_result(begun.addr, &probe);
        self.schedule_next(begun, interval);
    }

    fn publish_reports(&mut self, now: Instant) {
        if let Some(reports) = self.reports.take_due(now) {
            let DescribedCheck { check, name, .. } = &self.check.described;
            let origin = check.override_origin();
            self.upstream.report_overrides(origin, name, &reports);
        }
    }

    /// Which probe panicked: an embedder's check has an error.
    fn panicked(&self, error: &JoinError) -> Option<(Due, EndedProbe)> {
        let is_it = |target: &Target| target.probe.as_ref().is_some_and(|p| p.id() == error.id());
        let (&addr, target) = self.targets.iter().find(|(_, target)| is_it(target))?;
        let now = Instant::now();
        let begun = Due {
            at: now,
            addr,
            token: target.token,
        };
        let ended = EndedProbe {
            result: Err(CheckError::Unexpected("the check panicked".into())),
            at: self.upstream.now(),
            duration: Duration::ZERO,
        };
        Some((begun, ended))
    }

    /// Schedules the next probe of the backend whose probe began at `begun.at`.
    fn schedule_next(&mut self, begun: Due, interval: Duration) {
        let jitter = self.check.settings().jitter;
        let jitter = jitter.mul_f64((self.rng.next_u64() >> 32) as f64 / 2_f64.powi(32));
        let Some(target) = self.target(begun) else {
            return;
        };
        target.probe = None;
        let interval = match target.second.take() {
            Some(part) => interval.mul_f64(part).max(SHORTEST_INTERVAL),
            None => interval,
        };
        let at = (begun.at + interval + jitter).max(Instant::now());
        self.due.push(Reverse(Due { at, ..begun }));
    }

    /// Whether complaint number `which` may be logged now.
    fn may_complain(&mut self, which: usize) -> bool {
        let last = &mut self.complained[which];
        let may = last.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
