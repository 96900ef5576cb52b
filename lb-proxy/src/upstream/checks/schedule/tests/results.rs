//! Effects of results.

use test_support::log::Capture;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_backend_that_waits_gets_no_session_before_its_first_probe() {
    let check = Played::new("played");
    check.play(1, Answer::Takes(Duration::from_secs(2)));
    check.play(2, Answer::Takes(Duration::from_secs(60)));
    let settings = every(10).initial(InitialState::Down);
    let scene = Scene::new([1, 2], |u| u.health_check(check.clone(), settings)).await;
    let pick = || {
        scene
            .upstream
            .pick(&HashKey::none(), &Tried::new(), scene.upstream.now())
    };
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
        let pick = scene
            .upstream
            .pick(&HashKey::none(), &Tried::new(), scene.upstream.now());
        assert_eq!(pick.is_ok(), picked, "{threshold:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_initial_state_says_whether_sessions_come_before_the_first_probe() {
    use InitialState::{Down, FullyDown, FullyUp, Up};
    for (initial, picked) in [
        (Up, true),
        (FullyUp, true),
        (Down, false),
        (FullyDown, false),
    ] {
        let check = Played::new("played");
        check.play(1, Answer::Takes(Duration::from_secs(3)));
        let settings = every(10).initial(initial);
        let scene = Scene::new([1], |u| u.health_check(check.clone(), settings)).await;
        let pick = scene
            .upstream
            .pick(&HashKey::none(), &Tried::new(), scene.upstream.now());
        assert_eq!(pick.is_ok(), picked, "{initial:?}");
        assert_eq!(scene.status(1).probes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_panics_begins_again_with_what_was_found() {
    let log = Capture::install();
    let check = Played::new("played");
    check.play(1, Answer::Fails);
    let scene = Scene::new([1, 2], |u| u.health_check(check.clone(), every(5))).await;
    after(1).await;
    assert_eq!(scene.health(1), Health::Unhealthy);
    check.play(2, Answer::ShowsPanic);
    after(20).await;
    let lines = log.take();
    let panics = lines
        .iter()
        .filter(|line| line.contains("Health check panicked"));
    let panics: Vec<_> = panics.collect();
    assert!((2..=5).contains(&panics.len()), "{lines:?}");
    assert!(panics[0].contains("on purpose") && panics[0].contains("pause=1s"));
    assert!(panics[1].contains("pause=2s"), "{panics:?}");
    assert_eq!(scene.health(1), Health::Unhealthy);

    for port in [1, 2] {
        check.play(port, Answer::Passes);
    }
    after(70).await;
    assert_eq!(scene.health(1), Health::Healthy);
    let probes = check.times(2).len();
    after(10).await;
    assert!(check.times(2).len() > probes);
}
