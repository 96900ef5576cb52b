//! The schedule of probes: the task of one check. Its probes run inside of it.

mod targets;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{AbortHandle, Abortable, BoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use lb_core::{Endpoint, Escaped};
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tracing::{error, warn};

use self::targets::{Due, Targets};
use super::list::{RunningCheck, most_probes};
use super::record::EndedProbe;
use super::reports::PendingReports;
use super::resources::ProbeResources;
use super::results::Results;
use super::run_probe::run_probe;
use crate::backend_override::OverrideWithoutEffect;
use crate::embedder_code::catch_future;
use crate::health::{CheckError, CheckReport};
use crate::restart_pauses::RestartPauses;
use crate::upstream::Upstream;
use crate::upstream::log_limits::LogLimits;
use crate::upstream::pick::with_rng;

/// Probes that are due within this time of each other begin together: a thread that wakes for each costs more than a probe.
const LONGEST_BATCH: Duration = Duration::from_millis(5);

/// Probes the backends of one upstream with one check.
pub(super) struct Scheduler {
    upstream: Upstream,
    check: Arc<RunningCheck>,
    targets: Targets,
    probes: FuturesUnordered<Abortable<BoxFuture<'static, (Due, Instant, EndedProbe)>>>,
    /// The most probes at once.
    limit: usize,
    /// How early a probe may begin, to begin together with others.
    early: Duration,
    /// Of shortages of this machine, and of probes that start late.
    log_limits: LogLimits<4>,
    reports: PendingReports,
    resources: ProbeResources,
    /// How often reports had been forgotten when this task looked last.
    forgotten: u64,
}

impl Scheduler {
    /// Probes until the task is aborted. After a panic it begins again after a pause, with what the check found before: a
    /// check that ended would leave its backends as they are for ever.
    pub(super) async fn run(
        upstream: Upstream,
        check: Arc<RunningCheck>,
        resources: ProbeResources,
    ) {
        let mut pauses = RestartPauses::default();
        loop {
            let begin = Instant::now();
            let probing = Self::probe(upstream.clone(), Arc::clone(&check), resources.clone());
            // The scheduler is dropped; records and overrides are changed as a whole.
            let Err(panicked) = catch_future(|| "Health check", probing).await;
            let pause = pauses.next(begin.elapsed());
            let name = &*check.described.name;
            upstream.count_panic_of_check();
            error!(upstream = upstream.name(), check = name, error = %panicked, ?pause, "Health check panicked: restarted after a pause");
            sleep(pause).await;
        }
    }

    async fn probe(
        upstream: Upstream,
        check: Arc<RunningCheck>,
        resources: ProbeResources,
    ) -> Infallible {
        let mut members = upstream.membership_changes();
        let mut scheduler = Self {
            limit: check.settings().max_concurrent.min(most_probes()),
            early: LONGEST_BATCH.min(check.settings().shortest_interval() / 20),
            upstream,
            check,
            targets: Targets::default(),
            probes: FuturesUnordered::new(),
            log_limits: LogLimits::default(),
            reports: PendingReports::default(),
            resources,
            forgotten: 0,
        };
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            members.borrow_and_update();
            scheduler.follow();
            scheduler.probe_while(&mut members, timer.as_mut()).await;
        }
    }

    /// Probes until the membership changes.
    async fn probe_while(
        &mut self,
        members: &mut watch::Receiver<u64>,
        mut timer: Pin<&mut Sleep>,
    ) {
        loop {
            let now = Instant::now();
            self.publish_reports(now);
            let next = self.start_due(now);
            let next = next.into_iter().chain(self.reports.due()).min();
            if let Some(next) = next.filter(|next| *next != timer.deadline()) {
                timer.as_mut().reset(next);
            }
            select! {
                biased;
                // The sender lives as long as the upstream.
                _ = members.changed() => return,
                Some(ended) = self.probes.next() => {
                    let mut next = Some(ended);
                    while let Some(ended) = next {
                        // If the probe was dropped, its backend is gone.
                        if let Ok((due, begin, ended)) = ended {
                            self.ended(due, begin, &ended);
                        }
                        next = self.probes.next().now_or_never().flatten();
                    }
                }
                () = timer.as_mut(), if next.is_some() => {}
            }
        }
    }

    /// Takes over the present backends: drops the probes of those that are gone, and schedules those that are new.
    fn follow(&mut self) {
        let set = self.upstream.backends();
        let changes = self.check.records().follow(&set, self.upstream.now());
        for addr in changes.gone {
            self.targets.remove(addr);
            self.reports.forget(addr);
        }
        let forgotten = self.upstream.check_list().forgotten();
        if forgotten != self.forgotten {
            self.forgotten = forgotten;
            self.targets.forget_asked();
        }
        // Records may be older than this task.
        let unscheduled: Vec<SocketAddr> = match self.targets.is_empty() {
            true => set.snapshot().iter().map(|backend| backend.addr).collect(),
            false => changes.new,
        };
        self.targets.add(unscheduled, self.check.settings());
    }

    /// Starts the probes that are due or almost due, as many as the limit allows. Returns when the next one is due.
    fn start_due(&mut self, now: Instant) -> Option<Instant> {
        while self.probes.len() < self.limit {
            match self.targets.take_due(now + self.early)? {
                Ok(due) => self.start(due),
                Err(next) => return Some(next),
            }
        }
        None
    }

    fn start(&mut self, due: Due) {
        let records = self.check.records();
        let Some(record) = records.get(due.addr) else {
            return;
        };
        let backend = Arc::clone(record.backend());
        drop(records);
        let header = self.upstream.probe_header(self.check.settings());
        let (upstream, check) = (self.upstream.clone(), Arc::clone(&self.check));
        let ProbeResources { permits, idle, .. } = self.resources.clone();
        let probe = async move {
            let _permit = permits.acquire().await;
            let begin = Instant::now();
            let ended = run_probe(upstream, check, backend, header, idle).await;
            (due, begin, ended)
        };
        let mut probe = probe.boxed();
        // A peer on this machine has answered already.
        if let Some((due, begin, ended)) = (&mut probe).now_or_never() {
            self.ended(due, begin, &ended);
        } else if let Some(target) = self.targets.get_mut(due) {
            let (handle, registration) = AbortHandle::new_pair();
            target.probe = Some(handle);
            self.probes.push(Abortable::new(probe, registration));
        }
    }

    fn ended(&mut self, due: Due, begin: Instant, probe: &EndedProbe) {
        self.complain_if_late(begin.saturating_duration_since(due.at));
        let Some(target) = self.targets.get_mut(due) else {
            return;
        };
        if let Ok(report) = &probe.result {
            self.reports.add(due.addr, report, &mut target.asked);
        }
        self.complain_of(due.addr, &probe.result);
        let results = Results {
            upstream: &self.upstream,
            check: &self.check,
        };
        let interval = results.take_result(due.addr, probe);
        let jitter = self.draw_jitter();
        self.targets.schedule_next(due, begin, interval, jitter);
    }

    fn draw_jitter(&self) -> Duration {
        let longest = self.check.settings().jitter;
        if longest.is_zero() {
            return longest;
        }
        let draw = with_rng(|rng| rng.next_u64() >> 32);
        longest.mul_f64(draw as f64 / 2_f64.powi(32))
    }

    fn publish_reports(&mut self, now: Instant) {
        if let Some(reports) = self.reports.take_due(now) {
            let check = &self.check.described;
            let without_effect = self.upstream.report_overrides(check, &reports);
            if let Some(OverrideWithoutEffect {
                endpoint,
                setting,
                weight,
            }) = without_effect
                && self.log_limits.may_log(3)
            {
                let (upstream, check) = (self.upstream.name(), &*self.check.described.name);
                warn!(
                    upstream,
                    backend.addr = %endpoint,
                    check,
                    %setting,
                    weight = weight.get(),
                    "Override without effect: its part of the weight rounds up to the weight, so give the backend a larger one"
                );
            }
        }
    }

    fn complain_if_late(&mut self, late: Duration) {
        if late > self.check.settings().interval && self.log_limits.may_log(0) {
            let (upstream, check) = (self.upstream.name(), &*self.check.described.name);
            let (limit, under_way) = (self.limit, self.probes.len());
            warn!(
                upstream,
                check,
                ?late,
                under_way,
                limit,
                "Probes start late"
            );
        }
    }

    /// Logs why a probe has no result.
    fn complain_of(&mut self, addr: SocketAddr, result: &Result<CheckReport, CheckError>) {
        match result {
            Err(CheckError::Local(error)) if self.log_limits.may_log(1) => {
                let (upstream, check) = (self.upstream.name(), &*self.check.described.name);
                warn!(upstream, check, %error, "Probe not possible on this machine");
            }
            Err(CheckError::Inconclusive(reason)) if self.log_limits.may_log(2) => {
                let (upstream, check) = (self.upstream.name(), &*self.check.described.name);
                let endpoint = self.endpoint(addr);
                let reason = Escaped(reason).to_string();
                warn!(upstream, backend.addr = %endpoint, check, reason, "Probe without a result");
            }
            _ => {}
        }
    }

    /// The backend at `addr`, for messages.
    fn endpoint(&self, addr: SocketAddr) -> Endpoint {
        let records = self.check.records();
        let record = records.get(addr);
        record.map_or(Endpoint::Tcp(addr), |record| record.backend().endpoint())
    }
}

#[cfg(test)]
mod tests;
