//! Checks and backends that come, go and return.

use super::*;
use crate::health::ReportedHealth;

impl Scene {
    /// Reloads with `checks` for the backends `ports`. Returns the sources' new handle.
    fn reload(&mut self, ports: impl IntoIterator<Item = u16>, checks: &[&Played]) {
        let (source, backends) = Manual::new(snapshot(ports));
        let mut builder = Upstream::builder("scene")
            .discovery(source)
            .discovery_config(DriverConfig::default().debounce(Duration::from_millis(1)));
        for &check in checks {
            builder = builder.health_check(check.clone(), every(1));
        }
        assert!(self.upstream.adopt(&builder.build().unwrap()));
        self.backends = backends;
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
