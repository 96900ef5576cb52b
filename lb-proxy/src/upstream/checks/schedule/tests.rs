//! The scheduler in paused time, with a check that the test plays.

mod changes;
mod reports;
mod results;
mod timing;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use lb_core::policy::WeightedRoundRobin;
use lb_core::{AdminState, Backend, BalancerConfig, Health, PickError, Snapshot, Tried};
use lb_discovery::{Manual, ManualHandle};
use test_support::proxy::eager;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::backend_override::{Override, WeightOverride};
use crate::health::{
    CheckReport, CheckSettings, CheckState, CheckStatus, HealthCheck, InitialState, Probe,
    ProbeOutcome, ReportedAdmin, ReportedHealth,
};
use crate::upstream::UpstreamBuilder;
use crate::upstream::checks::permits::ProbePermits;
use crate::upstream::hash_key::HashKey;

/// A check whose answers the test sets.
#[derive(Clone, Debug)]
struct Played {
    name: &'static str,
    stage: Arc<Mutex<Stage>>,
}

#[derive(Debug)]
struct PanickingText;

impl std::fmt::Display for PanickingText {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("on purpose")
    }
}

impl std::error::Error for PanickingText {}

/// Not shown by `Debug`, which names the check.
#[derive(Default)]
struct Stage {
    begin: Option<Instant>,
    answers: HashMap<u16, Answer>,
    /// The times of the probes since `begin`, by port.
    probes: Vec<(u16, Duration)>,
    running: usize,
    most_running: usize,
}

#[derive(Clone, Debug)]
enum Answer {
    Asks(CheckReport),
    Fails,
    Panics,
    Passes,
    SaysNothing,
    Shortage,
    /// An error whose text panics: outside of the check.
    ShowsPanic,
    Takes(Duration),
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stage")
    }
}

struct Running<'a>(&'a Played);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.stage().running -= 1;
    }
}

impl Played {
    fn new(name: &'static str) -> Self {
        let stage = Arc::default();
        Self { name, stage }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(|error| error.into_inner())
    }

    fn play(&self, port: u16, answer: Answer) {
        self.stage().answers.insert(port, answer);
    }

    /// The times of the probes of a backend, in milliseconds since the first of all.
    fn times(&self, port: u16) -> Vec<u64> {
        let stage = self.stage();
        let of = stage.probes.iter().filter(|(of, _)| *of == port);
        of.map(|(_, at)| at.as_millis() as u64).collect()
    }
}

#[async_trait]
impl HealthCheck for Played {
    fn name(&self) -> &str {
        self.name
    }

    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        let port = probe.backend().addr.port();
        let answer = {
            let mut stage = self.stage();
            let begin = *stage.begin.get_or_insert_with(Instant::now);
            stage.probes.push((port, begin.elapsed()));
            stage.running += 1;
            stage.most_running = stage.most_running.max(stage.running);
            stage.answers.get(&port).cloned()
        };
        let _running = Running(self);
        match answer.unwrap_or(Answer::Passes) {
            Answer::Asks(report) => Ok(report),
            Answer::Fails => Err(CheckError::unexpected(b"nonsense\n")),
            Answer::Panics => panic!("on purpose"),
            Answer::Passes => Ok(CheckReport::default()),
            Answer::SaysNothing => Err(CheckError::Inconclusive("no agent".into())),
            Answer::Shortage => Err(CheckError::Local(std::io::ErrorKind::OutOfMemory.into())),
            Answer::ShowsPanic => Err(CheckError::Local(std::io::Error::other(PanickingText))),
            Answer::Takes(time) => {
                sleep(time).await;
                Ok(CheckReport::default())
            }
        }
    }
}

/// An upstream that is followed.
struct Scene {
    upstream: Upstream,
    backends: ManualHandle,
    cancel: CancellationToken,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn addr(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn snapshot(ports: impl IntoIterator<Item = u16>) -> Snapshot {
    ports
        .into_iter()
        .map(|port| Backend::new(addr(port)))
        .collect()
}

impl Scene {
    async fn new(
        ports: impl IntoIterator<Item = u16>,
        describe: impl FnOnce(UpstreamBuilder) -> UpstreamBuilder,
    ) -> Self {
        Self::sharing(&ProbePermits::new(1000), ports, describe).await
    }

    /// A scene whose probes share `permits` with those of others.
    async fn sharing(
        permits: &ProbePermits,
        ports: impl IntoIterator<Item = u16>,
        describe: impl FnOnce(UpstreamBuilder) -> UpstreamBuilder,
    ) -> Self {
        let (source, backends) = Manual::new(snapshot(ports));
        let builder = Upstream::builder("scene")
            .discovery(source)
            .discovery_config(eager())
            .policy(WeightedRoundRobin::new());
        let upstream = describe(builder).build().unwrap();
        let (_, cancel) = upstream
            .followed(ProbeResources::of_test(permits.clone()))
            .await;
        Self {
            upstream,
            backends,
            cancel,
        }
    }

    fn status(&self, port: u16) -> CheckStatus {
        let all = self.upstream.health_checks();
        let found = all
            .into_iter()
            .find(|status| status.backend.addr == addr(port));
        found.unwrap()
    }

    fn health(&self, port: u16) -> Health {
        let set = self.upstream.backends();
        let mut all = set.status(self.upstream.now());
        all.find(|status| status.backend.addr == addr(port))
            .unwrap()
            .health
    }
}

fn every(seconds: u64) -> CheckSettings {
    CheckSettings::default().interval(Duration::from_secs(seconds))
}

impl Scene {
    /// Reloads with `checks` for the backends `ports`.
    fn reload(&mut self, ports: impl IntoIterator<Item = u16>, checks: &[&Played]) {
        self.reload_with(ports, |mut u| {
            for &check in checks {
                u = u.health_check(check.clone(), every(1));
            }
            u
        });
    }

    fn reload_with(
        &mut self,
        ports: impl IntoIterator<Item = u16>,
        describe: impl FnOnce(UpstreamBuilder) -> UpstreamBuilder,
    ) {
        let (source, backends) = Manual::new(snapshot(ports));
        let builder = Upstream::builder("scene")
            .discovery(source)
            .discovery_config(eager());
        assert!(self.upstream.adopt(&describe(builder).build().unwrap()));
        self.backends = backends;
    }

    /// The percentages that checks have reported.
    fn weights(&self) -> Vec<u16> {
        let all = self.upstream.overrides().into_iter();
        let percent = all.filter_map(|active| match active.setting {
            Override::Weight(WeightOverride::Percent(percent)) => Some(percent),
            _ => None,
        });
        percent.collect()
    }
}

/// A weight, and nothing about up or down.
fn states_only_weight(percent: u16) -> Answer {
    let report = CheckReport::default().health(ReportedHealth::Unstated);
    Answer::Asks(report.weight(Some(WeightOverride::Percent(percent))))
}

async fn after(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
