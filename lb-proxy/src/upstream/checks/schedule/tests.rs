//! The scheduler in paused time, with a check that the test plays.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use lb_core::policy::WeightedRoundRobin;
use lb_core::{AdminState, Backend, BalancerConfig, Health, PickError, Snapshot, Tried};
use lb_discovery::{Manual, ManualHandle};
use test_support::proxy::eager;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::health::{
    CheckReport, CheckSettings, CheckState, CheckStatus, HealthCheck, InitialState, Probe,
    ProbeOutcome, ReportedAdmin,
};
use crate::upstream::UpstreamBuilder;
use crate::upstream::checks::permits::ProbePermits;
use crate::upstream::hash_key::HashKey;
use crate::upstream::overrides::WeightOverride;

/// A check whose answers the test sets.
#[derive(Clone, Debug)]
struct Played {
    name: &'static str,
    stage: Arc<Mutex<Stage>>,
}

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
    Shortage,
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
            Answer::Shortage => Err(CheckError::Local(std::io::ErrorKind::OutOfMemory.into())),
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
        let (_, cancel) = upstream.followed(ProbeResources::of_test(permits.clone())).await;
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

fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_probed_faster_in_doubt_and_slower_when_down() {
    let check = Played::new("played");
    let settings = every(10)
        .interval_in_doubt(Some(Duration::from_secs(1)))
        .interval_down(Some(Duration::from_secs(100)))
        .initial(InitialState::FullyUp)
        .fall(count(3))
        .rise(count(2));
    let scene = Scene::new([1], |u| u.health_check(check.clone(), settings)).await;
    sleep(Duration::from_secs(15)).await;
    check.play(1, Answer::Fails);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(check.times(1), [0, 10_000, 20_000, 21_000, 22_000]);
    assert_eq!(scene.health(1), Health::Unhealthy);
    let status = scene.status(1);
    assert_eq!((status.state, status.consecutive), (CheckState::Down, 3));
    assert_eq!(
        (status.probes, status.failures, status.transitions),
        (5, 3, 1)
    );
    let last = status.last.unwrap();
    assert_eq!(&*last.text, r#"unexpected answer: "nonsense\n""#);
    check.play(1, Answer::Passes);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(check.times(1)[5..], [122_000, 123_000]);
    assert_eq!(scene.health(1), Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn probes_are_spread_over_the_interval() {
    for initial in [InitialState::Up, InitialState::Down] {
        let check = Played::new("played");
        let settings = every(10).initial(initial);
        let _scene = Scene::new(1..=100, |u| u.health_check(check.clone(), settings)).await;
        sleep(Duration::from_secs(40)).await;
        let mut by_second = [0; 10];
        for port in 1..=100 {
            let times = check.times(port);
            let at = times.iter().find(|&&at| at >= 20_000).unwrap();
            by_second[(at - 20_000) as usize / 1000] += 1;
        }
        let (least, most) = (by_second.iter().min(), by_second.iter().max());
        assert!(
            least > Some(&5) && most < Some(&20),
            "{initial:?}: {by_second:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_waits_gets_no_session_before_its_first_probe() {
    let check = Played::new("played");
    check.play(1, Answer::Takes(Duration::from_secs(2)));
    check.play(2, Answer::Takes(Duration::from_secs(60)));
    let settings = every(10).initial(InitialState::Down);
    let scene = Scene::new([1, 2], |u| u.health_check(check.clone(), settings)).await;
    let pick = || scene.upstream.pick(&HashKey::none(), &Tried::new());
    assert_eq!(scene.health(1), Health::Unchecked);
    assert_eq!(pick().err(), Some(PickError::Exhausted));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(pick().unwrap().addr(), addr(1));
    assert_eq!(pick().unwrap().addr(), addr(1));
    // It has answered nothing within the time-out.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.health(2), Health::Unhealthy);
    assert_eq!(&*scene.status(2).last.unwrap().text, "no result within 5s");

    // One that joins later waits, too.
    scene.backends.set(snapshot([1, 2, 3]));
    sleep(Duration::from_millis(10)).await;
    let passed = scene.status(3).probes > 0;
    assert_eq!(scene.health(3) == Health::Healthy, passed);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.health(3), Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn never_more_probes_run_at_once_than_allowed() {
    let check = Played::new("played");
    for port in 1..=50 {
        check.play(port, Answer::Takes(Duration::from_secs(4)));
    }
    let settings = every(5).max_concurrent(NonZeroUsize::new(10).unwrap());
    let scene = Scene::new(1..=50, |u| u.health_check(check.clone(), settings)).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(check.stage().most_running, 10);
    // Ten at a time for four seconds each: a round takes twenty seconds, and no backend is left out.
    let statuses = scene.upstream.health_checks();
    assert!(
        statuses
            .iter()
            .all(|status| (2..=4).contains(&status.probes))
    );
}

#[tokio::test(start_paused = true)]
async fn a_removed_backend_is_not_probed_and_its_probe_is_dropped() {
    let check = Played::new("played");
    check.play(1, Answer::Takes(Duration::from_secs(4)));
    let scene = Scene::new([1, 2], |u| u.health_check(check.clone(), every(5))).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(check.stage().running, 1);
    scene.backends.set(snapshot([2]));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(check.stage().running, 0);
    assert_eq!(scene.upstream.health_checks().len(), 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(check.times(1), [0]);
    assert!(check.times(2).len() >= 4);
    scene.backends.set(snapshot([1, 2]));
    sleep(Duration::from_secs(10)).await;
    assert!(check.times(1).len() >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_begins_anew() {
    let check = Played::new("played");
    check.play(1, Answer::Fails);
    let scene = Scene::new([1], |u| u.health_check(check.clone(), every(5))).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.health(1), Health::Unhealthy);
    let described = Backend::new(addr(1)).with_weight(7.into());
    scene
        .backends
        .set([described.clone()].into_iter().collect());
    sleep(Duration::from_millis(10)).await;
    assert_eq!(
        (scene.status(1).state, scene.status(1).probes),
        (CheckState::Down, 1)
    );
    assert_eq!(scene.status(1).backend.weight.get(), 7);
    let other = described.with_instance("other");
    scene.backends.set([other].into_iter().collect());
    sleep(Duration::from_millis(10)).await;
    let status = scene.status(1);
    assert!(status.probes <= 1 && status.transitions == 0, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn what_this_machine_lacks_is_no_result() {
    let check = Played::new("played");
    check.play(1, Answer::Shortage);
    let scene = Scene::new([1], |u| u.health_check(check.clone(), every(5))).await;
    sleep(Duration::from_secs(21)).await;
    assert_eq!(scene.health(1), Health::Healthy);
    let status = scene.status(1);
    assert_eq!(
        (status.probes, status.inconclusive, status.failures),
        (5, 5, 0)
    );
    assert_eq!(status.state, CheckState::Unchecked);
    assert_eq!(status.last.unwrap().outcome, ProbeOutcome::Inconclusive);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_fails_and_goes_on() {
    let check = Played::new("played");
    check.play(1, Answer::Panics);
    let scene = Scene::new([1, 2], |u| u.health_check(check.clone(), every(5))).await;
    sleep(Duration::from_secs(21)).await;
    assert_eq!(
        (scene.health(1), scene.health(2)),
        (Health::Unhealthy, Health::Healthy)
    );
    let status = scene.status(1);
    assert_eq!(&*status.last.unwrap().text, "the check panicked");
    assert!(status.probes >= 4);
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_healthy_if_no_check_found_it_down() {
    let (one, other) = (Played::new("one"), Played::new("other"));
    let describe = |u: UpstreamBuilder| {
        let u = u.health_check(one.clone(), every(2));
        u.health_check(other.clone(), every(2))
    };
    let scene = Scene::new([1], describe).await;
    let after = |seconds| sleep(Duration::from_secs(seconds));
    after(3).await;
    for (first, second, health) in [
        (Answer::Passes, Answer::Passes, Health::Healthy),
        (Answer::Fails, Answer::Passes, Health::Unhealthy),
        (Answer::Fails, Answer::Fails, Health::Unhealthy),
        (Answer::Passes, Answer::Fails, Health::Unhealthy),
        (Answer::Passes, Answer::Passes, Health::Healthy),
    ] {
        one.play(1, first.clone());
        other.play(1, second.clone());
        after(3).await;
        assert_eq!(scene.health(1), health, "{first:?}, {second:?}");
    }
    let names = scene.upstream.health_checks();
    let names: Vec<_> = names.iter().map(|status| &*status.check).collect();
    assert_eq!(names, ["one", "other"]);
}

#[tokio::test(start_paused = true)]
async fn state_survives_a_reload_and_ends_with_its_check() {
    let check = Played::new("played");
    check.play(1, Answer::Fails);
    let scene = Scene::new([1, 2], |u| u.health_check(check.clone(), every(5))).await;
    sleep(Duration::from_secs(6)).await;
    let before = scene.status(1);
    assert_eq!(before.state, CheckState::Down);

    let describe = |checks: &[(Played, CheckSettings)]| {
        let (source, _) = Manual::new(snapshot([1, 2]));
        let mut builder = Upstream::builder("scene").discovery(source);
        for (check, settings) in checks {
            builder = builder.health_check(check.clone(), settings.clone());
        }
        builder.build().unwrap()
    };
    let slower = describe(&[(check.clone(), every(50))]);
    assert!(scene.upstream.adopt(&slower));
    sleep(Duration::from_millis(10)).await;
    let after = scene.status(1);
    assert_eq!((after.state, after.since), (before.state, before.since));
    assert!(after.probes >= before.probes);
    assert_eq!(scene.health(1), Health::Unhealthy);

    // Another check has to decide by itself. Until then the backend stays out.
    let other = Played::new("other");
    other.play(1, Answer::Takes(Duration::from_secs(3)));
    assert!(
        scene
            .upstream
            .adopt(&describe(&[(other.clone(), every(5))]))
    );
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.health(1), Health::Unhealthy);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(scene.health(1), Health::Healthy);

    other.play(1, Answer::Fails);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(scene.health(1), Health::Unhealthy);
    assert!(scene.upstream.adopt(&describe(&[])));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(scene.health(1), Health::Healthy);
    assert!(scene.upstream.health_checks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn all_down_is_an_upstream_without_backends_or_a_panic() {
    for (threshold, picked) in [(None, false), (Some(50), true)] {
        let check = Played::new("played");
        (1..=3).for_each(|port| check.play(port, Answer::Fails));
        let mut config = BalancerConfig::default();
        config.panic_threshold = threshold;
        let describe = |u: UpstreamBuilder| {
            u.balancer_config(config)
                .health_check(check.clone(), every(5))
        };
        let scene = Scene::new([1, 2, 3], describe).await;
        sleep(Duration::from_secs(6)).await;
        let pick = scene.upstream.pick(&HashKey::none(), &Tried::new());
        assert_eq!(pick.is_ok(), picked, "{threshold:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_backends_ask_for_is_published_together_and_ends_with_the_check() {
    let check = Played::new("played");
    let asks = CheckReport::default()
        .weight(Some(WeightOverride::Percent(50)))
        .max_conns(Some(NonZeroU32::new(3)))
        .admin(Some(ReportedAdmin::Drain));
    (1..=50).for_each(|port| check.play(port, Answer::Asks(asks.clone())));
    let scene = Scene::new(1..=50, |u| u.health_check(check.clone(), every(1))).await;
    let updates = *scene.upstream.membership_changes().borrow();
    sleep(Duration::from_secs(3)).await;
    let set = scene.upstream.backends();
    let is_as_asked = |backend: &Backend| {
        (backend.weight.get(), backend.max_conns, backend.admin)
            == (1, NonZeroU32::new(3), AdminState::Drain)
    };
    assert!(set.snapshot().iter().all(is_as_asked));
    assert_eq!(scene.upstream.overrides().len(), 150);
    let updates = *scene.upstream.membership_changes().borrow() - updates;
    assert!((1..=11).contains(&updates), "{updates}");

    let ready = CheckReport::default()
        .weight(Some(WeightOverride::Percent(100)))
        .admin(Some(ReportedAdmin::Ready));
    check.play(1, Answer::Asks(ready));
    sleep(Duration::from_secs(2)).await;
    let set = scene.upstream.backends();
    let first = set.snapshot().find(addr(1)).unwrap();
    // What it does not ask for stays as it was.
    assert_eq!(
        (first.admin, first.max_conns),
        (AdminState::Ready, NonZeroU32::new(3))
    );

    let (source, _) = Manual::new(snapshot(1..=50));
    let plain = Upstream::builder("scene")
        .discovery(source)
        .build()
        .unwrap();
    assert!(scene.upstream.adopt(&plain));
    sleep(Duration::from_millis(10)).await;
    assert!(scene.upstream.overrides().is_empty());
    let published = scene.upstream.backends().snapshot().clone();
    assert!(published == scene.upstream.discovered());
}

mod changes;
