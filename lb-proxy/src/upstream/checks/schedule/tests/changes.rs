//! Checks and backends that come, go and return.

use super::*;

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
    let described = Backend::new(addr(1)).weight(7.into());
    scene
        .backends
        .set([described.clone()].into_iter().collect());
    sleep(Duration::from_millis(10)).await;
    assert_eq!(
        (scene.status(1).state, scene.status(1).probes),
        (CheckState::Down, 1)
    );
    assert_eq!(scene.status(1).backend.weight.get(), 7);
    let other = described.instance("other");
    scene.backends.set([other].into_iter().collect());
    sleep(Duration::from_millis(10)).await;
    let status = scene.status(1);
    assert!(status.probes <= 1 && status.transitions == 0, "{status:?}");
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
            .pick(&HashKey::none(), &Tried::new(), scene.upstream.now())
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
    let statuses = scene.upstream.health_checks();
    let names: Vec<_> = statuses.iter().map(|status| &*status.check).collect();
    assert_eq!(names, ["twin #2", "twin"]);
    let probes: Vec<u64> = statuses.iter().map(|status| status.probes).collect();
    assert!(probes[0] <= 1 && probes[1] >= before, "{probes:?}");
}
