//! Checks and backends that come, go and return.

use super::*;
use crate::health::ReportedHealth;
use crate::upstream::overrides::Override;

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

#[tokio::test(start_paused = true)]
async fn a_check_that_states_nothing_does_not_keep_a_backend_unhealthy() {
    let (tcp, agent) = (Played::new("tcp"), Played::new("agent"));
    tcp.play(1, Answer::Fails);
    agent.play(1, states_only_weight(50));
    let mut scene = Scene::new([1], |u| u.health_check(tcp.clone(), every(1))).await;
    after(3).await;
    assert_eq!(scene.health(1), Health::Unhealthy);
    scene.reload([1], &[&tcp, &agent]);
    after(3).await;
    assert_eq!(scene.health(1), Health::Unhealthy);
    tcp.play(1, Answer::Passes);
    after(3).await;
    assert_eq!(scene.health(1), Health::Healthy);

    // The agent alone has nothing against the backend.
    tcp.play(1, Answer::Fails);
    after(3).await;
    let silent = Played::new("silent");
    silent.play(1, Answer::Takes(Duration::from_millis(500)));
    scene.reload([1], &[&silent]);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.health(1), Health::Unhealthy);
    silent.play(1, Answer::Fails);
    after(2).await;
    let other = Played::new("other");
    other.play(1, states_only_weight(70));
    scene.reload([1], &[&other]);
    after(2).await;
    assert_eq!(scene.health(1), Health::Healthy);
    assert_eq!(scene.status(1).state, CheckState::Unchecked);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_returns_unhealthy_is_freed_by_the_check_that_found_it() {
    let (tcp, agent) = (Played::new("tcp"), Played::new("agent"));
    agent.play(1, states_only_weight(50));
    let describe = |u: UpstreamBuilder| {
        let u = u.health_check(tcp.clone(), every(1));
        u.health_check(agent.clone(), every(1))
    };
    let scene = Scene::new([1, 2], describe).await;
    // A session keeps the state of the backend.
    let pick = || {
        scene
            .upstream
            .pick(&HashKey::none(), &Tried::new())
            .unwrap()
    };
    let leases = [pick(), pick()];
    assert!(leases.iter().any(|lease| lease.addr() == addr(1)));
    tcp.play(1, Answer::Fails);
    after(3).await;
    scene.backends.set(snapshot([2]));
    after(1).await;
    scene.backends.set(snapshot([1, 2]));
    after(3).await;
    assert_eq!(scene.health(1), Health::Unhealthy);
    tcp.play(1, Answer::Passes);
    after(3).await;
    assert_eq!(scene.health(1), Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn probes_of_all_upstreams_share_the_permits() {
    let check = Played::new("played");
    let (permits, mut scenes) = (ProbePermits::new(8), Vec::new());
    for upstream in 0..4 {
        let ports = (1..=10).map(|port| upstream * 10 + port);
        ports
            .clone()
            .for_each(|port| check.play(port, Answer::Takes(Duration::from_secs(4))));
        let describe = |u: UpstreamBuilder| u.health_check(check.clone(), every(5));
        scenes.push(Scene::sharing(&permits, ports, describe).await);
    }
    after(100).await;
    assert_eq!(check.stage().most_running, 8);
    // Eight at a time for four seconds each: a round of all forty takes twenty seconds, whatever their upstream.
    let statuses = scenes
        .iter()
        .flat_map(|scene| scene.upstream.health_checks());
    let probes: Vec<u64> = statuses.map(|status| status.probes).collect();
    assert!(probes.iter().all(|n| (3..=6).contains(n)), "{probes:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_check_reported_ends_with_it_though_others_of_its_origin_run() {
    let (first, second) = (Played::new("first"), Played::new("second"));
    let plain = Played::new("plain");
    first.play(1, states_only_weight(50));
    let mut scene = Scene::new([1], |u| u.health_check(first.clone(), every(1))).await;
    after(3).await;
    assert_eq!(scene.upstream.overrides().len(), 1);
    scene.reload([1], &[&plain]);
    after(3).await;
    assert!(scene.upstream.overrides().is_empty());

    // Another one that replaced its value is no longer above it when it ends.
    scene.reload_with([1], |u| u.health_check(first.clone(), every(1)));
    after(3).await;
    second.play(1, states_only_weight(70));
    scene.reload_with([1], |u| {
        let u = u.health_check(first.clone(), every(1));
        u.health_check(second.clone(), every(1))
    });
    after(3).await;
    assert_eq!(scene.weights(), [70]);
    scene.reload_with([1], |u| u.health_check(first.clone(), every(1)));
    after(3).await;
    assert_eq!(scene.weights(), [50]);
}

#[tokio::test(start_paused = true)]
async fn an_equal_answer_applies_again_to_a_backend_that_left_and_returned() {
    let check = Played::new("agent");
    check.play(1, states_only_weight(50));
    let scene = Scene::new([1, 2], |u| u.health_check(check.clone(), every(1))).await;
    after(3).await;
    assert_eq!(scene.weights(), [50]);
    // No task runs between.
    scene.upstream.apply(snapshot([2]));
    scene.upstream.apply(snapshot([1, 2]));
    assert!(scene.weights().is_empty());
    after(3).await;
    assert_eq!(scene.weights(), [50]);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_goes_on_keeps_its_records_beside_an_alike_one() {
    let check = Played::new("twin");
    let mut scene = Scene::new([1], |u| u.health_check(check.clone(), every(1))).await;
    after(5).await;
    let before = scene.status(1).probes;
    scene.reload_with([1], |u| {
        let u = u.health_check(check.clone(), every(100));
        u.health_check(check.clone(), every(1))
    });
    sleep(Duration::from_millis(100)).await;
    let probes: Vec<u64> = scene
        .upstream
        .health_checks()
        .iter()
        .map(|status| status.probes)
        .collect();
    assert!(probes[0] <= 1 && probes[1] >= before, "{probes:?}");
}
